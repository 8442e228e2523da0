//! What a supervisor decides: which executors there are, who is given work, who is replaced. Pure: events in, actions
//! out; no IO and no clock.
//!
//! The rules, each with its test below:
//! - A pool has `workers` serving executors; one that crashed is replaced, at first at once, then with back-off.
//! - Work goes to the executor with the most free slots.
//! - An executor that nears `max_tasks_per_child` gets a *spare*: its replacement, started but not yet serving. When it
//!   has had its share and the spare is ready, they change places in one step, so capacity never dips. The same where
//!   its child's memory passes the ceiling.
//! - A pool may get other measures while it runs, see `scale.rs`.
//! - Draining finishes what runs and takes nothing new.

mod event;
mod member;
mod scale;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::ids::ExecutorId;
use crate::domain::recycle::MemoryVerdict;
use crate::domain::restart::{CrashLog, RestartVerdict};

pub use event::{Action, Event, Exit, PoolLimits, Reason};
pub use member::{Member, State};

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
                self.look_ahead_all(&mut actions);
            }
            Event::Resized(limits) => self.resize(limits, &mut actions),
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
        self.give_back_what_has_no_slot(actions);
    }

    /// Without any executor that serves, what waits for a slot is given back: nobody knows when there will be one, and
    /// another node may have room. The same where all serve that should and are full: the pool has become smaller.
    fn give_back_what_has_no_slot(&mut self, actions: &mut Vec<Action>) {
        let serving = self.serving().count();
        if self.waiting > 0 && (serving == 0 || serving >= self.limits.workers) {
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
        self.give_back_what_has_no_slot(actions);
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

    fn look_ahead_all(&mut self, actions: &mut Vec<Action>) {
        let serving: Vec<ExecutorId> = self.serving().map(|(id, _)| id).collect();
        serving.into_iter().for_each(|id| self.look_ahead(id, actions));
    }

    /// Starts an executor's replacement a little before it has had its share, and replaces it when it has.
    fn look_ahead(&mut self, id: ExecutorId, actions: &mut Vec<Action>) {
        let recycle = self.limits.recycle;
        // One that was retired while it started may still say that it is ready.
        let Some(member) = self.members.get_mut(&id).filter(|member| !member.draining) else { return };
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
