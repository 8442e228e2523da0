//! What others see of a pool: its state, and the history of its executors.

use super::Supervisor;
use crate::actors::pool::{Reason, State};
use crate::dispatch::roster::{ExecutorEvent, ExecutorView, PoolView};
use crate::domain::clock;
use crate::domain::ids::ExecutorId;

impl Supervisor {
    pub(super) fn note(&mut self, id: ExecutorId, event: &'static str, reason: Option<Reason>) {
        self.note_as(id, self.given(id), event, reason.map(Reason::as_str));
    }

    /// Attempts that an executor was given.
    pub(super) fn given(&self, id: ExecutorId) -> u64 {
        self.pool.members().find(|(member, _)| *member == id).map_or(0, |(_, member)| member.given)
    }

    pub(super) fn note_as(
        &mut self,
        id: ExecutorId,
        tasks_done: u64,
        event: &'static str,
        reason: Option<&'static str>,
    ) {
        let event = ExecutorEvent {
            at: clock::now(),
            pool: self.options.name.clone(),
            executor: id,
            event,
            reason,
            tasks_done,
            ready_slots: self.pool.ready_slots(),
        };
        let why = reason.unwrap_or("as it should");
        log::debug!("pool {}: executor {id} {} ({why}) after {} tasks", event.pool, event.event, event.tasks_done);
        self.parts.dispatch.roster().record(event);
        self.publish();
    }

    pub(super) fn publish(&mut self) {
        let view = self.view();
        self.parts.dispatch.roster().publish(view);
    }

    /// The pool as it is now.
    pub(super) fn view(&mut self) -> PoolView {
        let executors = self
            .pool
            .members()
            .filter_map(|(id, member)| {
                let known = self.executors.get(&id)?;
                Some(ExecutorView {
                    id,
                    pid: known.pid,
                    state: match member.state() {
                        State::Starting => "starting",
                        State::Ready => "ready",
                        State::Spare => "spare",
                        State::Draining => "draining",
                    },
                    tasks_done: member.given.saturating_sub(member.active as u64),
                    active: member.active,
                    rss_kb: known.sample.map(|sample| sample.rss_kb),
                    cpu_percent: known.sample.map(|sample| sample.cpu_percent),
                    started_at: known.started_at,
                })
            })
            .collect();
        let failed = self.pool.is_failed(self.started_at.elapsed());
        let (workers, threads) = self.shape.size();
        PoolView {
            name: self.options.name.clone(),
            queues: self.shape.queues.names.clone(),
            weights: self.shape.queues.weights.clone(),
            workers,
            threads,
            configured: self.configured,
            recycle: self.shape.limits.recycle,
            failed,
            executors,
        }
    }
}
