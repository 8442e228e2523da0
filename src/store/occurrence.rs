//! What became of the occurrences of a schedule: the tasks it made, and the notes on those that made none.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::{Error, Store};
use crate::domain::ids::{ScheduleId, TaskId};
use crate::domain::schedule::{OccurrenceStatus, SkipReason};

/// An occurrence that was dealt with.
#[derive(Clone, Debug)]
pub struct OccurrenceRecord {
    /// Its time.
    pub scheduled_for: DateTime<Utc>,
    /// Its task, and the task's status.
    pub task: Option<(TaskId, String)>,
    /// Why it made no task, or one that was called off before it could run.
    pub reason: Option<SkipReason>,
    /// How many occurrences before it this one stands for, besides its own.
    pub earlier: i64,
    /// When it was dealt with.
    pub noted_at: Option<DateTime<Utc>>,
}

impl OccurrenceRecord {
    /// What became of it.
    pub fn status(&self) -> OccurrenceStatus {
        self.reason.map_or(OccurrenceStatus::Made, SkipReason::status)
    }

    fn from_row(row: &Row) -> Result<Self, Error> {
        let reason: Option<&str> = row.try_get("reason")?;
        let task_id: Option<_> = row.try_get("task_id")?;
        Ok(Self {
            scheduled_for: row.try_get("scheduled_for")?,
            task: task_id.map(TaskId).zip(row.try_get("task_status")?),
            reason: reason.map(|reason| reason.parse().unwrap_or(SkipReason::Missed)),
            earlier: row.try_get("earlier")?,
            noted_at: row.try_get("noted_at")?,
        })
    }
}

/// Which occurrences; what is `None` does not narrow.
#[derive(Clone, Copy, Debug, Default)]
pub struct OccurrenceFilter {
    /// That came to this.
    pub status: Option<OccurrenceStatus>,
    /// At this time or later.
    pub after: Option<DateTime<Utc>>,
    /// Before this time.
    pub before: Option<DateTime<Utc>>,
}

/// Both parts are read off an index in the order of their times. A task that was called off by its schedule has a note;
/// it counts as long as nobody has made the task pending again.
const OCCURRENCES: &str = "
    SELECT t.scheduled_for, t.id AS task_id, t.status AS task_status, s.reason, coalesce(s.earlier, 0) AS earlier,
           t.created_at AS noted_at
      FROM tasks t
      LEFT JOIN schedule_skips s
             ON s.schedule_id = t.schedule_id AND s.scheduled_for = t.scheduled_for AND t.status = 'cancelled'
     WHERE t.schedule_id = $1 AND t.scheduled_for IS NOT NULL
    UNION ALL
    SELECT s.scheduled_for, NULL, NULL, s.reason, s.earlier, s.created_at
      FROM schedule_skips s
     WHERE s.schedule_id = $1
       AND NOT EXISTS (SELECT FROM tasks t WHERE t.schedule_id = s.schedule_id AND t.scheduled_for = s.scheduled_for)";

/// Parameters 2 to 5; a reason is `made` where there is none.
const CONDITIONS: &str = "($2::timestamptz IS NULL OR scheduled_for >= $2) \
     AND ($3::timestamptz IS NULL OR scheduled_for < $3) \
     AND ($4::text[] IS NULL OR reason = ANY ($4) OR ($5 AND reason IS NULL))";

impl Store {
    /// The occurrences of a schedule, the latest first, and how many the filter fits in all. Those whose tasks or notes
    /// were deleted are gone with them.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn occurrences(
        &self,
        schedule: ScheduleId,
        filter: OccurrenceFilter,
        offset: i64,
        limit: i64,
    ) -> Result<(Vec<OccurrenceRecord>, i64), Error> {
        self.run(move |connection| async move {
            let reasons = filter.status.map(reasons_of);
            let made = filter.status == Some(OccurrenceStatus::Made);
            let mut params: Vec<(&(dyn ToSql + Sync), Type)> = vec![
                (&schedule.0, Type::UUID),
                (&filter.after, Type::TIMESTAMPTZ),
                (&filter.before, Type::TIMESTAMPTZ),
                (&reasons, Type::TEXT_ARRAY),
                (&made, Type::BOOL),
            ];
            let count = format!("SELECT count(*) FROM ({OCCURRENCES}) AS o WHERE {CONDITIONS}");
            let total = connection.query_typed_one(&count, &params).await?.try_get(0)?;
            let sql = format!(
                "SELECT * FROM ({OCCURRENCES}) AS o WHERE {CONDITIONS} ORDER BY scheduled_for DESC LIMIT $6 OFFSET $7"
            );
            params.extend([(&limit as &(dyn ToSql + Sync), Type::INT8), (&offset, Type::INT8)]);
            let rows = connection.query_typed(&sql, &params).await?;
            Ok((rows.iter().map(OccurrenceRecord::from_row).collect::<Result<_, _>>()?, total))
        })
        .await
    }
}

/// The reasons that make a status; none make `made`.
fn reasons_of(status: OccurrenceStatus) -> Vec<&'static str> {
    let reasons = SkipReason::ALL.iter().filter(|reason| reason.status() == status);
    reasons.map(|reason| reason.as_str()).collect()
}
