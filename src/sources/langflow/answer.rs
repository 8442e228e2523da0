//! What a finished run of LangFlow says. The answer is passed on byte for byte, so only the way to its text is parsed,
//! and everything beside that way is skipped unread.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::outcome::Answer;
use crate::sources::detail::shorten;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    outputs: Option<Vec<Run<'a>>>,
}

/// One input's run; there is one, since one input is sent.
#[derive(Deserialize)]
struct Run<'a> {
    #[serde(borrow, default)]
    outputs: Vec<Option<Node<'a>>>,
}

/// What a node of the flow brought.
#[derive(Deserialize)]
struct Node<'a> {
    #[serde(borrow)]
    component_id: Option<&'a RawValue>,
    #[serde(borrow)]
    results: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    outputs: Option<&'a RawValue>,
}

/// By the name of the node's output: `message` of a chat output, `text` of a text output.
#[derive(Deserialize)]
struct Results<'a> {
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Sent<'a> {
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

/// The answer in a body, or why there is none.
pub(super) fn read(body: Vec<u8>, component: Option<&str>) -> Result<Answer, String> {
    let body = String::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())?;
    let text = text(&body, component)?;
    let output = RawValue::from_string(body).map_err(|error| format!("it is not JSON: {error}"))?;
    Ok(Answer { output, text })
}

/// The text of the wanted component, or of the last that has a result. A flow that has no output component finished all
/// the same: its text is empty.
fn text(body: &str, component: Option<&str>) -> Result<String, String> {
    let envelope: Envelope<'_> = serde_json::from_str(body)
        .map_err(|error| format!("it is not what LangFlow answers a run with ({error}): {}", shorten(body)))?;
    let runs = envelope.outputs.ok_or_else(|| format!("it has no outputs: {}", shorten(body)))?;
    let nodes = || runs.iter().flat_map(|run| run.outputs.iter().flatten());
    let wanted = component.and_then(|id| nodes().rfind(|node| node.is(id)));
    let node = wanted.or_else(|| nodes().rfind(|node| node.has_results())).or_else(|| nodes().next_back());
    Ok(node.and_then(Node::text).unwrap_or_default())
}

impl Node<'_> {
    fn is(&self, id: &str) -> bool {
        self.component_id.and_then(read_text).is_some_and(|own| own == id)
    }

    fn has_results(&self) -> bool {
        self.results.is_some_and(|results| !matches!(results.get(), "null" | "{}" | "[]"))
    }

    fn text(&self) -> Option<String> {
        self.result_text().or_else(|| self.message_text()).or_else(|| self.output_text()).or_else(|| {
            // A node whose output is neither (data, a table): better its JSON than nothing.
            self.results.filter(|_| self.has_results()).map(|results| results.get().to_owned())
        })
    }

    fn result_text(&self) -> Option<String> {
        let results: Results<'_> = serde_json::from_str(self.results?.get()).ok()?;
        results.message.and_then(text_of).or_else(|| results.text.and_then(text_of))
    }

    fn message_text(&self) -> Option<String> {
        let sent: Vec<Sent<'_>> = serde_json::from_str(self.messages?.get()).ok()?;
        sent.into_iter().find_map(|sent| sent.message).map(Cow::into_owned)
    }

    /// Nodes in the middle of a flow have neither results nor messages, but their outputs by name. (`debug` only.)
    fn output_text(&self) -> Option<String> {
        let outputs: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(self.outputs?.get()).ok()?;
        let messages = outputs.values().filter_map(|output| serde_json::from_str::<Output<'_>>(output.get()).ok());
        messages.filter_map(|output| output.message.and_then(text_of)).next()
    }
}

/// The text of a message, which may be nothing but a text.
fn text_of(value: &RawValue) -> Option<String> {
    if let Some(text) = read_text(value) {
        return Some(text.into_owned());
    }
    serde_json::from_str::<Message<'_>>(value.get()).ok()?.text.map(Cow::into_owned)
}

fn read_text(value: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    value
        .get()
        .starts_with('"')
        .then(|| serde_json::from_str::<Text<'_>>(value.get()).ok())
        .flatten()
        .map(|text| text.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: &str = include_str!("../../../tests/fixtures/langflow/run_chat.json");
    const TEXT: &str = include_str!("../../../tests/fixtures/langflow/run_text.json");
    const DEBUG: &str = include_str!("../../../tests/fixtures/langflow/run_debug.json");
    const SILENT: &str = include_str!("../../../tests/fixtures/langflow/run_silent.json");

    fn text_in(body: &str, component: Option<&str>) -> String {
        text(body, component).expect("an answer")
    }

    #[test]
    fn recorded_answers_give_their_text() {
        assert_eq!(text_in(CHAT, Some("ChatOutput-bbbbb")), "HELLO SPARK");
        assert_eq!(text_in(TEXT, Some("TextOutput-bbbbb")), "HELLO SPARK");
        assert_eq!(text_in(SILENT, None), "");
    }

    #[test]
    fn the_wanted_component_wins_and_an_absent_one_means_the_last_with_results() {
        assert_eq!(text_in(DEBUG, Some("ChatInput-aaaaa")), "hello spark");
        assert_eq!(text_in(DEBUG, Some("Probe-ppppp")), "HELLO SPARK");
        assert_eq!(text_in(DEBUG, Some("ChatOutput-bbbbb")), "HELLO SPARK");
        assert_eq!(text_in(DEBUG, Some("ChatOutput-zzzzz")), "HELLO SPARK");
        assert_eq!(text_in(DEBUG, None), "HELLO SPARK");
    }

    #[test]
    fn other_shapes_are_read_as_far_as_they_go() {
        let node = |node: &str| format!(r#"{{"outputs":[{{"outputs":[{node}]}}]}}"#);
        let cases = [
            (r#"{"results":{"message":"plain"}}"#, "plain"),
            (r#"{"results":{"message":{"text":"a\"\nb"}}}"#, "a\"\nb"),
            (r#"{"results":{},"messages":[{"message":"said"}]}"#, "said"),
            (r#"{"results":{"message":{"text":null}},"messages":[{"message":"said"}]}"#, "said"),
            (r#"{"results":{"data":{"a":1}},"messages":[]}"#, r#"{"data":{"a":1}}"#),
            (r#"{"results":{"message":{"text":""}}}"#, ""),
            (r#"{"results":null,"messages":null,"component_id":7}"#, ""),
            ("null", ""),
        ];
        for (given, expected) in cases {
            assert_eq!(text_in(&node(given), None), expected, "{given}");
        }
    }

    #[test]
    fn answers_of_something_else_are_refused() {
        for body in ["", "<html></html>", "[]", "{}", r#"{"detail":"x"}"#, r#"{"outputs":5}"#, r#"{"outputs":[]} x"#] {
            assert!(read(body.as_bytes().to_vec(), None).is_err(), "{body}");
        }
        assert!(read(b"{\"outputs\":[\xff]}".to_vec(), None).is_err());
    }

    #[test]
    fn the_whole_answer_is_kept_byte_for_byte() {
        let body = r#"{"outputs" : [ ],  "number": 1.0e2, "a":1}"#;
        let answer = read(body.as_bytes().to_vec(), None).expect("an answer");
        assert_eq!(answer.output.get(), body);
    }
}
