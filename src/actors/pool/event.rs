//! What a pool hears and what it asks for.

use std::time::Duration;

use crate::domain::ids::ExecutorId;
use crate::domain::recycle::RecycleLimits;
use crate::domain::restart::RestartOptions;

/// The measures of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Serving executors.
    pub workers: usize,
    /// Slots of each.
    pub threads: usize,
    /// When a child is replaced.
    pub recycle: RecycleLimits,
    /// How often crashes are forgiven.
    pub restart: RestartOptions,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The pool begins.
    Begin,
    /// An executor's child takes work from now on.
    Ready(ExecutorId),
    /// An executor ended; whatever it ran is settled already.
    Exited(ExecutorId, Exit),
    /// So many claimed tasks came in.
    Arrived(usize),
    /// So many attempts of an executor ended.
    Ended(ExecutorId, usize),
    /// A child's resident memory was sampled, in KB (1024 bytes).
    Sampled(ExecutorId, u64),
    /// The wait that [`Action::StartLater`] asked for is over.
    StartDue,
    /// The pool is to have other measures from now on.
    Resized(PoolLimits),
    /// Finish what runs, then end.
    Drain,
}

/// How an executor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// As it was asked to.
    Retired,
    /// By itself, or killed for its memory.
    Crashed,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start an executor.
    Start(ExecutorId),
    /// Report [`Event::StartDue`] after this wait.
    StartLater(Duration),
    /// Give the task that waits longest to this executor.
    Give(ExecutorId),
    /// Let this executor finish what it runs and end.
    Retire(ExecutorId, Reason),
    /// Kill this executor's child at once.
    Kill(ExecutorId, Reason),
    /// Give the tasks that wait for a slot back to their mailbox.
    GiveBack,
    /// The last executor ended after [`Event::Drain`].
    Drained,
}

/// Why an executor is retired or killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was given `max_tasks_per_child` attempts.
    MaxTasks,
    /// Its child passed `max_memory_per_child_kb`.
    MaxMemory,
    /// Its child passed twice that.
    MemoryWall,
    /// The pool is to have fewer executors.
    ScaledDown,
    /// The service stops.
    Shutdown,
}

impl Reason {
    /// The reason's name in the history and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MaxTasks => "max_tasks",
            Self::MaxMemory => "max_memory",
            Self::MemoryWall => "memory_wall",
            Self::ScaledDown => "scaled_down",
            Self::Shutdown => "shutdown",
        }
    }
}
