//! Pages of lists.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// Items of a page that names no limit.
pub const LIMIT_DEFAULT: i64 = 50;
/// Most items of a page.
pub const LIMIT_MAX: i64 = 100;

/// Which part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// At most so many items.
    pub limit: i64,
    /// After so many.
    pub offset: i64,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// How many there are in all.
    pub total: i64,
    /// The limit that was asked for.
    pub limit: i64,
    /// The offset that was asked for.
    pub offset: i64,
    /// Whether more follow.
    pub has_more: bool,
    /// Gives the next page of tasks, or of the audit trail, when sent as `cursor`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page that was found by offset.
    pub fn new(items: Vec<T>, total: i64, span: Span) -> Self {
        let reached = span.offset.saturating_add(i64::try_from(items.len()).unwrap_or(i64::MAX));
        Self { items, total, limit: span.limit, offset: span.offset, has_more: reached < total, next_cursor: None }
    }
}

/// The row after which the next page begins.
pub fn write_cursor(time: DateTime<Utc>, id: Uuid) -> String {
    format!("{:x}-{}", time.timestamp_micros(), id.simple())
}

/// Reads what [`write_cursor`] wrote.
pub fn read_cursor(text: &str) -> Option<(DateTime<Utc>, Uuid)> {
    let (micros, id) = text.split_once('-')?;
    let time = DateTime::from_timestamp_micros(i64::from_str_radix(micros, 16).ok()?)?;
    let id = id.parse().ok()?;
    // What PostgreSQL can compare with.
    (0..=253_402_300_799_999_999).contains(&time.timestamp_micros()).then_some((time, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_back_and_others_are_refused() {
        let (time, id) = ("2026-11-24T12:00:00.123456Z".parse().expect("an instant"), Uuid::now_v7());
        assert_eq!(read_cursor(&write_cursor(time, id)), Some((time, id)));
        for bad in ["", "-", "x-y", "7fffffffffffffff-0", "12", "zz-00000000000000000000000000000000"] {
            assert_eq!(read_cursor(bad), None, "{bad}");
        }
        assert_eq!(read_cursor(&format!("{:x}-{}", i64::MAX, id.simple())), None);
    }

    #[test]
    fn a_page_knows_whether_more_follow() {
        let page = |offset, items: usize| Page::new(vec![(); items], 3, Span { limit: 2, offset }).has_more;
        assert_eq!([page(0, 2), page(2, 1), page(5, 0), page(i64::MAX, 0)], [true, false, false, false]);
    }
}
