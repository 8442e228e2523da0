//! The log of a task: what is known of its life, in words. Most of it is not written down while it happens but told
//! from the task's history when somebody asks, so that running a task costs nothing for it.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For whoever looks for a fault.
    Debug,
    /// As it should be.
    Info,
    /// Not as it should be; it goes on.
    Warning,
    /// It does not go on.
    Error,
}

/// Why a text is no level.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("level must be one of debug, info, warning, error")]
pub struct LogLevelError;

impl std::str::FromStr for LogLevel {
    type Err = LogLevelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warning" | "warn" => Ok(Self::Warning),
            "error" => Ok(Self::Error),
            _ => Err(LogLevelError),
        }
    }
}

/// Something that happened to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEvent {
    /// Somebody wrote a line about it.
    Said(String),
    /// It was made.
    Made {
        /// Where it waits.
        queue: String,
        /// The occurrence that a schedule made it for.
        scheduled_for: Option<DateTime<Utc>>,
    },
    /// An attempt began.
    Began {
        /// The machine it began on, where that is known, or the node's id.
        node: Option<String>,
    },
    /// An attempt ended.
    Ended {
        /// How, an [`crate::domain::attempt::AttemptStatus`].
        status: String,
        /// Stable name of the reason.
        code: Option<String>,
        /// The reason.
        error: Option<String>,
        /// Whether the source may have run the flow without our knowing.
        outcome_unknown: bool,
        /// How long it took.
        took: TimeDelta,
    },
    /// The task ended, and not by an attempt.
    Over {
        /// How, a [`crate::domain::task::TaskStatus`].
        status: String,
        /// The reason.
        error: Option<String>,
    },
    /// Another attempt will follow.
    Waits {
        /// When.
        until: DateTime<Utc>,
    },
}

impl TaskEvent {
    /// The event in words. `attempt` is the attempt that it is about.
    pub fn text(&self, attempt: Option<i32>) -> String {
        let attempt = attempt.unwrap_or_default();
        match self {
            Self::Said(text) => text.clone(),
            Self::Made { queue, scheduled_for: None } => format!("Made, to wait in the queue {queue}."),
            Self::Made { queue, scheduled_for: Some(at) } => {
                format!("Made by its schedule for {}, to wait in the queue {queue}.", shown(*at))
            }
            Self::Began { node: Some(node) } => format!("Attempt {attempt} began on {node}."),
            Self::Began { node: None } => format!("Attempt {attempt} began."),
            Self::Ended { status, code, error, outcome_unknown, took } => {
                let how = match status.as_str() {
                    "completed" | "failed" => status.clone(),
                    "timed_out" => "timed out".to_owned(),
                    other => format!("was {other}"),
                };
                let seconds = took.num_milliseconds().max(0) as f64 / 1000.0;
                let mut text = format!("Attempt {attempt} {how} after {seconds:.1} s");
                if let Some(error) = error {
                    text = format!("{text}: {error}");
                }
                if let Some(code) = code {
                    text = format!("{text} [{code}]");
                }
                if *outcome_unknown {
                    text.push_str(" The source may have run the flow.");
                } else if error.is_none() && code.is_none() {
                    text.push('.');
                }
                text
            }
            Self::Over { status, error } => {
                let error = error.as_ref().map_or_else(|| ".".to_owned(), |error| format!(": {error}"));
                format!("The task {}{error}", if status == "cancelled" { "was cancelled" } else { status })
            }
            Self::Waits { until } => format!("Attempt {} follows at {}.", attempt + 1, shown(*until)),
        }
    }
}

fn shown(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_read_as_sentences() {
        let at = |text: &str| text.parse().expect("an instant");
        let ended = |status: &str, error: Option<&str>, unknown| TaskEvent::Ended {
            status: status.to_owned(),
            code: error.map(|_| "source_5xx".to_owned()),
            error: error.map(str::to_owned),
            outcome_unknown: unknown,
            took: TimeDelta::milliseconds(1249),
        };
        for (event, text) in [
            (TaskEvent::Made { queue: "celery".into(), scheduled_for: None }, "Made, to wait in the queue celery."),
            (
                TaskEvent::Made { queue: "x".into(), scheduled_for: Some(at("2026-01-02T03:00:00.5Z")) },
                "Made by its schedule for 2026-01-02T03:00:00Z, to wait in the queue x.",
            ),
            (TaskEvent::Began { node: Some("spark-1".into()) }, "Attempt 2 began on spark-1."),
            (TaskEvent::Began { node: None }, "Attempt 2 began."),
            (ended("completed", None, false), "Attempt 2 completed after 1.2 s."),
            (ended("failed", Some("HTTP 503"), false), "Attempt 2 failed after 1.2 s: HTTP 503 [source_5xx]"),
            (
                ended("timed_out", Some("Slow."), true),
                "Attempt 2 timed out after 1.2 s: Slow. [source_5xx] The source may have run the flow.",
            ),
            (
                ended("lost", Some("The child ended."), false),
                "Attempt 2 was lost after 1.2 s: The child ended. [source_5xx]",
            ),
            (TaskEvent::Waits { until: at("2026-01-02T03:04:05Z") }, "Attempt 3 follows at 2026-01-02T03:04:05Z."),
            (TaskEvent::Said("Hello.".into()), "Hello."),
        ] {
            assert_eq!(event.text(Some(2)), text);
        }
    }

    #[test]
    fn levels_are_ordered_and_read_as_people_write_them() {
        assert!(LogLevel::Debug < LogLevel::Info && LogLevel::Warning < LogLevel::Error);
        assert_eq!(("WARN".parse(), "error".parse()), (Ok(LogLevel::Warning), Ok(LogLevel::Error)));
        assert_eq!("loud".parse::<LogLevel>(), Err(LogLevelError));
    }
}
