//! The pool of connections.

use std::str::FromStr;
use std::time::Duration;

use bb8::{ErrorSink, RunError};
use tokio_postgres::Transaction;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connection::Manager;
use super::error::{Error, error_chain};
use crate::domain::source::Secret;

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
    /// How long a call may take once it has a connection.
    pub statement_timeout: Duration,
    /// Age at which a connection is replaced.
    pub recycle: Duration,
    /// Whether a connection is tried before it is used.
    pub pre_ping: bool,
}

/// Longest turn of waiting for a connection; a pool whose server was away begins to connect anew with each.
const TURN: Duration = Duration::from_secs(4);

pub(super) fn open(options: &PoolOptions) -> Result<Pool, Error> {
    let manager = Manager::new(parse_url(options.url.expose())?, tls()?, options.pre_ping);
    Ok(bb8::Pool::builder()
        .max_size(options.max_size)
        .connection_timeout(options.acquire_timeout.min(TURN))
        .max_lifetime(Some(options.recycle))
        // The manager tries as often as is good.
        .retry_connection(false)
        .test_on_check_out(true)
        .error_sink(Box::new(LogSink))
        .build_unchecked(manager))
}

/// Waits for a connection at most so long.
pub(super) async fn get(pool: &Pool, limit: Duration) -> Result<Connection, Error> {
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        let error = match tokio::time::timeout_at(deadline, pool.get_owned()).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(RunError::User(error))) => error,
            Ok(Err(RunError::TimedOut)) | Err(_) => {
                Error::Unreachable("no connection within the pool's time limit".to_owned())
            }
        };
        if tokio::time::Instant::now() >= deadline {
            return Err(error);
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

impl ErrorSink<Error> for LogSink {
    fn sink(&self, error: Error) {
        log::debug!("a PostgreSQL connection failed: {error}");
    }

    fn boxed_clone(&self) -> Box<dyn ErrorSink<Error>> {
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
