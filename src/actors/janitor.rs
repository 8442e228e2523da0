//! The janitor: finds what was lost and puts it right, see [`crate::dispatch`]'s reconciling.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::dispatch::{Dispatch, Error};
use crate::domain::clock;
use crate::domain::plural::plural;
use crate::domain::task::TaskStatus;
use crate::store::idempotency::KEY_LIFETIME;

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
    /// What is kept how long.
    pub retention: Retention,
}

/// What is kept how long; none is for ever.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Completed tasks.
    pub completed: Option<Duration>,
    /// Failed and cancelled tasks.
    pub failed: Option<Duration>,
    /// Notes on skipped occurrences.
    pub skips: Option<Duration>,
    /// Rows of the audit trail.
    pub audit: Option<Duration>,
}

/// Time between two looks for what is old.
const RETENTION_EVERY: Duration = Duration::from_secs(60);
/// Tasks that one statement deletes: few enough to be over in milliseconds.
const RETENTION_BATCH: i64 = 500;
/// Such statements in a row: the janitor's other duties wait meanwhile.
const RETENTION_BATCHES: usize = 20;

/// Sweeps until it is stopped.
pub async fn run(options: JanitorOptions, dispatch: Dispatch, stop: CancellationToken) {
    let mut attempts = tokio::time::interval(options.attempts_every);
    let mut mailboxes = tokio::time::interval(options.mailboxes_every);
    let mut retention = tokio::time::interval(RETENTION_EVERY);
    for interval in [&mut attempts, &mut mailboxes, &mut retention] {
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    }
    loop {
        let swept = tokio::select! {
            _ = attempts.tick() => sweep_attempts(&options, &dispatch).await,
            _ = mailboxes.tick() => sweep_mailboxes(&options, &dispatch).await,
            _ = retention.tick() => delete_old(&options.retention, &dispatch, &stop).await,
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

async fn delete_old(retention: &Retention, dispatch: &Dispatch, stop: &CancellationToken) -> Result<(), Error> {
    let kept: [(Option<Duration>, &'static [TaskStatus]); 2] = [
        (retention.completed, &[TaskStatus::Completed]),
        (retention.failed, &[TaskStatus::Failed, TaskStatus::Cancelled]),
    ];
    let store = dispatch.store();
    for (age, statuses) in kept {
        let Some(age) = age else { continue };
        let before = clock::now() - age;
        for _ in 0..RETENTION_BATCHES {
            let deleted = store.delete_finished(statuses, before, RETENTION_BATCH).await?;
            if stop.is_cancelled() || deleted < RETENTION_BATCH.unsigned_abs() {
                break;
            }
        }
    }
    store.delete_idempotency_keys(clock::now() - KEY_LIFETIME).await?;
    if let Some(age) = retention.skips {
        store.delete_skips(clock::now() - age).await?;
    }
    if let Some(age) = retention.audit {
        store.delete_audit(clock::now() - age).await?;
    }
    Ok(())
}
