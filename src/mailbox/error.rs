//! What Redis could not do for us.

/// Why a call to a mailbox did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The url of the configuration can't be used.
    #[error("the Redis url can't be used: {0}")]
    Url(String),
    /// No connection could be had within its limit.
    #[error("Redis can't be reached within the time limit")]
    Slow,
    /// A command failed.
    #[error("Redis: {0}")]
    Command(#[from] redis::RedisError),
    /// The runtime ended under the call.
    #[error("the service is stopping")]
    Interrupted,
}

impl Error {
    /// Whether the same call may succeed later without anybody's doing.
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::Url(_))
    }

    /// Stable name of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Url(_) => "redis_url",
            _ => "redis_unavailable",
        }
    }
}

impl From<bb8::RunError<redis::RedisError>> for Error {
    fn from(error: bb8::RunError<redis::RedisError>) -> Self {
        match error {
            bb8::RunError::User(error) => Self::Command(error),
            bb8::RunError::TimedOut => Self::Slow,
        }
    }
}
