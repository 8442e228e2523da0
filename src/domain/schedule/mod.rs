//! Schedules: when a workflow runs, and what becomes of the runs that could not be had in time.
//!
//! [`Rule`] says when, [`due`] which occurrences count now, [`plan`] what is made of them.

mod cron;
mod due;
mod fault;
mod local;
mod moment;
mod occurrence;
mod plan;
mod preview;
mod rule;

pub use cron::CronRule;
pub use due::{Due, MAX_LISTED, due};
pub use occurrence::{OccurrenceStatus, SkipReason};
pub use plan::{Made, Plan, Skipped, Standing, Unfinished, plan};
pub use preview::{Occurrence, preview};
pub use rule::{MAX_INTERVAL_DAYS, Rule, RuleError, parse_interval};

/// Why a text is none of the names it could be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{field} must be one of {choices}")]
pub struct ChoiceError {
    field: &'static str,
    choices: &'static str,
}

/// An enum whose values have names in the database, the API and the CLI.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident of $field:literal {
        $($(#[$value_doc:meta])* $value:ident = $text:literal,)+
    } choices $choices:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$value_doc])* #[serde(rename = $text)] $value,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$value),+];

            /// The name in the database, the API and the CLI.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::schedule::ChoiceError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let found = Self::ALL.iter().copied().find(|value| value.as_str() == text);
                found.ok_or($crate::domain::schedule::ChoiceError { field: $field, choices: $choices })
            }
        }
    };
}

use named;

named!(
    /// What kind of rule a schedule follows.
    ScheduleKind of "schedule_type" {
        /// A calendar expression of five fields.
        Cron = "cron",
        /// A fixed distance from run to run.
        Interval = "interval",
        /// One moment.
        OneTime = "one-time",
    } choices "cron, interval, one-time"
);

named!(
    /// Whether a schedule makes tasks.
    ScheduleStatus of "status" {
        /// It does.
        Active = "active",
        /// Somebody stopped it, or its rule can't be read any more.
        Paused = "paused",
        /// It was a one-time schedule and has had its run.
        Completed = "completed",
    } choices "active, paused, completed"
);

named!(
    /// What becomes of occurrences that passed while Spark was down.
    MissedPolicy of "missed_policy" {
        /// None of them runs.
        Skip = "skip",
        /// The newest of them runs.
        Last = "last",
        /// All of them run, up to a limit; beyond it the newest.
        All = "all",
    } choices "skip, last, all"
);

named!(
    /// What becomes of an occurrence while a former task of the same schedule is unfinished.
    OverlapPolicy of "overlap_policy" {
        /// It runs beside it.
        Allow = "allow",
        /// It does not run.
        Skip = "skip",
        /// It waits, if no other waits already.
        QueueOne = "queue-one",
    } choices "allow, skip, queue-one"
);

#[expect(clippy::derivable_impls, reason = "the enum is written by a macro that knows no default")]
impl Default for MissedPolicy {
    fn default() -> Self {
        Self::Last
    }
}

#[expect(clippy::derivable_impls, reason = "the enum is written by a macro that knows no default")]
impl Default for OverlapPolicy {
    fn default() -> Self {
        Self::Allow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_are_answered_with_the_choices() {
        for kind in ScheduleKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
            assert_eq!(serde_json::to_value(kind).expect("a name"), kind.as_str());
        }
        let error = "sometimes".parse::<OverlapPolicy>().expect_err("no such policy");
        assert_eq!(error.to_string(), "overlap_policy must be one of allow, skip, queue-one");
        for (list, error) in [
            (names(ScheduleKind::ALL), "x".parse::<ScheduleKind>().expect_err("no kind")),
            (names(ScheduleStatus::ALL), "x".parse::<ScheduleStatus>().expect_err("no status")),
            (names(MissedPolicy::ALL), "x".parse::<MissedPolicy>().expect_err("no policy")),
            (names(OverlapPolicy::ALL), "x".parse::<OverlapPolicy>().expect_err("no policy")),
        ] {
            assert_eq!(list, error.choices);
        }
    }

    fn names<T: ToString>(all: &[T]) -> String {
        all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}
