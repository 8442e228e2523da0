//! PostgreSQL: the truth about sources, workflows, schedules and tasks. One aggregate a file.
//!
//! Every statement is unnamed (`query_typed` and friends) and keeps no session state, so that all of it works through
//! PgBouncer in transaction mode. A task's state changes only in a statement that names the state it leaves.

pub mod api_key;
pub mod audit;
pub mod batch;
pub mod beat;
pub mod claim;
pub mod delivery;
pub mod error;
pub mod history;
pub mod idempotency;
pub mod migrate;
pub mod node;
mod notice;
pub mod notification;
pub mod occurrence;
pub mod outcome;
pub mod pause;
pub mod pending;
pub mod pool;
pub mod queue;
pub mod retention;
pub mod schedule;
pub mod sealed_key;
pub mod source;
pub mod statistics;
pub mod submit;
pub mod takeover;
mod tally;
pub mod task_bulk;
pub mod task_change;
pub mod task_event;
pub mod task_filter;
pub mod task_log;
pub mod task_read;
pub mod vault;
pub mod watch;
pub mod workflow;

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;

pub use error::Error;
pub use pool::{Connection, PoolOptions};
pub use vault::{Seal, Vault};

/// The facade: cheap to clone, usable from any thread.
///
/// Each call runs on the shared runtime, whoever makes it: a connection's driver must not live on an arbiter's
/// runtime that may end, and a half-done write must not be cancelled with the caller's future.
#[derive(Clone)]
pub struct Store {
    pool: pool::Pool,
    acquire_timeout: Duration,
    vault: Vault,
    runtime: Handle,
}

impl Store {
    /// Opens a pool. No connection is made yet; [`Store::ping`] tries one.
    ///
    /// # Errors
    /// The url or its TLS settings can't be used.
    pub fn open(options: &PoolOptions, vault: Vault, runtime: Handle) -> Result<Self, Error> {
        Ok(Self { pool: pool::open(options)?, acquire_timeout: options.acquire_timeout, vault, runtime })
    }

    /// Runs one piece of work with a connection, on the shared runtime, to its end.
    pub(crate) async fn run<T, F, Fut>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(Connection) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, Error>> + Send,
    {
        let (pool, limit) = (self.pool.clone(), self.acquire_timeout);
        let task = self.runtime.spawn(async move { work(pool::get(&pool, limit).await?).await });
        task.await.map_err(|_| Error::Interrupted)?
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), Error> {
        self.run(|connection| async move {
            connection.query_typed("SELECT 1", &[]).await?;
            Ok(())
        })
        .await
    }
}
