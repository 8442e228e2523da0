//! Stored JSON, shown as it is: answers of sources may be large, and are passed on without being taken apart.

use serde_json::value::RawValue;

/// Stored JSON; nothing where it is null.
pub(super) fn json(stored: Option<String>) -> Option<Box<RawValue>> {
    let stored = stored?;
    match RawValue::from_string(stored) {
        Ok(raw) if raw.get() == "null" => None,
        Ok(raw) => Some(raw),
        Err(_) => None,
    }
}

/// A stored input: an object as it is, everything else as `{"value": ...}`.
pub(super) fn input(stored: Option<String>) -> Option<Box<RawValue>> {
    let raw = json(stored)?;
    if raw.get().trim_start().starts_with('{') {
        return Some(raw);
    }
    RawValue::from_string(format!("{{\"value\":{}}}", raw.get())).ok()
}

/// A stored answer. The Python service stored JSON as a text within JSON; it is shown as what it is.
pub(super) fn output(stored: Option<String>) -> Option<Box<RawValue>> {
    let raw = json(stored)?;
    if !raw.get().trim_start().starts_with('"') {
        return Some(raw);
    }
    let inner = serde_json::from_str::<String>(raw.get()).ok().filter(|text| text.trim_start().starts_with(['{', '[']));
    Some(inner.and_then(|text| RawValue::from_string(text).ok()).unwrap_or(raw))
}

/// The text of an answer that the Python service stored, which kept none apart.
pub(super) fn result(output: Option<&RawValue>) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Answer {
        result: String,
    }
    let output = output?.get();
    let answer = || serde_json::from_str::<Answer>(output).ok().map(|answer| answer.result);
    serde_json::from_str::<String>(output).ok().or_else(answer)
}

/// A stored input as it was given: text as text.
pub(super) fn value(stored: Option<String>) -> Option<Box<RawValue>> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Text {
        value: Box<RawValue>,
    }
    let raw = json(stored)?;
    match serde_json::from_str::<Text>(raw.get()) {
        Ok(text) => Some(text.value),
        Err(_) => Some(raw),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_shown_in_one_form() {
        let shown = |stored: &str| input(Some(stored.to_owned())).map(|raw| raw.get().to_owned());
        assert_eq!(shown(r#"{"value": "x"}"#).as_deref(), Some(r#"{"value": "x"}"#));
        assert_eq!(shown(r#"{"a":1}"#).as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(shown(r#""x""#).as_deref(), Some(r#"{"value":"x"}"#));
        assert_eq!(shown("[1]").as_deref(), Some(r#"{"value":[1]}"#));
        assert_eq!(shown("null"), None);
        assert_eq!(shown("{broken"), None);
    }

    #[test]
    fn an_answer_within_a_text_is_unpacked() {
        let shown = |stored: &str| output(Some(stored.to_owned())).map(|raw| raw.get().to_owned());
        assert_eq!(shown(r#""{\"a\": 1}""#).as_deref(), Some(r#"{"a": 1}"#));
        assert_eq!(shown(r#"{"a":1}"#).as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(shown(r#""plain""#).as_deref(), Some(r#""plain""#));
        assert_eq!(shown(r#""{broken""#).as_deref(), Some(r#""{broken""#));
        assert_eq!(shown("null"), None);
        let text = |stored: &str| result(output(Some(stored.to_owned())).as_deref());
        assert_eq!(text(r#""{\"result\": \"x\", \"run_id\": 1}""#).as_deref(), Some("x"));
        assert_eq!(text(r#""plain""#).as_deref(), Some("plain"));
        assert_eq!(text(r#"{"outputs": []}"#), None);
    }

    #[test]
    fn an_input_is_shown_as_it_was_given() {
        let shown = |stored: &str| value(Some(stored.to_owned())).map(|raw| raw.get().to_owned());
        assert_eq!(shown(r#"{"value": "x"}"#).as_deref(), Some(r#""x""#));
        assert_eq!(shown(r#"{"value": 1, "a": 2}"#).as_deref(), Some(r#"{"value": 1, "a": 2}"#));
        assert_eq!(shown(r#"{"a":1}"#).as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(value(None).map(|raw| raw.get().to_owned()), None);
    }
}
