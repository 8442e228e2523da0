//! An executor as its pool sees it.

use super::event::Reason;
use crate::domain::ids::ExecutorId;

/// Where an executor is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its child is starting.
    Starting,
    /// It serves.
    Ready,
    /// It waits to replace another.
    Spare,
    /// It finishes what it runs.
    Draining,
}

/// An executor as the pool sees it.
#[derive(Clone, Debug)]
pub struct Member {
    pub(super) started: bool,
    pub(super) draining: bool,
    /// The executor that this one is to replace.
    pub(super) spare_of: Option<ExecutorId>,
    /// Why this one is to be replaced, once it must be.
    pub(super) retire: Option<Reason>,
    /// Attempts it was given.
    pub given: u64,
    /// Attempts it runs.
    pub active: usize,
}

impl Member {
    pub(super) fn new(spare_of: Option<ExecutorId>) -> Self {
        Self { started: false, draining: false, spare_of, retire: None, given: 0, active: 0 }
    }

    /// Where it is in its life.
    pub fn state(&self) -> State {
        match (self.draining, self.started, self.spare_of) {
            (true, _, _) => State::Draining,
            (_, false, _) => State::Starting,
            (_, _, Some(_)) => State::Spare,
            _ => State::Ready,
        }
    }
}
