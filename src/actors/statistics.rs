//! Statistics: adds up what ended, and makes coarser what is old. Nobody waits for it: what it has not come to yet is
//! shown all the same.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::dispatch::Dispatch;
use crate::domain::clock;
use crate::store;

/// Time between two rounds of adding up.
const FOLD_EVERY: Duration = Duration::from_secs(5);
/// Time between two rounds of making coarser.
const COARSEN_EVERY: Duration = Duration::from_secs(60);
/// Time between two statements of a round, which belongs to those who work.
const PAUSE: Duration = Duration::from_millis(50);

/// Adds up until it is stopped.
pub async fn run(dispatch: Dispatch, stop: CancellationToken) {
    let mut fold = tokio::time::interval(FOLD_EVERY);
    let mut coarsen = tokio::time::interval(COARSEN_EVERY);
    for interval in [&mut fold, &mut coarsen] {
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    }
    let store = dispatch.store();
    loop {
        let done = tokio::select! {
            _ = fold.tick() => to_the_end(|| store.fold_statistics(), &stop).await,
            _ = coarsen.tick() => to_the_end(|| store.coarsen_statistics(clock::now()), &stop).await,
            () = stop.cancelled() => return,
        };
        if let Err(error) = done {
            log::debug!("the statistics wait: {error}");
        }
    }
}

/// Works batch by batch until there is nothing left or another node is at it.
async fn to_the_end<F>(batch: impl Fn() -> F, stop: &CancellationToken) -> Result<(), store::Error>
where
    F: Future<Output = Result<i64, store::Error>>,
{
    while batch().await? > 0 {
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => break,
        }
    }
    Ok(())
}
