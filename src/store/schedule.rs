//! Schedules, as people read and write them (beat has statements of its own).

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, Transaction};

use super::beat::fire::fire_resumed;
use super::beat::{FireOptions, Fired};
use super::tally::tally_cancelled;
use super::{Error, Store, page, pool};
use crate::domain::clock;
use crate::domain::id_prefix::IdPrefix;
use crate::domain::ids::{ScheduleId, TaskId, WorkflowId};
use crate::domain::queue::{Priority, QueueName};
use crate::domain::schedule::{MissedPolicy, OverlapPolicy, ScheduleKind, ScheduleStatus, SkipReason};

/// A schedule as it is stored. Names that a former version wrote may be none of ours.
#[derive(Clone, Debug)]
pub struct ScheduleRecord {
    /// Its id.
    pub id: ScheduleId,
    /// What it runs.
    pub workflow_id: WorkflowId,
    /// A [`ScheduleKind`].
    pub kind: String,
    /// When it runs.
    pub expr: String,
    /// The input of its tasks, stored form.
    pub input: Option<String>,
    /// Whatever the user keeps there, JSON.
    pub params: Option<String>,
    /// A [`ScheduleStatus`].
    pub status: String,
    /// Why it is in that status, where nobody chose it.
    pub status_reason: Option<String>,
    /// The zone of its expression.
    pub timezone: String,
    /// A [`MissedPolicy`].
    pub missed_policy: String,
    /// An [`OverlapPolicy`].
    pub overlap_policy: String,
    /// Tasks start up to this much later.
    pub jitter_s: i32,
    /// A missed occurrence older than this is not made up for.
    pub expires_s: Option<i32>,
    /// Where its tasks wait.
    pub queue: String,
    /// How urgent they are there.
    pub priority: i16,
    /// The next occurrence.
    pub next_run_at: Option<DateTime<Utc>>,
    /// The first occurrence that nothing was made of, while it is paused.
    pub resume_from: Option<DateTime<Utc>>,
    /// The newest occurrence that made a task.
    pub last_run_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: Option<DateTime<Utc>>,
    /// When its row last changed.
    pub updated_at: Option<DateTime<Utc>>,
}

/// All that can be said of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleDraft {
    /// What it runs.
    pub workflow_id: WorkflowId,
    /// The kind of its rule.
    pub kind: ScheduleKind,
    /// When it runs.
    pub expr: String,
    /// The input of its tasks, stored form.
    pub input: Option<String>,
    /// Whatever the user keeps there, JSON.
    pub params: Option<String>,
    /// Whether it makes tasks.
    pub status: ScheduleStatus,
    /// The zone of its expression.
    pub timezone: Tz,
    /// What becomes of missed occurrences.
    pub missed_policy: MissedPolicy,
    /// What becomes of occurrences that overlap.
    pub overlap_policy: OverlapPolicy,
    /// Tasks start up to this much later.
    pub jitter_s: i32,
    /// A missed occurrence older than this is not made up for.
    pub expires_s: Option<i32>,
    /// Where its tasks wait.
    pub queue: QueueName,
    /// How urgent they are there.
    pub priority: Priority,
    /// The next occurrence; `None` unless it is active.
    pub next_run_at: Option<DateTime<Utc>>,
    /// Where a paused one goes on.
    pub resume_from: Option<DateTime<Utc>>,
}

/// What became of a write.
#[derive(Clone, Debug)]
pub enum Written<E> {
    /// It is stored, with what was made of what it missed while it was paused; these tasks were cancelled.
    Done(Box<ScheduleRecord>, Box<Fired>, Vec<TaskId>),
    /// There is no such schedule.
    Unknown,
    /// The workflow that it should run does not exist.
    NoSuchWorkflow,
    /// The caller refused to change the schedule as it stands.
    Refused(E),
}

const COLUMNS: &str = "id, workflow_id, schedule_type, schedule_expr, input_value::text AS input, \
     params::text AS params, status, status_reason, timezone, missed_policy, overlap_policy, jitter_s, expires_s, queue, priority, \
     next_run_at, resume_from, last_run_at, created_at, updated_at";

impl ScheduleRecord {
    fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: ScheduleId(row.try_get("id")?),
            workflow_id: WorkflowId(row.try_get("workflow_id")?),
            kind: row.try_get("schedule_type")?,
            expr: row.try_get("schedule_expr")?,
            input: row.try_get("input")?,
            params: row.try_get("params")?,
            status: row.try_get("status")?,
            status_reason: row.try_get("status_reason")?,
            timezone: row.try_get("timezone")?,
            missed_policy: row.try_get("missed_policy")?,
            overlap_policy: row.try_get("overlap_policy")?,
            jitter_s: row.try_get("jitter_s")?,
            expires_s: row.try_get("expires_s")?,
            queue: row.try_get("queue")?,
            priority: row.try_get("priority")?,
            next_run_at: row.try_get("next_run_at")?,
            resume_from: row.try_get("resume_from")?,
            last_run_at: row.try_get("last_run_at")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
        })
    }
}

/// Which schedules; what is `None` does not narrow.
#[derive(Clone, Debug, Default)]
pub struct ScheduleFilter {
    /// Of a workflow.
    pub workflow_id: Option<WorkflowId>,
    /// In a status.
    pub status: Option<ScheduleStatus>,
    /// Whose id begins so.
    pub id_prefix: Option<IdPrefix>,
}

impl Store {
    /// One schedule.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn schedule(&self, id: ScheduleId) -> Result<Option<ScheduleRecord>, Error> {
        self.run(move |connection| async move {
            let sql = format!("SELECT {COLUMNS} FROM schedules WHERE id = $1");
            let row = connection.query_typed_opt(&sql, &[(&id.0, Type::UUID)]).await?;
            row.as_ref().map(ScheduleRecord::from_row).transpose()
        })
        .await
    }

    /// Schedules, newest first, and how many the filter fits in all.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn schedules(
        &self,
        filter: ScheduleFilter,
        offset: i64,
        limit: i64,
    ) -> Result<(Vec<ScheduleRecord>, i64), Error> {
        self.run(move |connection| async move {
            let conditions = "($1::uuid IS NULL OR workflow_id = $1) AND ($2::text IS NULL OR status = $2) \
                 AND ($3::uuid IS NULL OR id BETWEEN $3 AND $4)";
            let workflow = filter.workflow_id.map(|id| id.0);
            let status = filter.status.map(ScheduleStatus::as_str);
            let (first, last) = filter.id_prefix.map(|prefix| (prefix.first, prefix.last)).unzip();
            let mut params: Vec<(&(dyn ToSql + Sync), Type)> =
                vec![(&workflow, Type::UUID), (&status, Type::TEXT), (&first, Type::UUID), (&last, Type::UUID)];
            let count = format!("SELECT count(*) FROM schedules WHERE {conditions}");
            let total = connection.query_typed_one(&count, &params).await?.try_get(0)?;
            let sql = format!(
                "SELECT {COLUMNS} FROM schedules WHERE {conditions} \
                 ORDER BY created_at DESC, id DESC LIMIT $5 OFFSET $6"
            );
            params.extend([(&limit as &(dyn ToSql + Sync), Type::INT8), (&offset, Type::INT8)]);
            Ok((page::read(&connection, &sql, params, ScheduleRecord::from_row).await?, total))
        })
        .await
    }

    /// Adds a schedule; `None` where there is no such workflow.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn add_schedule(&self, draft: ScheduleDraft) -> Result<Option<ScheduleRecord>, Error> {
        self.run(move |mut connection| async move {
            let transaction = pool::begin(&mut connection).await?;
            if !lock_workflow(&transaction, draft.workflow_id).await? {
                return Ok(None);
            }
            let sql = format!(
                "INSERT INTO schedules
                    (id, workflow_id, schedule_type, schedule_expr, input_value, params, status, timezone,
                     missed_policy, overlap_policy, jitter_s, expires_s, queue, priority, next_run_at, resume_from,
                     created_at, updated_at, is_ours)
                 VALUES ($1, $2, $3, $4, $5::json, $6::json, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $17, true)
                 RETURNING {COLUMNS}"
            );
            let schedule = write(&transaction, &sql, ScheduleId::generate(), &draft).await?;
            transaction.commit().await?;
            Ok(Some(schedule))
        })
        .await
    }

    /// Replaces what is said of a schedule by what `redraft` makes of it as it stands. Pausing it also cancels its
    /// tasks that have not started; letting it go on makes of what was missed what `fire` and its policy say.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn update_schedule<E: Send + 'static>(
        &self,
        id: ScheduleId,
        fire: FireOptions,
        redraft: impl FnOnce(&ScheduleRecord) -> Result<ScheduleDraft, E> + Send + 'static,
    ) -> Result<Written<E>, Error> {
        self.run(move |mut connection| async move {
            let transaction = pool::begin(&mut connection).await?;
            let sql = format!("SELECT {COLUMNS} FROM schedules WHERE id = $1 FOR UPDATE");
            let Some(row) = transaction.query_typed_opt(&sql, &[(&id.0, Type::UUID)]).await? else {
                return Ok(Written::Unknown);
            };
            let former = ScheduleRecord::from_row(&row)?;
            let draft = match redraft(&former) {
                Ok(draft) => draft,
                Err(refusal) => return Ok(Written::Refused(refusal)),
            };
            if draft.workflow_id != former.workflow_id && !lock_workflow(&transaction, draft.workflow_id).await? {
                return Ok(Written::NoSuchWorkflow);
            }
            let sql = format!(
                "UPDATE schedules SET workflow_id = $2, schedule_type = $3, schedule_expr = $4, input_value = $5::json,
                        params = $6::json, status = $7,
                        status_reason = CASE WHEN status = $7 THEN status_reason END, timezone = $8, missed_policy = $9,
                        overlap_policy = $10, jitter_s = $11, expires_s = $12, queue = $13, priority = $14,
                        next_run_at = $15, resume_from = $16, updated_at = $17
                  WHERE id = $1 RETURNING {COLUMNS}"
            );
            let mut schedule = write(&transaction, &sql, id, &draft).await?;
            let now = clock::now();
            let (mut fired, mut cancelled) = (Fired::default(), Vec::new());
            let was_paused = former.status == ScheduleStatus::Paused.as_str();
            if draft.status == ScheduleStatus::Paused {
                // What waits of one that was paused before was asked for by hand since.
                if !was_paused {
                    cancelled = call_off(&transaction, id, now).await?;
                }
            } else if was_paused {
                fired = fire_resumed(&transaction, id, now, &fire).await?;
                if fired.schedules > 0 {
                    let sql = format!("SELECT {COLUMNS} FROM schedules WHERE id = $1");
                    let row = transaction.query_typed_one(&sql, &[(&id.0, Type::UUID)]).await?;
                    schedule = ScheduleRecord::from_row(&row)?;
                }
            }
            transaction.commit().await?;
            Ok(Written::Done(Box::new(schedule), Box::new(fired), cancelled))
        })
        .await
    }

    /// Deletes a schedule; its tasks stay. `None` where there is none.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn delete_schedule(&self, id: ScheduleId) -> Result<Option<ScheduleRecord>, Error> {
        self.run(move |connection| async move {
            let sql = format!("DELETE FROM schedules WHERE id = $1 RETURNING {COLUMNS}");
            let row = connection.query_typed_opt(&sql, &[(&id.0, Type::UUID)]).await?;
            row.as_ref().map(ScheduleRecord::from_row).transpose()
        })
        .await
    }
}

/// Cancels what waits of a schedule that is paused now, and notes whose occurrence that was. A task that somebody holds
/// is being started or called off in this moment; waiting for it here, with the schedule locked, could be a deadlock.
async fn call_off(transaction: &Transaction<'_>, id: ScheduleId, now: DateTime<Utc>) -> Result<Vec<TaskId>, Error> {
    let tallied = tally_cancelled("old", "$2::timestamptz");
    let sql = format!(
        "WITH old AS MATERIALIZED (
            SELECT id, status, scheduled_for, workflow_id, queue, started_at FROM tasks
             WHERE schedule_id = $1 AND status IN ('pending', 'retrying') FOR UPDATE SKIP LOCKED),
        tallied AS ({tallied}),
        noted AS (
            INSERT INTO task_logs (id, task_id, level, message, created_at)
            SELECT gen_random_uuid(), id, 'info', 'Called off while it was ' || status || ': its schedule was paused.', $2
              FROM old),
        skipped AS (
            INSERT INTO schedule_skips (schedule_id, scheduled_for, reason, created_at)
            SELECT $1, scheduled_for, $3, $2 FROM old WHERE scheduled_for IS NOT NULL
            ON CONFLICT (schedule_id, scheduled_for) DO UPDATE SET reason = excluded.reason)
        UPDATE tasks t SET status = 'cancelled', finished_at = $2, updated_at = $2, next_retry_at = NULL
          FROM old WHERE t.id = old.id AND t.status = old.status
        RETURNING t.id"
    );
    let reason = SkipReason::CalledOff.as_str();
    let params = [(&id.0 as _, Type::UUID), (&now as _, Type::TIMESTAMPTZ), (&reason as _, Type::TEXT)];
    let rows = transaction.query_typed(&sql, &params).await?;
    Ok(rows.iter().map(|row| TaskId(row.get(0))).collect())
}

/// Whether the workflow exists; it stays until the transaction ends.
async fn lock_workflow(transaction: &Transaction<'_>, id: WorkflowId) -> Result<bool, Error> {
    let sql = "SELECT FROM workflows WHERE id = $1 FOR KEY SHARE";
    Ok(transaction.query_typed_opt(sql, &[(&id.0, Type::UUID)]).await?.is_some())
}

/// Runs a statement whose parameters 1 to 17 are a schedule.
async fn write(
    transaction: &Transaction<'_>,
    sql: &str,
    id: ScheduleId,
    draft: &ScheduleDraft,
) -> Result<ScheduleRecord, Error> {
    let now = clock::now();
    let params: [(&(dyn ToSql + Sync), Type); 17] = [
        (&id.0, Type::UUID),
        (&draft.workflow_id.0, Type::UUID),
        (&draft.kind.as_str(), Type::TEXT),
        (&draft.expr, Type::TEXT),
        (&draft.input, Type::TEXT),
        (&draft.params, Type::TEXT),
        (&draft.status.as_str(), Type::TEXT),
        (&draft.timezone.name(), Type::TEXT),
        (&draft.missed_policy.as_str(), Type::TEXT),
        (&draft.overlap_policy.as_str(), Type::TEXT),
        (&draft.jitter_s, Type::INT4),
        (&draft.expires_s, Type::INT4),
        (&draft.queue.as_str(), Type::TEXT),
        (&i16::from(draft.priority.get()), Type::INT2),
        (&draft.next_run_at, Type::TIMESTAMPTZ),
        (&draft.resume_from, Type::TIMESTAMPTZ),
        (&now, Type::TIMESTAMPTZ),
    ];
    ScheduleRecord::from_row(&transaction.query_typed_one(sql, &params).await?)
}
