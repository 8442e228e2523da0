//! Which attempts this node has begun and not yet stored the end of.
//!
//! PostgreSQL says which tasks run on this node; this says which of them it really runs. What is only in PostgreSQL was
//! lost (the answer to a claim that never arrived); what is only here was cancelled or taken over.

use std::collections::{HashMap, hash_map};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::domain::ids::TaskId;

/// The number of an attempt that is being claimed; no attempt has it.
const CLAIMING: i32 = -1;

/// The attempts in flight.
#[derive(Debug, Default)]
pub struct InFlight {
    state: Mutex<State>,
    fewer: Notify,
}

#[derive(Debug, Default)]
struct State {
    attempts: HashMap<TaskId, Entry>,
    by_pool: HashMap<Arc<str>, usize>,
}

#[derive(Debug)]
struct Entry {
    number: i32,
    pool: Arc<str>,
    /// Whether the task was to be claimed again meanwhile.
    is_asked_for: bool,
}

impl InFlight {
    /// Notes that these tasks are about to be claimed for a pool; returns those that are not in flight already. Of the
    /// others it is noted that they were asked for: such a task was cancelled and retried before its last attempt had
    /// ended here, and is to be fed once more when it has.
    pub(super) fn begin(&self, pool: &Arc<str>, ids: Vec<TaskId>) -> Vec<TaskId> {
        let mut state = self.lock();
        let mut new = Vec::with_capacity(ids.len());
        for id in ids {
            match state.attempts.entry(id) {
                hash_map::Entry::Vacant(vacant) => {
                    vacant.insert(Entry { number: CLAIMING, pool: pool.clone(), is_asked_for: false });
                    new.push(id);
                }
                hash_map::Entry::Occupied(mut occupied) => occupied.get_mut().is_asked_for = true,
            }
        }
        *state.by_pool.entry(pool.clone()).or_default() += new.len();
        new
    }

    /// Notes the number of a claimed attempt.
    pub(super) fn claimed(&self, task: TaskId, attempt: i32) {
        if let Some(entry) = self.lock().attempts.get_mut(&task) {
            entry.number = attempt;
        }
    }

    /// Forgets attempts whose end is stored. One that this node did not run, because it was taken over from another,
    /// may end while this node runs the next one of the same task already: that one stays. Returns the tasks that were
    /// asked for meanwhile.
    pub(super) fn end(&self, ended: impl IntoIterator<Item = (TaskId, i32)>) -> Vec<TaskId> {
        let mut state = self.lock();
        let mut asked_for = Vec::new();
        for (task, number) in ended {
            if state.attempts.get(&task).is_some_and(|entry| entry.number == number)
                && let Some(entry) = state.attempts.remove(&task)
                && let Some(count) = state.by_pool.get_mut(&entry.pool)
            {
                *count -= 1;
                if entry.is_asked_for {
                    asked_for.push(task);
                }
            }
        }
        self.fewer.notify_waiters();
        asked_for
    }

    /// Forgets tasks that were about to be claimed and were not. Whether one was asked for once more meanwhile does not
    /// matter: its id was there twice.
    pub(super) fn not_claimed(&self, tasks: impl IntoIterator<Item = TaskId>) {
        let _asked_for = self.end(tasks.into_iter().map(|task| (task, CLAIMING)));
    }

    /// Completes when there are none.
    pub async fn wait_until_empty(&self) {
        self.wait_until(|| self.is_empty()).await;
    }

    /// Completes when a pool has fewer than so many.
    pub async fn wait_until_fewer(&self, pool: &str, limit: usize) {
        self.wait_until(|| self.len_of(pool) < limit).await;
    }

    async fn wait_until(&self, condition: impl Fn() -> bool) {
        loop {
            let fewer = self.fewer.notified();
            if condition() {
                return;
            }
            fewer.await;
        }
    }

    /// Whether a task is in flight.
    pub fn contains(&self, task: TaskId) -> bool {
        self.lock().attempts.contains_key(&task)
    }

    /// The claimed attempts.
    pub fn attempts(&self) -> Vec<(TaskId, i32)> {
        let state = self.lock();
        let claimed = state.attempts.iter().filter(|(_, entry)| entry.number != CLAIMING);
        claimed.map(|(task, entry)| (*task, entry.number)).collect()
    }

    /// How many there are, those being claimed too.
    pub fn len(&self) -> usize {
        self.lock().attempts.len()
    }

    /// How many a pool has, those being claimed too.
    pub fn len_of(&self, pool: &str) -> usize {
        self.lock().by_pool.get(pool).copied().unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A panic between two changes would leave a count too high, never too low: a pool then takes in less.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_earlier_attempt_does_not_end_the_one_that_runs() {
        let (in_flight, task, pool) = (InFlight::default(), TaskId::generate(), Arc::from("celery"));
        assert_eq!(in_flight.begin(&pool, vec![task]), [task]);
        // The takeover of attempt 1 from a dead node is stored while attempt 2 is being claimed, or runs.
        in_flight.end([(task, 1)]);
        assert!(in_flight.contains(task));
        in_flight.claimed(task, 2);
        in_flight.end([(task, 1)]);
        assert_eq!(in_flight.attempts(), [(task, 2)]);
        assert_eq!(in_flight.begin(&pool, vec![task]), []);
        assert_eq!(in_flight.len_of("celery"), 1);
        assert_eq!(in_flight.end([(task, 2)]), [task], "it was to be claimed again meanwhile");
        assert!(in_flight.is_empty());
        assert_eq!(in_flight.len_of("celery"), 0);
    }

    #[test]
    fn what_was_not_claimed_is_forgotten() {
        let (in_flight, task, pool) = (InFlight::default(), TaskId::generate(), Arc::from("celery"));
        in_flight.begin(&pool, vec![task]);
        in_flight.not_claimed([task]);
        assert!(in_flight.is_empty());
    }
}
