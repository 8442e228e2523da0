//! Sections `[database]` and `[redis]`: the servers that Spark itself needs.

use std::time::Duration;

use url::Url;

use super::read::Reader;
use crate::domain::source::Secret;

/// PostgreSQL.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// Where it is, as written: `postgresql+asyncpg://` and the pool's parameters may be in it.
    pub url: Secret,
    /// Connections that are meant to be enough.
    pub pool_size: u32,
    /// Connections beyond that.
    pub max_overflow: u32,
    /// How long a call waits for a connection.
    pub pool_timeout: Duration,
    /// How long a statement, or a transaction, may take.
    pub statement_timeout: Duration,
    /// Age at which a connection is replaced.
    pub pool_recycle: Duration,
    /// Whether a connection is tried before it is used.
    pub pool_pre_ping: bool,
}

impl DatabaseConfig {
    /// The limit of the pool.
    pub fn max_connections(&self) -> u32 {
        self.pool_size + self.max_overflow
    }

    pub(super) fn read(reader: &mut Reader) -> Self {
        let pool_size = reader.whole("database.pool_size", 1..=10_000);
        let max_overflow = if reader.unless_auto("database.max_overflow").is_none() {
            reader.resolve("database.max_overflow", pool_size * 2);
            pool_size * 2
        } else {
            reader.whole("database.max_overflow", 0..=20_000)
        };
        Self {
            url: database_url(reader),
            pool_size,
            max_overflow,
            pool_timeout: reader.duration("database.pool_timeout_s", 0.1..=3600.0),
            statement_timeout: reader.duration("database.statement_timeout_s", 0.1..=3600.0),
            pool_recycle: reader.duration("database.pool_recycle_s", 1.0..=604_800.0),
            pool_pre_ping: reader.flag("database.pool_pre_ping"),
        }
    }
}

fn database_url(reader: &mut Reader) -> Secret {
    let text = reader.text("database.url");
    let is_usable = Url::parse(&text).is_ok_and(|url| {
        // SQLAlchemy names a driver: postgresql+asyncpg.
        let scheme = url.scheme().split('+').next().unwrap_or_default();
        let has_host =
            url.host_str().is_some_and(|host| !host.is_empty()) || url.query_pairs().any(|(name, _)| name == "host");
        ["postgresql", "postgres"].contains(&scheme) && has_host && !url.path().contains('@')
    });
    if !is_usable {
        reader.wrong(
            "database.url",
            "a url postgresql://user:password@host:port/database (percent-encode @ : / in the password)",
        );
    }
    Secret::new(text)
}

/// Redis.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// Where it is.
    pub url: Secret,
    /// Connections for commands.
    pub pool_size: u32,
    /// First part of every key.
    pub key_prefix: String,
    /// Memory it is expected to have.
    pub memory_mb: u32,
    /// How long a command may take.
    pub response_timeout: Duration,
}

impl RedisConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            url: redis_url(reader),
            pool_size: reader.whole("redis.pool_size", 1..=1000),
            key_prefix: key_prefix(reader),
            memory_mb: reader.whole("redis.memory_mb", 1..=16_777_216),
            response_timeout: reader.duration("redis.response_timeout_ms", 10.0..=60_000.0),
        }
    }
}

fn redis_url(reader: &mut Reader) -> Secret {
    let text = reader.text("redis.url");
    let is_usable = Url::parse(&text).is_ok_and(|url| {
        let database = url.path().trim_matches('/');
        ["redis", "rediss"].contains(&url.scheme())
            && url.host_str().is_some_and(|host| !host.is_empty())
            && (database.is_empty() || database.parse::<u32>().is_ok())
    });
    if !is_usable {
        reader.wrong(
            "redis.url",
            "a url redis://:password@host:port/database or rediss://... (percent-encode @ : / in the password)",
        );
    }
    Secret::new(text)
}

fn key_prefix(reader: &mut Reader) -> String {
    let prefix = reader.text("redis.key_prefix");
    // Braces would make a Redis cluster hash by another part of the key; blanks and stars make keys hard to find.
    if !(1..=64).contains(&prefix.len()) || !prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b)) {
        reader.wrong("redis.key_prefix", "1 to 64 characters of a-z, A-Z, 0-9, '_', '-', '.' and ':'");
    }
    prefix
}
