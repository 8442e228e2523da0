//! What an answer says, pure: whether a run is over and how, which flows there are. An answer is passed on byte for byte;
//! only the ways to what the adapter names are parsed.

use serde_json::value::{RawValue, to_raw_value};

use crate::domain::adapter::pointer::{self, Pointers};
use crate::domain::adapter::{Accept, Inputs, Listed, Poll, Run};
use crate::domain::outcome::Answer;
use crate::domain::workflow::{FlowComponent, RemoteFlow};
use crate::sources::detail;

/// An answer to a run.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) json: Box<RawValue>,
    /// Of an answer that is no JSON: all of it.
    text: Option<String>,
}

/// What an answer to a run means.
#[derive(Debug)]
pub(super) enum Verdict<'a> {
    Done(Answer),
    /// The flow ran and failed, for this reason.
    Failed(String),
    /// It is not over, and this is how it is followed.
    GoesOn(Said, &'a Poll),
    /// It is not what the adapter says.
    Unusable(String),
}

/// Reads an answer to a run.
///
/// # Errors
/// It is of a kind that the adapter does not accept.
pub(super) fn read(body: Vec<u8>, accept: Accept) -> Result<Said, String> {
    let body = String::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())?;
    let plain = |text: String| {
        let json = to_raw_value(&serde_json::json!({ "result": text })).map_err(|error| error.to_string())?;
        Ok(Said { json, text: Some(text) })
    };
    if body.trim().is_empty() {
        return if accept.empty { plain(String::new()) } else { Err("it is empty".to_owned()) };
    }
    if accept.text && serde_json::from_str::<&RawValue>(&body).is_err() {
        return plain(body);
    }
    json(body).map(|json| Said { json, text: None })
}

/// An answer that must be JSON.
///
/// # Errors
/// It is not.
pub(super) fn json(body: String) -> Result<Box<RawValue>, String> {
    // The body moves into the value; only one that is none has to be shown.
    if let Err(error) = serde_json::from_str::<&RawValue>(&body) {
        return Err(format!("it is not JSON ({error}): {}", detail::shorten(&body)));
    }
    RawValue::from_string(body).map_err(|error| error.to_string())
}

/// What the first answer to a run means, or (`is_first` false) one to a question about it.
pub(super) fn judge(said: Said, run: &Run, is_first: bool) -> Verdict<'_> {
    match &run.state {
        None => match said.text.is_none().then(|| reason(&said.json, run)).flatten() {
            Some(reason) => Verdict::Failed(reason),
            None => done(said, run),
        },
        Some(state) => match (state.status.text(&said.json), &run.poll) {
            (Some(status), _) if state.success.contains(&status) => done(said, run),
            (Some(status), Some(poll)) if !state.failure.contains(&status) => Verdict::GoesOn(said, poll),
            (Some(status), _) => {
                Verdict::Failed(reason(&said.json, run).unwrap_or_else(|| format!("it says {status:?}")))
            }
            // Many engines say no more at first than what the run is called.
            (None, Some(poll)) if is_first => Verdict::GoesOn(said, poll),
            (None, _) => Verdict::Unusable(nothing_at("status", &state.status, &said.json)),
        },
    }
}

fn done(said: Said, run: &Run) -> Verdict<'static> {
    let named = || run.result.as_ref().and_then(|result| result.text(&said.json));
    let text = said.text.clone().or_else(named).unwrap_or_else(|| pointer::text(&said.json));
    Verdict::Done(Answer { output: said.json, text })
}

/// What went wrong, if anything did.
fn reason(json: &RawValue, run: &Run) -> Option<String> {
    let found = run.error.as_ref()?.find(json)?;
    let is_something = !matches!(found.get(), "false" | "\"\"" | "[]" | "{}");
    is_something.then(|| pointer::text(found))
}

/// Says that a place is empty where the adapter promises something.
pub(super) fn nothing_at(what: &str, place: &Pointers, json: &RawValue) -> String {
    format!("there is no {what} at {place}: {}", detail::shorten(json.get()))
}

/// The flows of one page of a list.
///
/// # Errors
/// There is no array where the adapter says.
pub(super) fn flows(page: &RawValue, listed: &Listed) -> Result<Vec<RemoteFlow>, String> {
    let items = listed.items.find(page).and_then(pointer::elements);
    let items = items.ok_or_else(|| nothing_at("list", &listed.items, page))?;
    Ok(items.into_iter().filter_map(|item| flow(item, listed)).collect())
}

/// A flow; none where there is no id.
pub(super) fn flow(json: &RawValue, listed: &Listed) -> Option<RemoteFlow> {
    let id = listed.id.text(json).filter(|id| !id.is_empty())?;
    let components = listed.inputs.as_ref().map(|inputs| components(json, inputs)).unwrap_or_default();
    Some(RemoteFlow {
        name: listed.name.text(json).filter(|name| !name.is_empty()).unwrap_or_else(|| id.clone()),
        description: listed.description.text(json).unwrap_or_default(),
        input_component: components.first().map(|component| component.id.clone()),
        components,
        raw: serde_json::from_str(json.get()).ok(),
        id,
        ..RemoteFlow::default()
    })
}

fn components(flow: &RawValue, inputs: &Inputs) -> Vec<FlowComponent> {
    let parts = inputs.items.find(flow).and_then(pointer::elements).unwrap_or_default();
    let is_input =
        |part: &&RawValue| inputs.when.iter().all(|(place, value)| place.text(part).as_deref() == Some(value.as_str()));
    let read = |part: &RawValue| {
        let id = inputs.id.text(part).filter(|id| !id.is_empty())?;
        let name = inputs.name.text(part).unwrap_or_default();
        Some(FlowComponent { id, kind: "input".to_owned(), name, description: String::new() })
    };
    parts.into_iter().filter(is_input).filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::adapter::{Adapter, Flows};

    fn run(more: &str) -> Run {
        let text = format!(
            "description = \"x\"\n[list]\n[run]\nresult = [\"/result\", \"/0/output\"]\nerror = \"/error\"\n{more}"
        );
        Adapter::read("x", "x", &text).expect("an adapter").run
    }

    fn verdict(body: &str, more: &str) -> String {
        verdict_of(body, more, true)
    }

    fn verdict_of(body: &str, more: &str, is_first: bool) -> String {
        let run = run(more);
        let said = match read(body.as_bytes().to_vec(), run.accept) {
            Ok(said) => said,
            Err(why) => return format!("refused: {why}"),
        };
        match judge(said, &run, is_first) {
            Verdict::Done(answer) => format!("done: {} {}", answer.text, answer.output.get()),
            Verdict::Failed(why) => format!("failed: {why}"),
            Verdict::GoesOn(..) => "goes on".to_owned(),
            Verdict::Unusable(why) => format!("unusable: {why}"),
        }
    }

    #[test]
    fn the_result_is_where_the_adapter_says_and_the_answer_stays_as_it_is() {
        for (body, expected) in [
            (r#"{"result" : "x\u00e9",  "n":1.0}"#, r#"done: xé {"result" : "x\u00e9",  "n":1.0}"#),
            (r#"[{"output":{"a": 1}}]"#, r#"done: {"a": 1} [{"output":{"a": 1}}]"#),
            (r#"{"other":1}"#, r#"done: {"other":1} {"other":1}"#),
            (r#""just text""#, r#"done: just text "just text""#),
        ] {
            assert_eq!(verdict(body, ""), expected);
        }
    }

    #[test]
    fn what_is_no_json_counts_where_the_adapter_accepts_it() {
        assert_eq!(verdict("Hello \"you\"", "accept = \"text\""), r#"done: Hello "you" {"result":"Hello \"you\""}"#);
        assert_eq!(verdict(" \n", "accept = [\"json\", \"empty\"]"), r#"done:  {"result":""}"#);
        assert_eq!(verdict("{\"result\":1}", "accept = \"text\""), r#"done: 1 {"result":1}"#);
        for (body, more) in [("Hello", ""), ("", ""), ("", "accept = \"text\""), ("x", "accept = \"empty\"")] {
            assert!(verdict(body, more).starts_with("refused: "), "{body} {more}");
        }
        assert!(read(b"\xff".to_vec(), Accept { text: true, empty: true }).is_err());
    }

    #[test]
    fn an_error_is_a_failure_unless_it_says_nothing() {
        assert_eq!(verdict(r#"{"error":"boom","result":"x"}"#, ""), "failed: boom");
        assert_eq!(verdict(r#"{"error":{"code":5}}"#, ""), r#"failed: {"code":5}"#);
        for nothing in ["null", "false", "\"\"", "[]", "{}"] {
            assert!(
                verdict(&format!(r#"{{"error":{nothing},"result":"x"}}"#), "").starts_with("done: x "),
                "{nothing}"
            );
        }
    }

    #[test]
    fn a_status_decides_where_there_is_one() {
        let state = "status = \"/s\"\nsuccess = [\"ok\", true]\nfailure = [\"bad\", 7]\n";
        let poll = &format!("{state}[run.poll]\nurl = \"/u\"");
        for (body, without, with) in [
            (r#"{"s":"ok","error":"ignored","result":1}"#, "done: 1", "done: 1"),
            (r#"{"s":true,"result":1}"#, "done: 1", "done: 1"),
            (r#"{"s":"bad","error":"boom"}"#, "failed: boom", "failed: boom"),
            (r#"{"s":7}"#, "failed: it says \"7\"", "failed: it says \"7\""),
            (r#"{"s":"queued"}"#, "failed: it says \"queued\"", "goes on"),
            (r#"{"id":1}"#, "unusable: there is no status at /s: {\"id\":1}", "goes on"),
        ] {
            assert!(verdict(body, state).starts_with(without), "{body}: {}", verdict(body, state));
            assert!(verdict(body, poll).starts_with(with), "{body}: {}", verdict(body, poll));
        }
        assert_eq!(verdict_of(r#"{"s":"queued"}"#, poll, false), "goes on");
        assert!(verdict_of(r#"{"id":1}"#, poll, false).starts_with("unusable: there is no status"));
    }

    fn listed(more: &str) -> Listed {
        let text = format!("description = \"x\"\n[list]\nitems = \"/data\"\n{more}\n[run]\n");
        match Adapter::read("x", "x", &text).expect("an adapter").flows {
            Flows::Listed(listed) => *listed,
            Flows::Fixed(_) => panic!("a list"),
        }
    }

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).expect("JSON")
    }

    #[test]
    fn flows_are_read_as_far_as_they_go() {
        let page =
            raw(r#"{"data":[{"id":7,"name":"Seven","description":"d"},{"id":"a"},{"name":"no id"},5,{"id":""}]}"#);
        let flows = flows(&page, &listed("")).expect("flows");
        let shown: Vec<_> = flows.iter().map(|flow| (&*flow.id, &*flow.name, &*flow.description)).collect();
        assert_eq!(shown, [("7", "Seven", "d"), ("a", "a", "")]);
        assert_eq!(flows[1].raw, Some(serde_json::json!({"id": "a"})));
        for body in ["[]", "{}", r#"{"data":{}}"#] {
            assert!(super::flows(&raw(body), &listed("")).is_err(), "{body}");
        }
        let names = super::flows(&raw(r#"{"data":["a","b"]}"#), &listed("[flow]\nid = \"\"")).expect("flows");
        assert_eq!(names.iter().map(|flow| &*flow.name).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn the_first_part_that_fits_takes_the_input() {
        let listed = listed(
            "[flow.inputs]\nitems = \"/nodes\"\nwhen = { \"/t\" = \"hook\", \"/p/on\" = true }\nid = \"/p/path\"",
        );
        let flow = |nodes: &str| flow(&raw(&format!(r#"{{"id":"f","nodes":{nodes}}}"#)), &listed).expect("a flow");
        let nodes = r#"[{"t":"set","p":{"path":"x"}},{"t":"hook","p":{"path":"y"}},
            {"t":"hook","name":"Hook","p":{"on":true,"path":"a/b"}},{"t":"hook","p":{"on":true,"path":"z"}}]"#;
        let found = flow(nodes);
        assert_eq!((found.input_component.as_deref(), found.components.len()), (Some("a/b"), 2));
        assert_eq!(found.components[0].name, "Hook");
        assert_eq!(flow("null").input_component, None);
    }
}
