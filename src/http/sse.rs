//! The form of an event stream (WHATWG HTML, section 9.2): blocks of lines, each block ended by an empty line.

use std::convert::Infallible;

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use bytes::Bytes;
use futures_util::stream::unfold;
use serde::Serialize;

/// How long a client may wait before it comes back after a stream broke off.
const RETRY_MS: u32 = 2_000;

/// A stream of text that ends when it has no more to say.
pub(super) trait Source: 'static {
    /// The next piece.
    async fn next(&mut self) -> Option<String>;
}

/// An answer that goes on until its source ends. Dropped with everything in it when the client goes.
pub(super) fn answer(source: impl Source) -> HttpResponse {
    let pieces = unfold(source, |mut source| async move {
        let piece = source.next().await?;
        Some((Ok::<Bytes, Infallible>(piece.into()), source))
    });
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        // nginx would collect the answer before it passes it on.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(pieces)
}

/// The beginning of a stream.
pub(super) fn start() -> String {
    format!("retry: {RETRY_MS}\n\n")
}

/// What shows that a stream lives: a comment. With it the client notes how far it has come, also where nothing of what
/// happened was for it.
pub(super) fn heartbeat(id: Option<&str>) -> String {
    match id {
        Some(id) => format!(": alive\nid: {id}\n\n"),
        None => ": alive\n\n".to_owned(),
    }
}

/// An event. Its data is one line or several: stored JSON is passed on as it was written.
pub(super) fn event(name: &str, id: Option<&str>, data: &impl Serialize) -> String {
    let data = serde_json::to_string(data).unwrap_or_else(|error| {
        log::error!("an event can't be written as JSON: {error}");
        "null".to_owned()
    });
    let mut text = format!("event: {name}\n");
    if let Some(id) = id {
        text.push_str(&format!("id: {id}\n"));
    }
    // A carriage return ends a line, too. Within a JSON text both are white space.
    for line in data.split(['\n', '\r']) {
        text.push_str("data: ");
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn an_event_is_a_block_of_lines() {
        assert_eq!(event("task", Some("1-2"), &json!({"a": 1})), "event: task\nid: 1-2\ndata: {\"a\":1}\n\n");
        assert_eq!(event("gap", None, &json!(null)), "event: gap\ndata: null\n\n");
        assert_eq!(heartbeat(Some("x-1")), ": alive\nid: x-1\n\n");
    }

    #[test]
    fn stored_json_of_several_lines_stays_within_its_event() {
        let stored = RawValue::from_string("{\"a\":\r\n 1,\n\n\"b\": \"c\\nd\"}".to_owned()).expect("JSON");
        let text = event("task", None, &stored);
        assert_eq!(text, "event: task\ndata: {\"a\":\ndata: \ndata:  1,\ndata: \ndata: \"b\": \"c\\nd\"}\n\n");
        assert_eq!(text.matches("\n\n").count(), 1, "one end");
    }
}
