//! PostgreSQL: the truth about sources, workflows, schedules and tasks. One aggregate a file.
//!
//! Every statement is unnamed (`query_typed` and friends) and keeps no session state, so that all of it works through
//! PgBouncer in transaction mode. A task's state changes only in a statement that names the state it leaves.

pub mod admit;
pub mod api_key;
pub mod audit;
pub mod batch;
pub mod beat;
pub mod brief;
pub mod claim;
mod connection;
pub mod delivery;
pub mod error;
pub mod figures;
pub mod gate;
pub mod history;
pub mod idempotency;
pub mod migrate;
pub mod node;
mod notice;
pub mod notification;
pub mod occurrence;
pub mod outcome;
mod page;
pub mod pause;
pub mod pending;
pub mod pool;
pub mod queue;
mod reach;
pub mod retention;
pub mod schedule;
pub mod sealed_key;
pub mod session;
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
mod under_way;
pub mod vault;
pub mod watch;
pub mod workflow;
pub mod workflow_change;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use crate::domain::histogram::Histogram;

pub use error::Error;
pub use pool::{Connection, PoolOptions};
pub use vault::{Seal, Vault};

/// How long a call waits for a connection while the database is known to be away: a try is made all the same, for it may
/// be back.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(1);
/// How long a statement that is under way is waited for when the database is known to be away. Longer than a network
/// that hiccups, shorter than anybody waits for an answer.
const STATEMENT_PATIENCE: Duration = Duration::from_secs(3);

/// The facade: cheap to clone, usable from any thread.
///
/// Each call runs on the shared runtime, whoever makes it: a connection's driver must not live on an arbiter's
/// runtime that may end, and a half-done write must not be cancelled with the caller's future.
#[derive(Clone)]
pub struct Store {
    pool: pool::Pool,
    limits: Limits,
    reach: reach::Reach,
    max_connections: u32,
    query_times: Arc<Histogram>,
    under_way: under_way::UnderWay,
    vault: Vault,
    runtime: Handle,
}

/// How long the parts of a call may take.
#[derive(Clone, Copy, Debug)]
struct Limits {
    connection: Duration,
    statement: Duration,
}

impl Store {
    /// Opens a pool. No connection is made yet; [`Store::ping`] tries one.
    ///
    /// # Errors
    /// The url or its TLS settings can't be used.
    pub fn open(options: &PoolOptions, vault: Vault, runtime: Handle) -> Result<Self, Error> {
        Ok(Self {
            pool: pool::open(options)?,
            limits: Limits { connection: options.acquire_timeout, statement: options.statement_timeout },
            reach: reach::Reach::default(),
            max_connections: options.max_size,
            query_times: Arc::new(Histogram::new(figures::QUERY_BOUNDS)),
            under_way: under_way::UnderWay::default(),
            vault,
            runtime,
        })
    }

    /// What encrypts for this installation.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Runs one piece of work with a connection, on the shared runtime, to its end or to its limit.
    ///
    /// Past the limit the connection is thrown away, for the server may still be at it: nobody knows then whether the
    /// work was done, as when a connection breaks before the answer. Every caller has to live with that; those who
    /// claim and those who store how attempts ended do.
    pub(crate) async fn run<T, F, Fut>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(Connection) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, Error>> + Send,
    {
        self.run_within(self.limits, work).await
    }

    async fn run_within<T, F, Fut>(&self, limits: Limits, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(Connection) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, Error>> + Send,
    {
        let (pool, reach, times) = (self.pool.clone(), self.reach.clone(), self.query_times.clone());
        let under_way = self.under_way.clone();
        let task = self.runtime.spawn(async move {
            let connection = tokio::select! {
                connection = pool::get(&pool, limits.connection) => connection?,
                () = reach.away_for(CONNECTION_PATIENCE) => return Err(Error::Away),
            };
            let (line, began) = (connection.line(), Instant::now());
            let _call = under_way.begin(began);
            // Pinned outside of the choice: its connection must not be given back before it is spoiled.
            let mut work = std::pin::pin!(work(connection));
            tokio::select! {
                done = &mut work => {
                    times.observe(began.elapsed());
                    if matches!(&done, Err(error) if error.is_of_another_server()) {
                        line.spoil();
                    }
                    return done;
                }
                // It took all of its time, and the server may not have noticed.
                () = sleep_until(began + limits.statement) => times.observe(began.elapsed()),
                () = reach.away_for(STATEMENT_PATIENCE) => {}
            }
            line.spoil();
            // The caller does not wait for this.
            tokio::spawn(async move { line.cancel().await });
            Err(Error::Unanswered)
        });
        task.await.map_err(|_| Error::Interrupted)?
    }

    /// Whether the database answers, within about so long. Its connection is tried and not trusted.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self, limit: Duration) -> Result<(), Error> {
        self.run_within(Limits { connection: limit, statement: limit }, |connection| async move {
            connection.query_typed("SELECT 1", &[]).await?;
            Ok(())
        })
        .await
    }

    /// Notes whether the database answers, as far as is known: calls of this store and its clones give up soon while it
    /// does not.
    pub fn note_answers(&self, answers: bool) {
        self.reach.note(answers);
    }
}
