//! Measuring what takes IO, at a pace of its own: nothing waits for it, and it never costs a server much.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

use crate::dispatch::Dispatch;
use crate::mailbox;

/// Time between two looks at a server that answers quickly.
const EVERY: Duration = Duration::from_secs(5);
/// A look that takes long, because a million tasks wait, is had so much more seldom: it costs a twentieth at most.
const SHARE: u32 = 20;
/// The longest time between two looks.
const LONGEST: Duration = Duration::from_secs(120);

/// Measures both servers until it is dropped.
pub(super) async fn run(dispatch: &Dispatch) {
    tokio::join!(
        again_and_again("Redis", || redis(dispatch)),
        again_and_again("PostgreSQL", || dispatch.measure_database()),
    );
}

/// Measures Redis, and warns when it is full, or throws mailboxes away when it will be.
async fn redis(dispatch: &Dispatch) -> Result<(), mailbox::Error> {
    dispatch.measure_redis().await?;
    let warning = dispatch.figures().redis().and_then(|redis| redis.value.warning());
    if dispatch.health().set_redis_warning(warning.clone()) {
        match warning {
            Some(warning) => log::warn!("{warning}"),
            None => log::info!("Redis keeps what it is given again"),
        }
    }
    Ok(())
}

async fn again_and_again<E: Display, F: Future<Output = Result<(), E>>>(server: &str, measure: impl Fn() -> F) {
    loop {
        let began = Instant::now();
        if let Err(error) = measure().await {
            log::debug!("{server} can't be measured: {error}");
        }
        tokio::time::sleep(pause_after(began.elapsed())).await;
    }
}

fn pause_after(took: Duration) -> Duration {
    (took * SHARE).clamp(EVERY, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_is_measured_seldom() {
        let pauses = [0, 100, 1_000, 60_000].map(|ms| pause_after(Duration::from_millis(ms)).as_secs());
        assert_eq!(pauses, [5, 5, 20, 120]);
    }
}
