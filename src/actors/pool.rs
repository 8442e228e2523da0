//! What a supervisor decides: which executors there are, who is given work, who is replaced. Pure: events in, actions
//! out; no IO and no clock.
//!
//! The rules, each with its test below:
//! - A pool has `workers` serving executors; one that crashed is replaced, at first at once, then with back-off.
//! - Work goes to the executor with the most free slots.
//! - An executor that nears `max_tasks_per_child` gets a *spare*: its replacement, started but not yet serving. When it
//!   has had its share and the spare is ready, they change places in one step, so capacity never dips. The same where
//!   its child's memory passes the ceiling.
//! - Draining finishes what runs and takes nothing new.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::ids::ExecutorId;
use crate::domain::recycle::{MemoryVerdict, RecycleLimits};
use crate::domain::restart::{CrashLog, RestartOptions, RestartVerdict};

/// The measures of a pool.
#[derive(Clone, Debug)]
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
            Self::Shutdown => "shutdown",
        }
    }
}

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
    started: bool,
    draining: bool,
    /// The executor that this one is to replace.
    spare_of: Option<ExecutorId>,
    /// Why this one is to be replaced, once it must be.
    retire: Option<Reason>,
    /// Attempts it was given.
    pub given: u64,
    /// Attempts it runs.
    pub active: usize,
}

impl Member {
    fn new(spare_of: Option<ExecutorId>) -> Self {
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

/// The pool's state.
#[derive(Debug)]
pub struct Pool {
    limits: PoolLimits,
    members: BTreeMap<ExecutorId, Member>,
    last_id: u64,
    /// Claimed tasks without a slot: only while an executor that had room when they were asked for has ended.
    waiting: usize,
    /// Starts that wait for their back-off.
    starts_due: usize,
    crashes: CrashLog,
    draining: bool,
}

impl Pool {
    /// A pool without executors; [`Event::Begin`] starts them.
    pub fn new(limits: PoolLimits) -> Self {
        Self {
            limits,
            members: BTreeMap::new(),
            last_id: 0,
            waiting: 0,
            starts_due: 0,
            crashes: CrashLog::default(),
            draining: false,
        }
    }

    /// Takes an event in; `now` is the time since any fixed start.
    pub fn handle(&mut self, event: Event, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Begin => self.fill(&mut actions),
            Event::Ready(id) => self.ready(id, &mut actions),
            Event::Exited(id, exit) => self.exited(id, exit, now, &mut actions),
            Event::Arrived(count) => self.arrived(count, &mut actions),
            Event::Ended(id, count) => {
                if let Some(member) = self.members.get_mut(&id) {
                    member.active = member.active.saturating_sub(count);
                }
                self.give(&mut actions);
            }
            Event::Sampled(id, rss_kb) => self.sampled(id, rss_kb, &mut actions),
            Event::StartDue => {
                self.starts_due = self.starts_due.saturating_sub(1);
                self.fill(&mut actions);
                // Spares that were held back meanwhile.
                let serving: Vec<ExecutorId> = self.serving().map(|(id, _)| id).collect();
                serving.into_iter().for_each(|id| self.look_ahead(id, &mut actions));
            }
            Event::Drain => self.drain(&mut actions),
        }
        actions
    }

    /// Slots that may be filled: what may be claimed now.
    pub fn free(&self) -> usize {
        if self.draining {
            return 0;
        }
        let room: usize = self.serving().map(|(_, member)| self.limits.threads.saturating_sub(member.active)).sum();
        room.saturating_sub(self.waiting)
    }

    /// Slots of the executors that serve, free or not.
    pub fn ready_slots(&self) -> usize {
        self.serving().count() * self.limits.threads
    }

    /// Whether the pool's children crash too often.
    pub fn is_failed(&mut self, now: Duration) -> bool {
        self.crashes.is_failed(now, &self.limits.restart)
    }

    /// The executors, in the order of their start.
    pub fn members(&self) -> impl Iterator<Item = (ExecutorId, &Member)> {
        self.members.iter().map(|(id, member)| (*id, member))
    }

    /// The pool's measures.
    pub fn limits(&self) -> &PoolLimits {
        &self.limits
    }

    fn serving(&self) -> impl Iterator<Item = (ExecutorId, &Member)> {
        self.members().filter(|(_, member)| member.state() == State::Ready)
    }

    /// Starts what is missing of `workers`.
    fn fill(&mut self, actions: &mut Vec<Action>) {
        if self.draining {
            return;
        }
        let there = self.members.values().filter(|member| !member.draining && member.spare_of.is_none()).count();
        for _ in (there + self.starts_due)..self.limits.workers {
            self.start(None, actions);
        }
    }

    fn start(&mut self, spare_of: Option<ExecutorId>, actions: &mut Vec<Action>) {
        self.last_id += 1;
        let id = ExecutorId(self.last_id);
        self.members.insert(id, Member::new(spare_of));
        actions.push(Action::Start(id));
    }

    fn ready(&mut self, id: ExecutorId, actions: &mut Vec<Action>) {
        let Some(member) = self.members.get_mut(&id) else { return };
        member.started = true;
        match member.spare_of {
            Some(old) => self.change_places(old, actions),
            None => self.look_ahead(id, actions),
        }
        self.give(actions);
    }

    fn exited(&mut self, id: ExecutorId, exit: Exit, now: Duration, actions: &mut Vec<Action>) {
        let Some(member) = self.members.remove(&id) else { return };
        if self.draining {
            if self.members.is_empty() {
                actions.push(Action::Drained);
            }
            return;
        }
        if let Some(spare) = self.spare_of(id) {
            self.promote(spare, actions);
        }
        let missed = !member.draining;
        if missed && exit == Exit::Crashed {
            let (RestartVerdict::After(wait) | RestartVerdict::Failed(wait)) =
                self.crashes.record(now, &self.limits.restart);
            if !wait.is_zero() {
                self.starts_due += 1;
                actions.push(Action::StartLater(wait));
            }
        }
        self.fill(actions);
        self.give(actions);
        self.give_back_if_deserted(actions);
    }

    /// Without any executor that serves, what waits for a slot is given back: nobody knows when there will be one, and
    /// another node may have room.
    fn give_back_if_deserted(&mut self, actions: &mut Vec<Action>) {
        if self.waiting > 0 && self.serving().next().is_none() {
            self.waiting = 0;
            actions.push(Action::GiveBack);
        }
    }

    fn arrived(&mut self, count: usize, actions: &mut Vec<Action>) {
        self.waiting += count;
        if self.draining {
            self.waiting = 0;
            actions.push(Action::GiveBack);
        }
        self.give(actions);
        self.give_back_if_deserted(actions);
    }

    /// Gives what waits to the executors with the most room.
    fn give(&mut self, actions: &mut Vec<Action>) {
        while self.waiting > 0 {
            let threads = self.limits.threads;
            let roomiest = self.serving().filter(|(_, member)| member.active < threads).min_by_key(|(_, m)| m.active);
            let Some((id, _)) = roomiest else { return };
            self.waiting -= 1;
            actions.push(Action::Give(id));
            if let Some(member) = self.members.get_mut(&id) {
                member.active += 1;
                member.given += 1;
            }
            self.look_ahead(id, actions);
        }
    }

    /// Starts an executor's replacement a little before it has had its share, and replaces it when it has.
    fn look_ahead(&mut self, id: ExecutorId, actions: &mut Vec<Action>) {
        let recycle = self.limits.recycle;
        let Some(member) = self.members.get_mut(&id) else { return };
        if recycle.is_spent(member.given) {
            member.retire.get_or_insert(Reason::MaxTasks);
        }
        // A tenth of the share is the time a child has to start; but not so much that spares idle for long.
        let ahead = (recycle.max_tasks_per_child / 10).clamp(1, 4 * self.limits.threads as u64);
        let near = recycle.is_spent(member.given + ahead);
        let wanted = near || member.retire.is_some();
        // Spares respect the back-off too: a child that can't start must not be tried at every task.
        if wanted && self.spare_of(id).is_none() && self.starts_due == 0 && !self.draining {
            self.start(Some(id), actions);
        }
        self.change_places(id, actions);
    }

    fn sampled(&mut self, id: ExecutorId, rss_kb: u64, actions: &mut Vec<Action>) {
        let Some(member) = self.members.get_mut(&id) else { return };
        match self.limits.recycle.judge_memory(rss_kb) {
            MemoryVerdict::Kill => actions.push(Action::Kill(id, Reason::MemoryWall)),
            MemoryVerdict::Replace if member.state() == State::Ready => {
                member.retire.get_or_insert(Reason::MaxMemory);
                self.look_ahead(id, actions);
                self.give(actions);
            }
            MemoryVerdict::Replace | MemoryVerdict::Fine => {}
        }
    }

    /// Retires an executor that must go, if its spare is ready.
    fn change_places(&mut self, old: ExecutorId, actions: &mut Vec<Action>) {
        let Some(spare) = self.spare_of(old).filter(|spare| self.members.get(spare).is_some_and(|m| m.started)) else {
            return;
        };
        let Some(member) = self.members.get_mut(&old) else { return };
        let Some(reason) = member.retire else { return };
        member.draining = true;
        actions.push(Action::Retire(old, reason));
        self.promote(spare, actions);
    }

    fn promote(&mut self, spare: ExecutorId, actions: &mut Vec<Action>) {
        let Some(member) = self.members.get_mut(&spare) else { return };
        member.spare_of = None;
        if member.started {
            self.look_ahead(spare, actions);
        }
    }

    fn spare_of(&self, old: ExecutorId) -> Option<ExecutorId> {
        self.members().find(|(_, member)| member.spare_of == Some(old)).map(|(id, _)| id)
    }

    fn drain(&mut self, actions: &mut Vec<Action>) {
        self.draining = true;
        self.waiting = 0;
        actions.push(Action::GiveBack);
        for (id, member) in &mut self.members {
            if !member.draining {
                member.draining = true;
                actions.push(Action::Retire(*id, Reason::Shutdown));
            }
        }
        if self.members.is_empty() {
            actions.push(Action::Drained);
        }
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
