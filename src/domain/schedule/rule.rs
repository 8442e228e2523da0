//! When a schedule runs: the one parser of expressions, and their occurrences.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use chrono_tz::Tz;

use super::cron::CronRule;
use super::{ScheduleKind, moment};

/// The longest interval: far enough from any overflow, and longer than anybody waits.
pub const MAX_INTERVAL_DAYS: i64 = 3650;

/// When a schedule runs.
#[derive(Clone, Debug)]
pub enum Rule {
    /// At calendar times.
    Cron(Box<CronRule>),
    /// At a fixed distance, a whole number of seconds.
    Interval(TimeDelta),
    /// Once.
    OneTime(DateTime<Utc>),
}

/// Why an expression is no rule.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuleError {
    /// Not five fields.
    #[error(
        "a cron expression has five fields (minute hour day-of-month month day-of-week), this one has {0}; \
         seconds and years are not supported"
    )]
    FieldCount(usize),
    /// An `@` word that is none.
    #[error("{0} is no shorthand; use @hourly, @daily, @weekly, @monthly or @yearly")]
    Nickname(String),
    /// Letters where none, or others, belong.
    #[error("the cron expression has {word} in its {field} field, which means nothing there")]
    Word {
        /// The letters.
        word: String,
        /// The field.
        field: &'static str,
    },
    /// croner refused it.
    #[error(
        "the cron expression can't be read: {0}; its fields are minute (0-59), hour (0-23), day (1-31), month (1-12) and weekday (0-7)"
    )]
    Cron(String),
    /// Such a day never comes.
    #[error("the cron expression names a date that does not exist in any year (such as 30 February)")]
    NoSuchDate,
    /// No number with a unit.
    #[error("an interval is a whole number and a unit: s, m, h or d, for example 30s, 5m, 2h or 1d")]
    Interval,
    /// Too short or too long.
    #[error("an interval is at least 1s and at most {MAX_INTERVAL_DAYS}d")]
    IntervalRange,
    /// No date-time.
    #[error(
        "a one-time schedule takes now or a date-time such as 2026-12-24 18:00 or 2026-12-24T18:00:00+01:00 \
         (without a zone it is in the schedule's timezone)"
    )]
    Moment,
    /// A date-time that has passed.
    #[error("{at} has passed (it is {now}); give a time in the future, or now")]
    Past {
        /// What was given.
        at: DateTime<Utc>,
        /// The time it is.
        now: DateTime<Utc>,
    },
}

impl RuleError {
    /// Stable name of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Past { .. } => "schedule_in_the_past",
            _ => "schedule_expr_invalid",
        }
    }
}

impl Rule {
    /// Reads an expression that somebody gives now.
    ///
    /// # Errors
    /// It is no expression of this kind, never comes true, or is a moment that has passed.
    pub fn parse(kind: ScheduleKind, expr: &str, timezone: Tz, now: DateTime<Utc>) -> Result<Self, RuleError> {
        let expr = expr.trim();
        match kind {
            ScheduleKind::Cron => CronRule::parse(expr, timezone).map(|rule| Self::Cron(Box::new(rule))),
            ScheduleKind::Interval => parse_interval(expr).map(Self::Interval),
            ScheduleKind::OneTime if expr.eq_ignore_ascii_case("now") => Ok(Self::OneTime(now.trunc_subsecs(6))),
            ScheduleKind::OneTime => {
                let at = moment::parse(expr, timezone).ok_or(RuleError::Moment)?.trunc_subsecs(6);
                if at < now { Err(RuleError::Past { at, now: now.trunc_subsecs(0) }) } else { Ok(Self::OneTime(at)) }
            }
        }
    }

    /// Reads an expression that was accepted before: a moment may have passed since.
    ///
    /// # Errors
    /// It is no expression of this kind.
    pub fn parse_stored(kind: ScheduleKind, expr: &str, timezone: Tz) -> Result<Self, RuleError> {
        Self::parse(kind, expr, timezone, DateTime::UNIX_EPOCH)
    }

    /// The first occurrence of a schedule that starts now. PostgreSQL's microseconds hold it exactly.
    pub fn first(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron(cron) => cron.next_after(now),
            Self::Interval(step) => now.trunc_subsecs(6).checked_add_signed(*step),
            Self::OneTime(at) => Some(*at),
        }
    }

    /// The occurrence after `t`, which for an interval is an occurrence itself.
    pub fn next_after(&self, t: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron(cron) => cron.next_after(t),
            Self::Interval(step) => t.checked_add_signed(*step),
            Self::OneTime(at) => Some(*at).filter(|at| *at > t),
        }
    }
}

/// Reads a length of time: `30s`, `5m`, `2h`, `1d`.
///
/// # Errors
/// It is none, or one that no interval may have.
pub fn parse_interval(expr: &str) -> Result<TimeDelta, RuleError> {
    let unit = expr.chars().next_back().ok_or(RuleError::Interval)?;
    let seconds_each: i64 = match unit.to_ascii_lowercase() {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(RuleError::Interval),
    };
    let digits = &expr[..expr.len() - unit.len_utf8()];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(RuleError::Interval);
    }
    // Digits only: what does not fit is too long.
    let seconds = digits.parse::<i64>().ok().and_then(|count| count.checked_mul(seconds_each));
    seconds
        .filter(|seconds| (1..=MAX_INTERVAL_DAYS * 86_400).contains(seconds))
        .map(TimeDelta::seconds)
        .ok_or(RuleError::IntervalRange)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TZ: Tz = Tz::Europe__Berlin;

    fn now() -> DateTime<Utc> {
        "2026-06-10T12:00:00.123456789Z".parse().expect("an instant")
    }

    fn parse(kind: ScheduleKind, expr: &str) -> Result<Rule, RuleError> {
        Rule::parse(kind, expr, TZ, now())
    }

    fn first(kind: ScheduleKind, expr: &str) -> String {
        let rule = parse(kind, expr).unwrap_or_else(|error| panic!("{expr}: {error}"));
        rule.first(now()).expect("an occurrence").to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
    }

    #[test]
    fn cron_expressions_are_read() {
        for (expr, occurrence) in [
            ("*/15 * * * *", "2026-06-10T12:15:00Z"),
            ("0 9 * * MON-FRI", "2026-06-11T07:00:00Z"),
            ("0 9 * * mon,wed,7", "2026-06-14T07:00:00Z"),
            ("0 9 * * fri-sun", "2026-06-12T07:00:00Z"),
            ("0 9 * * 0", "2026-06-14T07:00:00Z"),
            ("5-10/5 0 1 jan-mar *", "2026-12-31T23:05:00Z"),
            ("0 0 L * *", "2026-06-29T22:00:00Z"),
            ("0 0 * * ?", "2026-06-10T22:00:00Z"),
            ("  0   0\t1 1 *  ", "2026-12-31T23:00:00Z"),
            ("@hourly", "2026-06-10T13:00:00Z"),
            ("@Daily", "2026-06-10T22:00:00Z"),
            ("@midnight", "2026-06-10T22:00:00Z"),
            ("@weekly", "2026-06-13T22:00:00Z"),
            ("@monthly", "2026-06-30T22:00:00Z"),
            ("@yearly", "2026-12-31T23:00:00Z"),
            ("@annually", "2026-12-31T23:00:00Z"),
        ] {
            assert_eq!(first(ScheduleKind::Cron, expr), occurrence, "{expr}");
        }
    }

    #[test]
    fn other_cron_expressions_are_refused_with_the_reason() {
        let refused = |expr| parse(ScheduleKind::Cron, expr).err().unwrap_or_else(|| panic!("{expr} was read"));
        for (expr, count) in [("", 0), ("* * * *", 4), ("* * * * * *", 6), ("0 0 * * * * 2026", 7)] {
            assert_eq!(refused(expr), RuleError::FieldCount(count), "{expr}");
        }
        for expr in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 30,31 FEB *", "0 0 30W 2 *"] {
            assert_eq!(refused(expr), RuleError::NoSuchDate, "{expr}");
        }
        for expr in ["@reboot", "@every 5m", "@", "@daily 0"] {
            assert!(matches!(refused(expr), RuleError::Nickname(_)), "{expr}");
        }
        for expr in ["MON * * * *", "0 0 * MON *", "0 0 * * JAN", "0 0 * * monday", "x * * * *"] {
            assert!(matches!(refused(expr), RuleError::Word { .. }), "{expr}");
        }
        for expr in [
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 13 *",
            "* * * * 8",
            "*/0 * * * *",
            "5-1 * * * *",
            "-1 * * * *",
            "1,,2 * * * *",
            "1.5 * * * *",
            "\u{661} * * * *",
            "99999999999 * * * *",
        ] {
            assert!(matches!(refused(expr), RuleError::Cron(_)), "{expr}: {:?}", refused(expr));
        }
    }

    #[test]
    fn intervals_are_read() {
        for (expr, occurrence) in [
            ("1s", "2026-06-10T12:00:01.123456Z"),
            ("30S", "2026-06-10T12:00:30.123456Z"),
            (" 5m ", "2026-06-10T12:05:00.123456Z"),
            ("2h", "2026-06-10T14:00:00.123456Z"),
            ("1D", "2026-06-11T12:00:00.123456Z"),
        ] {
            assert_eq!(first(ScheduleKind::Interval, expr), occurrence, "{expr}");
        }
        assert!(parse(ScheduleKind::Interval, "3650d").is_ok());
        for expr in ["0s", "00m", "3651d", "99999999999999999999s", "9223372036854775807d"] {
            assert_eq!(parse(ScheduleKind::Interval, expr).err(), Some(RuleError::IntervalRange), "{expr}");
        }
        for expr in ["", "s", "5", "5 m", "+5m", "-5m", "1.5h", "1h30m", "5w", "5\u{e4}", "\u{661}s"] {
            assert_eq!(parse(ScheduleKind::Interval, expr).err(), Some(RuleError::Interval), "{expr}");
        }
    }

    #[test]
    fn an_interval_does_not_drift() {
        let rule = parse(ScheduleKind::Interval, "90s").expect("valid");
        let first = rule.first(now()).expect("an occurrence");
        let tenth = (0..9).try_fold(first, |at, _| rule.next_after(at)).expect("an occurrence");
        assert_eq!(tenth - first, TimeDelta::seconds(810));
    }

    #[test]
    fn moments_run_once_and_are_refused_once_they_have_passed() {
        assert_eq!(first(ScheduleKind::OneTime, "NOW"), "2026-06-10T12:00:00.123456Z");
        assert_eq!(first(ScheduleKind::OneTime, "2026-06-10 14:00:01"), "2026-06-10T12:00:01Z");
        let rule = parse(ScheduleKind::OneTime, "2026-06-10T14:00:01.5").expect("valid");
        assert_eq!(rule.next_after(rule.first(now()).expect("an occurrence")), None);
        let error = parse(ScheduleKind::OneTime, "2026-06-10T14:00:00").expect_err("passed");
        assert_eq!(error.code(), "schedule_in_the_past");
        assert_eq!(
            error.to_string(),
            "2026-06-10 12:00:00 UTC has passed (it is 2026-06-10 12:00:00 UTC); give a time in the future, or now"
        );
        assert!(Rule::parse_stored(ScheduleKind::OneTime, "2026-06-10T14:00:00", TZ).is_ok());
        assert_eq!(parse(ScheduleKind::OneTime, "soon").err(), Some(RuleError::Moment));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(expr in "\\PC{0,24}", cron in "[0-9*/,\\-LW#?+@A-Z ]{5,30}") {
            for kind in ScheduleKind::ALL {
                for text in [&expr, &cron] {
                    if let Ok(rule) = parse(*kind, text) {
                        let first = rule.first(now()).expect("an accepted rule has an occurrence");
                        let _ = rule.next_after(first);
                    }
                }
            }
        }
    }
}
