//! Tasks: their states in our words, and what becomes of those that had not ended.

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use super::Step;
use super::report::TakenOver;
use crate::domain::takeover::{fresh_since, task_status};
use crate::domain::task::TaskStatus;
use crate::store::Error;

/// A spelling becomes a state.
const RESPELL: &str = "
    WITH spelled AS (UPDATE tasks SET status = $4 WHERE status = $3 RETURNING id)
    INSERT INTO takeover_changes (takeover_id, entity, entity_id, field, former, reason)
    SELECT $1, 'task', id, 'status', $3, 'another spelling' FROM spelled";

/// A status that nobody knows is no reason to run a flow.
const FAIL_UNKNOWN: &str = "
    WITH unknown AS (
        SELECT id, error FROM tasks WHERE status = $3 FOR UPDATE
    ), failed AS (
        UPDATE tasks t
           SET status = 'failed',
               error = 'Not run: the Python service left the task in the status \"' || $3 || '\", which nobody here knows. '
                   || 'Retry it if it is still wanted.' || coalesce(' Its error was: ' || u.error, '')
          FROM unknown u WHERE t.id = u.id AND t.status = $3
    )
    INSERT INTO takeover_changes (takeover_id, entity, entity_id, field, former, reason)
    SELECT $1, 'task', u.id, was.field, was.former, 'nobody knows what the status means; it is not run'
      FROM unknown u, LATERAL (VALUES ('status', $3), ('error', u.error)) AS was (field, former)";

/// The last sign of life of a task, of a table or alias `t`.
const LAST_SEEN: &str = "greatest(t.created_at, t.started_at, t.updated_at)";

/// What nothing has happened to for long is not run: whoever waited for it does not any more. The first time ($4) every
/// task is the Python service's, later only what runs on no node.
fn fail_old() -> String {
    format!(
        "WITH old AS (
            SELECT t.id, t.status, t.error, t.next_retry_at, t.finished_at, t.updated_at, {LAST_SEEN} AS last_seen
              FROM tasks t
             WHERE t.status IN ('pending', 'running', 'retrying') AND {LAST_SEEN} < $3
               AND (t.next_retry_at IS NULL OR t.next_retry_at < $3)
               AND ($4 OR (t.status = 'running' AND t.node_id IS NULL))
               FOR UPDATE
        ), failed AS (
            UPDATE tasks t
               SET status = 'failed', finished_at = $2, updated_at = $2, next_retry_at = NULL,
                   error = 'Not run: the task was still ' || old.status || ' when the Python service was replaced, and '
                       || 'nothing had happened to it since ' || to_char(old.last_seen AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')
                       || ' UTC. Retry it if it is still wanted.' || coalesce(' Its error was: ' || old.error, '')
              FROM old WHERE t.id = old.id AND t.status = old.status
            RETURNING t.id
        ), noted AS (
            INSERT INTO takeover_changes (takeover_id, entity, entity_id, field, former, reason)
            SELECT $1, 'task', old.id, was.field, was.former, 'it had not ended, and was older than a day'
              FROM old, LATERAL (VALUES ('status', old.status), ('error', old.error),
                                        ('next_retry_at', old.next_retry_at::text),
                                        ('finished_at', old.finished_at::text),
                                        ('updated_at', old.updated_at::text)) AS was (field, former)
             WHERE was.former IS NOT NULL OR was.field <> 'next_retry_at'
        )
        SELECT id FROM failed"
    )
}

/// A running task keeps its state: no node has it, so the janitor takes it for one of a dead node's, and the policy for
/// unknown outcomes decides. That needs an attempt with a number and a beginning.
const NUMBER_RUNNING: &str = "
    WITH running AS (
        SELECT id, status, tries, started_at FROM tasks
         WHERE status = 'running' AND node_id IS NULL AND (tries < 1 OR started_at IS NULL) FOR UPDATE
    ), numbered AS (
        UPDATE tasks t SET tries = greatest(t.tries, 1), started_at = coalesce(t.started_at, t.created_at, $2)
          FROM running r WHERE t.id = r.id AND t.status = r.status
    )
    INSERT INTO takeover_changes (takeover_id, entity, entity_id, field, former, reason)
    SELECT $1, 'task', r.id, was.field, was.former, 'its attempt had no number or no beginning'
      FROM running r, LATERAL (VALUES ('tries', r.tries::text), ('started_at', r.started_at::text)) AS was (field, former)";

/// A retry waits in the state `retrying` here; the Python service left such a task pending.
const DELAY_PENDING: &str = "
    WITH waiting AS (
        SELECT id, status, next_retry_at FROM tasks WHERE status = 'pending' AND next_retry_at IS NOT NULL FOR UPDATE
    ), delayed AS (
        UPDATE tasks t SET pending_at = greatest(w.next_retry_at, $2), next_retry_at = NULL
          FROM waiting w WHERE t.id = w.id AND t.status = w.status
    )
    INSERT INTO takeover_changes (takeover_id, entity, entity_id, field, former, reason)
    SELECT $1, 'task', id, 'next_retry_at', next_retry_at::text, 'it waits as a pending task with a time' FROM waiting";

const RELEASE_RETRYING: &str = "
    WITH released AS (
        UPDATE tasks SET next_retry_at = $2 WHERE status = 'retrying' AND next_retry_at IS NULL RETURNING id
    )
    INSERT INTO takeover_changes (takeover_id, entity, entity_id, field, reason)
    SELECT $1, 'task', id, 'next_retry_at', 'it would have waited for ever' FROM released";

const UNFINISHED: &str = "
    SELECT count(*) FILTER (WHERE status = 'pending'), count(*) FILTER (WHERE status = 'running'),
           count(*) FILTER (WHERE status = 'retrying')
      FROM tasks WHERE status IN ('pending', 'running', 'retrying')";

pub(super) async fn take_over(step: &Step<'_>, report: &mut TakenOver) -> Result<(), Error> {
    respell(step, report).await?;
    let fresh_since: DateTime<Utc> = fresh_since(step.now);
    let failed = step.change(&fail_old(), &[(&fresh_since, Type::TIMESTAMPTZ), (&step.is_first, Type::BOOL)]).await?;
    report.note("unfinished tasks older than a day, failed now", failed);
    step.change(NUMBER_RUNNING, &[]).await?;
    step.change(DELAY_PENDING, &[]).await?;
    let released = step.change(RELEASE_RETRYING, &[]).await?;
    report.note("retrying tasks without a time, retried at once", released);
    let row = step.transaction.query_typed_one(UNFINISHED, &[]).await?;
    let count = |index| Ok::<_, Error>(row.try_get::<_, i64>(index)?.unsigned_abs());
    report.note("pending tasks that the service is going to run", count(0)?);
    report.note("running tasks that the service is going to run again, their outcome being unknown", count(1)?);
    report.note("retrying tasks that the service is going to run", count(2)?);
    Ok(())
}

async fn respell(step: &Step<'_>, report: &mut TakenOver) -> Result<(), Error> {
    for row in step.transaction.query_typed("SELECT DISTINCT status FROM tasks ORDER BY status", &[]).await? {
        let former: String = row.try_get(0)?;
        let parameter = (&former as _, Type::TEXT);
        let (ours, count) = match task_status(&former) {
            Some(ours) if ours.as_str() == former => continue,
            Some(ours) => (ours, step.change(RESPELL, &[parameter, (&ours.as_str(), Type::TEXT)]).await?),
            None => (TaskStatus::Failed, step.change(FAIL_UNKNOWN, &[parameter]).await?),
        };
        report.note(&format!("tasks with the status {former:?}, which is {ours} now"), count);
    }
    Ok(())
}
