//! Beat: what is due becomes pending, at the moment it is due.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::dispatch::Dispatch;
use crate::domain::clock;
use crate::fault::{self, Point};
use crate::store;
use crate::store::beat::FireOptions;

/// How often a round that waits says that it lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

/// How long a round says that it lives while PostgreSQL answers. Each of its few statements has a limit of its own; one
/// that takes longer than this is stuck in a fault of ours.
const LONGEST_ROUND: Duration = Duration::from_secs(120);

/// How beat works.
#[derive(Clone, Debug)]
pub struct BeatOptions {
    /// The longest time between two looks: within it beat notices what other nodes changed.
    pub max_poll: Duration,
    /// Most schedules, retries or delayed tasks of one statement.
    pub batch: u32,
    /// How schedules are fired.
    pub fire: FireOptions,
}

/// Runs beat until it is stopped.
pub async fn run(options: BeatOptions, dispatch: Dispatch, stop: CancellationToken) {
    let mut looked_until = clock::now();
    let mut away = false;
    loop {
        let wait = match alive(&dispatch, round(&options, &dispatch, &mut looked_until)).await {
            Ok(next) => {
                if std::mem::take(&mut away) {
                    log::info!("beat works again");
                }
                until(next, options.max_poll)
            }
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    log::warn!("beat waits for PostgreSQL: {error}");
                }
                options.max_poll
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = dispatch.beat_woken() => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Says that beat is alive while a round goes on: one that waits for a PostgreSQL that is away is not stuck, and neither
/// is one that takes long, but not for ever.
async fn alive<T>(dispatch: &Dispatch, round: impl Future<Output = T>) -> T {
    let mut round = std::pin::pin!(round);
    let mut ticks = tokio::time::interval(SIGN_OF_LIFE);
    let mut since = Instant::now();
    loop {
        tokio::select! {
            done = &mut round => return done,
            _ = ticks.tick() => {
                if !dispatch.health().database_ok() {
                    since = Instant::now();
                }
                if since.elapsed() < LONGEST_ROUND {
                    dispatch.health().set_beat_at(clock::now());
                }
            }
        }
    }
}

fn until(next: Option<DateTime<Utc>>, max_poll: Duration) -> Duration {
    let left = next.map_or(max_poll, |next| (next - clock::now()).to_std().unwrap_or(Duration::ZERO));
    left.min(max_poll)
}

/// Makes pending what is due, and says when the next is.
async fn round(
    options: &BeatOptions,
    dispatch: &Dispatch,
    looked_until: &mut DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, store::Error> {
    let store = dispatch.store();
    let now = clock::now();
    let delayed = store.delayed_due(*looked_until, now, options.batch).await?;
    // A full batch is read on from the time of its last task; feeding that one again is harmless.
    *looked_until = match delayed.last() {
        Some(last) if delayed.len() >= options.batch as usize => last.pending_at - chrono::TimeDelta::microseconds(1),
        _ => now,
    };
    dispatch.feed(delayed);
    // Within the longest poll a held task is released after the one it waits for has ended.
    let (released, _) = store.release_held(now, options.batch).await?;
    dispatch.feed(released);
    let mut next = store.next_due(now).await?;
    if next.is_some_and(|next| next <= now) {
        let fired = store.fire_due(now, options.fire.clone()).await?;
        let due = fired.made.iter().map(|task| task.scheduled_for);
        dispatch.stats().schedules.fired(due, fired.skipped, clock::now());
        if !fired.made.is_empty() {
            fault::pass(Point::AfterFire);
        }
        for (schedule, reason) in &fired.broken {
            log::error!("schedule {schedule} is paused, for it can't be read: {reason}");
        }
        let is_something = fired.more || fired.schedules > 0;
        dispatch.fired(fired, now).await;
        let retries = store.release_due_retries(now, options.batch).await?;
        if !retries.is_empty() {
            fault::pass(Point::AfterRetriesReleased);
        }
        let expired = store.expire_tasks(now, options.batch).await?;
        let did_something = is_something || !retries.is_empty() || !expired.is_empty();
        dispatch.events().publish_by_id(expired).await;
        dispatch.pended(retries).await;
        next = store.next_due(now).await?;
        // What is due and was passed over is locked by somebody else, who is at it.
        if !did_something && next.is_some_and(|next| next <= now) {
            next = None;
        }
    }
    Ok(next)
}
