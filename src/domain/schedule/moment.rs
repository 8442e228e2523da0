//! Date-times of one-time schedules, as people write them.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;

use super::local;

/// Reads `2026-12-24 18:00`, with seconds and fractions or without, with `T` for the space, and with a zone (`Z`,
/// `+01:00`, `+0100`, `+01`) or, without one, in `timezone`. `None` where it is no such thing.
pub(super) fn parse(text: &str, timezone: Tz) -> Option<DateTime<Utc>> {
    let (date, rest) = text.trim().split_once([' ', 'T', 't'])?;
    let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
    if !(1970..=9999).contains(&date.year()) {
        return None;
    }
    let zone_at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(zone_at);
    let time = time.trim();
    let time = NaiveTime::parse_from_str(time, "%H:%M:%S%.f").or_else(|_| NaiveTime::parse_from_str(time, "%H:%M"));
    let local = date.and_time(time.ok()?);
    match zone {
        "" => Some(local::instant(timezone, local)),
        "Z" | "z" => Some(local.and_utc()),
        zone => Some(offset(zone)?.from_local_datetime(&local).single()?.to_utc()),
    }
}

fn offset(zone: &str) -> Option<FixedOffset> {
    let (sign, digits) = zone.split_at_checked(1)?;
    let digits = if digits.len() == 5 { digits.replacen(':', "", 1) } else { digits.to_owned() };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = match digits.len() {
        2 => (digits.parse().ok()?, 0),
        4 => (digits[..2].parse::<i32>().ok()?, digits[2..].parse::<i32>().ok()?),
        _ => return None,
    };
    if minutes > 59 {
        return None;
    }
    let seconds = (hours * 60 + minutes) * 60;
    FixedOffset::east_opt(if sign == "-" { -seconds } else { seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        let berlin = Tz::Europe__Berlin;
        for (text, instant) in [
            ("2026-12-24 18:00", "2026-12-24T17:00:00Z"),
            ("2026-12-24T18:00:30", "2026-12-24T17:00:30Z"),
            (" 2026-12-24 18:00:30.25 ", "2026-12-24T17:00:30.25Z"),
            ("2026-12-24T18:00:00Z", "2026-12-24T18:00:00Z"),
            ("2026-12-24t18:00z", "2026-12-24T18:00:00Z"),
            ("2026-12-24 18:00:00+05:45", "2026-12-24T12:15:00Z"),
            ("2026-12-24 18:00 -0300", "2026-12-24T21:00:00Z"),
            ("2026-12-24T18:00+01", "2026-12-24T17:00:00Z"),
            // Jumped over, and shown twice.
            ("2026-03-29 02:30", "2026-03-29T01:00:00Z"),
            ("2026-10-25 02:30", "2026-10-25T00:30:00Z"),
        ] {
            assert_eq!(parse(text, berlin), Some(instant.parse().expect("an instant")), "{text}");
        }
        for bad in [
            "",
            "tomorrow",
            "2026-12-24",
            "18:00",
            "2026-13-01 00:00",
            "2026-02-30 00:00",
            "2026-12-24 24:00",
            "2026-12-24 18:00 CET",
            "2026-12-24 18:00+99:00",
            "2026-12-24 18:00+1:0",
            "2026-12-24 18:00+01:0ä",
            "99999-01-01 00:00",
            "1969-12-31 00:00",
            "2026-12-24 18:00Z+01",
            "2026-12-24 18",
            "2026-12-24 18:00+01:60",
        ] {
            assert_eq!(parse(bad, berlin), None, "{bad}");
        }
    }
}
