//! What the tests stand on.

pub(crate) mod ahead;
pub(crate) mod chromium;
pub(crate) mod inbox;
pub(crate) mod node;
pub(crate) mod proxy;
pub(crate) mod root;
pub(crate) mod servers;
pub(crate) mod sse;
pub(crate) mod stage;

use std::time::{Duration, Instant};

/// Asks again and again until there is an answer; a test fails that has none within the limit.
pub(crate) async fn until<T>(what: &str, limit: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < limit, "{what}: not within {limit:?}");
    }
}
