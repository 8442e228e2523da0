//! Values that the Python service may have left empty and that every row of ours has.

use super::Step;
use super::report::TakenOver;
use crate::store::Error;

/// Table, what a row is called, column, and what is known instead; in this order, since later ones ask earlier ones.
const EMPTY: [(&str, &str, &str, &str); 10] = [
    ("workflow_sources", "source", "created_at", "r.updated_at"),
    ("tasks", "task", "created_at", "least(r.started_at, r.finished_at, r.updated_at)"),
    (
        "schedules",
        "schedule",
        "created_at",
        "least(r.updated_at, (SELECT min(created_at) FROM tasks WHERE schedule_id = r.id))",
    ),
    (
        "workflows",
        "workflow",
        "created_at",
        "coalesce(r.updated_at, least((SELECT min(created_at) FROM tasks WHERE workflow_id = r.id),
                                      (SELECT min(created_at) FROM schedules WHERE workflow_id = r.id)))",
    ),
    ("workflow_sources", "source", "updated_at", "r.created_at"),
    ("tasks", "task", "updated_at", "r.created_at"),
    ("schedules", "schedule", "updated_at", "r.created_at"),
    ("workflows", "workflow", "updated_at", "r.created_at"),
    ("tasks", "task", "tries", "0"),
    ("tasks", "task", "max_retries", "3"),
];

/// Fills them in.
pub(super) async fn fill(step: &Step<'_>, report: &mut TakenOver) -> Result<(), Error> {
    let mut count = 0;
    for (table, entity, column, known) in EMPTY {
        let value = if column.ends_with("_at") { format!("coalesce({known}, $2)") } else { known.to_owned() };
        let sql = format!(
            "WITH filled AS (UPDATE {table} r SET {column} = {value} WHERE r.{column} IS NULL RETURNING r.id)
             INSERT INTO takeover_changes (takeover_id, entity, entity_id, field, reason)
             SELECT $1, '{entity}', id, '{column}', 'it was empty' FROM filled"
        );
        count += step.change(&sql, &[]).await?;
    }
    report.note("values filled in that were empty (times, counters)", count);
    Ok(())
}
