//! What a call to a source can come to, and what that means for an attempt and for a management request.

use std::time::Duration;

use url::Url;

use super::{Error, tls};
use crate::domain::outcome::Failure;

/// Why a call brought no usable answer.
#[derive(Debug)]
pub(super) enum CallError {
    /// The url can't be called.
    Url(String),
    /// The task's values don't make a request.
    Request(String),
    /// This machine's TLS can't be set up.
    Tls(String),
    /// The server's certificate is not to be believed, so nothing was sent.
    Certificate { origin: String, why: String },
    /// There was no connection, so nothing was sent.
    Unreachable { origin: String, why: String },
    /// The connection broke after the request had been sent.
    Reset { origin: String, why: String },
    /// No answer in time after the request had been sent.
    TimedOut { origin: String },
    /// The answer passed the limit.
    TooLarge { limit: usize },
    /// A redirect that is not followed; `to` carries no secret.
    Redirected { status: u16, to: String },
    /// Neither a success nor a redirect.
    Status { status: u16, text: String, retry_after: Option<Duration> },
    /// A success that says something else than this kind of source would.
    Unusable(String),
}

impl CallError {
    pub(super) fn from_reqwest(error: reqwest::Error, url: &Url) -> Self {
        let origin = url.origin().ascii_serialization();
        // The url may hold a password, and the origin says enough.
        let error = error.without_url();
        if error.is_builder() {
            Self::Url(causes(&error))
        } else if let Some(why) = tls::complaint(&error) {
            Self::Certificate { origin, why }
        } else if error.is_connect() {
            let why = if error.is_timeout() { "no connection in time".to_owned() } else { causes(&error) };
            Self::Unreachable { origin, why }
        } else if error.is_timeout() {
            Self::TimedOut { origin }
        } else {
            Self::Reset { origin, why: causes(&error) }
        }
    }

    pub(super) fn code(&self) -> String {
        match self {
            Self::Url(_) => "source_url".to_owned(),
            Self::Request(_) => "source_request".to_owned(),
            Self::Tls(_) => "source_tls".to_owned(),
            Self::Certificate { .. } => "source_certificate".to_owned(),
            Self::Unreachable { .. } => "source_unreachable".to_owned(),
            Self::Reset { .. } => "source_reset".to_owned(),
            Self::TimedOut { .. } => "source_timeout".to_owned(),
            Self::TooLarge { .. } => "answer_too_large".to_owned(),
            Self::Redirected { .. } => "source_redirect".to_owned(),
            Self::Status { status, .. } => format!("source_http_{status}"),
            Self::Unusable(_) => "unusable_answer".to_owned(),
        }
    }

    /// Whether another attempt may help.
    fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Reset { .. } | Self::TimedOut { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::Url(_)
            | Self::Request(_)
            | Self::Tls(_)
            | Self::Certificate { .. }
            | Self::TooLarge { .. }
            | Self::Redirected { .. }
            | Self::Unusable(_) => false,
        }
    }

    /// Whether the flow may have run to an end that we don't know. 502 and 504 are what a proxy says when it has no
    /// answer from the source itself.
    fn outcome_unknown(&self) -> bool {
        matches!(self, Self::Reset { .. } | Self::TimedOut { .. } | Self::Status { status: 502 | 504, .. })
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::Url(why) => format!("the source's url can't be used: {why}"),
            Self::Request(why) => format!("the request can't be made: {why}"),
            Self::Tls(why) => format!("https can't be set up: {why}"),
            Self::Certificate { origin, why } => format!("the certificate of {origin} is not to be believed: {why}"),
            Self::Unreachable { origin, why } => format!("{origin} can't be reached: {why}"),
            Self::Reset { origin, why } => {
                format!("the connection to {origin} broke before the answer was complete: {why}")
            }
            Self::TimedOut { origin } => format!("{origin} took the request and did not answer in time"),
            Self::TooLarge { limit } => {
                format!("the answer is larger than {limit} bytes; let the flow answer less, or raise max_answer_bytes")
            }
            Self::Redirected { status, to } => format!(
                "the source answers with a redirect ({status}) to {to}, which is not followed; \
                 give the source the url that it moved to"
            ),
            Self::Status { status: status @ (401 | 403), text, .. } => {
                format!("the source refuses the api_key ({status}): {text}")
            }
            Self::Status { status, text, .. } => format!("the source answered {status}: {text}"),
            Self::Unusable(why) => format!("the source's answer can't be used: {why}"),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let (code, message) = (error.code(), error.message());
        let mut failure =
            if error.is_transient() { Self::transient(&code, message) } else { Self::permanent(&code, message) };
        if error.outcome_unknown() {
            failure = failure.outcome_unknown();
        }
        match error {
            CallError::Status { retry_after, .. } => failure.retry_after(retry_after),
            _ => failure,
        }
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        let message = error.message();
        match error {
            CallError::Url(_) | CallError::Redirected { .. } => Self::Url(message),
            CallError::Tls(_) => Self::Client(message),
            CallError::Certificate { .. } => Self::Certificate(message),
            CallError::Status { status: 401 | 403, .. } => Self::Unauthorized(message),
            _ if error.is_transient() => Self::Unreachable(message),
            _ => Self::Answer(message),
        }
    }
}

/// The causes of an error in one line. The outer ones only say that a request was being sent, in the words of the HTTP
/// libraries; the inner ones say what happened ("connection refused").
fn causes(error: &dyn std::error::Error) -> String {
    let chain: Vec<String> =
        std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect();
    let telling = chain.iter().position(|text| !text.starts_with("error sending") && !text.starts_with("client error"));
    let mut texts = chain[telling.unwrap_or(0)..].to_vec();
    texts.dedup_by(|next, text| text.ends_with(&**next));
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::FailureClass;

    fn status(status: u16) -> CallError {
        CallError::Status { status, text: "why".to_owned(), retry_after: None }
    }

    #[test]
    fn each_end_of_a_call_has_its_class_and_code() {
        let here = || "http://here".to_owned();
        let cases = [
            (CallError::Unreachable { origin: here(), why: String::new() }, true, false, "source_unreachable"),
            (CallError::Reset { origin: here(), why: String::new() }, true, true, "source_reset"),
            (CallError::TimedOut { origin: here() }, true, true, "source_timeout"),
            (CallError::Certificate { origin: here(), why: String::new() }, false, false, "source_certificate"),
            (CallError::TooLarge { limit: 1 }, false, false, "answer_too_large"),
            (CallError::Redirected { status: 307, to: here() }, false, false, "source_redirect"),
            (CallError::Unusable(String::new()), false, false, "unusable_answer"),
            (CallError::Request(String::new()), false, false, "source_request"),
            (status(408), true, false, "source_http_408"),
            (status(425), true, false, "source_http_425"),
            (status(429), true, false, "source_http_429"),
            (status(500), true, false, "source_http_500"),
            (status(502), true, true, "source_http_502"),
            (status(503), true, false, "source_http_503"),
            (status(504), true, true, "source_http_504"),
            (status(400), false, false, "source_http_400"),
            (status(403), false, false, "source_http_403"),
            (status(404), false, false, "source_http_404"),
            (status(422), false, false, "source_http_422"),
        ];
        for (error, transient, unknown, code) in cases {
            let failure = Failure::from(error);
            assert_eq!(failure.class == FailureClass::Transient, transient, "{code}");
            assert_eq!(failure.outcome_unknown, unknown, "{code}");
            assert_eq!(failure.code, code);
        }
    }

    #[test]
    fn the_wait_that_a_source_asks_for_is_kept() {
        let wait = Some(Duration::from_secs(7));
        let failure = Failure::from(CallError::Status { status: 429, text: String::new(), retry_after: wait });
        assert_eq!(failure.retry_after, wait);
    }
}
