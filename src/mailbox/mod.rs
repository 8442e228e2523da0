//! Redis: the ids of pending tasks, one sorted set a queue; and what nodes tell one another in passing. All of it can be
//! rebuilt from PostgreSQL.

mod channel;
mod error;
pub mod figures;
mod keys;
mod link;
mod take;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;
use tokio::runtime::Handle;

use crate::domain::ids::TaskId;
use crate::domain::queue::{QueueName, score};
use crate::domain::source::Secret;
use crate::domain::task::PendingTask;

pub use channel::{Ear, Pong};
pub use error::Error;
pub use take::{Taken, Taker};

use keys::Keys;
use link::Manager;

type Connection = bb8::PooledConnection<'static, Manager>;

/// How to reach Redis.
#[derive(Clone, Debug)]
pub struct MailboxOptions {
    /// `redis://` or `rediss://`, with password and database.
    pub url: Secret,
    /// Most connections for feeding and counting; taking has one of its own for each pool.
    pub pool_size: u32,
    /// How long a call waits for a connection.
    pub acquire_timeout: Duration,
    /// How long a call waits for an answer.
    pub response_timeout: Duration,
    /// First part of every key, so that several installations may share one Redis.
    pub key_prefix: String,
}

/// The mailboxes: cheap to clone, usable from any thread. Calls run on the shared runtime, see [`crate::store::Store`].
#[derive(Clone)]
pub struct Mailbox {
    pool: bb8::Pool<Manager>,
    client: redis::Client,
    keys: Keys,
    options: MailboxOptions,
    runtime: Handle,
}

impl Mailbox {
    /// Opens a pool. No connection is made yet; [`Mailbox::ping`] tries one.
    ///
    /// # Errors
    /// The url can't be used.
    pub fn open(options: MailboxOptions, runtime: Handle) -> Result<Self, Error> {
        let client = redis::Client::open(options.url.expose()).map_err(|error| Error::Url(error.to_string()))?;
        let manager = Manager::new(options.url.expose(), options.response_timeout)
            .map_err(|error| Error::Url(error.to_string()))?;
        let pool = bb8::Pool::builder()
            .max_size(options.pool_size)
            .connection_timeout(options.acquire_timeout)
            .build_unchecked(manager);
        let keys = Keys::new(&options.key_prefix, client.get_connection_info().redis_settings().db());
        Ok(Self { pool, client, keys, options, runtime })
    }

    /// Puts tasks into the mailboxes of their queues. Repeating it changes nothing: a task that is there already keeps
    /// its place.
    ///
    /// # Errors
    /// Redis is away; the tasks may or may not be there.
    pub async fn feed(&self, tasks: Vec<PendingTask>) -> Result<(), Error> {
        if tasks.is_empty() {
            return Ok(());
        }
        let keys = self.keys.clone();
        self.run(|mut connection| async move {
            let mut by_queue: BTreeMap<QueueName, Vec<(f64, String)>> = BTreeMap::new();
            for task in tasks {
                let member = (score(task.priority, task.pending_at), task.id.to_string());
                by_queue.entry(task.queue).or_default().push(member);
            }
            let mut pipeline = redis::pipe();
            for (queue, members) in &by_queue {
                let mut command = redis::cmd("ZADD");
                command.arg(keys.mailbox(queue)).arg("NX");
                for (score, member) in members {
                    command.arg(score).arg(member);
                }
                pipeline.add_command(command).ignore();
            }
            pipeline.exec_async(&mut *connection).await?;
            Ok(())
        })
        .await
    }

    /// Takes tasks out that are not to be run, so that whoever comes after them need not wait until all of them have been
    /// popped and found to be nothing.
    ///
    /// # Errors
    /// Redis is away; the tasks may still be there, which does no harm.
    pub async fn withdraw(&self, tasks: Vec<(QueueName, TaskId)>) -> Result<(), Error> {
        if tasks.is_empty() {
            return Ok(());
        }
        let keys = self.keys.clone();
        self.run(|mut connection| async move {
            let mut by_queue: BTreeMap<QueueName, Vec<String>> = BTreeMap::new();
            for (queue, task) in tasks {
                by_queue.entry(queue).or_default().push(task.to_string());
            }
            let mut pipeline = redis::pipe();
            for (queue, members) in &by_queue {
                pipeline.zrem(keys.mailbox(queue), members).ignore();
            }
            pipeline.exec_async(&mut *connection).await?;
            Ok(())
        })
        .await
    }

    /// The first ids of a mailbox, which stay there.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn first(&self, queue: QueueName, count: isize) -> Result<Vec<TaskId>, Error> {
        let keys = self.keys.clone();
        self.run(move |mut connection| async move {
            let mut command = redis::cmd("ZRANGE");
            command.arg(keys.mailbox(&queue)).arg(0).arg(count - 1);
            let members: Vec<String> = command.query_async(&mut *connection).await?;
            Ok(members.iter().filter_map(|member| member.parse().ok()).collect())
        })
        .await
    }

    /// How many ids each mailbox holds, in the order asked for.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn lengths(&self, queues: Vec<QueueName>) -> Result<Vec<u64>, Error> {
        if queues.is_empty() {
            return Ok(Vec::new());
        }
        let keys = self.keys.clone();
        self.run(|mut connection| async move {
            let mut pipeline = redis::pipe();
            for queue in &queues {
                pipeline.zcard(keys.mailbox(queue));
            }
            Ok(pipeline.query_async(&mut *connection).await?)
        })
        .await
    }

    /// Opens a connection of its own for taking ids out.
    pub fn taker(&self) -> Taker {
        Taker::new(self.clone())
    }

    async fn run<T, F, Fut>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(Connection) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, Error>> + Send,
    {
        let pool = self.pool.clone();
        let limit = self.options.acquire_timeout + self.options.response_timeout;
        let task = self.runtime.spawn(async move {
            // The limit covers what redis's own does not: a server that is stopped while it is being connected to.
            tokio::time::timeout(limit, async { work(pool.get_owned().await?).await }).await.map_err(|_| Error::Slow)?
        });
        task.await.map_err(|_| Error::Interrupted)?
    }
}
