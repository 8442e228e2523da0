//! What a row of the audit trail says of a change, read off the request and its answer.
//!
//! Answers show no secret, with one exception that [`SECRETS`] names. So a new value is taken from the answer, and of a
//! field that the answer does not show only the name is kept: no field that is added one day is kept by accident.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// Never kept, whoever shows them. The answers to a new key and a new notification are those that hold a secret.
const SECRETS: [&str; 3] = ["key", "api_key", "secret"];
/// Fields of an answer that say which thing it is, kept whether they were asked for or not.
const TELLING: [&str; 3] = ["name", "url", "status"];
/// What narrows a bulk operation. No secret can be among them, and the answer need not repeat them.
const FILTERS: [&str; 11] = [
    "ids",
    "workflow_id",
    "schedule_id",
    "source_id",
    "status",
    "queue",
    "created_after",
    "created_before",
    "q",
    "id_prefix",
    "delayed",
];
/// Longest value that is kept, in bytes of JSON: a name or an expression fits, an input that somebody wrote does not.
const VALUE_MAX: usize = 500;
/// Most fields of a request that are looked at.
const FIELDS_MAX: usize = 50;
/// Longest name of such a field.
const NAME_MAX: usize = 64;

/// What is kept of a change.
#[derive(Debug, PartialEq)]
pub(super) struct Summary {
    /// The id that the answer has.
    pub(super) id: Option<String>,
    /// What changed: an object.
    pub(super) text: Value,
}

type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// Makes a summary of a request's body and query, and its answer.
pub(super) fn of(asked: &[u8], query: &str, answer: &[u8]) -> Summary {
    let (asked, answer): (Fields<'_>, Fields<'_>) = (fields(asked), fields(answer));
    let id = answer.get("id").and_then(|id| serde_json::from_str(id.get()).ok());
    let [mut changed, mut filter, mut text] = [Map::new(), Map::new(), Map::new()];
    let mut not_shown = Vec::new();
    let names = asked.keys().cloned().chain(url::form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name.into()));
    // PostgreSQL takes no U+0000, and a query may have it in a name that no handler reads.
    for name in names.filter(|name| name.len() <= NAME_MAX && !name.contains('\0')).take(FIELDS_MAX) {
        if let Some(value) = answer.get(&name).and_then(|value| shown(&name, value)) {
            changed.insert(name, value);
        } else if let Some(value) = asked.get(&name).filter(|_| is_filter(&name)).and_then(|value| shown(&name, value))
        {
            filter.insert(name, value);
        } else if !not_shown.contains(&name) {
            not_shown.push(name);
        }
    }
    for name in TELLING {
        if let Some(value) =
            answer.get(name).filter(|_| !changed.contains_key(name)).and_then(|value| shown(name, value))
        {
            text.insert(name.to_owned(), value);
        }
    }
    // An answer that is no thing but tells of several: how many. A pool and a queue have no id, but a name.
    let is_thing = id.is_some() || answer.contains_key("name");
    let is_count = |value: &&RawValue| value.get().bytes().all(|byte| byte.is_ascii_digit());
    let counts: Map<String, Value> = answer
        .iter()
        .filter(|(name, value)| !is_thing && is_count(value) && !changed.contains_key(*name))
        .filter_map(|(name, value)| Some((name.clone(), shown(name, value)?)))
        .collect();
    for (name, values) in [("changed", changed), ("filter", filter), ("counts", counts)] {
        if !values.is_empty() {
            text.insert(name.to_owned(), values.into());
        }
    }
    if !not_shown.is_empty() {
        text.insert("not_shown".to_owned(), json!(not_shown));
    }
    Summary { id, text: text.into() }
}

/// The fields of a JSON object; none of anything else.
fn fields(json: &[u8]) -> Fields<'_> {
    serde_json::from_slice(json).unwrap_or_default()
}

fn is_filter(name: &str) -> bool {
    FILTERS.contains(&name)
}

/// A value as it may be kept.
fn shown(name: &str, value: &RawValue) -> Option<Value> {
    let text = value.get();
    // PostgreSQL takes no U+0000; serde_json may write other characters so, too, and then only their names are kept.
    let fits = text.len() <= VALUE_MAX && !text.contains("\\u0000") && !SECRETS.contains(&name);
    if fits { serde_json::from_str(text).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(asked: &Value, query: &str, answer: &Value) -> Value {
        of(asked.to_string().as_bytes(), query, answer.to_string().as_bytes()).text
    }

    #[test]
    fn new_values_are_those_of_the_answer() {
        let asked = json!({"name": " flow ", "url": "http://h/", "api_key": "sk-secret", "later_field": "sk-secret"});
        let answer = json!({"id": "x", "name": "flow", "url": "http://h", "status": "active", "source_type": "http"});
        let summary = of(asked.to_string().as_bytes(), "", answer.to_string().as_bytes());
        assert_eq!(summary.id.as_deref(), Some("x"));
        let expected = json!({
            "status": "active", "changed": {"name": "flow", "url": "http://h"}, "not_shown": ["api_key", "later_field"],
        });
        assert_eq!(summary.text, expected);
    }

    #[test]
    fn a_new_key_is_never_kept_not_even_when_a_request_names_the_field() {
        let asked = json!({"name": "ci", "scope": "run", "key": "x", "api_key": "y"});
        let answer = json!({"id": "x", "name": "ci", "scope": "run", "key": "spk_secret", "api_key": "spk_secret"});
        let text = text(&asked, "key=1", &answer);
        assert_eq!(text, json!({"changed": {"name": "ci", "scope": "run"}, "not_shown": ["api_key", "key"]}));
    }

    #[test]
    fn long_values_and_endless_lists_of_fields_are_left_out() {
        let input = "x".repeat(VALUE_MAX);
        let answer = json!({"id": "x", "input_value": input, "timezone": "UTC"});
        let text_of = |asked: &Value| text(asked, "", &answer);
        assert_eq!(text_of(&json!({"input_value": input})), json!({"not_shown": ["input_value"]}));
        assert_eq!(text_of(&json!({"timezone": null})), json!({"changed": {"timezone": "UTC"}}));
        let many: Map<String, Value> = (0..1000).map(|n| (format!("f{n}"), n.into())).collect();
        assert_eq!(text_of(&many.into())["not_shown"].as_array().map(Vec::len), Some(FIELDS_MAX));
        assert_eq!(text_of(&json!({ "n".repeat(NAME_MAX + 1): 1 })), json!({}));
    }

    #[test]
    fn a_query_is_a_request_too() {
        let answer = json!({"id": "x", "name": "Greeter", "input_component": "ChatInput-1"});
        assert_eq!(
            text(&Value::Null, "input_component=ChatInput-1&source_url=http%3A%2F%2Fh", &answer),
            json!({"name": "Greeter", "changed": {"input_component": "ChatInput-1"}, "not_shown": ["source_url"]})
        );
    }

    #[test]
    fn a_bulk_operation_tells_its_filter_and_its_counts() {
        let asked = json!({"status": "failed", "queue": "celery", "reason": "because"});
        assert_eq!(
            text(&asked, "", &json!({"matched": 7, "retried": 5, "more": false})),
            json!({
                "filter": {"queue": "celery", "status": "failed"}, "counts": {"matched": 7, "retried": 5},
                "not_shown": ["reason"],
            })
        );
    }

    #[test]
    fn every_field_that_narrows_a_bulk_operation_is_told() {
        let schema =
            serde_json::to_value(<crate::http::bulk::TaskSelection as utoipa::PartialSchema>::schema()).expect("JSON");
        let fields: Vec<&String> = schema["properties"].as_object().expect("fields").keys().collect();
        let narrows = |name: &&&String| !["all", "limit", "cursor"].contains(&name.as_str());
        let untold: Vec<_> = fields.iter().filter(narrows).filter(|name| !is_filter(name)).collect();
        assert_eq!((fields.len(), untold), (FILTERS.len() + 3, vec![]));
    }

    #[test]
    fn a_pool_tells_what_was_asked_for_and_not_its_load() {
        let answer = json!({"name": "celery", "workers": 3, "threads": 4, "ready": 2});
        assert_eq!(text(&json!({"workers": 3}), "", &answer), json!({"name": "celery", "changed": {"workers": 3}}));
    }

    #[test]
    fn what_the_database_can_not_store_is_left_out() {
        assert_eq!(text(&json!({"name": 1}), "", &json!({"id": "x", "name": "a\0b"})), json!({"not_shown": ["name"]}));
        assert_eq!(text(&Value::Null, "%00=1&a%00b=1&c=1", &json!({"id": "x"})), json!({"not_shown": ["c"]}));
        assert_eq!(text(&json!({"a\0b": 1}), "", &json!({"id": "x"})), json!({}));
        for (asked, answer) in [("", ""), ("[1]", "\"x\""), ("{", "{\"id\":null}")] {
            assert_eq!(of(asked.as_bytes(), "", answer.as_bytes()), Summary { id: None, text: json!({}) });
        }
    }
}
