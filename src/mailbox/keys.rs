//! The names of everything that Spark keeps in Redis.

use std::sync::Arc;

use crate::domain::queue::QueueName;

/// Makes keys; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    mailboxes: Arc<str>,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { mailboxes: format!("{prefix}:mailbox:").into() }
    }

    /// The sorted set of a queue's pending tasks.
    pub(super) fn mailbox(&self, queue: &QueueName) -> String {
        format!("{}{queue}", self.mailboxes)
    }
}
