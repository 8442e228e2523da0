//! Retention: deletes what is older than the configuration keeps it, a little at a time.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::dispatch::Dispatch;
use crate::domain::clock;
use crate::store;
use crate::store::delivery::DELIVERY_LIFETIME;
use crate::store::idempotency::KEY_LIFETIME;
use crate::store::retention::Old;

/// What is kept how long; what is not named is kept for ever.
#[derive(Clone, Debug)]
pub struct RetentionOptions {
    /// What, and for how long.
    pub kept: Vec<(Old, Duration)>,
}

/// Time between two looks for what is old.
const EVERY: Duration = Duration::from_secs(60);
/// Rows that one statement deletes (tasks with all that hangs on them): few enough to be over in milliseconds.
const BATCH: u64 = 500;
/// Time between two such statements, which belongs to those who work.
const PAUSE: Duration = Duration::from_millis(50);

/// Deletes until it is stopped.
pub async fn run(options: RetentionOptions, dispatch: Dispatch, stop: CancellationToken) {
    let mut kept = options.kept;
    kept.extend([(Old::IdempotencyKeys, KEY_LIFETIME), (Old::Deliveries, DELIVERY_LIFETIME)]);
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        for (old, age) in &kept {
            match delete(*old, *age, &dispatch, &stop).await {
                Ok(0) => {}
                Ok(deleted) => log::info!("retention deleted {deleted} {} older than {}", old.as_str(), days(*age)),
                Err(error) => log::debug!("retention waits: {error}"),
            }
        }
    }
}

/// Deletes all that is old enough. Returns how much.
async fn delete(old: Old, age: Duration, dispatch: &Dispatch, stop: &CancellationToken) -> Result<u64, store::Error> {
    let before = clock::now() - age;
    let (mut total, mut from) = (0, None);
    loop {
        let deleted = dispatch.store().delete_old(old, before, from, BATCH.cast_signed()).await?;
        dispatch.stats().deleted.add(old.as_str(), deleted.count);
        total += deleted.count;
        // What somebody held and was passed over is deleted in the next minute.
        from = deleted.up_to;
        if deleted.count < BATCH {
            return Ok(total);
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => return Ok(total),
        }
    }
}

fn days(age: Duration) -> String {
    let days = age.as_secs_f64() / 86_400.0;
    format!("{} days", (days * 100.0).round() / 100.0)
}
