//! A schedule's input, which the Python service kept in one of three columns.

use serde_json::{Value, json};

/// The input in our stored form: `params.value` as its newer versions wrote it, else the text of `input_data`, else
/// that of `workflow_params`; `None` where there is none, and the default is sent.
///
/// Text that happens to be JSON is text: that is how it was sent.
pub fn input(params: Option<&str>, input_data: Option<&str>, workflow_params: Option<&str>) -> Option<String> {
    let params = params.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let given = match params {
        Some(Value::Object(mut object)) => object.remove("value").filter(|value| !is_nothing(value)),
        _ => None,
    };
    let text = || [input_data, workflow_params].into_iter().flatten().find(|text| !text.is_empty()).map(Value::from);
    given.or_else(text).map(|value| json!({ "value": value }).to_string())
}

/// What Python takes for false: the service sent its default then.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::input::Input;

    #[test]
    fn the_newest_place_counts_and_text_stays_text() {
        let sent = |params, data, older| input(params, data, older).map(|stored| Input::source_text(Some(&stored)));
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(sent(Some(r#"{"value": "new"}"#), Some("old"), Some("older")), text("new"));
        assert_eq!(sent(Some("null"), Some("old"), Some("older")), text("old"));
        assert_eq!(sent(None, Some(""), Some("older")), text("older"));
        assert_eq!(sent(Some(r#"{"value": ""}"#), None, None), None);
        assert_eq!(sent(Some(r#"{"mode": "fast"}"#), None, None), None);
        assert_eq!(sent(Some("[1]"), None, None), None);
        assert_eq!(sent(Some(r#"{"value": {"a": 1}}"#), None, None), text(r#"{"a":1}"#));
        assert_eq!(sent(None, Some(r#"{"value": "x"}"#), None), text(r#"{"value": "x"}"#));
        assert_eq!(sent(None, None, None), None);
    }
}
