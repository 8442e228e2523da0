//! Cron expressions as Celery reads them.
//!
//! The Python service accepted with one library (croniter) and ran with another (Celery). What Celery can't read it
//! accepted and never ran. What both of ours can read may still mean other days: Celery wants day of month *and* day of
//! week to fit where both are given, and lets a range run over the end of its field.

/// The fields, and the numbers each may hold.
const FIELDS: [(&str, u32, u32, &[&str]); 5] = [
    ("minute", 0, 59, &[]),
    ("hour", 0, 23, &[]),
    ("day of month", 1, 31, &[]),
    ("month", 1, 12, &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]),
    ("day of week", 0, 6, &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]),
];
const DAY_OF_MONTH: usize = 2;
const DAY_OF_WEEK: usize = 4;

/// Why Celery could not read an expression.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NeverRan {
    /// It wants five.
    #[error("it has {0} instead of five fields, and the Python service never ran it")]
    Fields(usize),
    /// A part that is not of its grammar.
    #[error("the Python service never ran it: Celery can't read {part:?} as {field}")]
    Part {
        /// The part of a list.
        part: String,
        /// The field.
        field: &'static str,
    },
}

/// The expression that means here what `expr` meant to Celery: itself, wherever that is so.
///
/// # Errors
/// Celery could not read it.
pub fn from_celery(expr: &str) -> Result<String, NeverRan> {
    let fields: Vec<&str> = expr.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(NeverRan::Fields(fields.len()));
    }
    let mut ours = Vec::with_capacity(fields.len());
    for (field, bounds) in fields.iter().zip(FIELDS) {
        let parts = field.split(',').map(|part| read_part(part, bounds));
        ours.push(parts.collect::<Result<Vec<_>, _>>()?.join(","));
    }
    if fields[DAY_OF_MONTH] != "*" && fields[DAY_OF_WEEK] != "*" {
        ours[DAY_OF_WEEK].insert(0, '+');
    }
    Ok(ours.join(" "))
}

/// `*`, `*/n`, `n`, `n-m` or `n-m/step`.
fn read_part(part: &str, (field, least, most, names): (&'static str, u32, u32, &[&str])) -> Result<String, NeverRan> {
    let unread = || NeverRan::Part { part: part.to_owned(), field };
    let number = |text: &str| -> Option<u32> {
        let name = text.get(..3).unwrap_or(text);
        let named = names.iter().position(|known| text.len() >= 3 && known.eq_ignore_ascii_case(name));
        let value = match named {
            Some(position) => u32::try_from(position).ok()? + least,
            None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok()?,
            None => return None,
        };
        (least..=most).contains(&value).then_some(value)
    };
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(step.parse::<u32>().ok().filter(|step| *step > 0).ok_or_else(unread)?)),
        None => (part, None),
    };
    if range == "*" {
        return Ok(part.to_owned());
    }
    let Some((from, to)) = range.split_once('-') else {
        return match (number(range), step) {
            (Some(_), None) => Ok(part.to_owned()),
            _ => Err(unread()),
        };
    };
    let (from, to) = number(from).zip(number(to)).ok_or_else(unread)?;
    if from <= to {
        return Ok(part.to_owned());
    }
    let around = (from..=most).chain(least..=to).step_by(step.unwrap_or(1) as usize);
    Ok(around.map(|value| value.to_string()).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_the_same_stays_as_it_is() {
        for expr in ["*/5 * * * *", "0 8 * * 1-5", "0 9 1,15 * *", "0-30/10 6 * jan-mar *", "0 0 * * sun,WED"] {
            assert_eq!(from_celery(expr).as_deref(), Ok(expr));
        }
    }

    #[test]
    fn what_means_something_else_is_written_so_that_it_does_not() {
        assert_eq!(from_celery("0 8 1-7 * 1").as_deref(), Ok("0 8 1-7 * +1"));
        assert_eq!(from_celery("0 8 */2 * mon").as_deref(), Ok("0 8 */2 * +mon"));
        assert_eq!(from_celery("0 22-2 * * *").as_deref(), Ok("0 22,23,0,1,2 * * *"));
        assert_eq!(from_celery("0 8 * * fri-mon").as_deref(), Ok("0 8 * * 5,6,0,1"));
        assert_eq!(from_celery("0 20-3/2 * * *").as_deref(), Ok("0 20,22,0,2 * * *"));
    }

    #[test]
    fn what_never_ran_is_told() {
        for (expr, count) in [("", 0), ("@daily", 1), ("0 30 8 * * *", 6)] {
            assert_eq!(from_celery(expr), Err(NeverRan::Fields(count)));
        }
        let strange = ["0 9 * * 7", "0 0 L * *", "0 8 * * 1#1", "0 8 ? * *", "5/10 * * * *", "60 * * * *", "0 0 0 * *"];
        for expr in strange.into_iter().chain(["*/0 * * * *", "1,,2 * * * *", "- * * * *", "\u{e4}\u{e4} * * * *"]) {
            assert!(matches!(from_celery(expr), Err(NeverRan::Part { .. })), "{expr}");
        }
    }
}
