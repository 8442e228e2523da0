//! Ids of traces and spans, which traces are told, and the header that carries all of it: `traceparent` of the W3C
//! recommendation Trace Context (<https://www.w3.org/TR/trace-context/>).

use std::fmt;

use sha2::{Digest, Sha256};

use crate::domain::ids::TaskId;

/// Bits at the end of a trace's id that count as random. Those before them do not: ids that are made within one millisecond
/// count up there.
const RANDOM_BITS: u32 = 32;

/// A trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(pub [u8; 16]);

impl TraceId {
    /// The trace of a task: the id's bytes.
    pub fn of(task: TaskId) -> Self {
        Self(*task.0.as_bytes())
    }

    /// The number that decides whether the trace is told.
    fn random(self) -> u64 {
        let [.., a, b, c, d] = self.0;
        u32::from_be_bytes([a, b, c, d]).into()
    }
}

/// A span within its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId(pub [u8; 8]);

/// A part of a task's way. All but the first belong to an attempt, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was made and stored.
    Submit,
    /// It waited in its mailbox.
    Wait(i32),
    /// An attempt, from its claim until its end was stored.
    Attempt(i32),
    /// The attempt's call to the source.
    Call(i32),
    /// The end of the attempt was stored.
    Store(i32),
}

impl SpanId {
    /// The span of a step of a task: the same for whoever asks.
    pub fn of(task: TaskId, step: Step) -> Self {
        let (name, attempt) = match step {
            Step::Submit => ("submit", 0),
            Step::Wait(attempt) => ("wait", attempt),
            Step::Attempt(attempt) => ("attempt", attempt),
            Step::Call(attempt) => ("call", attempt),
            Step::Store(attempt) => ("store", attempt),
        };
        let digest =
            Sha256::new().chain_update(task.0).chain_update(name).chain_update(attempt.to_be_bytes()).finalize();
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        // All zeros is no span.
        id[7] |= 1;
        Self(id)
    }
}

/// Which traces are told: those whose random bits are not below a threshold. Nodes with the same share choose the same
/// traces, and one with a greater share tells all that one with a smaller share tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    threshold: u64,
}

impl Sampling {
    /// Tells a share of the traces, from 0 to 1.
    pub fn of(share: f64) -> Self {
        let all = (1_u64 << RANDOM_BITS) as f64;
        // A float that is out of range becomes the nearest number.
        Self { threshold: ((1.0 - share) * all) as u64 }
    }

    /// Whether a trace is told.
    pub fn takes(self, trace: TraceId) -> bool {
        trace.random() >= self.threshold
    }
}

/// A span of any trace, as it is passed on to whoever is called. Its text is the value of the header `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanContext {
    /// The trace.
    pub trace: TraceId,
    /// The span in it.
    pub span: SpanId,
    /// Whether the trace is told by whoever passes this on.
    pub is_sampled: bool,
}

impl SpanContext {
    /// Reads the value of a `traceparent`. What can't be read counts as not sent: that is what the recommendation asks
    /// for. Of a version that is not known yet, what stands where version 00 has it is read.
    pub fn parse(text: &str) -> Option<Self> {
        let (known, rest) = text.trim().split_at_checked(55)?;
        let mut parts = known.split('-');
        let [version] = hex(parts.next()?)?;
        let context = Self {
            trace: TraceId(hex(parts.next()?)?),
            span: SpanId(hex(parts.next()?)?),
            is_sampled: hex::<1>(parts.next()?)?[0] & 1 == 1,
        };
        let is_whole = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest.starts_with('-'),
        };
        let is_valid = parts.next().is_none() && context.trace.0 != [0; 16] && context.span.0 != [0; 8];
        (is_whole && is_valid).then_some(context)
    }
}

impl fmt::Display for SpanContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (u128::from_be_bytes(self.trace.0), u64::from_be_bytes(self.span.0));
        write!(f, "00-{trace:032x}-{span:016x}-{:02x}", u8::from(self.is_sampled))
    }
}

/// Reads exactly so many bytes; capital letters are not allowed.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != N * 2 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_of_a_task_has_an_id_of_its_own_that_anybody_can_work_out() {
        let task: TaskId = "0193a5b8-0000-7000-8000-000000000001".parse().expect("a UUID");
        let steps = [
            Step::Submit,
            Step::Wait(1),
            Step::Attempt(1),
            Step::Call(1),
            Step::Store(1),
            Step::Wait(2),
            Step::Attempt(2),
        ];
        let ids: Vec<SpanId> = steps.iter().map(|step| SpanId::of(task, *step)).collect();
        for (at, id) in ids.iter().enumerate() {
            assert!(id.0 != [0; 8] && !ids[..at].contains(id), "{:?}", steps[at]);
            assert_ne!(*id, SpanId::of(TaskId::generate(), steps[at]));
        }
        // Nodes of different versions tell parts of one trace: this must never change.
        assert_eq!(u64::from_be_bytes(SpanId::of(task, Step::Attempt(2)).0), 0xb215_36f2_3182_2a3f);
    }

    #[test]
    fn a_share_of_the_traces_is_told_and_a_smaller_share_is_part_of_a_greater_one() {
        let traces: Vec<TraceId> = (0..20_000).map(|_| TraceId::of(TaskId::generate())).collect();
        let told = |share: f64| traces.iter().filter(|trace| Sampling::of(share).takes(**trace)).count();
        assert_eq!((told(1.0), told(0.0)), (20_000, 0));
        for share in [0.1, 0.5, 0.9] {
            let count = told(share) as f64;
            // Six times the standard deviation of a fair draw.
            assert!((count - share * 20_000.0).abs() < 425.0, "{count} of {share}");
        }
        assert!(traces.iter().all(|trace| !Sampling::of(0.1).takes(*trace) || Sampling::of(0.2).takes(*trace)));
    }

    #[test]
    fn a_context_is_written_as_it_is_read() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = SpanContext::parse(text).expect("the example of the recommendation");
        assert!(context.is_sampled && context.to_string() == text);
        let unsampled = SpanContext::parse(&format!("{}00", &text[..53])).expect("valid");
        assert!(!unsampled.is_sampled && unsampled.to_string().ends_with("-00"));
        // Random ids, and versions to come.
        assert!(SpanContext::parse(&format!("{}03", &text[..53])).is_some_and(|context| context.is_sampled));
        assert_eq!(SpanContext::parse(&format!("cc{}-what-the-future-brings", &text[2..])), Some(context));
    }

    #[test]
    fn what_is_no_context_counts_as_not_sent() {
        for text in [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e47360-0f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-+1",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(SpanContext::parse(text), None, "{text}");
        }
    }
}
