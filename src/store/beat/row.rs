//! A due schedule as its row has it.

use chrono_tz::Tz;
use tokio_postgres::Row;

use crate::domain::ids::{ScheduleId, WorkflowId};
use crate::domain::input::{Input, InputError};
use crate::domain::queue::{Priority, QueueName};
use crate::domain::schedule::{Rule, ScheduleKind, Standing, Unfinished};
use crate::store::Error;

/// The columns that [`read`] takes, in its order. A date before 1970 (or `-infinity`) is only ever written by hand.
pub(super) const COLUMNS: &str = "id, workflow_id, schedule_type, schedule_expr, timezone, missed_policy, \
    overlap_policy, jitter_s, expires_s, greatest(next_run_at, timestamptz '1970-01-01 00:00Z'), queue, priority, \
    input_value::text";

/// A due schedule and what its tasks need.
pub(super) struct DueSchedule {
    pub(super) standing: Standing,
    pub(super) workflow_id: WorkflowId,
    pub(super) queue: QueueName,
    pub(super) priority: Priority,
    /// In the stored form.
    pub(super) input: String,
}

/// Reads a row; the inner error says why the schedule can't run.
pub(super) fn read(row: &Row, default_input: &Input) -> Result<(ScheduleId, Result<DueSchedule, String>), Error> {
    let id = ScheduleId(row.try_get(0)?);
    let input = input(row.try_get::<_, Option<&str>>(12)?, default_input);
    let (kind, expr, timezone): (String, String, String) = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
    let (missed, overlap): (String, String) = (row.try_get(5)?, row.try_get(6)?);
    let jitter_s: i32 = row.try_get(7)?;
    let expires_s: Option<i32> = row.try_get(8)?;
    let next_run_at = row.try_get(9)?;
    let workflow_id = WorkflowId(row.try_get(1)?);
    let queue = QueueName::new(row.try_get::<_, String>(10)?).unwrap_or_default();
    let priority = Priority::new(row.try_get::<_, i16>(11)?.into()).unwrap_or_default();

    let standing = || -> Result<Standing, String> {
        let kind: ScheduleKind = kind.parse().map_err(|error| format!("{kind:?}: {error}"))?;
        let timezone: Tz =
            timezone.parse().map_err(|_| format!("{timezone:?} is no timezone; use Area/City or UTC"))?;
        Ok(Standing {
            id,
            rule: Rule::parse_stored(kind, &expr, timezone).map_err(|error| format!("{expr:?}: {error}"))?,
            next_run_at,
            was_paused: false,
            missed: missed.parse().map_err(|error| format!("{missed:?}: {error}"))?,
            overlap: overlap.parse().map_err(|error| format!("{overlap:?}: {error}"))?,
            jitter_s: u32::try_from(jitter_s).unwrap_or(0),
            expires_s: expires_s.and_then(|limit| u32::try_from(limit).ok()),
            unfinished: Unfinished::default(),
        })
    };
    Ok((id, standing().map(|standing| DueSchedule { standing, workflow_id, queue, priority, input })))
}

/// The input of a schedule's tasks, in the stored form: its own, else the default. Hand-written rows may hold numbers,
/// lists, booleans, and JSON that we would not take: passed on as they are. Nothing, and what is empty, is no input.
fn input(input_value: Option<&str>, default: &Input) -> String {
    let given = input_value.and_then(|text| match serde_json::from_str(text).map(Input::from_json) {
        Ok(Ok(input)) => Some(input.to_stored()),
        Ok(Err(InputError::Empty | InputError::Kind("null"))) => None,
        Ok(Err(_)) | Err(_) => Some(text.to_owned()),
    });
    given.unwrap_or_else(|| default.to_stored())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_s_own_input_counts_and_else_the_default() {
        let default = Input::text("Hello World").expect("text");
        let sent = |value| Input::source_text(Some(&input(value, &default)));
        assert_eq!(sent(Some(r#"{"value":"ours"}"#)), "ours");
        assert_eq!(sent(Some(r#"{"a":1}"#)), r#"{"a":1}"#);
        assert_eq!(sent(Some(r#"{"value":5}"#)), "5");
        assert_eq!(sent(Some("1e400")), "1e400");
        for nothing in [None, Some("null"), Some(r#"{"value":""}"#), Some("{}")] {
            assert_eq!(sent(nothing), "Hello World");
        }
    }
}
