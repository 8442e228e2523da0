//! How a value of the service's JSON reads in a table. Pure: the time now is given.

use chrono::{DateTime, Local, TimeDelta, Utc};
use serde_json::Value;

/// Fewest characters of an id that are shown.
const SHORTEST_ID: usize = 8;
/// The whole time in an id of ours, to the millisecond. Eight characters of it are a minute, in which many tasks are made.
const TIME_OF_ID: usize = 13;

/// A field as text; empty where there is none.
pub(super) fn field(item: &Value, name: &str) -> String {
    match item.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(entries)) => entries.iter().map(text).collect::<Vec<_>>().join(", "),
        Some(other) => other.to_string(),
    }
}

/// The first of the fields that there is.
pub(super) fn first_field(item: &Value, names: &[&str]) -> String {
    names.iter().map(|name| field(item, name)).find(|text| !text.is_empty()).unwrap_or_default()
}

/// An input as its user wrote it: `{"value": text}` is the text.
pub(super) fn input(value: &Value) -> String {
    match value {
        Value::Object(object) if object.len() == 1 => object.get("value").map_or_else(|| value.to_string(), text),
        other => text(other),
    }
}

/// A string without its quotes, nothing for null, anything else as JSON.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// One line without anything that moves a terminal's cursor: names and errors come from servers that are not ours.
pub(super) fn clean(text: &str) -> String {
    text.trim_end().chars().map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { tame(c) }).collect()
}

/// Like [`clean`], but keeps the lines.
pub(super) fn clean_lines(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | '\t') { c } else { tame(c) }).collect()
}

fn tame(c: char) -> char {
    // U+202A to U+202E and U+2066 to U+2069 turn the direction of what follows.
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_control() || turns { '\u{fffd}' } else { c }
}

/// At most so many characters, the last of them an ellipsis where something was cut.
pub(super) fn shorten(text: &str, limit: usize) -> String {
    let line = clean(text);
    if line.chars().count() <= limit {
        return line;
    }
    let mut short: String = line.chars().take(limit.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// The shortest beginnings that tell these ids apart. Ids are time-ordered, so ids made in one minute begin with the
/// same eight characters: a fixed length would print many that no command accepts.
pub(super) fn short_ids(ids: &[String]) -> Vec<String> {
    short(ids, SHORTEST_ID)
}

/// Beginnings of tasks' ids that most often fit no task beyond this page either.
pub(super) fn short_task_ids(ids: &[String]) -> Vec<String> {
    short(ids, TIME_OF_ID)
}

fn short(ids: &[String], shortest: usize) -> Vec<String> {
    let longest = ids.iter().map(String::len).max().unwrap_or(0);
    let length = (shortest..longest).find(|length| are_distinct(ids, *length)).unwrap_or(longest);
    ids.iter().map(|id| head(id, length).trim_end_matches('-').to_owned()).collect()
}

fn are_distinct(ids: &[String], length: usize) -> bool {
    let mut heads: Vec<&str> = ids.iter().map(|id| head(id, length)).collect();
    heads.sort_unstable();
    heads.windows(2).all(|pair| pair[0] != pair[1])
}

fn head(id: &str, length: usize) -> &str {
    id.get(..length).unwrap_or(id)
}

/// A point in time in the fields of the service, if it is one.
pub(super) fn time(item: &Value, name: &str) -> Option<DateTime<Utc>> {
    let text = item.get(name)?.as_str()?;
    // The Python service wrote none of its times with a zone; they were UTC.
    text.parse().ok().or_else(|| text.parse::<chrono::NaiveDateTime>().ok().map(|naive| naive.and_utc()))
}

/// How long ago or how soon, and the local date of what is further away than a day.
pub(super) fn relative(time: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    let Some(time) = time else { return String::new() };
    let distance = time - now;
    if distance.abs() >= TimeDelta::days(1) {
        return local(time);
    }
    match distance.num_seconds() {
        0 => "now".to_owned(),
        seconds if seconds > 0 => format!("in {}", coarse(seconds)),
        seconds => format!("{} ago", coarse(-seconds)),
    }
}

/// Local date and time to the minute.
pub(super) fn local(time: DateTime<Utc>) -> String {
    time.with_timezone(&Local).format("%Y-%m-%d %H:%M").to_string()
}

/// Local date and time to the second with its offset, and how far away that is.
pub(super) fn full_time(item: &Value, name: &str, now: DateTime<Utc>) -> String {
    let Some(time) = time(item, name) else { return field(item, name) };
    let local = time.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S %:z");
    if (time - now).abs() < TimeDelta::days(1) {
        format!("{local} ({})", relative(Some(time), now))
    } else {
        local.to_string()
    }
}

fn coarse(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

/// How long something took, or has taken so far.
pub(super) fn duration(item: &Value, now: DateTime<Utc>) -> String {
    let Some(started) = time(item, "started_at") else { return String::new() };
    let ended = time(item, "finished_at").unwrap_or(now);
    let ms = (ended - started).num_milliseconds().max(0);
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {:02} s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{} h {:02} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn ids_are_as_long_as_it_takes_to_tell_them_apart() {
        let ids = |texts: &[&str]| short_ids(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(ids(&["0192f3a1-7b2c-7001-8000-000000000001"]), ["0192f3a1"]);
        let two = ids(&["0192f3a1-7b2c-7001-8000-000000000001", "0192f3a1-7b2d-7001-8000-000000000001"]);
        assert_eq!(two, ["0192f3a1-7b2c", "0192f3a1-7b2d"]);
        assert_eq!(ids(&["short", "sh"]), ["short", "sh"]);
        assert_eq!(ids(&["same", "same"]), ["same", "same"]);
        assert!(ids(&[]).is_empty());
    }

    #[test]
    fn near_times_are_relative_and_far_ones_dates() {
        let now = at("2026-01-02T03:04:05Z");
        for (time, expected) in [
            ("2026-01-02T03:04:05Z", "now"),
            ("2026-01-02T03:03:40Z", "25 s ago"),
            ("2026-01-02T03:34:05Z", "in 30 min"),
            ("2026-01-01T05:04:05Z", "22 h ago"),
        ] {
            assert_eq!(relative(Some(at(time)), now), expected, "{time}");
        }
        assert!(relative(Some(at("2025-01-02T03:04:05Z")), now).starts_with("2025-01-0"));
        assert_eq!(relative(None, now), "");
    }

    #[test]
    fn a_task_s_duration_runs_until_it_ended() {
        let now = at("2026-01-02T03:05:05Z");
        let task = |end: Value| json!({"started_at": "2026-01-02T03:04:05Z", "finished_at": end});
        assert_eq!(duration(&task(json!("2026-01-02T03:04:05.250Z")), now), "250 ms");
        assert_eq!(duration(&task(json!("2026-01-02T03:04:11.5Z")), now), "6.5 s");
        assert_eq!(duration(&task(Value::Null), now), "1 min 00 s");
        assert_eq!(duration(&json!({}), now), "");
    }

    #[test]
    fn what_steers_a_terminal_is_not_passed_on() {
        assert_eq!(clean("a\u{1b}[31mred\u{9b}\nnext\u{202e}\n"), "a\u{fffd}[31mred\u{fffd} next\u{fffd}");
        assert_eq!(clean_lines("a\nb\u{7}"), "a\nb\u{fffd}");
        assert_eq!(shorten("abcdef", 4), "abc…");
        assert_eq!(shorten("äöü", 3), "äöü");
    }

    #[test]
    fn text_input_shows_as_it_was_written() {
        assert_eq!(input(&json!({"value": "Hi"})), "Hi");
        assert_eq!(input(&json!({"a": 1})), r#"{"a":1}"#);
        assert_eq!(input(&Value::Null), "");
    }
}
