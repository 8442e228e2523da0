//! The names of everything that Spark keeps in Redis.

use std::sync::Arc;

use crate::domain::queue::QueueName;

/// Makes keys; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    mailboxes: Arc<str>,
    mark: Arc<str>,
    channel: Arc<str>,
}

impl Keys {
    /// Channels, unlike keys, are the same in every database of a Redis: theirs has the database's number.
    pub(super) fn new(prefix: &str, database: i64) -> Self {
        Self {
            mailboxes: format!("{prefix}:mailbox:").into(),
            mark: format!("{prefix}:mark").into(),
            channel: format!("{prefix}:events:{database}").into(),
        }
    }

    /// Where events are published.
    pub(super) fn channel(&self) -> String {
        self.channel.to_string()
    }

    /// What is there unless Redis was emptied since somebody looked.
    pub(super) fn mark(&self) -> String {
        self.mark.to_string()
    }

    /// The sorted set of a queue's pending tasks.
    pub(super) fn mailbox(&self, queue: &QueueName) -> String {
        format!("{}{queue}", self.mailboxes)
    }
}
