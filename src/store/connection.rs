//! A connection that can be thrown away while a statement is under way.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bb8::ManageConnection;
use bb8_postgres::PostgresConnectionManager;
use tokio_postgres::{CancelToken, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{Error, error_chain};

/// How long connecting may take with all that belongs to it; a server that is frozen accepts and then says nothing.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long a connection that was idle may take to show that it works.
const TRY_LIMIT: Duration = Duration::from_millis(500);
/// How long a server may take to hear that a statement is no longer wanted.
const CANCEL_LIMIT: Duration = Duration::from_secs(2);
/// Wait before a connection that was refused is tried again; doubles up to the longest. A server that is back is found
/// within the longest.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// A connection, and what it is known by while somebody works with it.
pub struct Link {
    client: Client,
    line: Arc<Line>,
}

impl Link {
    pub(super) fn line(&self) -> Arc<Line> {
        self.line.clone()
    }
}

impl Deref for Link {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Link {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

/// The side of a connection that can end it from outside.
pub(super) struct Line {
    is_spoiled: AtomicBool,
    cancel: CancelToken,
    tls: MakeRustlsConnect,
}

impl Line {
    /// Nobody is given this connection again.
    pub(super) fn spoil(&self) {
        self.is_spoiled.store(true, Ordering::Release);
    }

    /// Asks the server to stop the statement that was given up. It may not hear that, and may carry the statement out, now
    /// or when it wakes up. The connection's driver lives until it answers or TCP gives it up.
    pub(super) async fn cancel(&self) {
        drop(tokio::time::timeout(CANCEL_LIMIT, self.cancel.cancel_query(self.tls.clone())).await);
    }

    fn is_spoiled(&self) -> bool {
        self.is_spoiled.load(Ordering::Acquire)
    }
}

/// Makes and tries connections for the pool.
pub struct Manager {
    plain: PostgresConnectionManager<MakeRustlsConnect>,
    tls: MakeRustlsConnect,
    /// Whether a connection that was idle is tried before it is used.
    pre_ping: bool,
}

impl Manager {
    pub(super) fn new(config: Config, tls: MakeRustlsConnect, pre_ping: bool) -> Self {
        Self { plain: PostgresConnectionManager::new(config, tls.clone()), tls, pre_ping }
    }

    async fn connect_once(&self) -> Result<Link, Error> {
        let client = self.plain.connect().await.map_err(|error| Error::Unreachable(error_chain(&error)))?;
        let line = Line { is_spoiled: AtomicBool::new(false), cancel: client.cancel_token(), tls: self.tls.clone() };
        Ok(Link { client, line: Arc::new(line) })
    }
}

impl ManageConnection for Manager {
    type Connection = Link;
    type Error = Error;

    /// Tries until there is one or the limit has passed. The pool's own tries would be seconds apart.
    async fn connect(&self) -> Result<Link, Error> {
        let deadline = tokio::time::Instant::now() + CONNECT_LIMIT;
        let mut wait = FIRST_WAIT;
        loop {
            let error = match tokio::time::timeout_at(deadline, self.connect_once()).await {
                Ok(Ok(link)) => return Ok(link),
                Ok(Err(error)) => error,
                Err(_) => return Err(Error::Unreachable("no connection within its time limit".to_owned())),
            };
            if tokio::time::Instant::now() + wait >= deadline {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn is_valid(&self, link: &mut Link) -> Result<(), Error> {
        if link.line.is_spoiled() {
            return Err(Error::Unreachable("the server was not the right one any more".to_owned()));
        }
        if !self.pre_ping {
            return Ok(());
        }
        let tried = tokio::time::timeout(TRY_LIMIT, self.plain.is_valid(&mut link.client)).await;
        Ok(tried.map_err(|_| Error::Unreachable("a connection gave no answer".to_owned()))??)
    }

    fn has_broken(&self, link: &mut Link) -> bool {
        link.line.is_spoiled() || self.plain.has_broken(&mut link.client)
    }
}
