//! What a task gives its workflow.
//!
//! Sources take text only (a LangFlow that is sent an object runs on empty input and succeeds), so an object travels
//! as its JSON text. Stored and shown, text is `{"value": text}`, the form the Python service used.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::{self, Unsound};

/// A task's input: never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Passed on exactly as it came.
    Text(String),
    /// An object as JSON text, passed on as it was written: a number that no program could hold stays what it is.
    Object(String),
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
    /// It is JSON that no program can read.
    #[error("input_data can't be read: {0}")]
    Unreadable(String),
}

impl From<Unsound> for InputError {
    fn from(error: Unsound) -> Self {
        match error {
            Unsound::Nul => Self::Nul,
            Unsound::Unreadable(why) => Self::Unreadable(why),
        }
    }
}

/// `{"value": x}` and nothing else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapped<'a> {
    #[serde(borrow)]
    value: &'a RawValue,
}

impl Input {
    /// Reads what a request or a schedule gives. `{"value": x}` means x.
    ///
    /// # Errors
    /// Anything but a non-empty string or object, one with a NUL character, or one that nobody can read.
    pub fn from_json(json: &RawValue) -> Result<Self, InputError> {
        // Also bounds how often a value may be wrapped.
        json::check(json.get())?;
        Self::from_sound(json.get())
    }

    fn from_sound(json: &str) -> Result<Self, InputError> {
        match json.as_bytes().first() {
            Some(b'"') => match serde_json::from_str::<String>(json) {
                Ok(text) => Self::text(text),
                Err(error) => Err(InputError::Unreadable(error.to_string())),
            },
            Some(b'{') => match serde_json::from_str::<Wrapped<'_>>(json) {
                Ok(wrapped) => Self::from_sound(wrapped.value.get()),
                Err(_) if json[1..].trim_start() == "}" => Err(InputError::Empty),
                Err(_) => Ok(Self::Object(json.to_owned())),
            },
            Some(b'[') => Err(InputError::Kind("an array")),
            Some(b't' | b'f') => Err(InputError::Kind("a boolean")),
            Some(b'n') => Err(InputError::Kind("null")),
            _ => Err(InputError::Kind("a number")),
        }
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
        match self {
            Self::Text(text) => serde_json::json!({ "value": text }).to_string(),
            Self::Object(object) => object.clone(),
        }
    }

    /// What the source is sent, from the stored form. Rows of the Python service may hold any JSON: what is neither
    /// text nor an object is sent as its JSON text, and nothing as empty text.
    pub fn source_text(stored: Option<&str>) -> String {
        let Some(stored) = stored else { return String::new() };
        // A list of one would pass for it, too.
        let wrapped = stored.trim_start().starts_with('{').then(|| serde_json::from_str::<Wrapped<'_>>(stored));
        let json = wrapped.and_then(Result::ok).map_or(stored, |wrapped| wrapped.value.get());
        serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: &str) -> Result<Input, InputError> {
        Input::from_json(serde_json::from_str(json).expect("JSON"))
    }

    #[test]
    fn an_object_is_passed_on_as_it_was_written() {
        for object in [r#"{"id":12345678901234567890123,"x":0.1000, "z" : 1E+2}"#, r#"{"value":1,"value":2}"#] {
            let stored = read(object).expect("valid").to_stored();
            assert_eq!((stored.as_str(), Input::source_text(Some(&stored)).as_str()), (object, object));
        }
        assert_eq!(
            read(r#"{"value": {"n":12345678901234567890123}}"#).map(|input| input.to_stored()).as_deref(),
            Ok(r#"{"n":12345678901234567890123}"#)
        );
        assert_eq!(Input::source_text(Some(r#"{"value": 12345678901234567890123}"#)), "12345678901234567890123");
    }

    #[test]
    fn text_is_passed_on_exactly_and_objects_as_json() {
        let cases = [
            (json!("  hi \n"), "  hi \n"),
            (json!({"value": "x"}), "x"),
            (json!({"value": {"a": 1}}), r#"{"a":1}"#),
            (json!({"b": 1, "a": [2]}), r#"{"b":1,"a":[2]}"#),
        ];
        for (given, sent) in cases {
            let input = read(&given.to_string()).expect("valid");
            assert_eq!(Input::source_text(Some(&input.to_stored())), sent);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for bad in [json!(""), json!({}), json!({"value": ""}), json!({"value": {}})] {
            assert_eq!(read(&bad.to_string()), Err(InputError::Empty));
        }
        for bad in [json!(null), json!(1), json!(true), json!([]), json!({"value": null})] {
            assert!(matches!(read(&bad.to_string()), Err(InputError::Kind(_))));
        }
        for bad in [json!("a\0"), json!({"a": ["\0"], "b": 1}), json!({"\0": 1, "b": 1})] {
            assert_eq!(read(&bad.to_string()), Err(InputError::Nul));
        }
    }

    #[test]
    fn what_nobody_could_read_is_refused() {
        let wrapped = r#"{"value":"#.repeat(1000) + "1" + &"}".repeat(1000);
        for bad in [r#"{"a":"\ud800"}"#, r#"{"a":1e999}"#, &wrapped] {
            assert!(matches!(read(bad), Err(InputError::Unreadable(_))), "{bad}");
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
