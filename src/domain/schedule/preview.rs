//! What a rule will do, for people to check before they rely on it.

use chrono::{DateTime, Offset, TimeDelta, Utc};
use chrono_tz::Tz;

use super::Rule;

/// A time at which a schedule will run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// The instant.
    pub at: DateTime<Utc>,
    /// The same on the wall clock of the schedule's timezone, with its offset.
    pub local: DateTime<Tz>,
    /// By how much the clock was put forward (or back, negative) since the occurrence before, or since the start.
    pub clock_change: Option<TimeDelta>,
}

/// `count` occurrences from `first` on, seen from now.
pub fn preview(
    rule: &Rule,
    timezone: Tz,
    now: DateTime<Utc>,
    first: Option<DateTime<Utc>>,
    count: usize,
) -> Vec<Occurrence> {
    let mut offset = now.with_timezone(&timezone).offset().fix();
    std::iter::successors(first, |at| rule.next_after(*at))
        .take(count)
        .map(|at| {
            let local = at.with_timezone(&timezone);
            let seconds = local.offset().fix().local_minus_utc() - offset.local_minus_utc();
            offset = local.offset().fix();
            Occurrence { at, local, clock_change: (seconds != 0).then(|| TimeDelta::seconds(seconds.into())) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedule::ScheduleKind;

    #[test]
    fn a_preview_marks_where_the_clock_changes() {
        let timezone = Tz::Europe__Berlin;
        let now = "2026-03-27T12:00:00Z".parse().expect("an instant");
        let rule = Rule::parse(ScheduleKind::Cron, "30 2 * * *", timezone, now).expect("valid");
        let shown: Vec<(String, Option<TimeDelta>)> = preview(&rule, timezone, now, rule.first(now), 3)
            .iter()
            .map(|next| (next.local.to_rfc3339(), next.clock_change))
            .collect();
        let expected = [
            ("2026-03-28T02:30:00+01:00".to_owned(), None),
            ("2026-03-29T03:00:00+02:00".to_owned(), Some(TimeDelta::hours(1))),
            ("2026-03-30T02:30:00+02:00".to_owned(), None),
        ];
        assert_eq!(shown, expected);
        let once = Rule::parse(ScheduleKind::OneTime, "now", timezone, now).expect("valid");
        assert_eq!(preview(&once, timezone, now, once.first(now), 10).len(), 1);
    }
}
