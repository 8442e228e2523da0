//! The janitor: finds what was lost and puts it right, see [`crate::dispatch`]'s reconciling.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::dispatch::{Dispatch, Error};
use crate::domain::plural::plural;

/// How often the janitor looks.
#[derive(Clone, Copy, Debug)]
pub struct JanitorOptions {
    /// Time between two looks for attempts without a node and nodes without a claim.
    pub attempts_every: Duration,
    /// Time between two comparisons of all mailboxes with PostgreSQL.
    pub mailboxes_every: Duration,
    /// Age at which a pending task that is in no mailbox counts as missing.
    pub pending_grace: Duration,
    /// How long after its lease a dead node's row is kept.
    pub forget_nodes_after: Duration,
}

/// Sweeps until it is stopped.
pub async fn run(options: JanitorOptions, dispatch: Dispatch, stop: CancellationToken) {
    let mut attempts = tokio::time::interval(options.attempts_every);
    let mut mailboxes = tokio::time::interval(options.mailboxes_every);
    for interval in [&mut attempts, &mut mailboxes] {
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    }
    loop {
        let swept = tokio::select! {
            _ = attempts.tick() => sweep_attempts(&options, &dispatch).await,
            _ = mailboxes.tick() => sweep_mailboxes(&options, &dispatch).await,
            () = stop.cancelled() => return,
        };
        if let Err(error) = swept {
            log::debug!("the janitor waits: {error}");
        }
    }
}

async fn sweep_attempts(options: &JanitorOptions, dispatch: &Dispatch) -> Result<(), Error> {
    dispatch.refresh_pauses().await?;
    let taken_over = dispatch.take_over_abandoned().await?;
    if taken_over > 0 {
        log::warn!("{} given back", plural(taken_over, "attempt of a dead node is", "attempts of dead nodes are"));
    }
    let unknown = dispatch.give_back_unknown().await?;
    if unknown > 0 {
        log::warn!(
            "{} given back",
            plural(unknown, "attempt whose claim was lost is", "attempts whose claim was lost are")
        );
    }
    for (task, attempt) in dispatch.overtaken().await? {
        dispatch.abort(task, attempt);
    }
    dispatch.forget_dead_nodes(options.forget_nodes_after).await
}

async fn sweep_mailboxes(options: &JanitorOptions, dispatch: &Dispatch) -> Result<(), Error> {
    let fed = dispatch.refeed_missing(options.pending_grace).await?;
    if fed > 0 {
        let one = "pending task was missing in its mailbox and is fed again";
        let more = "pending tasks were missing in their mailboxes and are fed again";
        log::warn!("{}", plural(fed, one, more));
    }
    Ok(())
}
