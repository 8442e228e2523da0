//! How many attempts ended on this node within the last minute, by queue.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::clock;
use crate::domain::queue::QueueName;
use crate::domain::rate::LastMinute;

/// The counts. Queues of which nothing ended in the last minute are forgotten.
#[derive(Debug, Default)]
pub struct Rates {
    queues: Mutex<HashMap<QueueName, LastMinute>>,
}

impl Rates {
    pub(super) fn add<'a>(&self, ended: impl Iterator<Item = &'a QueueName>) {
        let second = now();
        // A count is whole after any panic.
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        for queue in ended {
            match queues.get_mut(queue) {
                Some(rate) => rate.add(1, second),
                None => queues.entry(queue.clone()).or_default().add(1, second),
            }
        }
    }

    /// The queues of which something ended within the last minute, and how much.
    pub fn per_minute(&self) -> HashMap<QueueName, u64> {
        let second = now();
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|_, rate| rate.total(second) > 0);
        queues.iter_mut().map(|(queue, rate)| (queue.clone(), rate.total(second))).collect()
    }
}

fn now() -> u64 {
    u64::try_from(clock::now().timestamp()).unwrap_or(0)
}
