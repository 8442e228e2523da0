//! Stopping a node, in phases, each within its limit.

use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt, Shared};
use futures_util::stream::FuturesUnordered;

use super::Node;
use super::role::Part;
use crate::actors::duty::{Duty, Finish};
use crate::actors::gateway::CloseGateway;
use crate::actors::post::tell;
use crate::actors::supervisor::Drain;
use crate::dispatch::health::Phase;
use crate::domain::plural::plural;

/// How long a duty may take to end its round.
const DUTY_LIMIT: Duration = Duration::from_secs(3);
/// How long executors may take to end after their children were killed.
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// How long the ends of attempts may take to be stored.
const STORE_LIMIT: Duration = Duration::from_secs(15);

/// How long executors may take to end once somebody is in a hurry: their children are killed, and what was being claimed
/// comes through or is given up.
const HURRIED_DRAIN: Duration = Duration::from_secs(4);
/// How long each other phase may take then.
const HURRIED: Duration = Duration::from_secs(1);

/// Ends each phase at its limit, or soon if somebody is in a hurry.
struct Pace<'a> {
    hurry: Shared<BoxFuture<'a, ()>>,
}

impl Pace<'_> {
    /// Completes when a phase is to end that may take so long.
    async fn end(&self, limit: Duration, hurried: Duration) {
        let hurry = async {
            self.hurry.clone().await;
            tokio::time::sleep(hurried).await;
        };
        tokio::select! {
            () = tokio::time::sleep(limit) => {}
            () = hurry => {}
        }
    }

    /// What a phase came to, if it ended in time.
    async fn within<T>(&self, limit: Duration, phase: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = phase => Some(done),
            () = self.end(limit, HURRIED) => None,
        }
    }

    /// Ends a duty.
    async fn finish(&self, duty: &Part<Duty>) {
        tell(&duty.address, Finish);
        duty.ended_before(self.end(DUTY_LIMIT, HURRIED)).await;
    }
}

/// Not everything was finished within the limits. Nothing is lost: what still ran is taken over by the next start or
/// by another node.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} not finished or stored within the shutdown's limits; the next start takes over what is left",
    plural(*.0, "attempt was", "attempts were")
)]
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

    /// Stops: first what makes work, then what does it, then what shows it. `hurry` ends the grace period and each phase
    /// after it early.
    ///
    /// # Errors
    /// Attempts were not finished or stored in time.
    pub async fn stop(self, hurry: BoxFuture<'_, ()>) -> Result<(), Unfinished> {
        let pace = Pace { hurry: hurry.shared() };
        let grace = self.stop.shutdown_grace;
        let running = plural(self.dispatch.in_flight().len(), "attempt runs, it has", "attempts run, they have");
        log::info!("stopping: {running} {grace:?} to finish");
        self.dispatch.health().enter(Phase::Draining);
        notify_stopping();
        if let Some(beat) = &self.beat {
            pace.finish(beat).await;
        }
        self.drain_supervisors(grace, &pace).await;
        let stored = pace.within(STORE_LIMIT, self.dispatch.in_flight().wait_until_empty()).await;
        // Not before: who watches a task hears of its end while the service drains.
        self.dispatch.events().close();
        if let Some(gateway) = &self.gateway {
            tell(&gateway.address, CloseGateway);
            gateway.ended_before(pace.end(self.stop.http_drain + Duration::from_secs(1), HURRIED)).await;
        }
        let duties = self.duties.iter().map(|part| pace.finish(part));
        futures_util::future::join_all(duties).await;
        // Without its row the node counts as dead at once, and what it left running is taken over.
        let forgetting = self.dispatch.store().forget_nodes(vec![self.row.id]);
        match pace.within(DUTY_LIMIT, forgetting).await {
            Some(Ok(())) => {}
            Some(Err(error)) => log::warn!("the node's row stays until its lease ends: {error}"),
            None => log::warn!("the node's row stays until its lease ends: PostgreSQL does not answer"),
        }
        if stored.is_none() {
            return Err(Unfinished(self.dispatch.in_flight().len()));
        }
        log::info!("stopped");
        Ok(())
    }

    async fn drain_supervisors(&self, grace: Duration, pace: &Pace<'_>) {
        for part in &self.supervisors {
            tell(&part.address, Drain { grace });
        }
        let in_a_hurry = async {
            pace.hurry.clone().await;
            log::warn!("asked to stop at once: running attempts are given back");
            for part in &self.supervisors {
                tell(&part.address, Drain { grace: Duration::ZERO });
            }
            std::future::pending::<()>().await;
        };
        let ends = self.supervisors.iter().map(|part| part.ended_before(pace.end(grace + KILL_LIMIT, HURRIED_DRAIN)));
        tokio::select! {
            _ = futures_util::future::join_all(ends) => {}
            () = in_a_hurry => {}
        }
    }
}

fn notify_stopping() {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Stopping]) {
        log::debug!("systemd can't be told: {error}");
    }
}
