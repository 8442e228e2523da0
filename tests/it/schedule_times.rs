//! The times of schedules against a second opinion that shares no code with the first: `almanac` reads an expression by
//! itself and looks at a zone's clock minute by minute. croner is not asked, nor is anything of ours but the rule.

mod almanac;
mod texts;

use automagik_spark::domain::schedule::{Rule, RuleError, ScheduleKind, preview};
use chrono::{DateTime, Offset, SubsecRound, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;

use almanac::Expression;

/// Places, and moments at which their clocks change: by an hour or by half of one, at midnight or in the night, for
/// summer, for winter, for Ramadan, and for good.
const CHANGES: [(Tz, &str); 20] = [
    (Tz::Europe__Berlin, "2026-03-29T01:00:00Z"),
    (Tz::Europe__Berlin, "2026-10-25T01:00:00Z"),
    (Tz::America__New_York, "2026-03-08T07:00:00Z"),
    (Tz::America__New_York, "2026-11-01T06:00:00Z"),
    (Tz::Australia__Lord_Howe, "2026-04-04T15:00:00Z"),
    (Tz::Australia__Lord_Howe, "2026-10-03T15:30:00Z"),
    (Tz::America__Sao_Paulo, "2018-11-04T03:00:00Z"),
    (Tz::America__Sao_Paulo, "2018-02-18T02:00:00Z"),
    (Tz::America__Sao_Paulo, "2013-10-20T03:00:00Z"),
    (Tz::Asia__Tehran, "2022-03-21T20:30:00Z"),
    (Tz::Asia__Tehran, "2022-09-21T19:30:00Z"),
    (Tz::Asia__Tehran, "2008-03-20T20:30:00Z"),
    (Tz::Africa__Casablanca, "2026-02-15T02:00:00Z"),
    (Tz::Africa__Casablanca, "2026-03-22T02:00:00Z"),
    (Tz::Africa__Cairo, "2026-04-23T22:00:00Z"),
    (Tz::America__Santiago, "2026-09-06T04:00:00Z"),
    (Tz::America__Havana, "2026-11-01T05:00:00Z"),
    (Tz::Pacific__Apia, "2011-12-30T10:00:00Z"),
    (Tz::America__Caracas, "2007-12-09T07:00:00Z"),
    (Tz::Asia__Kathmandu, "2026-03-01T00:00:00Z"),
];

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

fn cron(expr: &str, zone: Tz) -> Rule {
    Rule::parse_stored(ScheduleKind::Cron, expr, zone).unwrap_or_else(|error| panic!("{expr}: {error}"))
}

/// What the rule says between two instants, neither included.
fn said(rule: &Rule, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let from = rule.next_after(from);
    std::iter::successors(from, |at| rule.next_after(*at)).take_while(|at| *at < until).collect()
}

proptest! {
    #[test]
    fn a_cron_expression_runs_when_the_almanac_says(
        expr in texts::cron(), change in 0..CHANGES.len(), start_s in -200_000i64..200_000, minutes in 1i64..7000,
    ) {
        let (zone, around) = CHANGES[change];
        let from = at(around) + TimeDelta::seconds(start_s);
        let until = from + TimeDelta::minutes(minutes);
        let expression = Expression::read(&expr);
        match Rule::parse_stored(ScheduleKind::Cron, &expr, zone) {
            Ok(rule) => {
                prop_assert!(expression.has_a_date(), "{} never comes and was taken", expr);
                let expected = expression.between(zone, from, until);
                prop_assert_eq!(said(&rule, from, until), expected, "{} in {}", expr, zone);
            }
            Err(error) => {
                prop_assert_eq!(error, RuleError::NoSuchDate, "{}", expr);
                prop_assert!(!expression.has_a_date(), "{} was refused", expr);
            }
        }
    }

    /// Far from any special moment too, and over longer waits.
    #[test]
    fn the_next_run_is_the_almanac_s_next(
        expr in texts::cron(), change in 0..CHANGES.len(), day in 0i64..13_000, second in 0i64..86_400,
    ) {
        let zone = CHANGES[change].0;
        let from = at("2000-01-01T00:00:00Z") + TimeDelta::days(day) + TimeDelta::seconds(second);
        let until = from + TimeDelta::days(20);
        let expression = Expression::read(&expr);
        prop_assume!(expression.has_a_date());
        let next = cron(&expr, zone).next_after(from).filter(|next| *next < until);
        prop_assert_eq!(next, expression.between(zone, from, until).first().copied(), "{} in {}", expr, zone);
    }

    #[test]
    fn a_preview_shows_the_almanac_s_times_and_marks_the_changes(
        expr in texts::frequent_cron(), change in 0..CHANGES.len(), start_s in -200_000i64..200_000,
    ) {
        let (zone, around) = CHANGES[change];
        let now = at(around) + TimeDelta::seconds(start_s);
        let rule = cron(&expr, zone);
        let expected = Expression::read(&expr).between(zone, now, now + TimeDelta::days(5));
        let count = expected.len().min(50);
        let shown = preview(&rule, zone, now, rule.first(now), count);
        check_preview(zone, now, &shown, &expected[..count])?;
    }

    #[test]
    fn an_interval_runs_on_its_grid_whatever_the_clock_shows(
        count in 1i64..100_000, unit in 0..4usize, change in 0..CHANGES.len(), start_ms in -400_000_000i64..400_000_000,
    ) {
        let (zone, around) = CHANGES[change];
        let (letter, seconds) = [("s", 1), ("M", 60), ("h", 3600), ("D", 86_400)][unit];
        let now = at(around) + TimeDelta::milliseconds(start_ms) + TimeDelta::nanoseconds(789);
        let rule = match Rule::parse(ScheduleKind::Interval, &format!("{count}{letter}"), zone, now) {
            Ok(rule) => rule,
            Err(error) => {
                prop_assert_eq!(error, RuleError::IntervalRange);
                prop_assert!(count * seconds > 3650 * 86_400);
                return Ok(());
            }
        };
        let start = now.trunc_subsecs(6);
        let expected: Vec<_> = (1..=20).map(|n| start + TimeDelta::seconds(count * seconds * n)).collect();
        let shown = preview(&rule, zone, now, rule.first(now), 20);
        check_preview(zone, now, &shown, &expected)?;
    }
}

/// The instants, what a clock on the wall shows then, and by how much it was moved since the time before.
fn check_preview(
    zone: Tz,
    now: DateTime<Utc>,
    shown: &[automagik_spark::domain::schedule::Occurrence],
    expected: &[DateTime<Utc>],
) -> Result<(), TestCaseError> {
    let instants: Vec<_> = shown.iter().map(|one| one.at).collect();
    prop_assert_eq!(&instants, expected);
    let mut before = zone.offset_from_utc_datetime(&now.naive_utc()).fix().local_minus_utc();
    for one in shown {
        let offset = zone.offset_from_utc_datetime(&one.at.naive_utc()).fix().local_minus_utc();
        prop_assert_eq!(one.local.naive_local() - one.at.naive_utc(), TimeDelta::seconds(offset.into()));
        let moved = TimeDelta::seconds((offset - before).into());
        prop_assert_eq!(one.clock_change, Some(moved).filter(|moved| !moved.is_zero()));
        before = offset;
    }
    Ok(())
}

#[test]
fn shorthands_are_what_the_manual_says() {
    let (from, until) = (at("2026-03-20T00:00:00Z"), at("2026-04-10T00:00:00Z"));
    for (short, long) in [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@Annually", "0 0 1 1 *"),
    ] {
        for zone in [Tz::Europe__Berlin, Tz::Australia__Lord_Howe, Tz::UTC] {
            let expected = Expression::read(long).between(zone, from, until);
            assert_eq!(said(&cron(short, zone), from, until), expected, "{short} in {zone}");
        }
    }
    assert!(cron("@yearly", Tz::UTC).next_after(until).is_some_and(|next| next == at("2027-01-01T00:00:00Z")));
}

#[test]
fn seven_is_sunday_wherever_a_day_may_stand() {
    let (from, until) = (at("2026-03-01T00:00:00Z"), at("2026-05-01T00:00:00Z"));
    for (seven, zero) in [
        ("0 9 * * 7", "0 9 * * 0"),
        ("0 9 * * 5-7", "0 9 * * 0,5,6"),
        ("0 9 * * 1-7", "0 9 * * *"),
        ("0 9 * * 0-7", "0 9 * * *"),
        ("0 9 * * 3,7", "0 9 * * sun,wed"),
        ("0 9 * * 1-7/2", "0 9 * * mon,wed,fri,sun"),
        ("0 9 * * fri-sun", "0 9 * * 5,6,0"),
        ("0 9 * * SUN-TUE", "0 9 * * 0-2"),
    ] {
        let zone = Tz::Europe__Berlin;
        assert_eq!(said(&cron(seven, zone), from, until), said(&cron(zero, zone), from, until), "{seven}");
    }
}

#[test]
fn a_date_that_no_year_has_is_refused_with_the_reason() {
    for expr in ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 30-31 FEB *", "*/5 * 31 jun *"] {
        let error = Rule::parse_stored(ScheduleKind::Cron, expr, Tz::UTC).expect_err(expr);
        assert!(error.to_string().contains("does not exist in any year"), "{expr}: {error}");
    }
    // Every Friday of February is one, and the 29th comes every four years.
    for expr in ["0 0 30 2 FRI", "0 0 29 2 *", "0 0 31 4,5 *"] {
        assert!(cron(expr, Tz::UTC).next_after(at("2096-03-01T00:00:00Z")).is_some(), "{expr}");
    }
}
