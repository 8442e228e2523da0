//! A cron expression read a second time, and its times found by looking at every minute of a zone's clock.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
/// Longer than any change of a clock, Samoa's lost day too.
const AROUND: TimeDelta = TimeDelta::hours(30);

/// The numbers that an expression names; a day field that is `*` names none.
#[derive(Debug)]
pub(super) struct Expression {
    minutes: BTreeSet<u32>,
    hours: BTreeSet<u32>,
    days: Option<BTreeSet<u32>>,
    months: BTreeSet<u32>,
    weekdays: Option<BTreeSet<u32>>,
}

impl Expression {
    pub(super) fn read(text: &str) -> Self {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else { panic!("five fields, not {text:?}") };
        let free = |field: &str| field == "*" || field == "?";
        let weekdays = || numbers(weekday, 0, 7, &DAYS, 0).into_iter().map(|day| day % 7).collect();
        Self {
            minutes: numbers(minute, 0, 59, &[], 0),
            hours: numbers(hour, 0, 23, &[], 0),
            days: (!free(day)).then(|| numbers(day, 1, 31, &[], 0)),
            months: numbers(month, 1, 12, &MONTHS, 1),
            weekdays: (!free(weekday)).then(weekdays),
        }
    }

    /// Whether any year has such a day.
    pub(super) fn has_a_date(&self) -> bool {
        let longest = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let fits = |days: &BTreeSet<u32>| {
            self.months.iter().any(|month| days.iter().any(|day| *day <= longest[*month as usize - 1]))
        };
        self.weekdays.is_some() || self.days.as_ref().is_none_or(fits)
    }

    /// Its times between two instants, neither included.
    pub(super) fn between(&self, zone: Tz, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let clock = Clock::watch(zone, from - AROUND, until + AROUND);
        let times: BTreeSet<DateTime<Utc>> = if self.hours.len() == 24 {
            // It names no hour: each minute that the clock shows, as often as it shows it.
            clock.shown.iter().filter(|(local, _)| self.names(**local)).flat_map(|(_, at)| at.clone()).collect()
        } else {
            // Each local time once: when it is shown first, or when the clock has jumped over it.
            clock
                .calendar()
                .filter(|local| self.names(*local))
                .filter_map(|local| clock.first_at_or_past(local))
                .collect()
        };
        times.into_iter().filter(|time| *time > from && *time < until).collect()
    }

    fn names(&self, local: NaiveDateTime) -> bool {
        let in_days = |days: &BTreeSet<u32>| days.contains(&local.day());
        let in_week = |days: &BTreeSet<u32>| days.contains(&local.weekday().num_days_from_sunday());
        let date = match (&self.days, &self.weekdays) {
            (None, None) => true,
            (Some(days), None) => in_days(days),
            (None, Some(week)) => in_week(week),
            (Some(days), Some(week)) => in_days(days) || in_week(week),
        };
        date && self.months.contains(&local.month())
            && self.hours.contains(&local.hour())
            && self.minutes.contains(&local.minute())
    }
}

/// A list such as `1,4-8,*/5,MON-FRI`.
fn numbers(field: &str, min: u32, max: u32, names: &[&str], first_name: u32) -> BTreeSet<u32> {
    let number = |text: &str, is_end: bool| -> u32 {
        let text = text.to_ascii_uppercase();
        match names.iter().position(|name| **name == *text) {
            // A range that ends on Sunday ends on the seventh day.
            Some(0) if is_end && names == DAYS => 7,
            Some(position) => u32::try_from(position).expect("few names") + first_name,
            None => text.parse().unwrap_or_else(|_| panic!("{text:?} is no number")),
        }
    };
    let mut found = BTreeSet::new();
    for entry in field.split(',') {
        let (range, step) = entry.split_once('/').map_or((entry, 1), |(range, step)| (range, number(step, false)));
        let (low, high) = match range.split_once('-') {
            Some((low, high)) => (number(low, false), number(high, true)),
            None if range == "*" || range == "?" => (min, max),
            None => (number(range, false), number(range, false)),
        };
        found.extend((low..=high).step_by(step as usize));
    }
    found
}

/// What a zone's clock shows, minute by minute.
struct Clock {
    shown: BTreeMap<NaiveDateTime, Vec<DateTime<Utc>>>,
}

impl Clock {
    fn watch(zone: Tz, from: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        let mut now = from.with_second(0).and_then(|time| time.with_nanosecond(0)).expect("a minute has a beginning");
        let mut shown: BTreeMap<NaiveDateTime, Vec<DateTime<Utc>>> = BTreeMap::new();
        while now <= until {
            let ahead = zone.offset_from_utc_datetime(&now.naive_utc()).fix().local_minus_utc();
            shown.entry(now.naive_utc() + TimeDelta::seconds(ahead.into())).or_default().push(now);
            now += TimeDelta::minutes(1);
        }
        Self { shown }
    }

    /// Every minute from the first that is shown to the last, whether or not the clock shows it.
    fn calendar(&self) -> impl Iterator<Item = NaiveDateTime> {
        let (first, last) = (self.shown.keys().next().copied(), self.shown.keys().next_back().copied());
        std::iter::successors(first, |local| Some(*local + TimeDelta::minutes(1)))
            .take_while(move |local| Some(*local) <= last)
    }

    /// The first instant at which the clock shows this minute; if it never does, the first one of the next that it shows.
    fn first_at_or_past(&self, local: NaiveDateTime) -> Option<DateTime<Utc>> {
        self.shown.range(local..).next().and_then(|(_, instants)| instants.first().copied())
    }
}
