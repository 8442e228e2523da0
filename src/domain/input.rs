//! What a task gives its workflow.
//!
//! Sources take text only (a LangFlow that is sent an object runs on empty input and succeeds), so an object travels
//! as its JSON text. Stored and shown, text is `{"value": text}`, the form the Python service used.

use serde_json::{Map, Value};

/// A task's input: never empty.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Passed on exactly as it came.
    Text(String),
    /// Passed on as JSON text.
    Object(Map<String, Value>),
}

/// Why a value is no input.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InputError {
    /// Neither text nor an object.
    #[error("input_data must be a non-empty string or object, not {0}")]
    Kind(&'static str),
    /// `""` or `{}`.
    #[error("input_data must not be empty")]
    Empty,
    /// PostgreSQL can't store it, and no source means it.
    #[error("input_data must not contain the character U+0000")]
    Nul,
}

impl Input {
    /// Reads what a request or a schedule gives. `{"value": x}` means x.
    ///
    /// # Errors
    /// Anything but a non-empty string or object, or one with a NUL character.
    pub fn from_json(value: Value) -> Result<Self, InputError> {
        let input = match value {
            Value::String(text) => Self::text(text)?,
            Value::Object(mut object) if object.len() == 1 && object.contains_key("value") => {
                return Self::from_json(object.remove("value").unwrap_or_default());
            }
            Value::Object(object) if object.is_empty() => return Err(InputError::Empty),
            Value::Object(object) => Self::Object(object),
            Value::Null => return Err(InputError::Kind("null")),
            Value::Bool(_) => return Err(InputError::Kind("a boolean")),
            Value::Number(_) => return Err(InputError::Kind("a number")),
            Value::Array(_) => return Err(InputError::Kind("an array")),
        };
        if input.has_nul() { Err(InputError::Nul) } else { Ok(input) }
    }

    /// Text as input.
    ///
    /// # Errors
    /// Empty text, or text with a NUL character.
    pub fn text(text: impl Into<String>) -> Result<Self, InputError> {
        let text = text.into();
        match text {
            _ if text.is_empty() => Err(InputError::Empty),
            _ if text.contains('\0') => Err(InputError::Nul),
            _ => Ok(Self::Text(text)),
        }
    }

    /// The stored form, JSON text.
    pub fn to_stored(&self) -> String {
        self.to_json().to_string()
    }

    /// The shown form.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => serde_json::json!({ "value": text }),
            Self::Object(object) => Value::Object(object.clone()),
        }
    }

    /// What the source is sent, from the stored form. Rows of the Python service may hold any JSON: what is neither
    /// text nor an object is sent as its JSON text, and nothing as empty text.
    pub fn source_text(stored: Option<&str>) -> String {
        let Some(stored) = stored else { return String::new() };
        match serde_json::from_str(stored) {
            Ok(Value::String(text)) => text,
            Ok(Value::Object(object)) => match (object.len(), object.get("value")) {
                (1, Some(Value::String(text))) => text.clone(),
                (1, Some(value)) => value.to_string(),
                _ => stored.to_owned(),
            },
            _ => stored.to_owned(),
        }
    }

    /// PostgreSQL refuses U+0000 in text, and takes its escape in `json` but fails to read it out.
    fn has_nul(&self) -> bool {
        fn nul(value: &Value) -> bool {
            match value {
                Value::String(text) => text.contains('\0'),
                Value::Array(items) => items.iter().any(nul),
                Value::Object(object) => object.iter().any(|(key, value)| key.contains('\0') || nul(value)),
                _ => false,
            }
        }
        match self {
            Self::Text(text) => text.contains('\0'),
            Self::Object(object) => object.iter().any(|(key, value)| key.contains('\0') || nul(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_is_passed_on_exactly_and_objects_as_json() {
        let cases = [
            (json!("  hi \n"), "  hi \n"),
            (json!({"value": "x"}), "x"),
            (json!({"value": {"a": 1}}), r#"{"a":1}"#),
            (json!({"b": 1, "a": [2]}), r#"{"b":1,"a":[2]}"#),
        ];
        for (given, sent) in cases {
            let input = Input::from_json(given).expect("valid");
            assert_eq!(Input::source_text(Some(&input.to_stored())), sent);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for bad in [json!(""), json!({}), json!({"value": ""}), json!({"value": {}})] {
            assert_eq!(Input::from_json(bad), Err(InputError::Empty));
        }
        for bad in [json!(null), json!(1), json!(true), json!([]), json!({"value": null})] {
            assert!(matches!(Input::from_json(bad), Err(InputError::Kind(_))));
        }
        for bad in [json!("a\0"), json!({"a": ["\0"], "b": 1}), json!({"\0": 1, "b": 1})] {
            assert_eq!(Input::from_json(bad), Err(InputError::Nul));
        }
    }

    #[test]
    fn rows_of_the_python_service_are_read() {
        assert_eq!(Input::source_text(Some(r#""Hello""#)), "Hello");
        assert_eq!(Input::source_text(Some(r#"{"value": "Hello"}"#)), "Hello");
        assert_eq!(Input::source_text(Some("[1]")), "[1]");
        assert_eq!(Input::source_text(None), "");
    }
}
