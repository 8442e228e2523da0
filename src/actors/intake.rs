//! A pool's intake: takes ids out of its mailboxes and claims them, never more than there are free slots.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use tokio::sync::watch;

use super::given::Given;
use super::post::{ask, tell};
use super::supervisor::{Arrived, IntakeEnded, Supervisor};
use crate::dispatch::Dispatch;
use crate::domain::ids::TaskId;
use crate::domain::turns::{ServedQueues, Turns};
use crate::fault::{self, Point};
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
}

/// What a pool has room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Free slots.
    pub free: usize,
    /// All slots that the pool should have. An executor has room as soon as an attempt ended; the pool takes another task
    /// in only when its outcome is stored too. So no more attempts than this are ever at stake when the service is
    /// killed, and outcomes don't pile up before a slow database.
    pub slots: usize,
}

/// What a supervisor tells its intake, now and whenever it changes.
#[derive(Debug)]
pub struct Told {
    /// The room; nothing once the pool drains.
    pub room: watch::Receiver<Option<Room>>,
    /// The queues to take from.
    pub queues: watch::Receiver<ServedQueues>,
}

/// The supervisor answers at once unless its arbiter is stuck, which the watchdog notices first.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(60);
/// How long the mailboxes are waited for while others of the pool's queues are paused: none is left waiting for longer
/// when it goes on.
const PAUSED_BLOCK: Duration = Duration::from_millis(250);
/// How often it is looked whether a database that was known to be away is back.
const AWAY_LOOK: Duration = Duration::from_millis(50);
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Runs until the pool drains.
pub async fn run(options: IntakeOptions, told: Told, dispatch: Dispatch, supervisor: Addr<Supervisor>) {
    // Also told where the intake panics.
    let _ended = TellEnd(supervisor.clone());
    take_in(options, told, dispatch, &supervisor).await;
}

struct TellEnd(Addr<Supervisor>);

impl Drop for TellEnd {
    fn drop(&mut self) {
        tell(&self.0, IntakeEnded);
    }
}

async fn take_in(options: IntakeOptions, told: Told, dispatch: Dispatch, supervisor: &Addr<Supervisor>) {
    let Told { mut room, mut queues } = told;
    let mut turns = Turns::new(queues.borrow_and_update().clone());
    let mut paused = dispatch.paused();
    let mut taker = dispatch.mailbox().taker();
    let (mut redis, mut postgres) = (Trouble::of("Redis"), Trouble::of("PostgreSQL"));
    loop {
        let has_room = |room: &Option<Room>| room.is_none_or(|room| room.free > 0);
        let Ok(Some(Room { slots, .. })) = room.wait_for(has_room).await.map(|room| *room) else { return };
        tokio::select! {
            () = dispatch.in_flight().wait_until_fewer(&options.pool, slots) => {}
            // The pool drains, and the database may be away: then outcomes are not stored for a long time. Or it has
            // another size.
            _ = room.wait_for(|room| room.is_none_or(|room| room.slots != slots)) => continue,
        }
        let served = queues.borrow_and_update().clone();
        if served != *turns.served() {
            turns = Turns::new(served);
        }
        let known = paused.borrow_and_update().clone();
        let open = turns.order(|queue| !known.contains(queue));
        if open.is_empty() {
            tokio::select! {
                _ = paused.changed() => {}
                _ = queues.changed() => {}
                _ = room.wait_for(Option::is_none) => {}
            }
            continue;
        }
        if !dispatch.health().database_ok() {
            // What is taken out and can't be claimed would be kept from other nodes, which may reach the database.
            tokio::select! {
                () = tokio::time::sleep(AWAY_LOOK) => {}
                _ = room.wait_for(Option::is_none) => {}
            }
            continue;
        }
        let block =
            if open.len() < turns.served().names.len() { options.block.min(PAUSED_BLOCK) } else { options.block };
        let has_free = || {
            let unstored = dispatch.in_flight().len_of(&options.pool);
            room.borrow().map_or(0, |room| room.free.min(room.slots.saturating_sub(unstored)))
        };
        let taken = match taker.take(&open, block, has_free).await {
            Ok(taken) => {
                redis.is_over();
                turns.took(&open, taken.iter().map(|taken| &taken.queue));
                taken
            }
            Err(error) => {
                redis.rest(&error).await;
                continue;
            }
        };
        if taken.is_empty() {
            // An empty mailbox is no proof that nothing is pending.
            match dispatch.refeed_stale(open, options.pending_grace).await {
                Ok(_) => postgres.is_over(),
                Err(error) => postgres.rest(&error).await,
            }
            continue;
        }
        fault::pass(Point::AfterTake);
        if room.borrow().is_none_or(|room| room.free == 0) {
            // The pool drains or has become smaller, or a child has crashed: others may have them.
            put_back(&dispatch, taken).await;
            continue;
        }
        let ids = taken.iter().map(|taken| taken.id).collect();
        match dispatch.claim(&options.pool, ids).await {
            Ok(jobs) => {
                postgres.is_over();
                let claimed: HashSet<TaskId> = jobs.iter().map(|job| job.claimed.attempt.task).collect();
                let jobs = jobs.into_iter().map(|job| Given::new(job, dispatch.clone())).collect();
                // Only then are the slots taken, and the number of free ones is right again.
                if ask(supervisor, Arrived(jobs), HAND_OVER_LIMIT).await.is_none() {
                    log::error!("a supervisor is gone; what it had claimed is given back");
                    return;
                }
                put_back_paused(&dispatch, taken.into_iter().filter(|taken| !claimed.contains(&taken.id))).await;
            }
            Err(error) => {
                put_back(&dispatch, taken).await;
                postgres.rest(&error).await;
            }
        }
    }
}

/// What could not be claimed has been called off or runs already. Unless its queue was paused a moment ago, perhaps on
/// another node: then it goes back, and nothing is taken from there again.
async fn put_back_paused(dispatch: &Dispatch, unclaimed: impl Iterator<Item = Taken>) {
    let unclaimed: Vec<Taken> = unclaimed.collect();
    if unclaimed.is_empty() {
        return;
    }
    if let Err(error) = dispatch.refresh_pauses().await {
        log::debug!("whether a queue is paused can't be seen now: {error}");
    }
    let paused = dispatch.paused().borrow().clone();
    let back: Vec<Taken> = unclaimed.into_iter().filter(|taken| paused.contains(&taken.queue)).collect();
    if !back.is_empty() {
        put_back(dispatch, back).await;
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
