//! The pool of connections.

use std::str::FromStr;
use std::time::Duration;

use bb8::{ErrorSink, RunError};
use bb8_postgres::PostgresConnectionManager;
use tokio_postgres::Transaction;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{Error, error_chain};
use crate::domain::source::Secret;

type Manager = PostgresConnectionManager<MakeRustlsConnect>;
pub(super) type Pool = bb8::Pool<Manager>;
/// A connection, returned to the pool when dropped.
pub type Connection = bb8::PooledConnection<'static, Manager>;

/// How to reach PostgreSQL.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// `postgresql://user:password@host:port/database?sslmode=...`.
    pub url: Secret,
    /// Most connections.
    pub max_size: u32,
    /// How long a call waits for a connection.
    pub acquire_timeout: Duration,
    /// Age at which a connection is replaced.
    pub recycle: Duration,
    /// Whether a connection is tried before it is used.
    pub pre_ping: bool,
}

/// bb8 waits between two tries to connect for up to half of its limit: a short one finds a server soon that is back.
const CONNECT_LIMIT: Duration = Duration::from_secs(4);

pub(super) fn open(options: &PoolOptions) -> Result<Pool, Error> {
    let config = parse_url(options.url.expose())?;
    let manager = PostgresConnectionManager::new(config, tls()?);
    Ok(bb8::Pool::builder()
        .max_size(options.max_size)
        .connection_timeout(options.acquire_timeout.min(CONNECT_LIMIT))
        .max_lifetime(Some(options.recycle))
        .test_on_check_out(options.pre_ping)
        .error_sink(Box::new(LogSink))
        .build_unchecked(manager))
}

/// Waits for a connection for as long as the pool's options say.
pub(super) async fn get(pool: &Pool, limit: Duration) -> Result<Connection, Error> {
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        let error = match pool.get_owned().await {
            Ok(connection) => return Ok(connection),
            Err(RunError::User(error)) => error_chain(&error),
            Err(RunError::TimedOut) => "no connection within the pool's time limit".to_owned(),
        };
        if tokio::time::Instant::now() >= deadline {
            return Err(Error::Unreachable(error));
        }
    }
}

/// Begins a transaction whose locks do not outlive us by much: should this node vanish in the middle (a power cut, a
/// cut cable), PostgreSQL ends it by itself. `SET LOCAL` ends with the transaction, so it fits PgBouncer.
pub(super) async fn begin(connection: &mut Connection) -> Result<Transaction<'_>, Error> {
    let transaction = connection.transaction().await?;
    transaction.batch_execute("SET LOCAL idle_in_transaction_session_timeout = '10s'").await?;
    Ok(transaction)
}

/// Reads a url of ours or of the Python service: `postgresql+asyncpg://` is the same thing, `ssl=` is `sslmode=`, and
/// the pool's own parameters (`pool_size`, `max_overflow`) are the configuration's business.
pub(super) fn parse_url(url: &str) -> Result<tokio_postgres::Config, Error> {
    let mut parsed = url::Url::parse(url).map_err(|error| Error::Url(error.to_string()))?;
    let base = parsed.scheme().split('+').next().unwrap_or_default();
    if base != "postgresql" && base != "postgres" {
        return Err(Error::Url("it must begin with postgresql://".to_owned()));
    }
    let kept: Vec<(String, String)> = parsed
        .query_pairs()
        .filter(|(key, _)| key != "pool_size" && key != "max_overflow")
        .map(|(key, value)| (if key == "ssl" { "sslmode".into() } else { key.into_owned() }, value.into_owned()))
        .collect();
    parsed.set_query(None);
    if !kept.is_empty() {
        parsed.query_pairs_mut().extend_pairs(kept);
    }
    let text = parsed.as_str();
    let text = format!("postgresql{}", &text[parsed.scheme().len()..]);
    let mut config = tokio_postgres::Config::from_str(&text).map_err(|error| Error::Url(error_chain(&error)))?;
    // asyncpg's and SQLAlchemy's default is a plain connection; tokio-postgres' is to try TLS first.
    if !text.contains("sslmode=") {
        config.ssl_mode(SslMode::Disable);
    }
    config.application_name("automagik-spark").connect_timeout(Duration::from_secs(5));
    // A server that vanished without a word is noticed within half a minute.
    config
        .keepalives_idle(Duration::from_secs(15))
        .keepalives_interval(Duration::from_secs(5))
        .tcp_user_timeout(Duration::from_secs(30));
    Ok(config)
}

pub(super) fn tls() -> Result<MakeRustlsConnect, Error> {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Url(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// Connections that fail in the background are worth a line, not a fault: whoever needs one is told.
#[derive(Clone, Copy, Debug)]
struct LogSink;

impl ErrorSink<tokio_postgres::Error> for LogSink {
    fn sink(&self, error: tokio_postgres::Error) {
        log::debug!("a PostgreSQL connection failed: {}", error_chain(&error));
    }

    fn boxed_clone(&self) -> Box<dyn ErrorSink<tokio_postgres::Error>> {
        Box::new(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_the_python_service_are_read() {
        let config = parse_url("postgresql+asyncpg://u:p%40x@db:6432/spark?pool_size=5&max_overflow=3").expect("valid");
        assert_eq!((config.get_user(), config.get_dbname()), (Some("u"), Some("spark")));
        assert_eq!(config.get_password(), Some("p@x".as_bytes()));
        assert_eq!(config.get_ssl_mode(), SslMode::Disable);
        let config = parse_url("postgres://u@db/spark?ssl=require").expect("valid");
        assert_eq!(config.get_ssl_mode(), SslMode::Require);
    }

    #[test]
    fn other_urls_are_refused_with_the_reason() {
        for bad in ["mysql://u@db/x", "db:5432", "postgresql://u@db/x?sslmode=maybe"] {
            assert!(matches!(parse_url(bad), Err(Error::Url(_))), "{bad}");
        }
    }
}
