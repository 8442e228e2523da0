//! Bodies of requests: JSON under a size and a time limit.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use actix_web::dev::{Payload, ServiceRequest};
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use actix_web::web::{self, Bytes, BytesMut};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use super::error::{Error, Problem};
use super::room::{Room, Share};
use super::state::ApiState;
use crate::domain::json::{self, Unsound};

/// A body that was read whole; not yet understood.
#[derive(Clone, Debug)]
pub(super) struct Body {
    bytes: Bytes,
    /// Its part of the memory for bodies, until the last clone is gone.
    _share: Option<Arc<Share>>,
}

impl Body {
    /// Reads the body before the handler does, which then gets what was read here. What a handler refuses by its head
    /// alone is left to it: one that reads no body refuses none.
    ///
    /// # Errors
    /// It can't be read.
    pub(super) async fn read_ahead(request: &mut ServiceRequest) -> Result<(), Error> {
        if check_head(request.headers(), limit(request.app_data())).is_ok() {
            request.extract::<Self>().await?;
        }
        Ok(())
    }

    /// The body as it came.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the request has no body.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.trim_ascii().is_empty()
    }

    /// Reads the body as JSON of a type.
    ///
    /// # Errors
    /// It is no JSON, not of the type, or has the character U+0000, which PostgreSQL can't store.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        if self.is_empty() {
            let problem = Problem { loc: vec!["body".into()], msg: "Field required".into(), kind: "missing".into() };
            return Err(Error::invalid(problem));
        }
        refuse_nul(&self.bytes)?;
        let mut json = serde_json::Deserializer::from_slice(&self.bytes);
        let value = serde_path_to_error::deserialize(&mut json)
            .map_err(|error| Error::invalid(problem(error.path(), error.inner())))?;
        json.end().map_err(|error| Error::invalid(syntax_problem(&error)))?;
        Ok(value)
    }
}

#[cfg(any(test, fuzzing))]
impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into(), _share: None }
    }
}

impl FromRequest for Body {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if let Some(read) = request.extensions().get::<Self>().cloned() {
            return Box::pin(ready(Ok(read)));
        }
        let state = request.app_data::<web::Data<ApiState>>().cloned();
        let room = request.app_data::<web::Data<Room>>().cloned();
        let payload = web::Payload::from_request(request, payload);
        let request = request.clone();
        let head = check_head(request.headers(), limit(state.as_ref()));
        Box::pin(async move {
            head?;
            let (Some(state), Some(room)) = (state, room) else { return Err(Error::BodyBroken) };
            let payload = payload.await.map_err(|_| Error::BodyBroken)?;
            let reading = read(payload, state.options.max_body_bytes, room.share());
            let read = actix_web::rt::time::timeout(state.options.body_timeout, reading).await;
            let body = read.map_err(|_| Error::BodyTimeout)??;
            // The audit trail reads it, too.
            request.extensions_mut().insert(body.clone());
            Ok(body)
        })
    }
}

/// Most bytes of a body.
fn limit(state: Option<&web::Data<ApiState>>) -> usize {
    state.map_or(0, |state| state.options.max_body_bytes)
}

/// Reads a body as it comes, within its limit and within the memory there is for bodies.
async fn read(mut payload: web::Payload, limit: usize, mut share: Share) -> Result<Body, Error> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Error::BodyBroken)?;
        let length = bytes.len() + chunk.len();
        if length > limit {
            return Err(Error::BodyTooLarge(limit));
        }
        if !share.grow_to(length) {
            return Err(Error::NoRoom);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Body { bytes: bytes.freeze(), _share: Some(Arc::new(share)) })
}

/// A body that says it is something else is refused: a form of another site's page can't be told to send JSON.
fn check_head(headers: &HeaderMap, limit: usize) -> Result<(), Error> {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit as u64) {
        return Err(Error::BodyTooLarge(limit));
    }
    let Some(kind) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let kind = String::from_utf8_lossy(kind.as_bytes()).into_owned();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    if is_json || length == Some(0) { Ok(()) } else { Err(Error::MediaType(kind)) }
}

fn refuse_nul(bytes: &[u8]) -> Result<(), Error> {
    // In JSON the character can only be written this way; whether it really is needs a closer look.
    if !bytes.windows(6).any(|window| window == br"\u0000") {
        return Ok(());
    }
    match str::from_utf8(bytes).map(json::check) {
        Ok(Err(error @ Unsound::Nul)) => Err(Error::invalid(Problem {
            loc: vec!["body".into()],
            msg: error.to_string(),
            kind: "value_error".to_owned(),
        })),
        _ => Ok(()),
    }
}

fn problem(path: &Path, error: &serde_json::Error) -> Problem {
    if !error.is_data() {
        return syntax_problem(error);
    }
    let mut loc: Vec<Value> = vec!["body".into()];
    loc.extend(path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some((*index).into()),
        Segment::Map { key } => Some(key.as_str().into()),
        Segment::Enum { .. } | Segment::Unknown => None,
    }));
    let text = message(error);
    match text.strip_prefix("missing field `").and_then(|rest| rest.split_once('`')) {
        Some((field, _)) => {
            loc.push(field.into());
            Problem { loc, msg: "Field required".to_owned(), kind: "missing".to_owned() }
        }
        None => Problem { loc, msg: text, kind: "value_error".to_owned() },
    }
}

fn syntax_problem(error: &serde_json::Error) -> Problem {
    let msg = format!("the body is not valid JSON: {error}");
    Problem { loc: vec!["body".into()], msg, kind: "json_invalid".to_owned() }
}

/// serde_json ends its texts with a position, which says nothing of the value. And it repeats a value of another type than
/// was expected, which may be a secret that stands in the wrong place.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rfind(" at line ").map_or(text.as_str(), |end| &text[..end]);
    match text.split_once(": ").zip(text.rsplit_once(", expected ")) {
        Some((("invalid type" | "invalid value", _), (found, expected))) => {
            let kind = found.split(['`', '"']).next().unwrap_or_default().trim_end();
            format!("{kind}, expected {expected}")
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::domain::queue::Priority;

    #[derive(Debug, Deserialize)]
    struct Sample {
        #[expect(dead_code, reason = "only its type matters")]
        name: String,
        #[expect(dead_code, reason = "only its type matters")]
        priority: Option<Priority>,
    }

    fn body(text: &str) -> Body {
        Body { bytes: Bytes::copy_from_slice(text.as_bytes()), _share: None }
    }

    fn refusal(text: &str) -> Problem {
        match body(text).json::<Sample>() {
            Err(Error::Invalid(problems)) => problems.into_iter().next().expect("a problem"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refusal_says_where_and_why() {
        for (text, loc, kind) in [
            ("", json!(["body"]), "missing"),
            ("  ", json!(["body"]), "missing"),
            ("{}", json!(["body", "name"]), "missing"),
            ("{", json!(["body"]), "json_invalid"),
            (r#"{"name":"x"} y"#, json!(["body"]), "json_invalid"),
            (r#"{"name":1}"#, json!(["body", "name"]), "value_error"),
            (r#"{"name":"x","priority":12}"#, json!(["body", "priority"]), "value_error"),
            (r#"{"name":"\u0000"}"#, json!(["body"]), "value_error"),
            ("[]", json!(["body"]), "value_error"),
        ] {
            let problem = refusal(text);
            assert_eq!((Value::from(problem.loc), problem.kind.as_str()), (loc, kind), "{text}");
        }
        assert_eq!(
            refusal(r#"{"name":"x","priority":12}"#).msg,
            "priority is a whole number from 0 to 9; 9 runs first"
        );
    }

    #[test]
    fn a_value_of_the_wrong_type_is_not_repeated() {
        for (text, kind) in [
            (r#"{"name":1234567}"#, "integer"),
            (r#"{"name":-1.5}"#, "floating point"),
            (r#"{"name":true}"#, "boolean"),
            (r#"{"name":["hush"]}"#, "sequence"),
            (r#"{"name":{"a, expected b":1}}"#, "map"),
        ] {
            assert_eq!(refusal(text).msg, format!("invalid type: {kind}, expected a string"));
        }
        for text in ["\"hush, expected ` \"", "12345", "null"] {
            let msg = refusal(text).msg;
            assert!(
                msg.ends_with(", expected struct Sample") && !msg.contains("hush") && !msg.contains("1234"),
                "{msg}"
            );
        }
    }

    #[test]
    fn a_backslash_before_digits_is_no_nul() {
        assert!(body(r#"{"name":"C:\\u0000"}"#).json::<Sample>().is_ok());
    }
}
