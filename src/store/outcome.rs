//! Storing how attempts ended.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use tokio_postgres::types::{ToSql, Type};

use super::claim::Attempt;
use super::notice::tell_failed;
use super::tally::tally;
use super::{Error, Store};
use crate::domain::attempt::AttemptStatus;
use crate::domain::circuit::Signal;
use crate::domain::event::TaskEvent;
use crate::domain::ids::{NodeId, TaskId};
use crate::domain::outcome::Answer;
use crate::domain::retry::{Next, Verdict};
use crate::domain::task::TaskStatus;
use crate::domain::trace::Call;

/// The end of an attempt, judged and ready to be stored.
#[derive(Debug)]
pub struct AttemptEnd {
    /// The attempt.
    pub attempt: Attempt,
    /// What becomes of the task.
    pub verdict: Verdict,
    /// What it says of the source.
    pub signal: Option<Signal>,
    /// The result, where there is one.
    pub answer: Option<Answer>,
    /// The node that ran it.
    pub node: NodeId,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// The call to its source, for the task's trace if that is told; not stored.
    pub call: Option<Box<Call>>,
}

impl AttemptEnd {
    /// What the task is once this is stored.
    pub fn next(&self) -> TaskStatus {
        status_after(self.verdict.next)
    }

    /// What is told of the task as it is once this is stored.
    pub fn event(&self) -> TaskEvent {
        self.attempt.event(self.next(), self.finished_at, self.verdict.error.as_deref())
    }
}

/// The task must still run this very attempt: an outcome that comes late, after the task was cancelled or given to
/// another node, changes nothing, and leaves no history either (whoever moved the task wrote it).
///
/// `expected` keeps the planner from the partial index of running tasks: it thinks them few, and would read through all
/// that have ended since the last vacuum. Each row is looked up by its key instead.
static STORE: LazyLock<String> = LazyLock::new(|| statement(""));

/// The same for ends of which some fail a task for good: whoever is to be told of it is, by this very statement. Others
/// pay nothing for it.
static STORE_FAILED: LazyLock<String> = LazyLock::new(|| statement(&format!(", told AS ({})", tell_failed("moved"))));

fn statement(told: &str) -> String {
    format!(
        "
WITH ended AS MATERIALIZED (
    SELECT *, 'running' AS expected FROM unnest($1::uuid[], $2::int4[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
                         $8::int4[], $9::int4[], $10::text[], $11::text[], $12::text[], $13::bool[],
                         $14::timestamptz[], $15::timestamptz[], $16::uuid[])
        AS e (id, attempt, status, output, result, error, next_retry_at, failures, lost, attempt_status, code,
              attempt_error, outcome_unknown, started_at, finished_at, node_id)
), moved AS (
    UPDATE tasks t SET
        status = e.status, output_data = e.output::json, result = e.result, error = e.error,
        next_retry_at = e.next_retry_at, failures = t.failures + e.failures, lost = t.lost + e.lost, node_id = NULL,
        finished_at = CASE WHEN e.status IN ('completed', 'failed', 'cancelled') THEN e.finished_at END,
        pending_at = CASE WHEN e.status = 'pending' THEN e.finished_at ELSE t.pending_at END,
        updated_at = e.finished_at
    FROM ended e
    WHERE t.id = e.id AND t.status = e.expected AND t.tries = e.attempt
    RETURNING e.id, e.attempt, e.status, e.attempt_status, e.code, e.attempt_error, e.outcome_unknown, e.node_id,
              e.started_at, e.finished_at, t.workflow_id, t.schedule_id, t.queue, t.pending_at
), tallied AS (
    {}
){told}
INSERT INTO task_attempts (task_id, attempt, status, code, error, outcome_unknown, node_id, started_at, finished_at)
SELECT id, attempt, attempt_status, code, attempt_error, outcome_unknown, node_id, started_at, finished_at FROM moved
ON CONFLICT (task_id, attempt) DO NOTHING
RETURNING task_id",
        tally("moved")
    )
}

impl Store {
    /// Stores the ends of attempts in one statement: task and history together. Returns the tasks that were still
    /// running the attempt; the others had been cancelled, deleted or taken over, and nothing of them changed.
    ///
    /// # Errors
    /// The statement failed; it may be repeated, also when only its answer was lost.
    pub async fn store_ends(&self, ends: Arc<Vec<AttemptEnd>>) -> Result<HashSet<TaskId>, Error> {
        self.run(|connection| async move {
            let ends = ends.as_slice();
            let ids: Vec<_> = ends.iter().map(|end| end.attempt.task.0).collect();
            let attempts: Vec<_> = ends.iter().map(|end| end.attempt.number).collect();
            let statuses: Vec<_> = ends.iter().map(|end| end.next().as_str()).collect();
            let outputs: Vec<_> = ends.iter().map(|end| end.answer.as_ref().map(|a| a.output.get())).collect();
            let results: Vec<_> = ends.iter().map(|end| end.answer.as_ref().map(|a| a.text.as_str())).collect();
            // A task that goes on quietly shows no error: its history has it.
            let errors: Vec<_> = ends
                .iter()
                .map(|end| end.verdict.error.as_deref().filter(|_| end.verdict.next != Next::Pend))
                .collect();
            let retries: Vec<_> = ends.iter().map(retry_at).collect();
            let failures: Vec<_> = ends.iter().map(|end| i32::from(uses_a_try(end))).collect();
            let lost: Vec<_> = ends.iter().map(|end| i32::from(end.verdict.status == AttemptStatus::Lost)).collect();
            let attempt_statuses: Vec<_> = ends.iter().map(|end| end.verdict.status.as_str()).collect();
            let codes: Vec<_> = ends.iter().map(|end| end.verdict.code.as_deref()).collect();
            let attempt_errors: Vec<_> = ends.iter().map(|end| end.verdict.error.as_deref()).collect();
            let unknown: Vec<_> = ends.iter().map(|end| end.verdict.outcome_unknown).collect();
            let started: Vec<_> = ends.iter().map(|end| end.attempt.started_at).collect();
            let finished: Vec<_> = ends.iter().map(|end| end.finished_at).collect();
            let nodes: Vec<_> = ends.iter().map(|end| end.node.0).collect();
            let fails = ends.iter().any(|end| end.verdict.next == Next::Fail);
            let statement = if fails { &*STORE_FAILED } else { &*STORE };
            let rows = connection
                .query_typed(
                    statement,
                    &[
                        (&ids, Type::UUID_ARRAY),
                        (&attempts, Type::INT4_ARRAY),
                        (&statuses, Type::TEXT_ARRAY),
                        (&outputs, Type::TEXT_ARRAY),
                        (&results, Type::TEXT_ARRAY),
                        (&errors, Type::TEXT_ARRAY),
                        (&retries, Type::TIMESTAMPTZ_ARRAY),
                        (&failures, Type::INT4_ARRAY),
                        (&lost, Type::INT4_ARRAY),
                        (&attempt_statuses, Type::TEXT_ARRAY),
                        (&codes, Type::TEXT_ARRAY),
                        (&attempt_errors, Type::TEXT_ARRAY),
                        (&unknown, Type::BOOL_ARRAY),
                        (&started, Type::TIMESTAMPTZ_ARRAY),
                        (&finished, Type::TIMESTAMPTZ_ARRAY),
                        (&nodes, Type::UUID_ARRAY),
                    ],
                )
                .await?;
            Ok(rows.iter().map(|row| TaskId(row.get(0))).collect())
        })
        .await
    }

    /// Which of these ends are stored, the very same and no other's.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn stored_ends(&self, ends: Arc<Vec<AttemptEnd>>) -> Result<HashSet<TaskId>, Error> {
        self.run(|connection| async move {
            let sql = "SELECT a.task_id
                FROM unnest($1::uuid[], $2::int4[], $3::uuid[], $4::timestamptz[]) AS e (id, attempt, node_id, finished_at)
                JOIN task_attempts a ON a.task_id = e.id AND a.attempt = e.attempt AND a.node_id = e.node_id
                    AND a.finished_at = e.finished_at";
            let ids: Vec<_> = ends.iter().map(|end| end.attempt.task.0).collect();
            let attempts: Vec<_> = ends.iter().map(|end| end.attempt.number).collect();
            let nodes: Vec<_> = ends.iter().map(|end| end.node.0).collect();
            let finished: Vec<_> = ends.iter().map(|end| end.finished_at).collect();
            let params: [(&(dyn ToSql + Sync), Type); 4] = [
                (&ids, Type::UUID_ARRAY),
                (&attempts, Type::INT4_ARRAY),
                (&nodes, Type::UUID_ARRAY),
                (&finished, Type::TIMESTAMPTZ_ARRAY),
            ];
            let rows = connection.query_typed(sql, &params).await?;
            Ok(rows.iter().map(|row| TaskId(row.get(0))).collect())
        })
        .await
    }
}

fn status_after(next: Next) -> TaskStatus {
    match next {
        Next::Complete => TaskStatus::Completed,
        Next::Fail => TaskStatus::Failed,
        Next::RetryIn(_) => TaskStatus::Retrying,
        Next::Pend => TaskStatus::Pending,
        Next::Cancel => TaskStatus::Cancelled,
    }
}

fn retry_at(end: &AttemptEnd) -> Option<DateTime<Utc>> {
    let Next::RetryIn(wait) = end.verdict.next else { return None };
    Some(end.finished_at + wait)
}

fn uses_a_try(end: &AttemptEnd) -> bool {
    matches!(end.verdict.status, AttemptStatus::Failed | AttemptStatus::TimedOut)
}
