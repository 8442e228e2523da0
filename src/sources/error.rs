//! What a source could not do for us while it was managed (a run's failure is an outcome instead).

use crate::domain::source::SourceKind;

/// Why a call to a source did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no adapter for this kind.
    #[error("sources of type {0} are not supported by this version")]
    Unsupported(SourceKind),
}
