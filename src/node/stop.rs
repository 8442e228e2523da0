//! Stopping a node, in phases, each within its limit.

use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;

use super::Node;
use crate::actors::gateway::CloseGateway;
use crate::actors::post::tell;
use crate::actors::supervisor::Drain;
use crate::dispatch::health::Phase;

/// How long a duty may take to end its round.
const DUTY_LIMIT: Duration = Duration::from_secs(3);
/// How long executors may take to end after their children were killed.
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// How long the ends of attempts may take to be stored.
const STORE_LIMIT: Duration = Duration::from_secs(15);

/// Not everything was finished within the limits. Nothing is lost: what still ran is taken over by the next start or
/// by another node.
#[derive(Debug, thiserror::Error)]
#[error("{0} attempts were not finished or stored within the shutdown's limits; the next start takes them over")]
pub struct Unfinished(usize);

impl Node {
    /// Completes, with its name, when a part has ended that should not have.
    pub async fn failed(&self) -> String {
        let mut parts: FuturesUnordered<std::pin::Pin<Box<dyn Future<Output = String> + '_>>> = FuturesUnordered::new();
        parts.extend(self.supervisors.iter().map(|part| part.ended().boxed_local()));
        parts.extend(self.beat.iter().map(|part| part.ended().boxed_local()));
        parts.extend(self.gateway.iter().map(|part| part.ended().boxed_local()));
        parts.extend(self.duties.iter().map(|part| part.ended().boxed_local()));
        parts.next().await.unwrap_or_default()
    }

    /// How many attempts run or wait to be stored; may be asked while the node stops.
    pub fn attempts_left(&self) -> impl Fn() -> usize + 'static {
        let dispatch = self.dispatch.clone();
        move || dispatch.in_flight().len()
    }

    /// Stops: first what makes work, then what does it, then what shows it. `hurry` ends the grace period early.
    ///
    /// # Errors
    /// Attempts were not finished or stored in time.
    pub async fn stop(self, hurry: BoxFuture<'_, ()>) -> Result<(), Unfinished> {
        let grace = self.stop.shutdown_grace;
        log::info!("stopping: {} attempts run, they have {grace:?} to finish", self.dispatch.in_flight().len());
        self.dispatch.health().enter(Phase::Draining);
        notify_stopping();
        if let Some(beat) = &self.beat {
            beat.finish(DUTY_LIMIT).await;
        }
        self.drain_supervisors(grace, hurry).await;
        let stored = tokio::time::timeout(STORE_LIMIT, self.dispatch.in_flight().wait_until_empty()).await;
        // Not before: who watches a task hears of its end while the service drains.
        self.dispatch.events().close();
        if let Some(gateway) = &self.gateway {
            tell(&gateway.address, CloseGateway);
            gateway.ended_within(self.stop.http_drain + Duration::from_secs(1)).await;
        }
        let duties = self.duties.iter().map(|part| part.finish(DUTY_LIMIT));
        futures_util::future::join_all(duties).await;
        // Without its row the node counts as dead at once, and what it left running is taken over.
        let forgetting = self.dispatch.store().forget_nodes(vec![self.row.id]);
        match tokio::time::timeout(DUTY_LIMIT, forgetting).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::warn!("the node's row stays until its lease ends: {error}"),
            Err(_) => log::warn!("the node's row stays until its lease ends: PostgreSQL does not answer"),
        }
        match stored {
            Ok(()) => {
                log::info!("stopped");
                Ok(())
            }
            Err(_) => Err(Unfinished(self.dispatch.in_flight().len())),
        }
    }

    async fn drain_supervisors(&self, grace: Duration, hurry: BoxFuture<'_, ()>) {
        for part in &self.supervisors {
            tell(&part.address, Drain { grace });
        }
        let addresses: Vec<_> = self.supervisors.iter().map(|part| part.address.clone()).collect();
        let all = async {
            let ends = self.supervisors.iter().map(|part| part.ended_within(grace + KILL_LIMIT));
            futures_util::future::join_all(ends).await;
        };
        let mut all = std::pin::pin!(all);
        tokio::select! {
            () = &mut all => return,
            () = hurry => {}
        }
        log::warn!("asked to stop at once: running attempts are given back");
        for address in &addresses {
            tell(address, Drain { grace: Duration::ZERO });
        }
        all.await;
    }
}

fn notify_stopping() {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Stopping]) {
        log::debug!("systemd can't be told: {error}");
    }
}
