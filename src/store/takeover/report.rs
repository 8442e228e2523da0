//! What a takeover did, for people.

use tokio_postgres::Transaction;
use uuid::Uuid;

use crate::domain::ids::ScheduleId;
use crate::store::Error;

/// The tables of the Python service, and what one row of each is called.
pub(super) const TABLES: [(&str, &str); 7] = [
    ("workflow_sources", "source"),
    ("workflows", "workflow"),
    ("workflow_components", "component"),
    ("schedules", "schedule"),
    ("tasks", "task"),
    ("task_logs", "task log"),
    ("workers", "worker"),
];

/// What a takeover found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// The version of the Python service's schema.
    pub version: String,
    /// How many rows each table has.
    pub rows: Vec<(&'static str, i64)>,
    /// What was changed, and in how many rows; what did not occur is left out.
    pub changed: Vec<(String, u64)>,
    /// Schedules that were active and are paused now.
    pub paused: Vec<PausedSchedule>,
}

/// A schedule that does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PausedSchedule {
    /// Which.
    pub id: ScheduleId,
    /// Its expression.
    pub expr: String,
    /// Why.
    pub reason: String,
}

/// One value that a takeover changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What kind of row: `task`, `schedule`, ...
    pub entity: String,
    /// Which.
    pub id: Uuid,
    /// The column.
    pub field: String,
    /// What it held.
    pub former: Option<String>,
    /// Why it was changed.
    pub reason: String,
}

impl TakenOver {
    pub(super) fn note(&mut self, what: &str, count: u64) {
        if count > 0 {
            self.changed.push((what.to_owned(), count));
        }
    }

    /// The report, a line each.
    pub fn lines(&self) -> Vec<String> {
        let rows: Vec<String> =
            self.rows.iter().map(|(table, count)| format!("{count} {}", table.replace('_', " "))).collect();
        let mut lines = vec![
            format!("found a database of the Python service, schema version {}", self.version),
            format!("kept every row: {}", rows.join(", ")),
        ];
        lines.extend(self.changed.iter().map(|(what, count)| format!("{what}: {count}")));
        lines.extend(
            self.paused.iter().map(|schedule| {
                format!("schedule {} ({:?}) is paused: {}", schedule.id, schedule.expr, schedule.reason)
            }),
        );
        if self.changed.is_empty() && self.paused.is_empty() {
            lines.push("nothing in them had to be changed".to_owned());
        } else {
            lines.push(
                "what was changed is in the table takeover_changes; `automagik-spark db changes` shows it".to_owned(),
            );
        }
        lines
    }
}

/// How many rows each table has.
pub(super) async fn count_rows(transaction: &Transaction<'_>) -> Result<Vec<(&'static str, i64)>, Error> {
    let mut rows = Vec::with_capacity(TABLES.len());
    for (table, _) in TABLES {
        let count = transaction.query_typed_one(&format!("SELECT count(*) FROM {table}"), &[]).await?;
        rows.push((table, count.try_get(0)?));
    }
    Ok(rows)
}
