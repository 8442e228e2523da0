//! A claimed task between the intake and a child. Actors and their messages may vanish at any moment, the task must
//! not: what never reached a child is given back.

use crate::dispatch::Dispatch;
use crate::dispatch::claim::Job;
use crate::domain::outcome::Outcome;

/// The task. Dropping it, in a message to an executor that has just ended for instance, gives it back.
pub struct Given {
    job: Option<Box<Job>>,
    dispatch: Dispatch,
}

impl Given {
    /// A task that was claimed.
    pub fn new(job: Job, dispatch: Dispatch) -> Self {
        Self { job: Some(Box::new(job)), dispatch }
    }

    /// The task, for whoever answers for its end from now on.
    pub fn accept(mut self) -> Job {
        *self.job.take().expect("it is taken once, by value")
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        if let Some(job) = self.job.take() {
            self.dispatch.record(job.claimed.attempt, Outcome::NotStarted);
        }
    }
}
