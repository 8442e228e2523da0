//! Changing the size of one of this node's pools while it runs. The order goes to the pool's supervisor, as aborts do.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::Dispatch;
use super::health::Phase;
use super::roster::PoolView;
use crate::domain::pool::{THREADS, WORKERS};

/// Orders that may wait for a supervisor; each is carried out in a moment.
const ORDERS_WAITING: usize = 16;
/// A supervisor answers at once unless its arbiter is stuck.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Another size; what is absent stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resize {
    /// Executors.
    pub workers: Option<i64>,
    /// Slots of each.
    pub threads: Option<i64>,
}

/// What a supervisor is asked for.
#[derive(Debug)]
pub struct Order {
    /// Executors, if their number is to change.
    pub workers: Option<usize>,
    /// Slots of each, if their number is to change.
    pub threads: Option<usize>,
    /// Takes what the pool is then.
    pub done: oneshot::Sender<PoolView>,
}

/// A number that a pool can't have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// `workers` or `threads`.
    pub field: &'static str,
    /// What it may be, and why.
    pub reason: String,
}

/// Why a pool's size was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This node has no such pool.
    #[error("Pool not found")]
    Unknown,
    /// Numbers that the pool can't have.
    #[error("the pool can't have this size")]
    OutOfRange(Vec<OutOfRange>),
    /// The service stops, or the supervisor does not answer.
    #[error("the pool takes no orders right now")]
    Busy,
}

/// Ways to the supervisors of this node.
#[derive(Debug, Default)]
pub struct Orders {
    pools: Mutex<HashMap<String, mpsc::Sender<Order>>>,
}

impl Orders {
    /// An insert is whole or was not made.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<Order>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dispatch {
    /// The orders for a pool from now on; for its supervisor.
    pub fn orders(&self, pool: &str) -> mpsc::Receiver<Order> {
        let (sender, orders) = mpsc::channel(ORDERS_WAITING);
        self.inner.orders.lock().insert(pool.to_owned(), sender);
        orders
    }

    /// Gives a pool of this node another size. Answers with the pool as it then is: executors that are missing start,
    /// those that are too many finish what they run.
    ///
    /// # Errors
    /// There is no such pool here, it can't have that size, or it does not answer.
    pub async fn resize(&self, pool: &str, resize: Resize) -> Result<PoolView, Error> {
        let pools = self.inner.roster.pools();
        if !pools.iter().any(|view| view.name == pool) {
            return Err(Error::Unknown);
        }
        let others = pools.iter().filter(|view| view.name != pool).map(|view| view.workers).sum();
        let (workers, threads) = check(resize, others, self.inner.children_limit).map_err(Error::OutOfRange)?;
        if self.inner.health.phase() == Phase::Draining {
            return Err(Error::Busy);
        }
        let sender = self.inner.orders.lock().get(pool).cloned().ok_or(Error::Busy)?;
        let (done, answer) = oneshot::channel();
        sender.try_send(Order { workers, threads, done }).map_err(|_| Error::Busy)?;
        let answer = tokio::time::timeout(ANSWER_LIMIT, answer).await;
        answer.map_err(|_| Error::Busy)?.map_err(|_| Error::Busy)
    }
}

type Sizes = (Option<usize>, Option<usize>);

/// `others` is how many children the other pools have, `room` how many the machine has memory for.
fn check(resize: Resize, others: usize, room: usize) -> Result<Sizes, Vec<OutOfRange>> {
    let mut refused = Vec::new();
    let mut read = |field, number: Option<i64>, range: RangeInclusive<u32>| {
        let number = number?;
        let found = u32::try_from(number).ok().filter(|number| range.contains(number));
        if found.is_none() {
            let reason = format!("must be a whole number from {} to {}, not {number}", range.start(), range.end());
            refused.push(OutOfRange { field, reason });
        }
        found.map(|number| number as usize)
    };
    let workers = read("workers", resize.workers, WORKERS);
    let threads = read("threads", resize.threads, THREADS);
    let left = room.saturating_sub(others).max(1);
    if let Some(workers) = workers.filter(|workers| *workers > left) {
        let reason = format!(
            "must be at most {left}, not {workers}: this machine has memory for {room} children, and its other pools \
             have {others}; raise threads instead, or use another machine"
        );
        refused.push(OutOfRange { field: "workers", reason });
    }
    if refused.is_empty() { Ok((workers, threads)) } else { Err(refused) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_within_the_ranges_and_the_machine() {
        let asked = |workers, threads| check(Resize { workers, threads }, 10, 50);
        assert_eq!(asked(Some(40), None), Ok((Some(40), None)));
        assert_eq!(asked(None, Some(1024)), Ok((None, Some(1024))));
        let refused = |workers, threads| -> Vec<String> {
            let refused = asked(workers, threads).expect_err("refused");
            refused.into_iter().map(|refused| format!("{} {}", refused.field, refused.reason)).collect()
        };
        assert!(refused(Some(41), None)[0].contains("memory for 50 children"));
        assert_eq!(
            refused(Some(-1), Some(i64::MAX)),
            [
                "workers must be a whole number from 1 to 1000, not -1".to_owned(),
                format!("threads must be a whole number from 1 to 1024, not {}", i64::MAX)
            ]
        );
    }
}
