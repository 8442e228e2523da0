//! A schedule of the Python service, and the one it becomes.

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use chrono_tz::Tz;

use super::cron::from_celery;
use super::fresh_since;
use super::status::{schedule_status, spelling};
use crate::domain::schedule::{Rule, ScheduleKind, ScheduleStatus};

/// A schedule as the Python service left it.
#[derive(Clone, Debug)]
pub struct Former {
    /// `schedule_type`.
    pub kind: String,
    /// `schedule_expr`.
    pub expr: String,
    /// `status`.
    pub status: String,
    /// `next_run_at`: of a cron schedule it is what was worked out when it was made, and may be years old.
    pub next_run_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: Option<DateTime<Utc>>,
    /// When it made its newest task.
    pub last_run_at: Option<DateTime<Utc>>,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// The kind; as it was where it is none.
    pub kind: String,
    /// The expression.
    pub expr: String,
    /// The status.
    pub status: ScheduleStatus,
    /// Why it is in that status, where nobody chose it.
    pub reason: Option<String>,
    /// The zone of the expression.
    pub timezone: Tz,
    /// The first occurrence that nothing was made of yet; it may have passed, and then the policy for missed runs decides.
    pub next_run_at: Option<DateTime<Utc>>,
    /// An occurrence that passed and is not made up for.
    pub missed: Option<DateTime<Utc>>,
}

/// Decides. `timezone` is the one that the Python service's cron schedules ran in (`AUTOMAGIK_TIMEZONE`).
pub fn adopt(former: &Former, timezone: Tz, now: DateTime<Utc>) -> Adopted {
    let as_it_was = Adopted {
        kind: former.kind.clone(),
        expr: former.expr.clone(),
        status: ScheduleStatus::Paused,
        reason: None,
        timezone,
        next_run_at: None,
        missed: None,
    };
    let Ok(kind) = spelling(&former.kind).parse::<ScheduleKind>() else {
        let reason = format!("the Python service could not run schedules of the type {:?}", former.kind);
        return Adopted { reason: Some(reason), ..as_it_was };
    };
    let as_it_was = Adopted { kind: kind.as_str().to_owned(), ..as_it_was };
    let read = match kind {
        ScheduleKind::OneTime => return one_time(former, as_it_was, now),
        ScheduleKind::Cron => from_celery(&former.expr).map_err(|error| error.to_string()),
        ScheduleKind::Interval => Ok(former.expr.trim().to_owned()),
    };
    let read = read.and_then(|expr| match Rule::parse_stored(kind, &expr, timezone) {
        Ok(rule) => Ok((expr, rule)),
        Err(error) => Err(error.to_string()),
    });
    let status = schedule_status(&former.status);
    match (read, status) {
        (Ok((expr, rule)), Some(ScheduleStatus::Active)) => {
            // Whoever never ran begins now; whoever ran goes on from there.
            let next = former.last_run_at.map_or_else(|| rule.first(now), |last| rule.next_after(whole(last, &rule)));
            Adopted { expr, status: ScheduleStatus::Active, next_run_at: next, ..as_it_was }
        }
        (Ok((expr, _)), status) => settled(Adopted { expr, ..as_it_was }, &former.status, status),
        (Err(reason), Some(ScheduleStatus::Active) | None) => Adopted { reason: Some(reason), ..as_it_was },
        (Err(_), status) => settled(as_it_was, &former.status, status),
    }
}

/// PostgreSQL's microseconds hold an interval's occurrence exactly; a cron occurrence is found from any instant.
fn whole(last: DateTime<Utc>, rule: &Rule) -> DateTime<Utc> {
    if matches!(rule, Rule::Interval(_)) { last.trunc_subsecs(6) } else { last }
}

/// One that makes no tasks.
fn settled(schedule: Adopted, former: &str, status: Option<ScheduleStatus>) -> Adopted {
    match status {
        Some(status) => Adopted { status, ..schedule },
        None => Adopted { reason: Some(format!("its status was {former:?}, which means nothing here")), ..schedule },
    }
}

/// The Python service read an expression without a zone as UTC, and stored the moment it came to.
fn one_time(former: &Former, as_it_was: Adopted, now: DateTime<Utc>) -> Adopted {
    let as_it_was = Adopted { timezone: Tz::UTC, ..as_it_was };
    let is_now = former.expr.trim().eq_ignore_ascii_case("now");
    let rule = Rule::parse_stored(ScheduleKind::OneTime, &former.expr, Tz::UTC);
    let written = match rule {
        Ok(Rule::OneTime(at)) if !is_now => Some(at),
        _ => None,
    };
    let moment = former.next_run_at.or(written).or(former.created_at.filter(|_| is_now));
    let expr = match moment {
        Some(at) if !is_now && written != Some(at) => at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        _ => former.expr.clone(),
    };
    let schedule = Adopted { expr, ..as_it_was };
    let status = schedule_status(&former.status);
    if status != Some(ScheduleStatus::Active) {
        return settled(schedule, &former.status, status);
    }
    let Some(at) = moment else {
        let reason =
            format!("{:?} is no time that can be read, and the Python service had worked out none", former.expr);
        return Adopted { reason: Some(reason), ..schedule };
    };
    if former.last_run_at.is_some() {
        return Adopted { status: ScheduleStatus::Completed, ..schedule };
    }
    if at < fresh_since(now) {
        let reason = format!("its time ({}) passed while the Python service did not run it", at.trunc_subsecs(0));
        return Adopted { status: ScheduleStatus::Completed, reason: Some(reason), missed: Some(at), ..schedule };
    }
    Adopted { status: ScheduleStatus::Active, next_run_at: Some(at), ..schedule }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: Tz = Tz::Europe__Berlin;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    fn now() -> DateTime<Utc> {
        at("2026-06-10T12:00:00Z")
    }

    fn former(kind: &str, expr: &str, status: &str) -> Former {
        let long_ago = Some(at("2025-03-01T00:00:00Z"));
        Former {
            kind: kind.into(),
            expr: expr.into(),
            status: status.into(),
            next_run_at: long_ago,
            created_at: long_ago,
            last_run_at: None,
        }
    }

    fn adopted(former: &Former) -> Adopted {
        adopt(former, BERLIN, now())
    }

    #[test]
    fn a_cron_schedule_goes_on_where_it_was_and_in_its_zone() {
        let mut schedule = former("cron", "0 8 * * *", "active");
        let fresh = adopted(&schedule);
        assert_eq!(fresh.next_run_at, Some(at("2026-06-11T06:00:00Z")), "it never ran, so nothing is made up for");
        assert_eq!((fresh.status, fresh.timezone, fresh.reason), (ScheduleStatus::Active, BERLIN, None));
        schedule.last_run_at = Some(at("2026-06-10T06:00:00.7Z"));
        assert_eq!(adopted(&schedule).next_run_at, Some(at("2026-06-11T06:00:00Z")), "today's run is not run again");
        schedule.last_run_at = Some(at("2026-06-08T06:00:00.7Z"));
        assert_eq!(adopted(&schedule).next_run_at, Some(at("2026-06-09T06:00:00Z")), "missed while nothing ran");
    }

    #[test]
    fn an_interval_goes_on_from_its_last_task() {
        let mut schedule = former("interval", "30m", "active");
        assert_eq!(adopted(&schedule).next_run_at, Some(at("2026-06-10T12:30:00Z")));
        schedule.last_run_at = Some(at("2026-06-10T11:45:00.123456Z"));
        assert_eq!(adopted(&schedule).next_run_at, Some(at("2026-06-10T12:15:00.123456Z")));
    }

    #[test]
    fn what_never_ran_is_paused_with_the_reason() {
        for (kind, expr, telling) in [
            ("cron", "0 30 8 * * *", "6 instead"),
            ("cron", "@daily", "1 instead"),
            ("cron", "0 9 * * 7", "day of week"),
            ("interval", "soon", "whole number and a unit"),
            ("interval", "0m", "at least 1s"),
            ("event", "x", "\"event\""),
        ] {
            let schedule = adopted(&former(kind, expr, "active"));
            let reason = schedule.reason.expect("a reason");
            assert!(reason.contains(telling), "{expr}: {reason}");
            assert_eq!((schedule.status, schedule.next_run_at), (ScheduleStatus::Paused, None));
            assert_eq!(schedule.expr, expr);
        }
    }

    #[test]
    fn days_mean_what_they_meant() {
        let schedule = adopted(&former("cron", "0 8 1-7 * 1", "active"));
        assert_eq!(schedule.expr, "0 8 1-7 * +1");
        assert_eq!(schedule.next_run_at, Some(at("2026-07-06T06:00:00Z")), "the first Monday");
        assert_eq!(adopted(&former("Cron", "0 22-2 * * *", "ACTIVE")).kind, "cron");
    }

    #[test]
    fn what_made_no_tasks_makes_none() {
        for (status, ours) in [
            ("paused", ScheduleStatus::Paused),
            ("stopped", ScheduleStatus::Paused),
            ("completed", ScheduleStatus::Completed),
        ] {
            for (kind, expr) in [("interval", "5m"), ("cron", "0 30 8 * * *"), ("one-time", "now")] {
                let schedule = adopted(&former(kind, expr, status));
                assert_eq!((schedule.status, schedule.next_run_at, schedule.reason), (ours, None, None), "{expr}");
            }
        }
        let odd = adopted(&former("interval", "5m", "sleeping"));
        assert_eq!(odd.status, ScheduleStatus::Paused);
        assert!(odd.reason.is_some_and(|reason| reason.contains("sleeping")));
    }

    #[test]
    fn a_moment_is_the_one_that_was_stored() {
        let mut schedule = former("one-time", "Jan 5 2027 3pm", "active");
        schedule.next_run_at = Some(at("2027-01-05T15:00:00Z"));
        let found = adopted(&schedule);
        assert_eq!((found.expr.as_str(), found.next_run_at), ("2027-01-05T15:00:00Z", schedule.next_run_at));
        schedule.expr = "2027-01-05 15:00".to_owned();
        let found = adopted(&schedule);
        assert_eq!((found.expr.as_str(), found.timezone), ("2027-01-05 15:00", Tz::UTC));
        schedule.next_run_at = None;
        assert_eq!(adopted(&schedule).next_run_at, Some(at("2027-01-05T15:00:00Z")));
        schedule.expr = "Jan 5 2027 3pm".to_owned();
        let lost = adopted(&schedule);
        assert_eq!((lost.status, lost.next_run_at), (ScheduleStatus::Paused, None));
    }

    #[test]
    fn a_moment_that_passed_long_ago_is_over() {
        let old = adopted(&former("one-time", "now", "active"));
        assert_eq!((old.status, old.missed), (ScheduleStatus::Completed, Some(at("2025-03-01T00:00:00Z"))));
        assert!(old.reason.is_some_and(|reason| reason.contains("2025-03-01 00:00:00 UTC")));
        let mut recent = former("one-time", "now", "active");
        recent.next_run_at = Some(at("2026-06-10T03:00:00Z"));
        let found = adopted(&recent);
        assert_eq!((found.status, found.next_run_at), (ScheduleStatus::Active, recent.next_run_at));
        recent.last_run_at = recent.next_run_at;
        assert_eq!(adopted(&recent).status, ScheduleStatus::Completed, "it ran");
    }
}
