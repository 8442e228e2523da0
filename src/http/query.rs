//! Parameters of the query: read one by one, so that every problem is answered at once.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use actix_web::HttpRequest;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Utc};
use uuid::Uuid;

use super::error::{Error, Problem};
use super::page::{self, Span};

/// The query of a request. What is not asked for is ignored; an empty value is none.
#[derive(Debug)]
pub(super) struct Query {
    values: HashMap<String, String>,
    problems: Vec<Problem>,
}

impl Query {
    /// Reads the query of a request.
    pub(super) fn of(request: &HttpRequest) -> Self {
        Self::parse(request.query_string())
    }

    fn parse(text: &str) -> Self {
        let pairs = url::form_urlencoded::parse(text.as_bytes());
        let mut query = Self { values: HashMap::new(), problems: Vec::new() };
        for (name, value) in pairs.into_owned() {
            if value.contains('\0') || name.contains('\0') {
                query.refuse(&name.replace('\0', ""), "the character U+0000 can't be used; leave it out");
            } else if !value.is_empty() {
                query.values.insert(name, value);
            }
        }
        query
    }

    /// A parameter as text.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.values.remove(name)
    }

    /// A parameter that is read by a type; what the type says against it is answered.
    pub(super) fn read<T>(&mut self, name: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        match self.values.get(name)?.trim().parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(name, error.to_string());
                None
            }
        }
    }

    /// A whole number within a range.
    pub(super) fn number(&mut self, name: &str, min: i64, max: i64) -> Option<i64> {
        let number = self.values.get(name)?.trim().parse().ok().filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.refuse(name, format!("{name} must be a whole number from {min} to {max}"));
        }
        number
    }

    /// An id.
    pub(super) fn id(&mut self, name: &str) -> Option<Uuid> {
        let id = self.values.get(name)?.trim().parse().ok();
        if id.is_none() {
            self.refuse(name, format!("{name} must be a UUID"));
        }
        id
    }

    /// `true` or `false`, as programs of several languages write them.
    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.values.get(name)?.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => {
                self.refuse(name, format!("{name} must be true or false"));
                None
            }
        }
    }

    /// A time.
    pub(super) fn time(&mut self, name: &str) -> Option<DateTime<Utc>> {
        let time = read_time(self.values.get(name)?);
        if time.is_none() {
            self.refuse(name, format!("{name} must be a date-time such as 2026-11-24T18:00:00Z (without zone: UTC)"));
        }
        time
    }

    /// `limit` and `offset`.
    pub(super) fn span(&mut self) -> Span {
        Span {
            limit: self.number("limit", 1, page::LIMIT_MAX).unwrap_or(page::LIMIT_DEFAULT),
            offset: self.number("offset", 0, i64::MAX).unwrap_or(0),
        }
    }

    /// Notes a problem with a parameter.
    pub(super) fn refuse(&mut self, name: &str, msg: impl Into<String>) {
        self.problems.push(Problem::query(name, msg));
    }

    /// Answers the problems, if there are any.
    ///
    /// # Errors
    /// There are.
    pub(super) fn finish(self) -> Result<(), Error> {
        if self.problems.is_empty() { Ok(()) } else { Err(Error::Invalid(self.problems)) }
    }
}

/// ISO 8601 with zone, or without one in UTC, or a date alone. A `+` that was not encoded arrives as a space.
pub(super) fn read_time(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let zoned = |text: &str| DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
    let unzoned = |text: &str| {
        let time = NaiveDateTime::parse_from_str(&text.replacen(' ', "T", 1), "%Y-%m-%dT%H:%M:%S%.f");
        let time = time.or_else(|_| NaiveDateTime::parse_from_str(&text.replacen(' ', "T", 1), "%Y-%m-%dT%H:%M"));
        time.or_else(|_| NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|date| date.and_time(Default::default())))
    };
    let encoded_plus = || {
        let (time, zone) = text.rsplit_once(' ')?;
        zoned(&format!("{time}+{zone}"))
    };
    let time = zoned(text).or_else(|| unzoned(text).ok().map(|time| time.and_utc())).or_else(encoded_plus)?;
    (1970..=9999).contains(&time.year()).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_answered_at_once() {
        let mut query = Query::parse("limit=0&offset=-1&id=x&on=maybe&since=tomorrow&q=a%00b&other=1&status=");
        assert_eq!(query.span(), Span { limit: 50, offset: 0 });
        assert_eq!((query.id("id"), query.flag("on"), query.time("since")), (None, None, None));
        assert_eq!((query.text("q"), query.text("status")), (None, None));
        let Err(Error::Invalid(problems)) = query.finish() else { panic!("nothing was refused") };
        let mut names: Vec<_> = problems.iter().filter_map(|problem| problem.loc[1].as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["id", "limit", "offset", "on", "q", "since"]);
    }

    #[test]
    fn times_are_read_as_clients_write_them() {
        let noon = Some("2026-11-24T12:00:00Z".parse().expect("an instant"));
        for text in [
            "2026-11-24T12:00:00Z",
            "2026-11-24T13:00:00+01:00",
            "2026-11-24T13:00:00 01:00",
            "2026-11-24T12:00:00.000",
            "2026-11-24 12:00",
            "2026-11-24 12:00:00Z",
        ] {
            assert_eq!(read_time(text), noon, "{text}");
        }
        assert_eq!(read_time("2026-11-24"), Some("2026-11-24T00:00:00Z".parse().expect("an instant")));
        for bad in ["", "now", "2026-13-01", "+12026-01-01T00:00:00Z", "0001-01-01", "-0001-01-01T00:00:00Z"] {
            assert_eq!(read_time(bad), None, "{bad}");
        }
    }
}
