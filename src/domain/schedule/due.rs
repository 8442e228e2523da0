//! Which occurrences of a schedule count now: on time, made up for, or missed.

use chrono::{DateTime, TimeDelta, Utc};

use super::{MissedPolicy, Rule};

/// Most missed occurrences that are listed one by one; of the others only the number is known.
pub const MAX_LISTED: usize = 20;
/// Most occurrences that fire because they are on time.
const MAX_ON_TIME: usize = 1000;
/// A cron schedule is not looked back at any further.
const HORIZON: TimeDelta = TimeDelta::days(3650);
const TICK: TimeDelta = TimeDelta::microseconds(1);

/// The occurrences up to now, and the next one. The lists are in order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// These become tasks.
    pub fire: Vec<DateTime<Utc>>,
    /// These do not: the newest of them.
    pub missed: Vec<DateTime<Utc>>,
    /// How many more were missed, all older than the listed ones.
    pub missed_more: u64,
    /// The first occurrence after now.
    pub next: Option<DateTime<Utc>>,
}

/// Sorts the occurrences from `next_run_at`, itself one of them whatever the rule says, up to `now`.
///
/// One that is late by no more than `grace` is on time and fires. Of the older ones fires what `missed` says, with
/// [`MissedPolicy::All`] the newest `cap`.
pub fn due(
    rule: &Rule,
    next_run_at: DateTime<Utc>,
    now: DateTime<Utc>,
    missed: MissedPolicy,
    cap: usize,
    grace: TimeDelta,
) -> Due {
    if next_run_at > now {
        return Due { next: Some(next_run_at), ..Due::default() };
    }
    let series = Series::new(rule, next_run_at, now);
    let punctual = now.checked_sub_signed(grace.max(TimeDelta::zero())).unwrap_or(DateTime::<Utc>::MIN_UTC);
    let mut fire = series.newest(punctual, now + TICK, MAX_ON_TIME);
    let late_until = if fire.len() == MAX_ON_TIME { fire[0] } else { punctual };

    let wanted = match missed {
        MissedPolicy::Skip => 0,
        MissedPolicy::Last => 1,
        MissedPolicy::All => cap,
    };
    let mut late = series.newest(series.first, late_until, wanted.saturating_add(MAX_LISTED));
    let made_up = late.split_off(late.len().saturating_sub(wanted));
    let count = series.count_before(late_until);
    late.drain(..late.len().saturating_sub(MAX_LISTED));
    let missed_more = count.saturating_sub((made_up.len() + late.len()) as u64);
    fire.splice(0..0, made_up);
    Due { fire, missed: late, missed_more, next: series.next_after(now) }
}

/// The occurrences of a rule from a first one on.
struct Series<'a> {
    rule: &'a Rule,
    first: DateTime<Utc>,
}

impl<'a> Series<'a> {
    fn new(rule: &'a Rule, first: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        let horizon = now - HORIZON;
        let first = match rule {
            Rule::Cron(cron) if first < horizon => {
                cron.next_after(horizon).filter(|next| *next <= now).unwrap_or(first)
            }
            _ => first,
        };
        Self { rule, first }
    }

    /// The newest `most` occurrences in `from..until`, in order.
    fn newest(&self, from: DateTime<Utc>, until: DateTime<Utc>, most: usize) -> Vec<DateTime<Utc>> {
        let mut found = Vec::new();
        let mut before = until;
        while found.len() < most {
            let Some(occurrence) = self.last_before(before).filter(|occurrence| *occurrence >= from) else { break };
            found.push(occurrence);
            before = occurrence;
        }
        found.reverse();
        found
    }

    fn last_before(&self, t: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if t <= self.first {
            return None;
        }
        match self.rule {
            Rule::Cron(cron) => Some(cron.prev_before(t).map_or(self.first, |previous| previous.max(self.first))),
            Rule::Interval(step) => Some(self.first + times(*step, steps(t - TICK - self.first, *step))),
            Rule::OneTime(_) => Some(self.first),
        }
    }

    /// How many occurrences lie before `t`.
    fn count_before(&self, t: DateTime<Utc>) -> u64 {
        if t <= self.first {
            return 0;
        }
        match self.rule {
            Rule::Cron(cron) => 1 + cron.count_between(self.first, t),
            Rule::Interval(step) => 1 + steps(t - TICK - self.first, *step).unsigned_abs(),
            Rule::OneTime(_) => 1,
        }
    }

    fn next_after(&self, t: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.rule {
            Rule::Cron(cron) => cron.next_after(t),
            Rule::Interval(step) => self.last_before(t + TICK).and_then(|last| last.checked_add_signed(*step)),
            Rule::OneTime(_) => None,
        }
    }
}

/// How many whole steps fit into a span.
fn steps(span: TimeDelta, step: TimeDelta) -> i64 {
    span.num_seconds() / step.num_seconds().max(1)
}

/// No more steps than fit into a span, so it can't overflow.
fn times(step: TimeDelta, count: i64) -> TimeDelta {
    TimeDelta::seconds(step.num_seconds() * count)
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::schedule::ScheduleKind;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    fn rule(kind: ScheduleKind, expr: &str) -> Rule {
        Rule::parse_stored(kind, expr, Tz::America__New_York).expect("a rule")
    }

    const GRACE: TimeDelta = TimeDelta::seconds(2);

    #[test]
    fn on_time_fires_whatever_the_policy() {
        let daily = rule(ScheduleKind::Cron, "0 9 * * *");
        let nine = at("2026-06-10T13:00:00Z");
        for policy in MissedPolicy::ALL {
            let on_time = due(&daily, nine, nine + GRACE, *policy, 10, GRACE);
            let next = Some(at("2026-06-11T13:00:00Z"));
            assert_eq!(on_time, Due { fire: vec![nine], next, ..Due::default() });
            let early = due(&daily, nine, nine - TICK, *policy, 10, GRACE);
            assert_eq!(early, Due { next: Some(nine), ..Due::default() });
        }
        let late = due(&daily, nine, nine + GRACE + TICK, MissedPolicy::Skip, 10, GRACE);
        assert_eq!((late.fire, late.missed), (vec![], vec![nine]));
    }

    #[test]
    fn the_policy_decides_about_what_was_missed() {
        let hourly = rule(ScheduleKind::Cron, "0 * * * *");
        let hours = |range: std::ops::RangeInclusive<i64>| -> Vec<DateTime<Utc>> {
            range.map(|hour| at("2026-06-10T00:00:00Z") + TimeDelta::hours(hour)).collect()
        };
        let now = at("2026-06-10T09:00:01Z");
        let decide = |policy, cap| due(&hourly, at("2026-06-10T00:00:00Z"), now, policy, cap, GRACE);
        let next = Some(at("2026-06-10T10:00:00Z"));
        let expect = |fire, missed| Due { fire, missed, missed_more: 0, next };
        assert_eq!(decide(MissedPolicy::Skip, 3), expect(hours(9..=9), hours(0..=8)));
        assert_eq!(decide(MissedPolicy::Last, 3), expect(hours(8..=9), hours(0..=7)));
        assert_eq!(decide(MissedPolicy::All, 3), expect(hours(6..=9), hours(0..=5)));
        assert_eq!(decide(MissedPolicy::All, 99), expect(hours(0..=9), vec![]));
    }

    #[test]
    fn a_moment_is_made_up_for_or_not() {
        let once = rule(ScheduleKind::OneTime, "2026-06-10 12:00");
        let moment = at("2026-06-10T16:00:00Z");
        let next_day = moment + TimeDelta::days(1);
        assert_eq!(due(&once, moment, next_day, MissedPolicy::Last, 10, GRACE).fire, [moment]);
        assert_eq!(due(&once, moment, next_day, MissedPolicy::All, 10, GRACE).fire, [moment]);
        let skipped = due(&once, moment, next_day, MissedPolicy::Skip, 10, GRACE);
        assert_eq!(skipped, Due { missed: vec![moment], ..Due::default() });
    }

    /// The wait is not measured against a limit on the clock: a loop over 31 million occurrences would not end within
    /// the time that anybody waits for a test.
    #[test]
    fn years_of_downtime_are_arithmetic() {
        let now = at("2026-06-10T12:00:00.5Z");
        let since = now - TimeDelta::days(365);
        let every_second = due(&rule(ScheduleKind::Interval, "1s"), since, now, MissedPolicy::Last, 10, GRACE);
        assert_eq!(every_second.fire.len(), 4);
        assert_eq!(every_second.missed_more, 365 * 86_400 + 1 - 4 - 20);
        assert_eq!(every_second.next, Some(now + TimeDelta::seconds(1)));

        let every_minute = due(&rule(ScheduleKind::Cron, "* * * * *"), since, now, MissedPolicy::All, 10, GRACE);
        assert_eq!(every_minute.fire.len(), 11);
        assert_eq!(every_minute.missed_more, 1 + 365 * 1440 - 11 - 20);

        // Rows of no sensible date neither hang nor panic.
        for kind in [("1s", ScheduleKind::Interval), ("* * * * *", ScheduleKind::Cron)] {
            let ancient = due(&rule(kind.1, kind.0), DateTime::<Utc>::MIN_UTC, now, MissedPolicy::Last, 10, GRACE);
            assert!(ancient.next.is_some_and(|next| next > now), "{kind:?}");
            let patient = due(&rule(kind.1, kind.0), since, now, MissedPolicy::Last, 10, TimeDelta::MAX);
            assert!(patient.fire.len() > 1000 && patient.fire.len() <= 1002, "{}", patient.fire.len());
        }
    }

    fn anything() -> impl Strategy<Value = Rule> {
        prop_oneof![
            (1i64..200_000).prop_map(|seconds| Rule::Interval(TimeDelta::seconds(seconds))),
            proptest::sample::select(vec!["*/7 * * * *", "30 1,2 * * *", "0 0 * * *", "15 */5 1-15 * MON", "@monthly"])
                .prop_map(|expr| rule(ScheduleKind::Cron, expr)),
            Just(rule(ScheduleKind::OneTime, "2026-11-01 00:00")),
        ]
    }

    proptest! {
        #[test]
        fn every_occurrence_is_accounted_for(
            rule in anything(), start in 0i64..400_000, downtime in 0i64..400_000, policy in 0..3usize, cap in 0..30usize,
            grace in 0i64..4000,
        ) {
            let next_run_at = at("2026-10-29T00:00:00.25Z") + TimeDelta::seconds(start);
            let now = next_run_at + TimeDelta::seconds(downtime);
            let (policy, grace) = (MissedPolicy::ALL[policy], TimeDelta::seconds(grace));
            let found = due(&rule, next_run_at, now, policy, cap, grace);

            // One by one, as somebody would who never slept.
            let mut all = vec![next_run_at];
            while let Some(next) = rule.next_after(all[all.len() - 1]).filter(|next| *next <= now) {
                if matches!(rule, Rule::OneTime(_)) { break }
                all.push(next);
            }
            let (late, mut on_time): (Vec<_>, Vec<_>) = all.iter().copied().partition(|at| *at < now - grace);
            let surplus = on_time.len().saturating_sub(MAX_ON_TIME);
            let late: Vec<_> = late.into_iter().chain(on_time.drain(..surplus)).collect();
            let made_up = match policy {
                MissedPolicy::Skip => 0,
                MissedPolicy::Last => 1,
                MissedPolicy::All => cap,
            }.min(late.len());
            let (missed, made_up) = late.split_at(late.len() - made_up);
            prop_assert_eq!(&found.fire, &[made_up, &on_time].concat());
            let listed = missed.len().min(MAX_LISTED);
            prop_assert_eq!(&found.missed, &missed[missed.len() - listed..]);
            prop_assert_eq!(found.missed_more, (missed.len() - listed) as u64);
            let next = if matches!(rule, Rule::OneTime(_)) { None } else { rule.next_after(all[all.len() - 1]) };
            prop_assert_eq!(found.next, next);
        }
    }
}
