//! Why a use case could not be carried out.

use std::sync::Arc;

use super::backlog::Full;
use crate::store;
use crate::store::batch::Refused;

/// Why a use case could not be carried out.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The workflow is not there (any more).
    #[error("Workflow not found")]
    NoSuchWorkflow,
    /// As many tasks are pending as may be.
    #[error(transparent)]
    Backlog(#[from] Full),
    /// More tasks arrive than the database takes.
    #[error("more tasks arrive than can be stored; try again in a moment")]
    Overloaded,
    /// The service stops.
    #[error("the service is stopping; try again in a moment")]
    Stopping,
    /// The database could not do its part. Shared by all calls of a batch.
    #[error(transparent)]
    Store(#[from] Arc<store::Error>),
}

impl Error {
    /// Whether the same call may succeed later without anybody's doing.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoSuchWorkflow => false,
            Self::Backlog(_) | Self::Overloaded | Self::Stopping => true,
            Self::Store(error) => error.is_transient(),
        }
    }

    /// Stable name of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSuchWorkflow => "workflow_not_found",
            Self::Backlog(_) => "backlog_full",
            Self::Overloaded => "overloaded",
            Self::Stopping => "stopping",
            Self::Store(error) => error.code(),
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::Overloaded,
            Refused::Closed => Self::Stopping,
        }
    }
}
