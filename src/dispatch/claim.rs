//! Claiming what was taken out of a mailbox.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Dispatch, Error};
use crate::domain::clock;
use crate::domain::ids::TaskId;
use crate::domain::outcome::{Failure, Outcome};
use crate::domain::source::Endpoint;
use crate::domain::task::TaskStatus;
use crate::fault::{self, Point};
use crate::store::claim::{Attempt, Claimed};

/// A claimed task that can be run.
#[derive(Debug)]
pub struct Job {
    /// The claimed task.
    pub claimed: Claimed,
    /// Its source.
    pub endpoint: Endpoint,
}

impl Dispatch {
    /// Begins attempts for a pool of those tasks that are pending and need not wait at a gate. A task whose source's key can't be decrypted fails here.
    ///
    /// # Errors
    /// The database is away. Whatever was claimed all the same is found by reconciling.
    pub async fn claim(&self, pool: &Arc<str>, ids: Vec<TaskId>) -> Result<Vec<Job>, Error> {
        let in_flight = &self.inner.in_flight;
        let ids = in_flight.begin(pool, ids);
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.inner.stats.claim.add(ids.len());
        let mut claimed = match self.inner.store.claim(ids.clone(), self.inner.node, clock::now()).await {
            Ok(claimed) => claimed,
            Err(error) => {
                in_flight.not_claimed(ids);
                return Err(error.into());
            }
        };
        let mut called = Vec::new();
        if claimed.len() < ids.len() {
            let got: HashSet<TaskId> = claimed.iter().map(|claimed| claimed.attempt.task).collect();
            let left = ids.iter().copied().filter(|id| !got.contains(id)).collect();
            match self.admit(left).await {
                Ok(admitted) => {
                    claimed.extend(admitted.claimed);
                    called = admitted.called;
                }
                // What could be claimed runs; the others are pending and are found again as stale.
                Err(error) => log::debug!("limits can't be looked at now: {error}"),
            }
        }
        self.inner.backlog.started(claimed.iter().map(|claimed| &claimed.attempt.queue));
        if !claimed.is_empty() {
            fault::pass(Point::AfterClaim);
        }
        let attempts = claimed.iter().map(|claimed| &claimed.attempt);
        let begun = |attempt: &Attempt| attempt.event(TaskStatus::Running, attempt.started_at, None);
        self.inner.events.publish(attempts.map(begun));
        for claimed in &claimed {
            self.inner.stats.attempts.began(&claimed.attempt);
            in_flight.claimed(claimed.attempt.task, claimed.attempt.number);
        }
        let got: HashSet<TaskId> = claimed.iter().map(|claimed| claimed.attempt.task).collect();
        in_flight.not_claimed(ids.into_iter().filter(|id| !got.contains(id)));
        // Not before: an id that is in flight here would be passed over.
        self.feed(called);
        Ok(claimed.into_iter().filter_map(|claimed| self.job(claimed)).collect())
    }

    fn job(&self, mut claimed: Claimed) -> Option<Job> {
        let unopened = Err(crate::store::Error::Interrupted);
        match std::mem::replace(&mut claimed.endpoint, unopened) {
            Ok(endpoint) => Some(Job { claimed, endpoint }),
            Err(error) => {
                let failure = Failure::permanent(error.code(), error.to_string());
                self.record(claimed.attempt, Outcome::Failed(failure));
                None
            }
        }
    }
}
