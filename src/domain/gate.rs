//! Gates: what tasks of a source or workflow pass on their way to an attempt, where it has limits or its circuit is not
//! closed. Which of those that wait may pass is decided here.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::circuit::{Circuit, CircuitState};
use super::ids::{SourceId, TaskId, WorkflowId};
use super::limit::Limits;
use super::queue::{Priority, QueueName};
use super::task::PendingTask;

/// A gate with all that it goes by.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    /// What is limited.
    pub limits: Limits,
    /// The turn of the next start, where there is a rate.
    pub next_start_at: Option<DateTime<Utc>>,
    /// The circuit.
    pub circuit: Circuit,
    /// Whether the attempt that finds out whether the source is back still runs.
    pub is_probed: bool,
    /// Attempts that run.
    pub running: u32,
}

impl Gate {
    /// How many may pass now.
    pub fn room(&self, now: DateTime<Utc>) -> u32 {
        let slots = self.limits.max_concurrency.map_or(u32::MAX, |most| most.saturating_sub(self.running));
        let turns = self.limits.rate.map_or(u32::MAX, |rate| rate.room(self.next_start_at, now));
        let calls = match self.circuit.state {
            CircuitState::Closed => u32::MAX,
            CircuitState::Open if self.circuit.until.is_some_and(|until| until > now) => 0,
            CircuitState::HalfOpen if self.is_probed => 0,
            CircuitState::Open | CircuitState::HalfOpen => 1,
        };
        slots.min(turns).min(calls)
    }

    /// When time alone will have made room; nothing where something else has to happen first, or there is room.
    pub fn opens_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let circuit = self.circuit.until.filter(|_| self.circuit.state == CircuitState::Open);
        let turn = self.limits.rate.zip(self.next_start_at).map(|(rate, next)| rate.opens_at(next));
        circuit.max(turn).filter(|time| *time > now)
    }
}

/// A pending task before its gates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its id.
    pub id: TaskId,
    /// Its workflow, which may have a gate.
    pub workflow: WorkflowId,
    /// Its source, which may have one too.
    pub source: Option<SourceId>,
    /// The queue.
    pub queue: QueueName,
    /// Its place there.
    pub priority: Priority,
    /// Since when it waits.
    pub pending_at: DateTime<Utc>,
    /// Whether it waits parked, in no mailbox.
    pub is_parked: bool,
}

impl Waiting {
    /// The ids of the gates that it may have to pass.
    pub fn gates(&self) -> impl Iterator<Item = Uuid> + use<> {
        [Some(self.workflow.0), self.source.map(|source| source.0)].into_iter().flatten()
    }

    /// What its mailbox needs of it.
    pub fn pending(&self) -> PendingTask {
        PendingTask { id: self.id, queue: self.queue.clone(), priority: self.priority, pending_at: self.pending_at }
    }
}

/// Divides those that wait into those that may pass and the others, by priority and then age, whatever their queue. A task
/// passes all its gates or none.
pub fn choose(
    mut waiting: Vec<Waiting>,
    gates: &HashMap<Uuid, Gate>,
    now: DateTime<Utc>,
) -> (Vec<Waiting>, Vec<Waiting>) {
    waiting.sort_by_key(|task| (std::cmp::Reverse(task.priority), task.pending_at, task.id.0));
    let mut room: HashMap<Uuid, u32> = gates.iter().map(|(id, gate)| (*id, gate.room(now))).collect();
    waiting.into_iter().partition(|task| {
        let may_pass = task.gates().all(|id| room.get(&id).is_none_or(|room| *room > 0));
        if may_pass {
            for id in task.gates() {
                room.entry(id).and_modify(|room| *room -= 1);
            }
        }
        may_pass
    })
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(1)
    }

    fn limited(most: u32) -> Gate {
        Gate { limits: Limits { max_concurrency: Some(most), rate: None }, ..Gate::default() }
    }

    fn waiting(workflow: WorkflowId, source: SourceId, priority: i64, age_s: i64) -> Waiting {
        Waiting {
            id: TaskId::generate(),
            workflow,
            source: Some(source),
            queue: QueueName::default(),
            priority: Priority::new(priority).expect("a priority"),
            pending_at: now() - TimeDelta::seconds(age_s),
            is_parked: false,
        }
    }

    #[test]
    fn the_first_by_priority_and_age_pass_and_every_gate_counts() {
        let (one, other, source) = (WorkflowId::generate(), WorkflowId::generate(), SourceId::generate());
        let young = waiting(one, source, 5, 1);
        let old = waiting(one, source, 5, 9);
        let urgent = waiting(one, source, 9, 0);
        let others = waiting(other, source, 5, 5);
        let all = vec![young.clone(), old.clone(), urgent.clone(), others.clone()];
        let gates = HashMap::from([(source.0, limited(3)), (one.0, limited(1))]);
        let (passed, rest) = choose(all.clone(), &gates, now());
        assert_eq!(passed, [urgent.clone(), others.clone()]);
        assert_eq!(rest, [old.clone(), young.clone()], "the workflow has room for one, whatever the source has");
        let (passed, _) = choose(all, &HashMap::from([(source.0, limited(2))]), now());
        assert_eq!(passed, [urgent, old]);
    }

    #[test]
    fn an_open_circuit_lets_nobody_pass_and_then_one_probe() {
        let until = Some(now());
        let circuit = Circuit { state: CircuitState::Open, until, ..Circuit::default() };
        let mut gate = Gate { circuit, ..Gate::default() };
        let before = now() - TimeDelta::seconds(1);
        assert_eq!((gate.room(before), gate.opens_at(before)), (0, until));
        assert_eq!((gate.room(now()), gate.opens_at(now())), (1, None));
        gate.circuit.state = CircuitState::HalfOpen;
        assert_eq!(gate.room(now()), 1, "its probe was lost");
        gate.is_probed = true;
        assert_eq!((gate.room(now()), gate.opens_at(now())), (0, None));
    }

    #[test]
    fn the_narrower_limit_decides() {
        let mut gate = limited(3);
        gate.running = 1;
        assert_eq!(gate.room(now()), 2);
        gate.limits.rate = "30/m".parse().ok();
        assert_eq!(gate.room(now()), 1);
        gate.next_start_at = Some(now() + TimeDelta::seconds(1));
        assert_eq!((gate.room(now()), gate.opens_at(now())), (0, gate.next_start_at));
        gate.running = 5;
        assert_eq!(gate.room(now()), 0, "a limit that was lowered takes nothing back");
    }
}
