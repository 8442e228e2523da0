//! The simulated source's answers. A run's answer has the fields and the size of a real LangFlow's; it is cut into pieces
//! once, so that a run only joins them with its own texts.

use bytes::Bytes;
use serde_json::{Value, json};

/// The flow that takes and gives chat messages.
pub const FLOW_ID: &str = "51a7e000-0000-4000-8000-000000000001";
/// The flow that takes and gives texts.
pub const TEXT_FLOW_ID: &str = "51a7e000-0000-4000-8000-000000000002";
/// The project that holds both.
pub(super) const PROJECT_ID: &str = "51a7e000-0000-4000-8000-0000000000ff";

const SINCE: &str = "2026-01-01T00:00:00+00:00";

/// Places that each run fills. They stand inside JSON strings, and no such character stands anywhere else.
const INPUT: char = '\u{e000}';
const TEXT: char = '\u{e001}';
const SESSION: char = '\u{e002}';
const PADDING: char = '\u{e003}';

/// A flow of this server.
#[derive(Clone, Copy)]
pub(super) enum Flow {
    Chat,
    Text,
}

impl Flow {
    pub(super) const ALL: [Self; 2] = [Self::Chat, Self::Text];

    pub(super) fn by_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flow| flow.id() == id)
    }

    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Chat => FLOW_ID,
            Self::Text => TEXT_FLOW_ID,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Chat => "Simulated flow",
            Self::Text => "Simulated text flow",
        }
    }

    fn output(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Chat => ("message", "ChatOutput-sim02", "Chat Output"),
            Self::Text => ("text", "TextOutput-sim02", "Text Output"),
        }
    }

    /// The flow, with or without its graph.
    pub(super) fn describe(self, with_data: bool) -> Value {
        let kinds = match self {
            Self::Chat => [("ChatInput", "Chat Input"), ("ChatOutput", "Chat Output")],
            Self::Text => [("TextInput", "Text Input"), ("TextOutput", "Text Output")],
        };
        let nodes = kinds.iter().zip(["sim01", "sim02"]).map(|((kind, name), suffix)| {
            let id = format!("{kind}-{suffix}");
            let node = json!({"display_name": name, "description": format!("Simulated {kind}"), "template": {}});
            json!({"id": id, "type": "genericNode", "data": {"id": id, "type": kind, "node": node}})
        });
        let data = json!({"nodes": nodes.collect::<Vec<_>>(), "edges": [], "viewport": {"x": 0, "y": 0, "zoom": 1}});
        json!({
            "id": self.id(), "name": self.name(), "description": "Upper-cases what it is sent",
            "data": with_data.then_some(data), "folder_id": PROJECT_ID, "is_component": false, "endpoint_name": null,
            "icon": null, "icon_bg_color": null, "tags": null, "locked": false, "webhook": false,
            "mcp_enabled": false, "access_type": "PRIVATE", "flow_type": "workflow", "updated_at": SINCE,
        })
    }
}

/// A run's answer in pieces.
pub(super) struct Template(Vec<Piece>);

enum Piece {
    Fixed(Box<str>),
    Slot(char),
}

impl Template {
    pub(super) fn new(flow: Flow) -> Self {
        let json = shape(flow).to_string();
        let mut pieces = Vec::new();
        let mut rest = json.as_str();
        while let Some(at) = rest.find([INPUT, TEXT, SESSION, PADDING]) {
            let (fixed, tail) = rest.split_at(at);
            pieces.push(Piece::Fixed(fixed.into()));
            let mut tail = tail.chars();
            pieces.extend(tail.next().map(Piece::Slot));
            rest = tail.as_str();
        }
        pieces.push(Piece::Fixed(rest.into()));
        Self(pieces)
    }

    /// The answer of one run, of at least `least` bytes.
    pub(super) fn fill(&self, input: &str, text: &str, session: &str, least: usize) -> Bytes {
        let (input, text, session) = (escaped(input), escaped(text), escaped(session));
        let of = |slot: char| match slot {
            INPUT => input.as_str(),
            TEXT => text.as_str(),
            SESSION => session.as_str(),
            _ => "",
        };
        let lengths = self.0.iter().map(|piece| match piece {
            Piece::Fixed(fixed) => fixed.len(),
            Piece::Slot(slot) => of(*slot).len(),
        });
        let length: usize = lengths.sum();
        let padding = least.saturating_sub(length);
        let mut answer = String::with_capacity(length + padding);
        for piece in &self.0 {
            match piece {
                Piece::Fixed(fixed) => answer.push_str(fixed),
                Piece::Slot(PADDING) => answer.extend(std::iter::repeat_n('.', padding)),
                Piece::Slot(slot) => answer.push_str(of(*slot)),
            }
        }
        answer.into()
    }
}

/// What LangFlow says when a component raised: the reason is JSON inside a JSON text.
pub(super) fn failure(text: &str) -> Bytes {
    let inner = json!({
        "message": format!("Error running graph: Error building Component Simulated: \n\n{text}"),
        "traceback": null, "description": null, "code": null, "suggestion": null,
    });
    detail(&inner.to_string())
}

/// An error the FastAPI way.
pub(super) fn detail(text: &str) -> Bytes {
    json!({"detail": text}).to_string().into()
}

/// A text inside a JSON string.
fn escaped(text: &str) -> String {
    let mut quoted = Value::from(text).to_string();
    quoted.pop();
    quoted.remove(0);
    quoted
}

fn shape(flow: Flow) -> Value {
    let (output, component, component_name) = flow.output();
    let run = "51a7e000-0000-4000-8000-0000000000aa";
    let properties = json!({
        "text_color": null, "background_color": null, "edited": false,
        "source": {"id": "Simulated-sim03", "display_name": "Simulated", "source": "Simulated"},
        "icon": null, "allow_markdown": false, "positive_feedback": null, "state": "complete", "targets": [],
        "usage": null, "build_duration": null,
    });
    let fields = json!({
        "sender": "Machine", "sender_name": "AI", "files": [], "session_id": SESSION, "context_id": "", "run_id": run,
        "timestamp": SINCE, "flow_id": flow.id(), "error": false, "edit": false, "properties": properties,
        "category": "message", "content_blocks": [], "duration": null, "session_metadata": {"graph_run_id": run},
        "text": TEXT,
    });
    let mut message = json!({"text_key": "text", "data": fields, "default_value": ""});
    if let (Some(message), Some(fields)) = (message.as_object_mut(), fields.as_object()) {
        message.extend(fields.clone());
    }
    json!({"session_id": SESSION, "outputs": [{"inputs": {"input_value": INPUT}, "outputs": [{
        "results": {output: message},
        "artifacts": {output: TEXT, "sender": "Machine", "sender_name": "AI", "files": [], "type": "object"},
        "outputs": {output: {"message": TEXT, "type": "text"}},
        "logs": {output: [PADDING]},
        "messages": [{
            "message": TEXT, "sender": "Machine", "sender_name": "AI", "session_id": SESSION, "stream_url": null,
            "component_id": component, "files": [], "type": "text",
        }],
        "timedelta": null, "duration": null, "component_display_name": component_name, "component_id": component,
        "used_frozen_result": false, "token_usage": null,
    }]}]})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(least: usize, text: &str) -> (usize, Value) {
        let answer = Template::new(Flow::Chat).fill("in", text, "task", least);
        (answer.len(), serde_json::from_slice(&answer).expect("JSON"))
    }

    #[test]
    fn an_answer_has_the_shape_and_size_of_a_recorded_one() {
        let real = include_str!("../../tests/fixtures/langflow/run_chat.json");
        let recorded: Value = serde_json::from_str(real).expect("JSON");
        let (length, answer) = run(0, "HELLO SPARK");
        assert!(length.abs_diff(real.len()) < 400, "{length} against {}", real.len());
        let node = "/outputs/0/outputs/0";
        for place in ["", node, &format!("{node}/results/message"), &format!("{node}/messages/0")] {
            let keys = |value: &Value| {
                let object = value.pointer(place).and_then(Value::as_object).expect("an object");
                let mut keys: Vec<_> = object.keys().filter(|key| *key != "id").cloned().collect();
                keys.sort();
                keys
            };
            assert_eq!(keys(&answer), keys(&recorded), "{place}");
        }
    }

    #[test]
    fn texts_are_escaped_and_answers_padded() {
        let text = "\"quoted\"\n\u{1}é";
        let (length, answer) = run(5000, text);
        assert_eq!(length, 5000);
        assert_eq!(answer.pointer("/outputs/0/outputs/0/results/message/text"), Some(&json!(text)));
    }
}
