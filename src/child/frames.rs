//! What an executor and its child say to each other: length-delimited JSON.

use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_util::codec::LengthDelimitedCodec;

use crate::domain::adapter::Adapters;
use crate::domain::ids::TaskId;
use crate::domain::outcome::Outcome;
use crate::domain::source::Endpoint;
use crate::domain::trace::Period;

/// An executor to its child.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToChild {
    /// The first frame.
    Start(StartChild),
    /// Run an attempt.
    Run(Box<RunAttempt>),
    /// Stop an attempt; it ends as cancelled.
    Cancel(AttemptKey),
}

/// A child to its executor.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromChild {
    /// It takes attempts from now on.
    Ready,
    /// An attempt ended. If its source was told of a trace: also when the source was called, and when that was over.
    Ended(AttemptKey, Outcome, Option<Period>),
}

/// What a child needs to know before its first attempt: it reads no files.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StartChild {
    /// Largest answer of a source.
    pub max_answer_bytes: usize,
    /// How long connecting to a source may take.
    pub connect_timeout: Duration,
    /// What sources of kind `http` may name. They change with a restart only, so they need not travel with each attempt.
    pub adapters: Adapters,
}

/// Which attempt of which task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AttemptKey {
    /// The task.
    pub task: TaskId,
    /// The attempt's number.
    pub number: i32,
}

/// All that running an attempt takes.
#[derive(Debug, Serialize, Deserialize)]
pub struct RunAttempt {
    /// Which attempt.
    pub key: AttemptKey,
    /// The source.
    pub endpoint: Endpoint,
    /// The flow in it.
    pub flow_id: String,
    /// What the source is sent.
    pub input: String,
    /// The session to run in.
    pub session_id: String,
    /// The flow's input component.
    pub input_component: Option<String>,
    /// The component whose answer is the result.
    pub output_component: Option<String>,
    /// When the attempt is cancelled.
    pub soft_limit: Duration,
    /// The `traceparent` that the source is told, if traces are told at all.
    pub traceparent: Option<String>,
}

/// Room for what a frame holds beside an answer; in the first one that is the adapters.
const FRAME_OVERHEAD_BYTES: usize = 64 * 1024 + Adapters::MAX_BYTES;

/// The codec of both sides. A frame holds an answer of `max_answer_bytes` and its text, whose escaping may take six
/// bytes for one; inputs are smaller.
pub fn codec(max_answer_bytes: usize) -> LengthDelimitedCodec {
    let max = max_answer_bytes.saturating_mul(7).saturating_add(FRAME_OVERHEAD_BYTES);
    LengthDelimitedCodec::builder().max_frame_length(max.min(u32::MAX as usize)).new_codec()
}

/// A frame's bytes.
///
/// # Errors
/// Never for these types; serde_json's signature has one.
pub fn encode<T: Serialize>(frame: &T) -> Result<Bytes, serde_json::Error> {
    serde_json::to_vec(frame).map(Bytes::from)
}

/// Reads a frame's bytes.
///
/// # Errors
/// The other side is another version or has gone mad.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::Answer;

    #[test]
    fn an_answer_keeps_its_bytes() {
        let json = r#"{"b": 1.0,  "a":"\u0041"}"#;
        let output = serde_json::value::RawValue::from_string(json.to_owned()).expect("valid JSON");
        let key = AttemptKey { task: TaskId::generate(), number: 3 };
        let frame = FromChild::Ended(key, Outcome::Completed(Answer { output, text: "A".into() }), None);
        let bytes = encode(&frame).expect("encodes");
        let FromChild::Ended(read, Outcome::Completed(answer), None) = decode(&bytes).expect("decodes") else {
            panic!("another frame came out");
        };
        assert_eq!((read, answer.output.get(), answer.text.as_str()), (key, json, "A"));
    }
}
