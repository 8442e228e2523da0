//! Every answer that a test of the API gets is held against the OpenAPI document.

use std::collections::{HashMap, HashSet};
use std::sync::{LazyLock, Mutex};

use automagik_spark::http::openapi::document;
use jsonschema::Validator;
use serde_json::{Value, json};

use super::client::Answer;

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);
/// Compiled schemas, by their text.
static VALIDATORS: LazyLock<Mutex<HashMap<String, &'static Validator>>> = LazyLock::new(Mutex::default);

/// Fails where the document does not describe the answer. Paths and methods that it does not have are left to the test.
#[track_caller]
pub(crate) fn check(method: &str, target: &str, answer: &Answer) {
    let Some((path, operation)) = operation(method, target) else { return };
    let here = format!("{method} {path} answered {}", answer.status);
    let described = &operation["responses"][answer.status.to_string()];
    assert!(described.is_object(), "{here}, which the document does not know: {}", answer.text());
    let Some(content) = described["content"].as_object() else { return };
    let kind = answer.headers.get("content-type").map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let kind = kind.unwrap_or_else(|| panic!("{here} without a content type"));
    assert!(content.contains_key(kind), "{here} with {kind}, which the document does not know");
    if kind == "application/json" {
        let body = answer.json();
        let errors: Vec<String> = validator(&content[kind]["schema"])
            .iter_errors(&body)
            .map(|error| format!("{} at {:?}", error, error.instance_path().to_string()))
            .collect();
        assert!(errors.is_empty(), "{here}, but not as described: {errors:?} in {body}");
    }
}

/// The operations of the document: method, path.
pub(crate) fn operations() -> Vec<(String, String)> {
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let of_path = |(path, operations): (&String, &Value)| -> Vec<(String, String)> {
        let methods = operations.as_object().expect("operations").keys();
        methods.map(|method| (method.to_uppercase(), path.clone())).collect()
    };
    paths.iter().flat_map(of_path).collect()
}

/// The path of the document that a target is of, and what is done there. A fixed part fits better than a parameter.
pub(crate) fn operation(method: &str, target: &str) -> Option<(String, &'static Value)> {
    let target = target.split(['?', '#']).next()?;
    let given: Vec<&str> = target.trim_end_matches('/').split('/').collect();
    let parameters = |path: &str| path.matches('{').count();
    let fits = |path: &&String| {
        let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        parts.len() == given.len()
            && parts.iter().zip(&given).all(|(part, given)| part.starts_with('{') || part == given)
    };
    let path = DOCUMENT["paths"].as_object()?.keys().filter(fits).min_by_key(|path| parameters(path))?;
    let operation = DOCUMENT["paths"][path].get(method.to_lowercase())?;
    Some((path.clone(), operation))
}

fn validator(schema: &Value) -> &'static Validator {
    let mut validators = VALIDATORS.lock().expect("no test panics under this lock");
    validators.entry(schema.to_string()).or_insert_with(|| {
        let mut schema = schema.clone();
        // Where its references lead.
        schema["components"] = DOCUMENT["components"].clone();
        let parts = parts(&schema);
        close(&mut schema, &parts);
        let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&schema);
        Box::leak(Box::new(validator.expect("the document's schemas are schemas")))
    })
}

/// Takes every object that lists its fields to have no others; the parts of an `allOf` are judged together.
fn close(schema: &mut Value, parts: &HashSet<String>) {
    let Some(object) = schema.as_object_mut() else {
        schema.as_array_mut().into_iter().flatten().for_each(|schema| close(schema, parts));
        return;
    };
    let is_closed = object.contains_key("properties") || object.contains_key("allOf");
    for (_, value) in object.iter_mut().filter(|(name, _)| *name != "allOf" && !parts.contains(*name)) {
        close(value, parts);
    }
    if is_closed && !object.contains_key("additionalProperties") {
        object.insert("unevaluatedProperties".to_owned(), false.into());
    }
}

/// The names of schemas that are part of others.
fn parts(schema: &Value) -> HashSet<String> {
    let (of_all, rest): (Vec<_>, Vec<_>) = match schema {
        Value::Object(object) => object.iter().map(|(name, value)| (name == "allOf", value)).partition(|(all, _)| *all),
        Value::Array(items) => (Vec::new(), items.iter().map(|item| (false, item)).collect()),
        _ => return HashSet::new(),
    };
    let references = of_all.iter().flat_map(|(_, value)| value.as_array().into_iter().flatten());
    let names = references.filter_map(|part| part["$ref"].as_str()?.rsplit('/').next().map(str::to_owned));
    names.chain(rest.iter().flat_map(|(_, value)| parts(value))).collect()
}

#[test]
fn an_answer_that_is_not_described_is_found() {
    let answer = |status, body: &Value| Answer {
        status,
        headers: HashMap::from([("content-type".to_owned(), "application/json".to_owned())]),
        body: body.to_string().into_bytes(),
    };
    let page = json!({ "items": [], "total": 0, "limit": 50, "offset": 0, "has_more": false });
    check("GET", "/api/v1/tasks/?limit=50", &answer(200, &page));
    check("PATCH", "/api/v1/tasks", &answer(405, &json!(1)));
    let not_a_page = json!({ "items": [{}], "total": "none", "limit": 50, "offset": 0, "has_more": false });
    for (status, body) in [(200, &not_a_page), (418, &page)] {
        let found = std::panic::catch_unwind(|| check("GET", "/api/v1/tasks", &answer(status, body)));
        assert!(found.is_err(), "{status} {body}");
    }
}
