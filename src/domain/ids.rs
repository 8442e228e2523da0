//! One type for each kind of id, so that a task's id can't be passed for a workflow's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id. Ids are time-ordered (UUID version 7): rows made together lie together in an index.
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id!(
    /// A task: one requested run of a workflow.
    TaskId
);
uuid_id!(
    /// A workflow synced from a source.
    WorkflowId
);
uuid_id!(
    /// An external server that holds workflows.
    SourceId
);
uuid_id!(
    /// A rule that makes tasks of a workflow.
    ScheduleId
);
uuid_id!(
    /// A stored key of the API.
    KeyId
);
uuid_id!(
    /// Whom to tell of what.
    NotificationId
);
uuid_id!(
    /// One running Spark service; new at every start.
    NodeId
);

/// An executor of one pool of this node, numbered in the order of their start; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExecutorId(pub u64);

impl fmt::Display for ExecutorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
