//! What a source could not do for us while it was managed (a run's failure is an outcome instead).

use crate::domain::outcome::Failure;
use crate::domain::source::SourceKind;

/// Why a call to a source did not succeed. The texts stand in answers of the API, after "Failed to validate source: ".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no adapter for this kind.
    #[error("sources of type {0} are not supported by this version")]
    Unsupported(SourceKind),
    /// The source's adapter is not there, or its key can't be sent as the adapter says.
    #[error("{0}")]
    Adapter(String),
    /// The source's url can't be called, or answers with a redirect to another.
    #[error("{0}")]
    Url(String),
    /// The certificate of the source's server is not to be believed.
    #[error("{0}")]
    Certificate(String),
    /// The source's key can't be sent.
    #[error("the api_key holds characters that an HTTP header can't carry; check how it was copied")]
    Key,
    /// No answer, or one that says "not now".
    #[error("{0}")]
    Unreachable(String),
    /// The source does not take the key.
    #[error("{0}")]
    Unauthorized(String),
    /// The source has no such flow.
    #[error("the source has no flow {0}")]
    NotFound(String),
    /// Something else than the expected kind of server answers there.
    #[error("there is no {expected} at this url: {answer}")]
    WrongServer {
        /// The name of what should be there.
        expected: &'static str,
        /// What was asked and what came back.
        answer: String,
    },
    /// The source answered something that can't be used.
    #[error("{0}")]
    Answer(String),
    /// The HTTP client can't be set up on this machine.
    #[error("the HTTP client can't be set up: {0}")]
    Client(String),
}

impl Error {
    /// Whether the same call may succeed later without anybody's doing.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }

    /// The error with another text.
    pub(super) fn map_text(self, change: impl Fn(String) -> String) -> Self {
        match self {
            Self::Unsupported(_) | Self::Key => self,
            Self::Adapter(text) => Self::Adapter(change(text)),
            Self::Url(text) => Self::Url(change(text)),
            Self::Certificate(text) => Self::Certificate(change(text)),
            Self::Unreachable(text) => Self::Unreachable(change(text)),
            Self::Unauthorized(text) => Self::Unauthorized(change(text)),
            Self::NotFound(text) => Self::NotFound(change(text)),
            Self::WrongServer { expected, answer } => Self::WrongServer { expected, answer: change(answer) },
            Self::Answer(text) => Self::Answer(change(text)),
            Self::Client(text) => Self::Client(change(text)),
        }
    }

    /// Stable name of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unsupported(_) => "source_unsupported",
            Self::Adapter(_) => "source_adapter",
            Self::Url(_) => "source_url",
            Self::Certificate(_) => "source_certificate",
            Self::Key => "source_key",
            Self::Unreachable(_) => "source_unreachable",
            Self::Unauthorized(_) => "source_unauthorized",
            Self::NotFound(_) => "flow_not_found",
            Self::WrongServer { .. } => "source_wrong_server",
            Self::Answer(_) => "source_answer",
            Self::Client(_) => "source_client",
        }
    }
}

/// An attempt that can't even be connected (see [`super::connect`]) fails with the reason.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        if error.is_transient() { Self::transient(error.code(), text) } else { Self::permanent(error.code(), text) }
    }
}
