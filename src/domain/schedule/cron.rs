//! Cron expressions: croner reads them and searches the calendar; the clock changes of a timezone are ours.
//!
//! croner is asked about plain calendar time only (it never sees an offset), so that one rule holds for all
//! expressions: a local time that the clock jumps over runs at the end of the jump, one that it shows twice runs the
//! first time. An expression that names every hour does not say *which* hour, so it follows the time that passes:
//! every fifteen minutes stays every fifteen minutes while the clock is put back.

use chrono::{DateTime, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use super::rule::RuleError;
use super::{fault, local};

const NICKNAMES: [&str; 7] = ["@HOURLY", "@DAILY", "@MIDNIGHT", "@WEEKLY", "@MONTHLY", "@YEARLY", "@ANNUALLY"];
const MONTHS: &[&str] = &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "L"];
/// The fields, and the words each may hold.
const FIELDS: [(&str, &[&str]); 5] =
    [("minute", &[]), ("hour", &[]), ("day of month", &["L", "W", "LW"]), ("month", MONTHS), ("day of week", WEEKDAYS)];

/// A cron expression in a timezone.
#[derive(Clone, Debug)]
pub struct CronRule {
    cron: Cron,
    timezone: Tz,
    every_hour: bool,
    per_day: u64,
}

/// How a local time becomes an instant; `None` where it makes no occurrence.
type Instant = fn(Tz, NaiveDateTime) -> Option<DateTime<Utc>>;

impl CronRule {
    pub(super) fn parse(expr: &str, timezone: Tz) -> Result<Self, RuleError> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let expr = normalize(expr)?;
        let cron = parser.parse(&expr).map_err(|_| {
            RuleError::Cron(fault::find(&parser, expr.split(' ').zip(FIELDS.iter().map(|(name, _)| *name))))
        })?;
        let (hours, minutes) = (cron.pattern.hours.values().len(), cron.pattern.minutes.values().len());
        let rule = Self { cron, timezone, every_hour: hours == 24, per_day: (hours * minutes) as u64 };
        // A year that holds the rarest day (the 29th of February) is at most eight years away, and a leap year in
        // which it falls on one weekday at most forty.
        let start = NaiveDateTime::new(chrono::NaiveDate::from_ymd_opt(2000, 1, 1).unwrap_or_default(), NaiveTime::MIN);
        if rule.has_possible_day() && rule.next_local(start).is_some() { Ok(rule) } else { Err(RuleError::NoSuchDate) }
    }

    /// Whether some month of the rule is long enough; spares croner the search through three thousand years.
    fn has_possible_day(&self) -> bool {
        let pattern = &self.cron.pattern;
        if pattern.days.has_modifiers() || !pattern.is_dow_wildcard() {
            return true;
        }
        let longest = |month: u16| match month {
            2 => 29,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let earliest = pattern.days.values().into_iter().min().unwrap_or(1);
        pattern.months.values().into_iter().any(|month| earliest <= longest(month))
    }

    pub(super) fn next_after(&self, t: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let [behind, offset, ahead] = self.offsets_around(t);
        let next = |instant: &Instant| {
            // Before a clock is put back, times that it will show again are ahead though their first showing is past.
            let mut from = t.naive_utc() + offset.min(ahead);
            loop {
                from = self.next_local(from)?;
                match instant(self.timezone, from) {
                    Some(found) if found > t => return Some(found),
                    _ => {}
                }
            }
        };
        let ways = self.ways();
        let ways = if behind == offset && offset == ahead { &ways[..1] } else { ways };
        ways.iter().filter_map(next).min()
    }

    pub(super) fn prev_before(&self, t: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let [behind, offset, ahead] = self.offsets_around(t);
        let previous = |instant: &Instant| {
            let mut from = t.naive_utc() + offset.max(behind);
            loop {
                from = self.prev_local(from)?;
                match instant(self.timezone, from) {
                    Some(found) if found < t => return Some(found),
                    _ => {}
                }
            }
        };
        let ways = self.ways();
        let ways = if behind == offset && offset == ahead { &ways[ways.len() - 1..] } else { ways };
        ways.iter().filter_map(previous).max()
    }

    /// The offsets before, at and after an instant. Where they are the same, no clock change is near, and the nearest
    /// occurrence is found in one way alone.
    fn offsets_around(&self, t: DateTime<Utc>) -> [TimeDelta; 3] {
        [t - local::CHANGE, t, t + local::CHANGE].map(|at| local::offset(self.timezone, at))
    }

    /// How many occurrences lie between two instants, neither included. Days without a clock change are counted
    /// whole, so that ten years of a rule that runs every minute take milliseconds.
    pub(super) fn count_between(&self, after: DateTime<Utc>, before: DateTime<Utc>) -> u64 {
        let (mut count, mut reached) = (0, after);
        while let Some(next) = self.next_after(reached).filter(|next| *next < before) {
            let midnight = local::at(self.timezone, next).date().and_time(NaiveTime::MIN);
            let start = local::instant(self.timezone, midnight);
            let end = start + TimeDelta::days(1);
            if reached < start && end <= before && self.is_plain_day(start) {
                count += self.per_day;
                reached = end - TimeDelta::microseconds(1);
            } else {
                count += 1;
                reached = next;
            }
        }
        count
    }

    /// Whether the clock goes through the day that begins here without a change, and did not jump to its beginning:
    /// times that were jumped over run there.
    fn is_plain_day(&self, start: DateTime<Utc>) -> bool {
        let offset = |from_start| local::offset(self.timezone, start + from_start);
        local::at(self.timezone, start).time() == NaiveTime::MIN
            && offset(TimeDelta::seconds(-1)) == offset(TimeDelta::zero())
            && offset(TimeDelta::zero()) == offset(TimeDelta::days(1))
    }

    /// How a calendar time can become an occurrence, the earlier way first.
    fn ways(&self) -> &'static [Instant] {
        const NAMED: &[Instant] = &[|timezone, local| Some(local::instant(timezone, local))];
        const PASSING: &[Instant] = &[
            |timezone, local| local::shown(timezone, local).map(|(first, _)| first),
            |timezone, local| local::shown(timezone, local).map(|(_, last)| last),
        ];
        if self.every_hour { PASSING } else { NAMED }
    }

    /// The next calendar time after this one. croner counts in whole seconds.
    fn next_local(&self, from: NaiveDateTime) -> Option<NaiveDateTime> {
        self.cron.find_next_occurrence(&whole_second(from).and_utc(), false).ok().map(|found| found.naive_utc())
    }

    fn prev_local(&self, from: NaiveDateTime) -> Option<NaiveDateTime> {
        let whole = whole_second(from);
        let from = if whole < from { whole + TimeDelta::seconds(1) } else { whole };
        self.cron.find_previous_occurrence(&from.and_utc(), false).ok().map(|found| found.naive_utc())
    }
}

fn whole_second(time: NaiveDateTime) -> NaiveDateTime {
    chrono::Timelike::with_nanosecond(&time, 0).unwrap_or(time)
}

/// Checks what croner is lenient about: names in the wrong field, and words that begin like a name.
fn normalize(expr: &str) -> Result<String, RuleError> {
    let expr = expr.trim().to_ascii_uppercase();
    if expr.starts_with('@') {
        return match NICKNAMES.contains(&expr.as_str()) {
            true if expr == "@MIDNIGHT" => Ok("@DAILY".to_owned()),
            true => Ok(expr),
            false => Err(RuleError::Nickname(expr.to_ascii_lowercase())),
        };
    }
    let fields: Vec<&str> = expr.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(RuleError::FieldCount(fields.len()));
    }
    for (field, (name, words)) in fields.iter().zip(FIELDS) {
        let unknown = field.split(|c: char| !c.is_alphabetic()).find(|word| !word.is_empty() && !words.contains(word));
        if field.split(',').any(str::is_empty) {
            return Err(RuleError::Cron(format!("its {name} field has an empty entry in its list")));
        }
        if let Some(word) = unknown {
            return Err(RuleError::Word { word: word.to_owned(), field: name });
        }
    }
    Ok(fields.join(" "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// What an expression names, kept apart from how it is written.
    #[derive(Clone, Debug)]
    struct Fields {
        minutes: BTreeSet<u32>,
        hours: BTreeSet<u32>,
        days: Option<BTreeSet<u32>>,
        months: Option<BTreeSet<u32>>,
        weekdays: Option<BTreeSet<u32>>,
    }

    impl Fields {
        fn expr(&self) -> String {
            let list = |set: &BTreeSet<u32>| set.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            let or_star = |set: &Option<BTreeSet<u32>>| set.as_ref().map_or("*".to_owned(), list);
            let hours = if self.hours.len() == 24 { "*".to_owned() } else { list(&self.hours) };
            let (days, months, weekdays) = (or_star(&self.days), or_star(&self.months), or_star(&self.weekdays));
            format!("{} {hours} {days} {months} {weekdays}", list(&self.minutes))
        }

        fn names(&self, local: NaiveDateTime) -> bool {
            use chrono::{Datelike, Timelike};
            let day = |set: &BTreeSet<u32>| set.contains(&local.day());
            // 7 is Sunday too.
            let weekday = |set: &BTreeSet<u32>| {
                let number = local.weekday().num_days_from_sunday();
                set.contains(&number) || (number == 0 && set.contains(&7))
            };
            let date = match (&self.days, &self.weekdays) {
                (None, None) => true,
                (Some(days), None) => day(days),
                (None, Some(weekdays)) => weekday(weekdays),
                (Some(days), Some(weekdays)) => day(days) || weekday(weekdays),
            };
            local.second() == 0
                && self.minutes.contains(&local.minute())
                && self.hours.contains(&local.hour())
                && self.months.as_ref().is_none_or(|months| months.contains(&local.month()))
                && date
        }
    }

    /// Watches the wall clock minute by minute.
    fn watch(fields: &Fields, timezone: Tz, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let every_hour = fields.hours.len() == 24;
        let minute = TimeDelta::minutes(1);
        let mut now = from - TimeDelta::days(3);
        let mut latest = local::at(timezone, now);
        let mut found = Vec::new();
        while now < until {
            now += minute;
            let shows = now.with_timezone(&timezone).naive_local();
            let matches = if every_hour {
                fields.names(shows)
            } else {
                // All that the clock shows for the first time, or will never show.
                let mut new = false;
                while latest < shows {
                    latest += minute;
                    new |= fields.names(latest);
                }
                new
            };
            if matches && now > from && now < until {
                found.push(now);
            }
        }
        found
    }

    /// A place and the time around which its clock changes, or nothing happens.
    const CHANGES: [(Tz, &str); 16] = [
        (Tz::America__New_York, "2026-03-08T07:00:00Z"),
        (Tz::America__New_York, "2026-11-01T06:00:00Z"),
        (Tz::Europe__Berlin, "2026-03-29T01:00:00Z"),
        (Tz::Europe__Berlin, "2026-10-25T01:00:00Z"),
        (Tz::Australia__Lord_Howe, "2026-04-04T15:00:00Z"),
        (Tz::Australia__Lord_Howe, "2026-10-03T15:30:00Z"),
        (Tz::America__Sao_Paulo, "2018-11-04T03:00:00Z"),
        (Tz::America__Sao_Paulo, "2018-02-18T02:00:00Z"),
        (Tz::Africa__Casablanca, "2026-02-15T02:00:00Z"),
        (Tz::Africa__Casablanca, "2026-03-22T02:00:00Z"),
        (Tz::Asia__Beirut, "2025-03-29T22:00:00Z"),
        (Tz::America__Havana, "2026-11-01T05:00:00Z"),
        (Tz::Pacific__Apia, "2011-12-30T10:00:00Z"),
        (Tz::Antarctica__Casey, "2010-03-04T15:00:00Z"),
        (Tz::Asia__Kathmandu, "2026-03-01T00:00:00Z"),
        (Tz::UTC, "2024-02-29T00:00:00Z"),
    ];

    fn set(range: std::ops::Range<u32>, most: usize) -> impl Strategy<Value = BTreeSet<u32>> {
        proptest::collection::btree_set(range, 1..=most)
    }

    fn fields() -> impl Strategy<Value = Fields> {
        let every_hour = Just((0..24).collect::<BTreeSet<u32>>());
        let minutes = prop_oneof![set(0..60, 4), Just((0..60).step_by(15).collect::<BTreeSet<u32>>())];
        let hours = prop_oneof![2 => set(0..6, 3), 1 => set(0..24, 23), 1 => every_hour];
        let days = prop_oneof![2 => Just(None), 1 => set(1..32, 8).prop_map(Some)];
        let months = prop_oneof![3 => Just(None), 1 => set(1..13, 8).prop_map(Some)];
        let weekdays = prop_oneof![2 => Just(None), 1 => set(0..8, 3).prop_map(Some)];
        (minutes, hours, days, months, weekdays).prop_filter_map("a day that never comes", |fields| {
            let (minutes, hours, days, months, weekdays) = fields;
            let fields = Fields { minutes, hours, days, months, weekdays };
            CronRule::parse(&fields.expr(), Tz::UTC).is_ok().then_some(fields)
        })
    }

    proptest! {
        #[test]
        fn occurrences_are_what_a_watcher_of_the_clock_would_see(
            fields in fields(), change in 0..CHANGES.len(), start in -2880i64..2880, minutes in 1i64..5760,
        ) {
            let (timezone, around) = CHANGES[change];
            let around: DateTime<Utc> = around.parse().expect("an instant");
            let from = around + TimeDelta::minutes(start);
            let until = from + TimeDelta::minutes(minutes);
            let rule = CronRule::parse(&fields.expr(), timezone).expect("valid");
            let seen = watch(&fields, timezone, from, until);

            let ahead = std::iter::successors(rule.next_after(from), |at| rule.next_after(*at));
            let ahead: Vec<_> = ahead.take_while(|at| *at < until).collect();
            prop_assert_eq!(&ahead, &seen, "forwards, {} in {}", fields.expr(), timezone);

            let behind = std::iter::successors(rule.prev_before(until), |at| rule.prev_before(*at));
            let mut behind: Vec<_> = behind.take_while(|at| *at > from).collect();
            behind.reverse();
            prop_assert_eq!(&behind, &seen, "backwards, {} in {}", fields.expr(), timezone);

            prop_assert_eq!(rule.count_between(from, until), seen.len() as u64, "{} in {}", fields.expr(), timezone);
        }
    }

    /// Samoa went from the 29th to the 31st: the run of the 30th comes as the 31st begins, beside that day's own.
    #[test]
    fn a_day_that_was_left_out_counts() {
        let rule = CronRule::parse("0 1 * * *", Tz::Pacific__Apia).expect("valid");
        let midnight: DateTime<Utc> = "2011-12-30T10:00:00Z".parse().expect("an instant");
        let count = rule.count_between(midnight - TimeDelta::minutes(1), midnight + TimeDelta::days(1));
        assert_eq!(count, 2);
    }

    #[test]
    fn the_examples_of_the_manual_hold() {
        let cases: [(&str, Tz, &str, &[&str]); 8] = [
            // 02:30 does not exist on 8 March: the run comes at 03:00, and the next day at 02:30 again.
            (
                "30 2 * * *",
                Tz::America__New_York,
                "2026-03-07T12:00:00Z",
                &["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"],
            ),
            // Two times in the jump are one run.
            (
                "0,30 2 * * *",
                Tz::America__New_York,
                "2026-03-07T12:00:00Z",
                &["2026-03-08T07:00:00Z", "2026-03-09T06:00:00Z"],
            ),
            // 01:30 exists twice on 1 November: the first.
            (
                "30 1 * * *",
                Tz::America__New_York,
                "2026-10-31T12:00:00Z",
                &["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"],
            ),
            // Midnight does not exist.
            (
                "0 0 * * *",
                Tz::America__Sao_Paulo,
                "2018-11-03T12:00:00Z",
                &["2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"],
            ),
            // Every hour follows the time that passes.
            (
                "0 * * * *",
                Tz::America__New_York,
                "2026-11-01T05:00:00Z",
                &["2026-11-01T06:00:00Z", "2026-11-01T07:00:00Z"],
            ),
            (
                "30 * * * *",
                Tz::America__New_York,
                "2026-03-08T06:00:00Z",
                &["2026-03-08T06:30:00Z", "2026-03-08T07:30:00Z"],
            ),
            // The 13th or a Friday.
            ("0 0 13 * FRI", Tz::UTC, "2026-10-09T12:00:00Z", &["2026-10-13T00:00:00Z", "2026-10-16T00:00:00Z"]),
            ("0 0 29 2 *", Tz::UTC, "2096-03-01T00:00:00Z", &["2104-02-29T00:00:00Z", "2108-02-29T00:00:00Z"]),
        ];
        for (expr, timezone, from, expected) in cases {
            let rule = CronRule::parse(expr, timezone).expect("valid");
            let from: DateTime<Utc> = from.parse().expect("an instant");
            let found = std::iter::successors(rule.next_after(from), |at| rule.next_after(*at));
            let found: Vec<DateTime<Utc>> = found.take(2).collect();
            let expected: Vec<DateTime<Utc>> = expected.iter().map(|at| at.parse().expect("an instant")).collect();
            assert_eq!(found, expected, "{expr} in {timezone}");
        }
    }
}
