//! What is made of a due schedule: tasks, skipped occurrences with their reasons, and the next time.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Due, MissedPolicy, OverlapPolicy, Rule, SkipReason, due};
use crate::domain::ids::ScheduleId;
use crate::domain::task::HELD;

/// The tasks of a schedule that have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// Running.
    pub running: u64,
    /// Pending or retrying.
    pub waiting: u64,
}

/// A schedule as it stands when it is due.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its id.
    pub id: ScheduleId,
    /// When it runs.
    pub rule: Rule,
    /// The first occurrence that nothing was made of yet.
    pub next_run_at: DateTime<Utc>,
    /// Whether it was paused until now, which is why occurrences were missed.
    pub was_paused: bool,
    /// What becomes of missed occurrences.
    pub missed: MissedPolicy,
    /// What becomes of occurrences that overlap.
    pub overlap: OverlapPolicy,
    /// Tasks start up to this much later than scheduled.
    pub jitter_s: u32,
    /// An occurrence that is older before its task has started is called off.
    pub expires_s: Option<u32>,
    /// Its unfinished tasks; not looked at where overlap is allowed.
    pub unfinished: Unfinished,
}

/// An occurrence that becomes a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// The occurrence.
    pub scheduled_for: DateTime<Utc>,
    /// From when on the task may start; [`HELD`] where it has to wait for another one.
    pub pending_at: DateTime<Utc>,
    /// When the task is called off if it has not started.
    pub expires_at: Option<DateTime<Utc>>,
}

/// An occurrence that does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The occurrence.
    pub scheduled_for: DateTime<Utc>,
    /// Why.
    pub reason: SkipReason,
    /// How many older ones it stands for besides, for the same reason or another.
    pub earlier: u64,
}

/// What to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Tasks to make, in order of time.
    pub made: Vec<Made>,
    /// Occurrences to note as skipped, in order of time.
    pub skipped: Vec<Skipped>,
    /// The next occurrence; `None` ends the schedule.
    pub next: Option<DateTime<Utc>>,
}

/// Decides about a due schedule. `cap` and `grace` are those of [`due`].
pub fn plan(schedule: &Standing, now: DateTime<Utc>, cap: usize, grace: TimeDelta) -> Plan {
    let Due { fire, missed, missed_more, next } =
        due(&schedule.rule, schedule.next_run_at, now, schedule.missed, cap, grace);
    let mut plan = Plan { next, ..Plan::default() };
    let mut skip = |scheduled_for, reason| plan.skipped.push(Skipped { scheduled_for, reason, earlier: 0 });
    for scheduled_for in missed {
        skip(scheduled_for, if schedule.was_paused { SkipReason::Paused } else { SkipReason::Missed });
    }
    let mut room = room(schedule.overlap, schedule.unfinished);
    for scheduled_for in fire {
        let late = now - scheduled_for;
        let expired = late > grace && schedule.expires_s.is_some_and(|limit| late > TimeDelta::seconds(limit.into()));
        if expired {
            skip(scheduled_for, SkipReason::Expired);
        } else if room == 0 {
            skip(scheduled_for, SkipReason::Overlap);
        } else {
            room -= 1;
            let in_turn = schedule.overlap == OverlapPolicy::QueueOne && schedule.unfinished.running > 0;
            let shaken = now.max(scheduled_for + jitter(schedule.id, scheduled_for, schedule.jitter_s));
            plan.made.push(Made {
                scheduled_for,
                pending_at: if in_turn { HELD } else { shaken },
                expires_at: expires_at(schedule, scheduled_for, if in_turn { now } else { shaken }, grace),
            });
        }
    }
    plan.skipped.sort_by_key(|skipped| skipped.scheduled_for);
    if let Some(oldest) = plan.skipped.first_mut().filter(|_| missed_more > 0) {
        oldest.earlier = missed_more;
    }
    plan
}

/// A task that is made has the grace to start at the least, however late or jittered it is.
fn expires_at(
    schedule: &Standing,
    occurrence: DateTime<Utc>,
    ready_at: DateTime<Utc>,
    grace: TimeDelta,
) -> Option<DateTime<Utc>> {
    let limit = TimeDelta::seconds(schedule.expires_s?.into());
    Some(occurrence.checked_add_signed(limit)?.max(ready_at.checked_add_signed(grace)?))
}

/// How many occurrences may become tasks now: the first one fills the room that a policy leaves.
fn room(policy: OverlapPolicy, unfinished: Unfinished) -> usize {
    match policy {
        OverlapPolicy::Allow => usize::MAX,
        OverlapPolicy::Skip => usize::from(unfinished.running + unfinished.waiting == 0),
        OverlapPolicy::QueueOne => usize::from(unfinished.waiting == 0),
    }
}

/// A delay within `jitter_s` that looks random and is the same wherever and whenever it is worked out.
fn jitter(id: ScheduleId, occurrence: DateTime<Utc>, jitter_s: u32) -> TimeDelta {
    let (high, low) = id.0.as_u64_pair();
    let mixed =
        [high, low, occurrence.timestamp_micros().cast_unsigned()].into_iter().fold(0, |hash, word| mix(hash ^ word));
    let range_ms = u64::from(jitter_s) * 1000 + 1;
    TimeDelta::milliseconds((mixed % range_ms).cast_signed())
}

/// A step of splitmix64: every bit of the input moves about half of the output's.
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;
    use crate::domain::schedule::ScheduleKind;

    const GRACE: TimeDelta = TimeDelta::seconds(2);

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    fn hourly() -> Standing {
        Standing {
            id: ScheduleId::generate(),
            rule: Rule::parse_stored(ScheduleKind::Cron, "@hourly", Tz::UTC).expect("a rule"),
            next_run_at: at("2026-01-01T01:00:00Z"),
            was_paused: false,
            missed: MissedPolicy::All,
            overlap: OverlapPolicy::Allow,
            jitter_s: 0,
            expires_s: None,
            unfinished: Unfinished::default(),
        }
    }

    fn outline(plan: &Plan) -> (Vec<u32>, Vec<(u32, &str)>) {
        use chrono::Timelike;
        let made = plan.made.iter().map(|made| made.scheduled_for.hour()).collect();
        (made, plan.skipped.iter().map(|skip| (skip.scheduled_for.hour(), skip.reason.as_str())).collect())
    }

    #[test]
    fn an_overlap_leaves_a_reason() {
        let now = at("2026-01-01T03:00:01Z");
        let decide = |overlap, running, waiting| {
            plan(&Standing { overlap, unfinished: Unfinished { running, waiting }, ..hourly() }, now, 10, GRACE)
        };
        let all = vec![(1, "overlap"), (2, "overlap"), (3, "overlap")];
        assert_eq!(outline(&decide(OverlapPolicy::Allow, 5, 5)), (vec![1, 2, 3], vec![]));
        assert_eq!(outline(&decide(OverlapPolicy::Skip, 0, 0)), (vec![1], vec![(2, "overlap"), (3, "overlap")]));
        assert_eq!(outline(&decide(OverlapPolicy::Skip, 1, 0)), (vec![], all.clone()));
        assert_eq!(outline(&decide(OverlapPolicy::Skip, 0, 1)), (vec![], all.clone()));
        assert_eq!(decide(OverlapPolicy::QueueOne, 0, 0).made[0].pending_at, now);
        let queued = decide(OverlapPolicy::QueueOne, 1, 0);
        assert_eq!(outline(&queued), (vec![1], vec![(2, "overlap"), (3, "overlap")]));
        assert_eq!(queued.made[0].pending_at, HELD);
        assert_eq!(outline(&decide(OverlapPolicy::QueueOne, 1, 1)), (vec![], all));
        assert_eq!(decide(OverlapPolicy::Skip, 1, 0).next, Some(at("2026-01-01T04:00:00Z")));
    }

    #[test]
    fn what_is_late_expires_and_what_is_on_time_does_not() {
        let expiring = Standing { expires_s: Some(3600), ..hourly() };
        let decided = plan(&expiring, at("2026-01-01T03:00:01Z"), 10, GRACE);
        assert_eq!(outline(&decided), (vec![3], vec![(1, "expired"), (2, "expired")]));
        let at_once = Standing { expires_s: Some(0), ..hourly() };
        assert_eq!(outline(&plan(&at_once, at("2026-01-01T01:00:01Z"), 10, GRACE)), (vec![1], vec![]));
    }

    #[test]
    fn a_task_has_its_time_to_start_and_the_grace_at_the_least() {
        let until = |schedule: &Standing, now| plan(schedule, at(now), 10, GRACE).made[0].expires_at;
        let expiring = Standing { expires_s: Some(600), missed: MissedPolicy::Last, ..hourly() };
        assert_eq!(until(&expiring, "2026-01-01T01:00:00Z"), Some(at("2026-01-01T01:10:00Z")));
        assert_eq!(until(&expiring, "2026-01-01T01:09:59Z"), Some(at("2026-01-01T01:10:01Z")));
        let at_once = Standing { expires_s: Some(0), ..hourly() };
        assert_eq!(until(&at_once, "2026-01-01T01:00:01Z"), Some(at("2026-01-01T01:00:03Z")));
        let shaken = Standing { jitter_s: 600, ..at_once };
        let made = plan(&shaken, at("2026-01-01T01:00:00Z"), 10, GRACE).made[0];
        assert_eq!(made.expires_at, Some(made.pending_at + GRACE));
        // One that is held until another has ended is measured all the same.
        let unfinished = Unfinished { running: 1, waiting: 0 };
        let held = Standing { overlap: OverlapPolicy::QueueOne, unfinished, ..expiring };
        assert_eq!(until(&held, "2026-01-01T01:00:00Z"), Some(at("2026-01-01T01:10:00Z")));
        assert_eq!(until(&hourly(), "2026-01-01T01:00:00Z"), None);
    }

    #[test]
    fn the_oldest_note_says_how_many_it_stands_for() {
        let lazy = Standing { missed: MissedPolicy::Skip, ..hourly() };
        let decided = plan(&lazy, at("2026-01-02T01:30:00Z"), 10, GRACE);
        assert_eq!(decided.skipped.len(), 20);
        assert_eq!(decided.skipped[0].earlier, 5);
        assert!(decided.skipped[1..].iter().all(|skip| skip.earlier == 0));
        assert!(decided.skipped.iter().all(|skip| skip.reason == SkipReason::Missed));
        let paused = plan(&Standing { was_paused: true, ..lazy }, at("2026-01-02T01:30:00Z"), 10, GRACE);
        assert!(paused.skipped.iter().all(|skip| skip.reason == SkipReason::Paused));
        assert_eq!(decided.made, []);
    }

    #[test]
    fn jitter_delays_within_its_range_and_always_by_the_same() {
        let shaken = Standing { jitter_s: 600, ..hourly() };
        let now = at("2026-01-01T01:00:00Z");
        let first = plan(&shaken, now, 10, GRACE);
        assert_eq!(first, plan(&shaken, now, 10, GRACE));
        let delays: Vec<i64> =
            (0..200).map(|hour| jitter(shaken.id, now + TimeDelta::hours(hour), 600).num_milliseconds()).collect();
        assert!(delays.iter().all(|delay| (0..=600_000).contains(delay)));
        let early = delays.iter().filter(|delay| **delay < 300_000).count();
        assert!((50..150).contains(&early), "{early} of 200 in the first half");
        // A task that is made late does not wait for a time that has passed.
        let late = plan(&shaken, at("2026-01-01T01:59:00Z"), 10, GRACE);
        assert_eq!(late.made[0].pending_at, at("2026-01-01T01:59:00Z"));
    }
}
