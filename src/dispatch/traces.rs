//! What is told of tasks for their traces: plain facts, into a queue with a limit, from which whoever the node made for it
//! sends them on. Nothing here waits. While traces are not told, as in the shipped configuration, a batch of the hot
//! path costs one look at whether they are.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use super::Dispatch;
use crate::domain::attempt::AttemptStatus;
use crate::domain::clock;
use crate::domain::ids::TaskId;
use crate::domain::task::NewTask;
use crate::domain::trace::{Ended, Fact, Origin, Period, Sampling, SpanContext, SpanId, Step, Submitted, TraceId};
use crate::store::beat::{Fired, MadeTask};
use crate::store::claim::Attempt;
use crate::store::outcome::AttemptEnd;

/// Where facts go; the default is nowhere.
#[derive(Debug, Default)]
pub struct Traces {
    told: Option<Told>,
    exported: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Told {
    sampling: Sampling,
    facts: mpsc::Sender<Fact>,
}

impl Traces {
    /// Tells some of the traces to whoever has the other end of the queue. At most `waiting` facts wait there; while as
    /// many do, others are dropped and counted.
    pub fn told(sampling: Sampling, waiting: usize) -> (Self, mpsc::Receiver<Fact>) {
        let (facts, queue) = mpsc::channel(waiting);
        (Self { told: Some(Told { sampling, facts }), ..Self::default() }, queue)
    }

    /// What a request is part of. Its header is read only if that is told.
    pub fn caller<'a>(&self, traceparent: impl FnOnce() -> Option<&'a str>) -> Option<SpanContext> {
        self.told.as_ref()?;
        SpanContext::parse(traceparent()?)
    }

    /// What the source is told that an attempt calls, if traces are told at all.
    pub fn call_of(&self, attempt: &Attempt) -> Option<SpanContext> {
        let told = self.told.as_ref()?;
        let trace = TraceId::of(attempt.task);
        let span = SpanId::of(attempt.task, Step::Call(attempt.number));
        Some(SpanContext { trace, span, is_sampled: told.sampling.takes(trace) })
    }

    /// A task was stored.
    pub(super) fn submitted(&self, task: &NewTask, origin: Origin, stored: DateTime<Utc>) {
        self.tell(task.id, || {
            Fact::Submitted(Submitted {
                task: task.id,
                workflow: task.workflow_id,
                schedule: task.schedule_id,
                queue: task.queue.clone(),
                origin,
                period: Period { began: task.created_at, ended: stored },
            })
        });
    }

    /// Beat has stored tasks.
    fn fired(&self, made: &[MadeTask], period: Period) {
        for task in made {
            self.tell(task.id, || {
                Fact::Submitted(Submitted {
                    task: task.id,
                    workflow: task.workflow,
                    schedule: Some(task.schedule),
                    queue: task.queue.clone(),
                    origin: Origin::Occurrence { scheduled_for: task.scheduled_for },
                    period,
                })
            });
        }
    }

    /// Ends of attempts were stored: those of `applied`. Of the others, another node has told that took the task over;
    /// but not of one that was called off, for that is known to be over only now. (An answer that crossed the order to
    /// call its task off is told by nobody: from here it looks like one that comes after a takeover.)
    pub(super) fn ended(&self, ends: &[AttemptEnd], applied: &HashSet<TaskId>) {
        if self.told.is_none() {
            return;
        }
        let stored_at = clock::now();
        let told =
            |end: &&AttemptEnd| applied.contains(&end.attempt.task) || end.verdict.status == AttemptStatus::Cancelled;
        for end in ends.iter().filter(told) {
            self.tell(end.attempt.task, || Fact::Ended(Box::new(ended(end, stored_at))));
        }
    }

    /// Tells a fact about a task, if its trace is told.
    fn tell(&self, task: TaskId, fact: impl FnOnce() -> Fact) {
        let Some(told) = self.told.as_ref().filter(|told| told.sampling.takes(TraceId::of(task))) else { return };
        if let Err(refused) = told.facts.try_send(fact()) {
            self.dropped(refused.into_inner().span_count());
        }
    }

    /// Spans were taken by whoever collects them.
    pub fn exported(&self, spans: u64) {
        self.exported.fetch_add(spans, Ordering::Relaxed);
    }

    /// Spans are given up.
    pub fn dropped(&self, spans: u64) {
        self.dropped.fetch_add(spans, Ordering::Relaxed);
    }

    /// Spans that were exported and that were dropped, so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.exported.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed))
    }
}

fn ended(end: &AttemptEnd, stored_at: DateTime<Utc>) -> Ended {
    let attempt = &end.attempt;
    Ended {
        task: attempt.task,
        workflow: attempt.workflow,
        schedule: attempt.schedule,
        queue: attempt.queue.clone(),
        source: attempt.source_name.clone(),
        number: attempt.number,
        pending_at: attempt.pending_at,
        started_at: attempt.started_at,
        finished_at: end.finished_at,
        stored_at,
        status: end.verdict.status,
        next: end.next(),
        code: end.verdict.code.clone(),
        outcome_unknown: end.verdict.outcome_unknown,
        call: end.call.clone(),
    }
}

impl Dispatch {
    /// Brings on their way the tasks that schedules made, in a transaction that began at `began`: in this order, for a
    /// task that is fed may run at once.
    pub async fn fired(&self, fired: Fired, began: DateTime<Utc>) {
        self.inner.traces.fired(&fired.made, Period { began, ended: clock::now() });
        self.inner.events.publish_by_id(fired.made.iter().map(|task| task.id).collect()).await;
        self.feed(fired.tasks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::WorkflowId;
    use crate::domain::queue::{Priority, QueueName};

    fn task() -> NewTask {
        let now = clock::now();
        NewTask {
            id: TaskId::generate(),
            workflow_id: WorkflowId::generate(),
            schedule_id: None,
            input: "\"hush\"".into(),
            queue: QueueName::default(),
            priority: Priority::default(),
            max_retries: 0,
            session_id: None,
            timeout_s: None,
            created_at: now,
            pending_at: now,
        }
    }

    const ORIGIN: Origin = Origin::Request { route: "/", caller: None };

    #[test]
    fn nothing_is_read_or_made_while_traces_are_not_told() {
        let traces = Traces::default();
        assert_eq!(traces.caller(|| panic!("the header is not looked for")), None);
        traces.tell(TaskId::generate(), || panic!("no fact is made"));
        traces.submitted(&task(), ORIGIN, clock::now());
        assert_eq!(traces.counts(), (0, 0));
    }

    #[test]
    fn what_the_queue_has_no_room_for_is_dropped_and_counted() {
        let (traces, mut facts) = Traces::told(Sampling::of(1.0), 2);
        (0..5).for_each(|_| traces.submitted(&task(), ORIGIN, clock::now()));
        assert_eq!(traces.counts(), (0, 3));
        assert!(facts.try_recv().is_ok() && facts.try_recv().is_ok() && facts.try_recv().is_err());
        drop(facts);
        traces.submitted(&task(), ORIGIN, clock::now());
        assert_eq!(traces.counts(), (0, 4), "whoever sends them has ended");
    }

    #[test]
    fn a_trace_that_is_not_chosen_is_not_told() {
        let (traces, mut facts) = Traces::told(Sampling::of(0.0), 2);
        traces.submitted(&task(), ORIGIN, clock::now());
        assert!(facts.try_recv().is_err() && traces.counts() == (0, 0));
    }
}
