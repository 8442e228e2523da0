//! The heartbeat: holds this node's lease, by which other nodes know that it lives.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::dispatch::Dispatch;
use crate::domain::clock;
use crate::store::node::NodeRow;
use crate::store::{self, Store};

/// How the lease is held.
#[derive(Clone, Copy, Debug)]
pub struct HeartbeatOptions {
    /// Time between two beats.
    pub every: Duration,
    /// How long after a beat the node counts as alive.
    pub lease: Duration,
}

/// How long after a beat that did not get through the next one is tried: while others wait for the lease to run out, a
/// node that is back says so soon.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Beats until it is stopped, over a connection of its own: a pool that is used up must not cost the lease.
pub async fn run(options: HeartbeatOptions, node: NodeRow, store: Store, dispatch: Dispatch, stop: CancellationToken) {
    let mut wait = options.every;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
        wait = options.every;
        if let Err(error) = beat(options, node.clone(), &store, &dispatch).await {
            log::warn!("the heartbeat did not reach PostgreSQL: {error}");
            wait = wait.min(AFTER_FAILURE);
        }
    }
}

/// One beat.
///
/// # Errors
/// The database is away.
pub async fn beat(
    options: HeartbeatOptions,
    node: NodeRow,
    store: &Store,
    dispatch: &Dispatch,
) -> Result<(), store::Error> {
    let now = clock::now();
    store.heartbeat(node, now, now + options.lease).await?;
    dispatch.lease().renewed(now, options.lease);
    Ok(())
}
