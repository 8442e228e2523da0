//! Why a command did not do what it was asked to, and the exit code that tells a script so.

use std::io;

use crate::store;

/// Exit code: the arguments or the configuration can't be used.
pub(super) const USAGE: u8 = 2;
const FAILED: u8 = 1;
const WARNING: u8 = 3;
const CRITICAL: u8 = 4;
const UNAVAILABLE: u8 = 69;
const INTERNAL: u8 = 70;
const UNFINISHED: u8 = 75;

/// What went wrong. Every message says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The arguments, the environment or `.env` can't be used.
    #[error("{0}")]
    Usage(String),
    /// The service answered, and said no.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The service's stable name of the reason, where it gave one.
        code: Option<String>,
        /// What the service said.
        message: String,
    },
    /// What was asked for was done, or looked for, and did not end well.
    #[error("{0}")]
    Failed(String),
    /// `doctor` found something to look at soon.
    #[error("{0}")]
    Warning(String),
    /// `doctor` found something to look at now.
    #[error("{0}")]
    Critical(String),
    /// Nothing answers.
    #[error("{0}")]
    Unavailable(String),
    /// A fault of this program.
    #[error("{0}")]
    Internal(String),
    /// The service stopped before all was finished.
    #[error("{0}")]
    Unfinished(String),
    /// What was to be printed could not be.
    #[error("input or output failed: {0}")]
    Output(#[from] io::Error),
    /// The database.
    #[error("{0}")]
    Store(#[from] store::Error),
}

impl Error {
    /// 0 done, 1 refused or failed, 2 usage or configuration, 3 and 4 `doctor` found a warning or something critical, 69
    /// nothing answers, or the service says "not now", 70 internal, 75 a stop passed its limits.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Store(store::Error::Url(_) | store::Error::Misfit(_)) => USAGE,
            Self::Unavailable(_) => UNAVAILABLE,
            Self::Refused { .. } | Self::Store(_) if self.is_transient() => UNAVAILABLE,
            Self::Refused { .. } | Self::Failed(_) | Self::Store(_) => FAILED,
            Self::Warning(_) => WARNING,
            Self::Critical(_) => CRITICAL,
            Self::Internal(_) | Self::Output(_) => INTERNAL,
            Self::Unfinished(_) => UNFINISHED,
        }
    }

    /// What another process of this program meant by its exit code; none is a signal.
    pub(super) fn of_exit_code(code: Option<i32>, message: String) -> Self {
        match code.and_then(|code| u8::try_from(code).ok()) {
            Some(FAILED) => Self::Failed(message),
            Some(USAGE) => Self::Usage(message),
            Some(UNAVAILABLE) => Self::Unavailable(message),
            Some(UNFINISHED) => Self::Unfinished(message),
            _ => Self::Internal(message),
        }
    }

    /// Whether the same command may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Refused { status, .. } => matches!(status, 408 | 425 | 429 | 502..=504),
            Self::Store(error) => error.is_transient(),
            _ => false,
        }
    }

    /// Stable name of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Usage(_) => "usage",
            Self::Refused { .. } => "refused",
            Self::Failed(_) => "failed",
            Self::Warning(_) => "warning",
            Self::Critical(_) => "critical",
            Self::Unavailable(_) => "unavailable",
            Self::Internal(_) => "internal",
            Self::Unfinished(_) => "unfinished",
            Self::Output(_) => "output",
            Self::Store(error) => error.code(),
        }
    }

    /// Whether the reader of our output went away (`| head`), which is its right.
    pub(super) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_learns_whether_the_same_command_may_work_later() {
        let refused = |status| Error::Refused { status, code: None, message: String::new() }.exit_code();
        for (status, code) in
            [(400, 1), (401, 1), (404, 1), (409, 1), (422, 1), (429, 69), (500, 1), (502, 69), (503, 69)]
        {
            assert_eq!(refused(status), code, "{status}");
        }
        assert_eq!(Error::Unavailable(String::new()).exit_code(), 69);
        assert_eq!(Error::Failed(String::new()).exit_code(), 1);
    }
}
