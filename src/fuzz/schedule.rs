//! Expressions of schedules, and the times they lead to.

use std::str;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::TZ_VARIANTS;

use crate::domain::schedule::{MissedPolicy, Rule, ScheduleKind, due, preview};

/// Most that is made up for.
const CAP: usize = 10;
/// The first instant that is tried, in seconds: 2000.
const FROM_S: i64 = 946_684_800;

/// A rule that is taken has a first time; times only go on; and what is due is in order, and none of it is lost.
///
/// The bytes are: kind, zone (2), the present (4, seconds since 2000), how long Spark was down (2, quarters of an hour), and
/// the expression.
pub fn schedules(data: &[u8]) {
    let Some((head, expr)) = data.split_first_chunk::<9>() else { return };
    let Ok(expr) = str::from_utf8(expr) else { return };
    let [kind, zone @ .., n0, n1, n2, n3, d0, d1] = *head;
    let kind = ScheduleKind::ALL[usize::from(kind) % ScheduleKind::ALL.len()];
    let timezone = TZ_VARIANTS[usize::from(u16::from_le_bytes(zone)) % TZ_VARIANTS.len()];
    let seconds = i64::from(u32::from_le_bytes([n0, n1, n2, n3]));
    let Some(now) = DateTime::<Utc>::from_timestamp(FROM_S + seconds, 0) else { return };
    let Ok(rule) = Rule::parse(kind, expr, timezone, now) else { return };

    let Some(first) = rule.first(now) else { panic!("{expr} is taken and has no occurrence after {now}") };
    assert!(first >= now, "{expr} begins before it was made");
    let shown = preview(&rule, timezone, now, Some(first), 5);
    assert!(shown.is_sorted_by(|one, next| one.at < next.at), "{expr}: {shown:?}");
    if kind != ScheduleKind::OneTime {
        assert_eq!(shown.len(), 5, "{expr} ends");
    }

    let later = first + TimeDelta::minutes(15 * i64::from(u16::from_le_bytes([d0, d1])));
    for policy in MissedPolicy::ALL {
        let due = due(&rule, first, later, *policy, CAP, TimeDelta::minutes(1));
        let mut both: Vec<DateTime<Utc>> = due.fire.iter().chain(&due.missed).copied().collect();
        both.sort();
        assert!(both.is_sorted_by(|one, next| one < next), "{expr}: an occurrence is due twice");
        assert!(!both.is_empty() && both.iter().all(|at| (first..=later).contains(at)), "{expr}: {due:?}");
        assert!(due.next.is_none_or(|next| next > later), "{expr}: the next occurrence has passed");
    }
}
