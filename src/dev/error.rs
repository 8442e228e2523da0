//! Why a private server did not start.

use std::io;
use std::path::{Path, PathBuf};

/// Why a private server could not be started, used or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program is not installed.
    #[error("{program} is not installed: run `apt-get install {package}` or put it on the PATH")]
    Missing {
        /// What was looked for.
        program: &'static str,
        /// The Debian package that holds it.
        package: &'static str,
    },
    /// Another living process uses the directory.
    #[error("{} is in use by process {pid}: stop that one, or use another directory", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// Who holds it, as far as is known.
        pid: String,
    },
    /// The data was made by another version of PostgreSQL.
    #[error("{} was made by PostgreSQL {version}: install postgresql-{version}, or remove that directory", data.display())]
    WrongVersion {
        /// The data directory.
        data: PathBuf,
        /// The version that made it.
        version: String,
    },
    /// No account to run as.
    #[error(
        "PostgreSQL does not run as root and there is neither a user `postgres` nor `nobody` to run it as: \
         create one with `useradd --system postgres`, or start as another user"
    )]
    NoAccount,
    /// Root without the right to become somebody else, as in some containers.
    #[error(
        "this process is root but can't run PostgreSQL as another user: allow it CAP_SETUID and CAP_SETGID, or start \
         as an ordinary user"
    )]
    Confined,
    /// A server did not come up, or an auxiliary program failed.
    #[error("{what} did not work: {why}. The log is {}", log.display())]
    Failed {
        /// Which one.
        what: &'static str,
        /// The end of its log, or what was waited for in vain.
        why: String,
        /// Where the whole log is.
        log: PathBuf,
    },
    /// A server outlived every signal.
    #[error("{what} (process {pid}) can't be stopped: end it with `kill -9 {pid}`")]
    Unstoppable {
        /// Which one.
        what: &'static str,
        /// Its process.
        pid: u32,
    },
    /// A statement was refused.
    #[error("the private PostgreSQL refused a statement: {0}")]
    Statement(#[from] tokio_postgres::Error),
    /// A file or process could not be made.
    #[error("{what} {}: {source}. Check that the directory exists, is writable and has room", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl Error {
    /// Whether the same call may succeed later without anybody's doing.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::InUse { .. })
    }

    /// Stable name of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "dev_not_installed",
            Self::InUse { .. } => "dev_in_use",
            Self::WrongVersion { .. } => "dev_wrong_version",
            Self::NoAccount => "dev_no_account",
            Self::Confined => "dev_confined",
            Self::Failed { .. } => "dev_failed",
            Self::Unstoppable { .. } => "dev_unstoppable",
            Self::Statement(_) => "dev_statement",
            Self::Io { .. } => "dev_io",
        }
    }
}

/// Names what was tried with which file: for `map_err`.
pub(super) fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { what, path, source }
}
