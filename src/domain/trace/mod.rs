//! Traces: what is told of a task's way, from the request that made it to the end that was stored. Facts in
//! ([`Fact`]), spans out ([`spans`]).
//!
//! A task is a trace, and its id is the trace's id. Ids of spans are worked out of the task's id, the step and the
//! attempt. So every node, and the child, knows them and nothing has to be stored: a trace goes on after a restart, on
//! another node, and after a retry by hand. Whether a trace is told follows from its id too ([`Sampling`]).

mod context;
mod fact;
mod span;

pub use context::{Sampling, SpanContext, SpanId, Step, TraceId};
pub use fact::{Call, Ended, Fact, Origin, Period, Submitted};
pub use span::{Span, SpanKind, Value, spans};
