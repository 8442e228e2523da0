//! What ended, in figures: how they are kept, which span is asked for, and what a sum of them shows.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

use super::distribution::Distribution;

/// How figures grow coarser with age: rows of so many minutes are kept so long, then added up to the next. The last ones
/// stay until retention deletes them. Each is a multiple of the one before and begins at multiples of itself since 1970.
pub const LADDER: [(i16, Option<TimeDelta>); 4] =
    [(1, Some(TimeDelta::hours(3))), (15, Some(TimeDelta::days(3))), (60, Some(TimeDelta::days(90))), (1440, None)];

/// The beginning of the span of so many minutes that a time lies in.
pub fn beginning(time: DateTime<Utc>, minutes: i64) -> DateTime<Utc> {
    let seconds = minutes * 60;
    DateTime::from_timestamp(time.timestamp().div_euclid(seconds) * seconds, 0).unwrap_or(time)
}

/// How far back figures are asked for, and in how many points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// 60 points of a minute.
    Hour,
    /// 96 points of a quarter of an hour.
    Day,
    /// 168 points of an hour.
    Week,
    /// 120 points of six hours.
    Month,
    /// 365 points of a day.
    Year,
}

impl Window {
    /// The minutes of a point, and how many there are.
    pub fn points(self) -> (i64, i64) {
        match self {
            Self::Hour => (1, 60),
            Self::Day => (15, 96),
            Self::Week => (60, 168),
            Self::Month => (360, 120),
            Self::Year => (1440, 365),
        }
    }

    /// The beginnings of the points; the last one is the point that `now` lies in.
    pub fn beginnings(self, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let (minutes, count) = self.points();
        let last = beginning(now, minutes);
        (0..count).rev().map(|back| last - TimeDelta::minutes(minutes * back)).collect()
    }

    /// Its name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

impl FromStr for Window {
    type Err = UnknownWindow;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];
        all.into_iter().find(|window| window.as_str() == text).ok_or(UnknownWindow)
    }
}

/// A window that there is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownWindow;

impl fmt::Display for UnknownWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("window must be hour, day, week, month or year")
    }
}

/// What a row of figures counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// A task that came to its end.
    Task,
    /// An attempt that ended, and how long it ran.
    Attempt,
    /// How long a task had waited for an attempt.
    Wait,
}

impl Figure {
    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Attempt => "attempt",
            Self::Wait => "wait",
        }
    }

    /// Reads a name of the database.
    pub fn from_stored(name: &str) -> Option<Self> {
        [Self::Task, Self::Attempt, Self::Wait].into_iter().find(|figure| figure.as_str() == name)
    }
}

/// Figures, added up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    tasks: BTreeMap<String, u64>,
    attempts: BTreeMap<String, u64>,
    /// How long tasks had waited for their attempts.
    pub wait: Distribution,
    /// How long attempts ran to an end of their own: a result, an error or a time limit.
    pub run: Distribution,
}

impl Figures {
    /// Adds a row.
    pub fn add(&mut self, figure: Figure, outcome: &str, bucket: i16, count: u64, sum_ms: f64) {
        match figure {
            Figure::Task => *self.tasks.entry(outcome.to_owned()).or_default() += count,
            Figure::Attempt => {
                *self.attempts.entry(outcome.to_owned()).or_default() += count;
                if matches!(outcome, "completed" | "failed" | "timed_out") {
                    self.run.add(bucket, count, sum_ms);
                }
            }
            Figure::Wait => self.wait.add(bucket, count, sum_ms),
        }
    }

    /// Tasks that ended this way.
    pub fn tasks(&self, status: &str) -> u64 {
        self.tasks.get(status).copied().unwrap_or(0)
    }

    /// Tasks that ended, in any way.
    pub fn tasks_ended(&self) -> u64 {
        self.tasks.values().sum()
    }

    /// Attempts that ended this way.
    pub fn attempts(&self, status: &str) -> u64 {
        self.attempts.get(status).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    #[test]
    fn each_rung_of_the_ladder_is_a_multiple_of_the_one_before() {
        for pair in LADDER.windows(2) {
            assert_eq!(pair[1].0 % pair[0].0, 0);
        }
    }

    #[test]
    fn every_window_is_kept_as_finely_as_it_is_shown() {
        for window in [Window::Hour, Window::Day, Window::Week, Window::Month, Window::Year] {
            let (minutes, count) = window.points();
            let span = TimeDelta::minutes(minutes * count);
            let mut begins_at_age = Some(TimeDelta::zero());
            for (rung, kept) in LADDER {
                let is_shown = begins_at_age.is_some_and(|age| age < span);
                assert!(!is_shown || minutes % i64::from(rung) == 0, "{} of {rung}", window.as_str());
                begins_at_age = kept;
            }
        }
    }

    #[test]
    fn points_end_with_the_one_that_is_now() {
        let points = Window::Day.beginnings(at("2026-11-24T12:16:31Z"));
        assert_eq!((points.len(), points[0], points[95]), (96, at("2026-11-23T12:30:00Z"), at("2026-11-24T12:15:00Z")));
        assert_eq!(beginning(at("1969-12-31T23:59:59Z"), 1), at("1969-12-31T23:59:00Z"));
    }

    #[test]
    fn only_attempts_with_an_end_of_their_own_have_a_run_time() {
        let mut figures = Figures::default();
        figures.add(Figure::Attempt, "completed", 8, 2, 9.0);
        figures.add(Figure::Attempt, "lost", 40, 1, 1000.0);
        figures.add(Figure::Task, "completed", 0, 2, 0.0);
        assert_eq!((figures.attempts("lost"), figures.run.count(), figures.tasks_ended()), (1, 2, 2));
        assert_eq!((figures.tasks("failed"), figures.wait.count()), (0, 0));
    }

    #[test]
    fn windows_are_named() {
        assert_eq!("week".parse(), Ok(Window::Week));
        assert_eq!("fortnight".parse::<Window>(), Err(UnknownWindow));
    }
}
