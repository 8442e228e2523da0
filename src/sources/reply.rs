//! What Hive and Agents have in common: a flow takes one message and gives one reply.
//!
//! A reply has one shape, `{"result", "session_id", "run_id", "status", "success", ...}`, with all else that the server said
//! beside it. Values are passed on unread, so no number is rounded on its way.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::call::CallError;
use super::detail::shorten;
use crate::domain::outcome::{Answer, Failure};
use crate::domain::workflow::{FlowComponent, RemoteFlow};

/// Code of a run that the source began and that ended in an error there.
const FLOW_FAILED: &str = "flow_failed";

const INPUT: &str = "message";
const OUTPUT: &str = "result";

/// The fields of an answer. `null` counts as absent.
#[derive(Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct Fields<'a>(#[serde(borrow)] BTreeMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    /// The fields of a body that should be an object.
    pub(super) fn of(body: &'a [u8]) -> Result<Self, CallError> {
        serde_json::from_slice(body).map_err(|error| unusable(&format!("it is no JSON object ({error})"), body))
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied().filter(|value| value.get() != "null")
    }

    /// A field's text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    /// The reply, without the field that its result came in.
    pub(super) fn completed(
        mut self,
        result_field: &str,
        result: Option<&'a RawValue>,
    ) -> Result<Answer, serde_json::Error> {
        let text = result.map(shown).unwrap_or_default();
        self.0.remove(result_field);
        self.0.insert("result".to_owned(), result.unwrap_or(RawValue::NULL));
        self.0.insert("success".to_owned(), RawValue::TRUE);
        for name in ["session_id", "run_id"] {
            self.0.entry(name.to_owned()).or_insert(RawValue::NULL);
        }
        let status = serde_json::value::to_raw_value("COMPLETED")?;
        let mut fields = self.0;
        fields.insert("status".to_owned(), &status);
        Ok(Answer { output: serde_json::value::to_raw_value(&fields)?, text })
    }
}

/// A flow with what it takes and what it gives.
pub(super) fn with_ends(flow: RemoteFlow) -> RemoteFlow {
    let component = |id: &str, kind: &str, description: &str| FlowComponent {
        id: id.to_owned(),
        kind: kind.to_owned(),
        name: id.to_owned(),
        description: description.to_owned(),
    };
    RemoteFlow {
        components: vec![component(INPUT, "input", "What it is told"), component(OUTPUT, "output", "What it answers")],
        input_component: Some(INPUT.to_owned()),
        output_component: Some(OUTPUT.to_owned()),
        ..flow
    }
}

/// The text of a value: itself, or its JSON.
pub(super) fn shown(value: &RawValue) -> String {
    serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned())
}

/// The run ended in an error at the source. As with a component of LangFlow that raises, another attempt may mend it: most
/// such errors come from a model's provider.
pub(super) fn failed(why: &str) -> Failure {
    Failure::transient(FLOW_FAILED, format!("the flow failed: {}", shorten(why)))
}

/// A success that says something else than it should.
pub(super) fn unusable(why: &str, body: &[u8]) -> CallError {
    CallError::Unusable(format!("{why}: {}", shorten(&String::from_utf8_lossy(body))))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn completed(body: &str) -> (Value, String) {
        let fields = Fields::of(body.as_bytes()).expect("an object");
        let result = fields.get("content");
        let answer = fields.completed("content", result).expect("JSON");
        (serde_json::from_str(answer.output.get()).expect("JSON"), answer.text)
    }

    #[test]
    fn every_answer_has_one_shape_and_keeps_what_else_was_said() {
        let (output, text) = completed(r#"{"content":"HI","session_id":"s","status":"completed","usage":{"n":1}}"#);
        let shape = json!({
            "result": "HI", "session_id": "s", "run_id": null, "status": "COMPLETED", "success": true, "usage": {"n": 1}
        });
        assert_eq!((output, text.as_str()), (shape, "HI"));
    }

    #[test]
    fn what_is_no_text_is_shown_as_json_and_stays_what_it_is() {
        let (output, text) = completed(r#"{"content":{"n":1.10,"a":["x"]}}"#);
        assert_eq!(
            (output["result"].clone(), text.as_str()),
            (json!({"n": 1.1, "a": ["x"]}), r#"{"n":1.10,"a":["x"]}"#)
        );
        let (output, text) = completed(r#"{"content":null}"#);
        assert_eq!((output["result"].clone(), text.as_str()), (Value::Null, ""));
    }

    #[test]
    fn what_is_no_object_is_refused_with_what_it_is() {
        for body in ["[]", "\"x\"", "<html>", ""] {
            let failure = Failure::from(Fields::of(body.as_bytes()).expect_err("refused"));
            assert!(failure.code == "unusable_answer" && failure.message.contains(body), "{}", failure.message);
        }
    }
}
