//! Names of queues, and the order of the tasks in one.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The queue of a task that names none (the Python service's default queue).
pub const DEFAULT_QUEUE: &str = "celery";

/// The name of a queue: 1 to 64 characters of `a-z A-Z 0-9 _ - .`, so that it fits a Redis key, a metric label and
/// a path of the API as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct QueueName(String);

/// Why a text is no name of a queue.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a queue's name has 1 to 64 characters of a-z, A-Z, 0-9, '_', '-' and '.'")]
pub struct QueueNameError;

impl QueueName {
    /// Checks the name.
    ///
    /// # Errors
    /// Another length, or another character.
    pub fn new(name: impl Into<String>) -> Result<Self, QueueNameError> {
        let name = name.into();
        let fits = (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        fits.then_some(Self(name)).ok_or(QueueNameError)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for QueueName {
    fn default() -> Self {
        Self(DEFAULT_QUEUE.to_owned())
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for QueueName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// How urgent a task is within its queue: 0 to 9, 9 first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Priority(u8);

/// Why a number is no priority.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("priority is a whole number from 0 to 9; 9 runs first")]
pub struct PriorityError;

impl Priority {
    /// The most urgent.
    pub const MAX: u8 = 9;

    /// Checks the number.
    ///
    /// # Errors
    /// It is not within 0 to 9.
    pub fn new(level: i64) -> Result<Self, PriorityError> {
        u8::try_from(level).ok().filter(|level| *level <= Self::MAX).map(Self).ok_or(PriorityError)
    }

    /// The number, 0 to 9.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self(5)
    }
}

impl<'de> Deserialize<'de> for Priority {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A priority's share of a score. Greater than any time in milliseconds this side of the year 2286, and small enough
/// that ten of them and a time are whole numbers in a double (2^53).
const PRIORITY_STEP: f64 = 1e13;

/// A task's place in its mailbox, lowest first: by priority, then by the time since when it is pending.
pub fn score(priority: Priority, pending_at: DateTime<Utc>) -> f64 {
    let urgency = f64::from(Priority::MAX - priority.get());
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^53")]
    let millis = pending_at.timestamp_millis() as f64;
    urgency * PRIORITY_STEP + millis
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(millis).expect("in range")
    }

    #[test]
    fn priority_goes_before_time_and_time_before_nothing() {
        let urgent = Priority::new(9).expect("in range");
        let (now, later) = (at(1_795_000_000_000), at(1_795_000_000_001));
        assert!(score(urgent, later) < score(Priority::default(), now));
        assert!(score(urgent, now) < score(urgent, later));
        let least = score(Priority::new(0).expect("in range"), at(9_999_999_999_999));
        assert!(least < 2f64.powi(53));
    }

    #[test]
    fn names_and_levels_are_checked() {
        assert!(QueueName::new("high_priority").is_ok());
        for bad in ["", "a b", "a/b", &"x".repeat(65)] {
            assert_eq!(QueueName::new(bad), Err(QueueNameError));
        }
        assert!(Priority::new(-1).is_err() && Priority::new(10).is_err());
    }
}
