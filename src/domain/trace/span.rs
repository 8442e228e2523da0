//! What a trace consists of. Names and attributes follow OpenTelemetry's semantic conventions where they have one: those of
//! messaging (the queue is the destination, the task the message), of HTTP for requests, of servers and errors. What is
//! ours begins with `spark.`.
//!
//! | span | kind | parent | from | to |
//! | --- | --- | --- | --- | --- |
//! | `submit QUEUE` | producer | none; a link to the caller's span | the request, or beat's round | the task is stored |
//! | `wait QUEUE` | internal | `submit` | it might start | it was claimed |
//! | `process QUEUE` | consumer | `submit`; a link to the attempt before | it was claimed | its end is stored |
//! | `call KIND` | client | `process` | the child calls the source | it has the answer |
//! | `store QUEUE` | internal | `process` | the end is known | it is stored |

use chrono::{DateTime, SecondsFormat, Utc};

use super::context::{SpanContext, SpanId, Step, TraceId};
use super::fact::{Call, Ended, Fact, Origin, Period, Submitted};
use crate::domain::attempt::AttemptStatus;
use crate::domain::ids::{ScheduleId, TaskId, WorkflowId};
use crate::domain::queue::QueueName;

/// A span.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its trace.
    pub trace: TraceId,
    /// Its id.
    pub id: SpanId,
    /// What it is part of.
    pub parent: Option<SpanId>,
    /// Another span that led to it.
    pub link: Option<SpanContext>,
    /// Its name; few different ones.
    pub name: String,
    /// What part it plays.
    pub kind: SpanKind,
    /// Its time; its end is not before its beginning.
    pub period: Period,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Value)>,
    /// Whether what it tells of failed.
    pub is_error: bool,
}

/// What part a span plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Makes a task that is run later.
    Producer,
    /// Runs it.
    Consumer,
    /// Calls another server.
    Client,
    /// None of these.
    Internal,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

/// The spans that tell of a fact.
pub fn spans(fact: &Fact) -> Vec<Span> {
    match fact {
        Fact::Submitted(submitted) => vec![submit(submitted)],
        Fact::Ended(ended) => {
            let mut spans = vec![wait(ended), process(ended), store(ended)];
            spans.extend(ended.call.as_deref().map(|source| call(ended, source)));
            spans
        }
    }
}

fn submit(fact: &Submitted) -> Span {
    let mut span = Span::new(fact.task, Step::Submit, None, format!("submit {}", fact.queue), fact.period);
    span.kind = SpanKind::Producer;
    span.message(fact.task, &fact.queue, "submit", "send");
    span.workflow(fact.workflow, fact.schedule);
    match fact.origin {
        Origin::Request { route, caller } => {
            span.link = caller;
            span.text("http.request.method", "POST");
            span.text("http.route", route);
        }
        Origin::Occurrence { scheduled_for } => span.text("spark.schedule.scheduled_for", time(scheduled_for)),
    }
    span
}

fn wait(fact: &Ended) -> Span {
    let period = Period { began: fact.pending_at, ended: fact.started_at };
    let name = format!("wait {}", fact.queue);
    let mut span = Span::new(fact.task, Step::Wait(fact.number), Some(Step::Submit), name, period);
    span.text("messaging.destination.name", fact.queue.as_str());
    span.number("spark.attempt.number", fact.number);
    span
}

fn process(fact: &Ended) -> Span {
    let period = Period { began: fact.started_at, ended: fact.stored_at };
    let name = format!("process {}", fact.queue);
    let mut span = Span::new(fact.task, Step::Attempt(fact.number), Some(Step::Submit), name, period);
    span.kind = SpanKind::Consumer;
    span.link = (fact.number > 1).then(|| SpanContext {
        trace: span.trace,
        span: SpanId::of(fact.task, Step::Attempt(fact.number - 1)),
        is_sampled: true,
    });
    span.message(fact.task, &fact.queue, "process", "process");
    span.workflow(fact.workflow, fact.schedule);
    span.text("spark.source.name", fact.source.as_str());
    span.number("spark.attempt.number", fact.number);
    span.text("spark.attempt.status", fact.status.as_str());
    span.text("spark.task.status", fact.next.as_str());
    if fact.outcome_unknown {
        span.attributes.push(("spark.attempt.outcome_unknown", Value::Flag(true)));
    }
    span.end(fact);
    span
}

fn call(fact: &Ended, call: &Call) -> Span {
    let name = format!("call {}", call.kind);
    let (step, parent) = (Step::Call(fact.number), Step::Attempt(fact.number));
    let mut span = Span::new(fact.task, step, Some(parent), name, call.period);
    span.kind = SpanKind::Client;
    span.text("spark.source.kind", call.kind.as_str());
    span.text("spark.source.name", fact.source.as_str());
    span.text("spark.flow.id", call.flow.as_str());
    if let Some((address, port)) = &call.server {
        span.text("server.address", address.as_str());
        span.number("server.port", i32::from(*port));
    }
    if let Some(status) = fact.code.as_deref().and_then(|code| code.strip_prefix("source_http_")?.parse().ok()) {
        span.number("http.response.status_code", status);
    }
    span.end(fact);
    span
}

fn store(fact: &Ended) -> Span {
    let period = Period { began: fact.finished_at, ended: fact.stored_at };
    let (step, parent) = (Step::Store(fact.number), Step::Attempt(fact.number));
    let mut span = Span::new(fact.task, step, Some(parent), format!("store {}", fact.queue), period);
    span.text("messaging.destination.name", fact.queue.as_str());
    span.text("spark.task.status", fact.next.as_str());
    span
}

impl Span {
    fn new(task: TaskId, step: Step, parent: Option<Step>, name: String, period: Period) -> Self {
        Self {
            trace: TraceId::of(task),
            id: SpanId::of(task, step),
            parent: parent.map(|step| SpanId::of(task, step)),
            link: None,
            name,
            kind: SpanKind::Internal,
            // Its two ends may be of two nodes, whose clocks differ.
            period: Period { began: period.began, ended: period.ended.max(period.began) },
            attributes: Vec::with_capacity(12),
            is_error: false,
        }
    }

    fn text(&mut self, key: &'static str, value: impl Into<String>) {
        self.attributes.push((key, Value::Text(value.into())));
    }

    fn number(&mut self, key: &'static str, value: i32) {
        self.attributes.push((key, Value::Number(value.into())));
    }

    fn message(&mut self, task: TaskId, queue: &QueueName, operation: &str, kind: &str) {
        self.text("messaging.system", "automagik_spark");
        self.text("messaging.operation.name", operation);
        self.text("messaging.operation.type", kind);
        self.text("messaging.destination.name", queue.as_str());
        self.text("messaging.message.id", task.to_string());
    }

    fn workflow(&mut self, workflow: WorkflowId, schedule: Option<ScheduleId>) {
        self.text("spark.workflow.id", workflow.to_string());
        if let Some(schedule) = schedule {
            self.text("spark.schedule.id", schedule.to_string());
        }
    }

    /// Why it did not succeed: the code, never the text, in which a source may repeat what it was sent.
    fn end(&mut self, fact: &Ended) {
        self.is_error = matches!(fact.status, AttemptStatus::Failed | AttemptStatus::TimedOut | AttemptStatus::Lost);
        if let Some(code) = &fact.code {
            self.text("error.type", code.as_str());
        }
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::source::{Endpoint, Secret, SourceKind, Trust};
    use crate::domain::task::TaskStatus;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_800_000_000_000 + ms).expect("a time")
    }

    fn period(began: i64, ended: i64) -> Period {
        Period { began: at(began), ended: at(ended) }
    }

    fn ended(number: i32) -> Ended {
        let endpoint = Endpoint {
            kind: SourceKind::Langflow,
            url: "https://user:hunter2@flows.example/base?key=hunter2".to_owned(),
            api_key: Secret::new("hunter2"),
            adapter: None,
            trust: Trust::Machine,
        };
        Ended {
            task: TaskId::generate(),
            workflow: WorkflowId::generate(),
            schedule: None,
            queue: QueueName::default(),
            source: "flows".to_owned(),
            number,
            pending_at: at(10),
            started_at: at(20),
            finished_at: at(50),
            stored_at: at(60),
            status: AttemptStatus::Failed,
            next: TaskStatus::Retrying,
            code: Some("source_http_503".to_owned()),
            outcome_unknown: false,
            call: Some(Box::new(Call::begun(&endpoint, "flow", at(21))).ended(Some(period(25, 45)), at(50))),
        }
    }

    fn attribute<'a>(span: &'a Span, key: &str) -> Option<&'a Value> {
        span.attributes.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    fn text(value: &str) -> Value {
        Value::Text(value.to_owned())
    }

    #[test]
    fn an_attempt_is_told_from_its_waiting_to_the_storing_of_its_end() {
        let fact = ended(1);
        let task = fact.task;
        let made = spans(&Fact::Ended(Box::new(fact)));
        let times: Vec<_> = made.iter().map(|span| (span.name.as_str(), span.kind, span.period)).collect();
        let expected = [
            ("wait celery", SpanKind::Internal, period(10, 20)),
            ("process celery", SpanKind::Consumer, period(20, 60)),
            ("store celery", SpanKind::Internal, period(50, 60)),
            ("call langflow", SpanKind::Client, period(25, 45)),
        ];
        assert_eq!(times, expected);
        let (submit, attempt) = (SpanId::of(task, Step::Submit), SpanId::of(task, Step::Attempt(1)));
        let parents: Vec<_> = made.iter().map(|span| span.parent.expect("a parent")).collect();
        assert_eq!(parents, [submit, submit, attempt, attempt]);
        assert!(made.iter().all(|span| span.trace == TraceId::of(task) && span.link.is_none()));
        assert_eq!(made[1].id, attempt);
    }

    #[test]
    fn a_failure_is_told_by_its_code_and_the_server_without_its_secrets() {
        let made = spans(&Fact::Ended(Box::new(ended(1))));
        assert_eq!(made.iter().map(|span| span.is_error).collect::<Vec<_>>(), [false, true, false, true]);
        let (process, call) = (&made[1], &made[3]);
        assert_eq!(attribute(process, "error.type"), Some(&text("source_http_503")));
        assert_eq!(attribute(process, "spark.task.status"), Some(&text("retrying")));
        assert_eq!(attribute(call, "http.response.status_code"), Some(&Value::Number(503)));
        assert_eq!(attribute(call, "server.address"), Some(&text("flows.example")));
        assert_eq!(attribute(call, "server.port"), Some(&Value::Number(443)));
        assert!(!format!("{made:?}").contains("hunter2"));
    }

    #[test]
    fn what_was_called_off_or_given_back_is_no_error() {
        for status in [AttemptStatus::Completed, AttemptStatus::Cancelled, AttemptStatus::Released] {
            let fact = Ended { status, code: None, ..ended(1) };
            assert!(spans(&Fact::Ended(Box::new(fact))).iter().all(|span| !span.is_error), "{status}");
        }
    }

    #[test]
    fn a_further_attempt_is_linked_to_the_one_before() {
        let fact = ended(3);
        let before = SpanId::of(fact.task, Step::Attempt(2));
        let made = spans(&Fact::Ended(Box::new(fact)));
        assert_eq!(made[1].link.map(|link| link.span), Some(before));
    }

    #[test]
    fn no_span_ends_before_it_begins_where_clocks_differ() {
        let fact = Ended { started_at: at(5), finished_at: at(3), stored_at: at(4), ..ended(1) };
        for span in spans(&Fact::Ended(Box::new(fact))) {
            assert!(span.period.began <= span.period.ended, "{span:?}");
        }
    }

    #[test]
    fn a_call_that_the_child_said_nothing_of_ends_with_its_attempt() {
        let begun = ended(1).call.expect("a call");
        let begun = Box::new(Call { period: period(21, 21), ..*begun });
        assert_eq!(begun.ended(None, at(90)).period, period(21, 90));
    }

    #[test]
    fn a_task_is_told_with_whoever_wanted_it() {
        let caller = SpanContext { trace: TraceId([7; 16]), span: SpanId([8; 8]), is_sampled: true };
        let fact = |origin, schedule| {
            let (task, workflow, queue) = (TaskId::generate(), WorkflowId::generate(), QueueName::default());
            Fact::Submitted(Submitted { task, workflow, schedule, queue, origin, period: period(0, 4) })
        };
        let route = "/api/v1/workflows/{id}/run";
        let made = spans(&fact(Origin::Request { route, caller: Some(caller) }, None));
        let [span] = made.as_slice() else { panic!("one span: {made:?}") };
        assert_eq!((span.name.as_str(), span.kind, span.parent), ("submit celery", SpanKind::Producer, None));
        assert_eq!((span.link, attribute(span, "http.route")), (Some(caller), Some(&text(route))));
        let schedule = ScheduleId::generate();
        let made = spans(&fact(Origin::Occurrence { scheduled_for: at(0) }, Some(schedule)));
        assert_eq!(attribute(&made[0], "spark.schedule.id"), Some(&text(&schedule.to_string())));
        let due = text("2027-01-15T08:00:00.000000Z");
        assert_eq!(attribute(&made[0], "spark.schedule.scheduled_for"), Some(&due));
    }

    #[test]
    fn spans_are_counted_without_being_made() {
        for fact in [Fact::Ended(Box::new(ended(1))), Fact::Ended(Box::new(Ended { call: None, ..ended(2) }))] {
            assert_eq!(fact.span_count(), spans(&fact).len() as u64);
        }
    }
}
