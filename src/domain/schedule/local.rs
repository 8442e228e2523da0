//! Local times and the instants they stand for, where a clock is put forward or back.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// No clock change moves local time by more than a day, and none is within a day of another.
pub(super) const CHANGE: TimeDelta = TimeDelta::hours(25);

/// How far local time is ahead of UTC at an instant.
pub(super) fn offset(timezone: Tz, instant: DateTime<Utc>) -> TimeDelta {
    TimeDelta::seconds(timezone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc().into())
}

/// What the wall clock shows at an instant.
pub(super) fn at(timezone: Tz, instant: DateTime<Utc>) -> NaiveDateTime {
    instant.naive_utc() + offset(timezone, instant)
}

/// The first and the last instant at which the clock shows this time; `None` where it jumps over it.
pub(super) fn shown(timezone: Tz, local: NaiveDateTime) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    match timezone.from_local_datetime(&local) {
        MappedLocalTime::Single(instant) => Some((instant.to_utc(), instant.to_utc())),
        MappedLocalTime::Ambiguous(one, other) => {
            let (one, other) = (one.to_utc(), other.to_utc());
            Some((one.min(other), one.max(other)))
        }
        MappedLocalTime::None => None,
    }
}

/// The instant a local time stands for: the first of two, and the end of the jump that leaves it out.
pub(super) fn instant(timezone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    shown(timezone, local).map_or_else(|| end_of_jump(timezone, local), |(first, _)| first)
}

/// The first instant at which the clock shows more than `local`, which it never shows.
fn end_of_jump(timezone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    let (mut before, mut after) = (-2 * 86_400, 2 * 86_400);
    let around = |seconds: i64| local.and_utc() + TimeDelta::seconds(seconds);
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        if at(timezone, around(middle)) > local { after = middle } else { before = middle }
    }
    around(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(text: &str) -> NaiveDateTime {
        text.parse().expect("a local time")
    }

    #[test]
    fn a_time_in_a_jump_is_the_end_of_the_jump() {
        for (zone, left_out, end) in [
            (Tz::America__New_York, "2026-03-08T02:30:00", "2026-03-08T07:00:00Z"),
            (Tz::Europe__Berlin, "2026-03-29T02:00:00", "2026-03-29T01:00:00Z"),
            (Tz::Australia__Lord_Howe, "2026-10-04T02:15:00", "2026-10-03T15:30:00Z"),
            (Tz::America__Sao_Paulo, "2018-11-04T00:00:00", "2018-11-04T03:00:00Z"),
            (Tz::Pacific__Apia, "2011-12-30T12:00:00", "2011-12-30T10:00:00Z"),
        ] {
            assert_eq!(shown(zone, local(left_out)), None, "{zone} {left_out}");
            assert_eq!(instant(zone, local(left_out)), end.parse::<DateTime<Utc>>().expect("an instant"), "{zone}");
        }
    }

    #[test]
    fn a_time_shown_twice_is_the_first() {
        let first: DateTime<Utc> = "2026-11-01T05:30:00Z".parse().expect("an instant");
        let (one, other) = shown(Tz::America__New_York, local("2026-11-01T01:30:00")).expect("shown");
        assert_eq!((one, other - one), (first, TimeDelta::hours(1)));
        assert_eq!(instant(Tz::America__New_York, local("2026-11-01T01:30:00")), first);
    }
}
