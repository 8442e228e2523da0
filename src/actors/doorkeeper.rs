//! The doorkeeper: calls parked tasks when there is room for them, see [`crate::dispatch::gate`].

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::dispatch::Dispatch;
use crate::store;

/// The longest time between two looks: what no other word was sent of (a limit that was changed on another node, a node
/// that died) is noticed within it.
const LONGEST: Duration = Duration::from_secs(1);
/// The shortest: what rings meanwhile is looked at together.
const SHORTEST: Duration = Duration::from_millis(2);

/// Runs until it is stopped.
pub async fn run(dispatch: Dispatch, stop: CancellationToken) {
    loop {
        let wait = match look(&dispatch).await {
            Ok(wait) => wait,
            Err(error) => {
                log::debug!("parked tasks are not called now: {error}");
                LONGEST
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = dispatch.gate_rung() => {}
            () = stop.cancelled() => return,
        }
        // Not a loop without a pause, whoever rings.
        tokio::time::sleep(SHORTEST).await;
    }
}

async fn look(dispatch: &Dispatch) -> Result<Duration, store::Error> {
    let again_in = dispatch.call_parked().await?;
    dispatch.refresh_troubled().await?;
    Ok(again_in.map_or(LONGEST, |wait| wait.min(LONGEST)))
}
