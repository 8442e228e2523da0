//! Notifications: what somebody outside can be told of.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

/// What can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum NotificationEvent {
    /// A task failed for good.
    #[serde(rename = "task.failed")]
    TaskFailed,
    /// An occurrence of a schedule was missed, and will not be made up for.
    #[serde(rename = "schedule.missed")]
    ScheduleMissed,
    /// A schedule should have fired and has not; then that it is on time again.
    #[serde(rename = "schedule.late")]
    ScheduleLate,
    /// A source can't be reached; then that it can again.
    #[serde(rename = "source.down")]
    SourceDown,
    /// A queue is too long or its tasks wait too long; then that they don't any more.
    #[serde(rename = "queue.over")]
    QueueOver,
}

/// What is sent by hand, to try a receiver.
pub const TEST: &str = "test";

impl NotificationEvent {
    /// Every event.
    pub const ALL: [Self; 5] =
        [Self::TaskFailed, Self::ScheduleMissed, Self::ScheduleLate, Self::SourceDown, Self::QueueOver];

    /// The event's name in the database, the API and the CLI, and the type of its message.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TaskFailed => "task.failed",
            Self::ScheduleMissed => "schedule.missed",
            Self::ScheduleLate => "schedule.late",
            Self::SourceDown => "source.down",
            Self::QueueOver => "queue.over",
        }
    }

    /// The type of the message that says that it is over; none where it happens and does not last.
    pub fn recovery(self) -> Option<&'static str> {
        match self {
            Self::TaskFailed | Self::ScheduleMissed => None,
            Self::ScheduleLate => Some("schedule.on_time"),
            Self::SourceDown => Some("source.recovered"),
            Self::QueueOver => Some("queue.recovered"),
        }
    }
}

impl fmt::Display for NotificationEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is no event.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an event is one of task.failed, schedule.missed, schedule.late, source.down, queue.over")]
pub struct NotificationEventError;

impl FromStr for NotificationEvent {
    type Err = NotificationEventError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|event| event.as_str() == text).ok_or(NotificationEventError)
    }
}

impl<'de> Deserialize<'de> for NotificationEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The receiver has it.
    Delivered,
    /// It is tried again after so long.
    TryAgain(Duration),
    /// It was tried often enough.
    GivenUp,
}

/// Waits between the tries: about a day in all.
const WAITS_S: [u64; 8] = [5, 30, 120, 600, 3_600, 10_800, 28_800, 43_200];

/// What becomes of a delivery after its n-th try (from 1). One by hand is tried once: somebody waits for what came of it.
pub fn judge(is_delivered: bool, event: &str, tries: i32) -> Fate {
    if is_delivered {
        return Fate::Delivered;
    }
    let wait = usize::try_from(tries).ok().and_then(|tries| WAITS_S.get(tries.checked_sub(1)?));
    match wait.filter(|_| event != TEST) {
        Some(seconds) => Fate::TryAgain(Duration::from_secs(*seconds)),
        None => Fate::GivenUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_one_name_everywhere() {
        for event in NotificationEvent::ALL {
            assert_eq!(event.as_str().parse(), Ok(event));
            assert_eq!(serde_json::to_value(event).expect("JSON"), event.as_str());
            assert!(NotificationEventError.to_string().contains(event.as_str()));
        }
    }

    #[test]
    fn tries_grow_rarer_and_end_after_a_day() {
        let mut total = Duration::ZERO;
        let mut last = Duration::ZERO;
        let mut tries = 1;
        while let Fate::TryAgain(wait) = judge(false, "task.failed", tries) {
            assert!(wait > last);
            (total, last, tries) = (total + wait, wait, tries + 1);
        }
        assert_eq!(tries, 9);
        assert!((23..=25).contains(&(total.as_secs() / 3600)), "{total:?}");
        assert_eq!(judge(false, "task.failed", tries), Fate::GivenUp);
    }

    #[test]
    fn one_by_hand_is_tried_once() {
        assert_eq!((judge(false, TEST, 1), judge(true, TEST, 1)), (Fate::GivenUp, Fate::Delivered));
    }
}
