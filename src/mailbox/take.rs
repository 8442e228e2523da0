//! Taking ids out of mailboxes.

use std::time::Duration;

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;

use super::{Error, Mailbox};
use crate::domain::ids::TaskId;
use crate::domain::queue::QueueName;

/// How much longer than the blocking time an answer may take before the connection is given up.
const ANSWER_GRACE: Duration = Duration::from_secs(2);

/// An id that was taken out, with its place, so that it can be put back where it was.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The task.
    pub id: TaskId,
    /// Where it waited.
    pub queue: QueueName,
    score: f64,
}

impl Mailbox {
    /// Puts ids back where they were taken out.
    ///
    /// # Errors
    /// Redis is away; they are found again by reconciling.
    pub async fn put_back(&self, taken: Vec<Taken>) -> Result<(), Error> {
        let keys = self.keys.clone();
        self.run(|mut connection| async move {
            let mut pipeline = redis::pipe();
            for Taken { id, queue, score } in taken {
                pipeline.cmd("ZADD").arg(keys.mailbox(&queue)).arg("NX").arg(score).arg(id.to_string()).ignore();
            }
            pipeline.exec_async(&mut *connection).await?;
            Ok(())
        })
        .await
    }
}

/// Takes ids out of the mailboxes of one pool, in the order of the queues that it is given. Has a connection of its own:
/// a blocked command would hold up everybody else's, and redis's default response timeout would cut it off while the
/// server goes on and pops an id for nobody.
pub struct Taker {
    mailbox: Mailbox,
    connection: Option<MultiplexedConnection>,
}

impl Taker {
    pub(super) fn new(mailbox: Mailbox) -> Self {
        Self { mailbox, connection: None }
    }

    /// Waits up to `block` for an id in one of `queues` (at least one), and takes at most `free()` ids, which is asked
    /// again once there is one: slots may have become free meanwhile. Empty when nothing came. Not cancellation-safe: an
    /// id may be on its way; it is then found again by reconciling.
    ///
    /// # Errors
    /// Redis is away; ids may have been taken, and are found again by reconciling.
    pub async fn take(
        &mut self,
        queues: &[QueueName],
        block: Duration,
        free: impl Fn() -> usize,
    ) -> Result<Vec<Taken>, Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let limit = block + ANSWER_GRACE;
        let taken = tokio::time::timeout(limit, self.take_with(&mut connection, queues, block, free)).await;
        let taken = taken.map_err(|_| Error::Slow)??;
        self.connection = Some(connection);
        Ok(taken)
    }

    async fn take_with(
        &self,
        connection: &mut MultiplexedConnection,
        queues: &[QueueName],
        block: Duration,
        free: impl Fn() -> usize,
    ) -> Result<Vec<Taken>, Error> {
        let keys = &self.mailbox.keys;
        let mut first = redis::cmd("BZPOPMIN");
        for queue in queues {
            first.arg(keys.mailbox(queue));
        }
        first.arg(block.as_secs_f64());
        let popped: Option<(String, String, f64)> = first.query_async(connection).await?;
        let Some((key, member, score)) = popped else { return Ok(Vec::new()) };
        // What is no id of ours is nobody's.
        let read = |queue: &QueueName, member: &str, score| {
            Some(Taken { id: member.parse().ok()?, queue: queue.clone(), score })
        };
        // The queues before the one that had an id are empty; the rest of the slots is filled from there on.
        let from = queues.iter().position(|queue| keys.mailbox(queue) == key).unwrap_or(0);
        let mut taken: Vec<Taken> = read(&queues[from], &member, score).into_iter().collect();
        for queue in &queues[from..] {
            let room = free().saturating_sub(taken.len());
            if room == 0 {
                break;
            }
            let key = keys.mailbox(queue);
            let members: Vec<(String, f64)> = redis::cmd("ZPOPMIN").arg(&key).arg(room).query_async(connection).await?;
            taken.extend(members.iter().filter_map(|(member, score)| read(queue, member, *score)));
        }
        Ok(taken)
    }

    async fn connect(&self) -> Result<MultiplexedConnection, Error> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.mailbox.options.acquire_timeout))
            .set_response_timeout(None);
        Ok(self.mailbox.client.get_multiplexed_async_connection_with_config(&config).await?)
    }
}
