//! What PostgreSQL could not do for us.

use tokio_postgres::error::SqlState;

/// Why a call to the store did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The url of the configuration can't be used.
    #[error("the PostgreSQL url can't be used: {0}")]
    Url(String),
    /// No connection could be had.
    #[error("PostgreSQL can't be reached: {0}")]
    Unreachable(String),
    /// It is known to be away, and no connection could be had within a moment.
    #[error("PostgreSQL does not answer")]
    Away,
    /// A statement was given up. It may have been carried out, or be carried out later.
    #[error("PostgreSQL did not answer a statement in time")]
    Unanswered,
    /// A statement failed.
    #[error("PostgreSQL refused a statement: {}", describe(.0))]
    Statement(#[from] tokio_postgres::Error),
    /// The database holds tables that can't be made ours.
    #[error("the database can't be used: {0}")]
    Misfit(String),
    /// The schema could not be brought up to date.
    #[error("the migration failed: {0}")]
    Migration(String),
    /// The runtime ended under the call.
    #[error("the service is stopping")]
    Interrupted,
    /// A source's key was encrypted with another encryption key.
    #[error(
        "the source's API key can't be decrypted: it was stored under another encryption key; set AUTOMAGIK_SPARK_ENCRYPTION_KEY to that one, or give the source its API key again"
    )]
    WrongKey,
    /// The rows that were asked for take more memory than there is for them.
    #[error("the page is larger than {most_mb} MB; ask for {rows} or fewer at a time (limit={rows})")]
    PageTooLarge {
        /// Most megabytes of a page.
        most_mb: usize,
        /// How many of its rows fit.
        rows: usize,
    },
    /// A stored value has a form that this version does not know.
    #[error("a stored value can't be read: {0}")]
    Unreadable(String),
}

impl Error {
    /// Whether the same call may succeed later without anybody's doing.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Away | Self::Unanswered | Self::Interrupted => true,
            Self::Statement(error) => match error.code() {
                Some(state) => is_transient_state(state),
                // Without a state it is the connection's fault, or the statement could not even be written.
                None => error.is_closed() || has_io_cause(error),
            },
            Self::Url(_)
            | Self::Misfit(_)
            | Self::Migration(_)
            | Self::WrongKey
            | Self::PageTooLarge { .. }
            | Self::Unreadable(_) => false,
        }
    }

    /// Stable name of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Url(_) => "database_url",
            Self::Unreachable(_) | Self::Away | Self::Unanswered | Self::Interrupted => "database_unavailable",
            Self::Statement(_) if self.is_transient() => "database_unavailable",
            Self::Statement(_) | Self::Unreadable(_) => "database_error",
            Self::Misfit(_) => "database_misfit",
            Self::Migration(_) => "database_migration",
            Self::WrongKey => "encryption_key",
            Self::PageTooLarge { .. } => "page_too_large",
        }
    }

    /// Whether the server at the other end is not the one to talk to any more: after a failover it only reads. A new
    /// connection may find the right one.
    pub(super) fn is_of_another_server(&self) -> bool {
        matches!(self, Self::Statement(error) if error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION))
    }

    /// Whether a statement hit the named unique constraint or index.
    pub fn is_duplicate(&self, constraint: &str) -> bool {
        let Self::Statement(error) = self else { return false };
        error
            .as_db_error()
            .is_some_and(|db| *db.code() == SqlState::UNIQUE_VIOLATION && db.constraint() == Some(constraint))
    }
}

/// Class 08 connection, 53 resources, 57P shutdown and recovery, 40 rollbacks of no fault of the statement, 55P03 and
/// 25006 while a server fails over.
fn is_transient_state(state: &SqlState) -> bool {
    let code = state.code();
    ["08", "53", "57P", "40"].iter().any(|class| code.starts_with(class)) || code == "55P03" || code == "25006"
}

fn has_io_cause(error: &dyn std::error::Error) -> bool {
    error.source().is_some_and(|cause| cause.is::<std::io::Error>() || has_io_cause(cause))
}

fn describe(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error_chain(error), |db| format!("{} ({})", db.message(), db.code().code()))
}

/// An error and its causes in one line: tokio-postgres keeps the telling part ("connection refused") in the cause.
pub(super) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
