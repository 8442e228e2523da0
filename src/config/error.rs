//! What is wrong with a configuration.

use std::fmt;
use std::path::PathBuf;

/// One mistake: where it is, who made it, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Path of the key, as `worker.threads` or `pools[0].name`; a file's name where the file as a whole is wrong.
    pub key: String,
    /// Where the value came from, as `spark.toml` or `environment variable LOG_LEVEL`.
    pub origin: String,
    /// What is wrong and what to do. Shows no secret.
    pub message: String,
}

impl Problem {
    /// Whether a file can't be used at all, so that nobody knows what it would have said.
    pub(super) fn is_of_a_whole_file(&self) -> bool {
        self.key == self.origin
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_of_a_whole_file() {
            write!(f, "{}: {}", self.key, self.message)
        } else {
            write!(f, "{} ({}): {}", self.key, self.origin, self.message)
        }
    }
}

/// Everything that is wrong with a configuration, one problem a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors(pub Vec<Problem>);

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

impl Errors {
    /// Stable name of the reason.
    pub fn code(&self) -> &'static str {
        "configuration"
    }

    /// Whether the same call may succeed later without anybody's doing: never.
    pub fn is_transient(&self) -> bool {
        false
    }
}

/// Why there is no encryption key although the configuration is sound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key's file can't be read or made.
    #[error(
        "the encryption key's file {path} can't be used: {cause}; make its directory writable, or set encryption_key \
         or encryption_key_file"
    )]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The file holds something else.
    #[error("{path} holds no encryption key; restore it from a copy, or remove it if no source has an API key")]
    KeyFileContent {
        /// The file.
        path: PathBuf,
    },
}

impl Error {
    /// Stable name of the reason.
    pub fn code(&self) -> &'static str {
        "encryption_key_file"
    }

    /// Whether the same call may succeed later without anybody's doing: never.
    pub fn is_transient(&self) -> bool {
        false
    }
}
