//! What a server's refusal says, pure: the text inside an error's body, and the wait it asks for.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

/// Longest error text that is kept, in characters.
const MAX_TEXT: usize = 500;
/// Longest wait that is believed.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3600);

/// The text for people in an error's body. FastAPI servers answer `{"detail": ...}`, where `detail` is a text, a text
/// that is JSON again (LangFlow's failing flows), or a list of what is wrong with the request.
pub(super) fn unwrap(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(value) => of_json(&value).unwrap_or_else(|| value.to_string()),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    shorten(&text)
}

/// A text in one line of bounded length.
pub(super) fn shorten(text: &str) -> String {
    let mut words = String::new();
    for word in text.split_whitespace() {
        if !words.is_empty() {
            words.push(' ');
        }
        // What a server says is shown in logs and terminals, which control characters would steer.
        words.extend(word.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }));
        if words.len() > MAX_TEXT * 4 {
            break;
        }
    }
    match words.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}...", &words[..end]),
        None if words.is_empty() => "(nothing more)".to_owned(),
        None => words,
    }
}

fn of_json(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(of_text(text)),
        Value::Object(object) => ["detail", "message", "error"].iter().find_map(|key| of_json(object.get(*key)?)),
        Value::Array(items) => {
            let texts: Vec<String> = items.iter().filter_map(complaint).collect();
            (!texts.is_empty()).then(|| texts.join("; "))
        }
        _ => None,
    }
}

/// A text that holds JSON again gives what is inside.
fn of_text(text: &str) -> String {
    let inner = text.starts_with('{').then(|| serde_json::from_str::<Value>(text).ok()).flatten();
    inner.as_ref().and_then(of_json).unwrap_or_else(|| text.to_owned())
}

/// One entry of a validation error: where, and what.
fn complaint(item: &Value) -> Option<String> {
    let Some(message) = item.get("msg").and_then(Value::as_str) else { return of_json(item) };
    let path = item.get("loc").and_then(Value::as_array).map(|parts| {
        let parts: Vec<String> =
            parts.iter().map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned)).collect();
        parts.join(".")
    });
    Some(match path {
        Some(path) if !path.is_empty() => format!("{path}: {message}"),
        _ => message.to_owned(),
    })
}

/// A `Retry-After`, seconds or an HTTP date.
pub(super) fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        // An HTTP date is an RFC 2822 date whose zone is GMT. One that is past means now.
        Err(_) => (DateTime::parse_from_rfc2822(value).ok()?.to_utc() - now).to_std().unwrap_or_default(),
    };
    Some(wait.min(MAX_WAIT))
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    #[test]
    fn the_text_inside_is_found() {
        let langflow = include_str!("../../tests/fixtures/langflow/run_failed.json");
        let cases = [
            (langflow, "Error running graph: Error building Component Probe: boom"),
            (r#"{"detail":"Invalid API key"}"#, "Invalid API key"),
            (r#"{"detail":"{not json"}"#, "{not json"),
            (r#"{"detail":{"message":"inner"}}"#, "inner"),
            (r#"{"detail":[{"type":"x","loc":["body","a",0],"msg":"bad"},{"msg":"worse"}]}"#, "body.a.0: bad; worse"),
            (r#"{"error":"that"}"#, "that"),
            (r#"{"other":1}"#, r#"{"other":1}"#),
            (r#"{"detail":null}"#, r#"{"detail":null}"#),
            ("<html>\n  <b>502</b>\n</html>", "<html> <b>502</b> </html>"),
            ("\u{1b}[2Jred\u{7}\r\nINFO all is well", "\u{fffd}[2Jred\u{fffd} INFO all is well"),
            ("", "(nothing more)"),
        ];
        for (body, text) in cases {
            assert_eq!(unwrap(body.as_bytes()), text);
        }
        assert_eq!(unwrap(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = unwrap("é".repeat(2000).as_bytes());
        assert_eq!(text.chars().count(), MAX_TEXT + 3);
        assert!(text.ends_with("é..."));
    }

    #[test]
    fn waits_come_as_seconds_or_as_a_date() {
        let now = Utc.with_ymd_and_hms(2026, 11, 24, 4, 0, 0).single().expect("a date");
        assert_eq!(retry_after(" 30 ", now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Tue, 24 Nov 2026 04:01:30 GMT", now), Some(Duration::from_secs(90)));
        assert_eq!(retry_after("Tue, 24 Nov 2026 03:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("18446744073709551615", now), Some(MAX_WAIT));
        for nonsense in ["", "soon", "-5", "1.5"] {
            assert_eq!(retry_after(nonsense, now), None);
        }
    }
}
