//! A pool's intake: takes ids out of its mailboxes and claims them, never more than there are free slots.

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use tokio::sync::watch;

use super::given::Given;
use super::post::{ask, tell};
use super::supervisor::{Arrived, IntakeEnded, Supervisor};
use crate::dispatch::Dispatch;
use crate::domain::queue::QueueName;
use crate::mailbox::Taken;

/// How tasks are taken in.
#[derive(Clone, Debug)]
pub struct IntakeOptions {
    /// How long an empty mailbox is waited for before PostgreSQL is asked whether it should be empty.
    pub block: Duration,
    /// Age at which a pending task that is in no mailbox counts as missing.
    pub pending_grace: Duration,
    /// The pool's name.
    pub pool: Arc<str>,
    /// The pool's slots. An executor has room as soon as an attempt ended; the pool takes another task in only when its
    /// outcome is stored too. So no more attempts than this are ever at stake when the service is killed, and outcomes
    /// don't pile up before a slow database.
    pub slots: usize,
}

/// The supervisor answers at once unless its arbiter is stuck, which the watchdog notices first.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(60);
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Runs until the pool drains. `free` is the number of free slots, and nothing once the pool drains.
pub async fn run(
    options: IntakeOptions,
    queues: Vec<QueueName>,
    dispatch: Dispatch,
    free: watch::Receiver<Option<usize>>,
    supervisor: Addr<Supervisor>,
) {
    // Also told where the intake panics.
    let _ended = TellEnd(supervisor.clone());
    take_in(options, queues, dispatch, free, &supervisor).await;
}

struct TellEnd(Addr<Supervisor>);

impl Drop for TellEnd {
    fn drop(&mut self) {
        tell(&self.0, IntakeEnded);
    }
}

async fn take_in(
    options: IntakeOptions,
    queues: Vec<QueueName>,
    dispatch: Dispatch,
    mut free: watch::Receiver<Option<usize>>,
    supervisor: &Addr<Supervisor>,
) {
    let mut taker = dispatch.mailbox().taker(queues.clone());
    let (mut redis, mut postgres) = (Trouble::of("Redis"), Trouble::of("PostgreSQL"));
    while free.wait_for(|free| *free != Some(0)).await.is_ok_and(|free| free.is_some()) {
        tokio::select! {
            () = dispatch.in_flight().wait_until_fewer(&options.pool, options.slots) => {}
            // The pool drains, and the database may be away: then outcomes are not stored for a long time.
            _ = free.wait_for(Option::is_none) => continue,
        }
        let room = || {
            let unstored = dispatch.in_flight().len_of(&options.pool);
            free.borrow().unwrap_or(0).min(options.slots.saturating_sub(unstored))
        };
        let taken = match taker.take(options.block, room).await {
            Ok(taken) => {
                redis.is_over();
                taken
            }
            Err(error) => {
                redis.rest(&error).await;
                continue;
            }
        };
        if taken.is_empty() {
            // An empty mailbox is no proof that nothing is pending.
            match dispatch.refeed_stale(queues.clone(), options.pending_grace).await {
                Ok(_) => postgres.is_over(),
                Err(error) => postgres.rest(&error).await,
            }
            continue;
        }
        if free.borrow().is_none_or(|free| free == 0) {
            // The pool drains, or a child has crashed: others may have them.
            put_back(&dispatch, taken).await;
            continue;
        }
        let ids = taken.iter().map(|taken| taken.id).collect();
        match dispatch.claim(&options.pool, ids).await {
            Ok(jobs) => {
                postgres.is_over();
                let jobs = jobs.into_iter().map(|job| Given::new(job, dispatch.clone())).collect();
                // Only then are the slots taken, and the number of free ones is right again.
                if ask(supervisor, Arrived(jobs), HAND_OVER_LIMIT).await.is_none() {
                    log::error!("a supervisor is gone; what it had claimed is given back");
                    return;
                }
            }
            Err(error) => {
                put_back(&dispatch, taken).await;
                postgres.rest(&error).await;
            }
        }
    }
}

/// What can't be put back is found again as stale.
async fn put_back(dispatch: &Dispatch, taken: Vec<Taken>) {
    if let Err(error) = dispatch.mailbox().put_back(taken).await {
        log::debug!("ids can't be put back now: {error}");
    }
}

/// Waits longer and longer while a server is away, and says so once.
struct Trouble {
    server: &'static str,
    wait: Duration,
}

impl Trouble {
    fn of(server: &'static str) -> Self {
        Self { server, wait: FIRST_WAIT }
    }

    fn is_over(&mut self) {
        self.wait = FIRST_WAIT;
    }

    async fn rest(&mut self, error: &(dyn std::fmt::Display + Sync)) {
        if self.wait == FIRST_WAIT {
            log::warn!("no tasks are taken in while {} is away: {error}", self.server);
        }
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
    }
}
