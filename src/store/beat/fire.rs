//! The one transaction that fires schedules.

use std::collections::HashMap;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;

use super::row::{COLUMNS, DueSchedule, read};
use super::{FireOptions, Fired, MadeTask, pending_tasks};
use crate::domain::ids::{ScheduleId, TaskId, WorkflowId};
use crate::domain::schedule::{OverlapPolicy, Plan, ScheduleStatus, Unfinished, plan};
use crate::domain::task::{HELD, PendingTask};
use crate::fault::{self, Point};
use crate::store::notice::tell_missed;
use crate::store::{Connection, Error};

const UNFINISHED: &str = "
    SELECT schedule_id, count(*) FILTER (WHERE status = 'running'), count(*) FILTER (WHERE status <> 'running')
    FROM tasks
    WHERE schedule_id = ANY ($1) AND schedule_id IS NOT NULL AND status IN ('pending', 'running', 'retrying')
    GROUP BY schedule_id";

const MAKE_TASKS: &str = "
    INSERT INTO tasks (id, workflow_id, schedule_id, status, input_data, queue, priority, scheduled_for, pending_at,
                       expires_at, max_retries, created_at, updated_at)
    SELECT id, workflow_id, schedule_id, 'pending', input::json, queue, priority, scheduled_for, pending_at, expires_at,
           $10, $11, $11
    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)
        AS made (id, workflow_id, schedule_id, input, queue, priority, scheduled_for, pending_at, expires_at)
    ON CONFLICT (schedule_id, scheduled_for) WHERE scheduled_for IS NOT NULL DO NOTHING
    RETURNING id, queue, priority, pending_at";

/// Who is to be told of what was missed is told by this very statement.
static NOTE_SKIPS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH noted AS (
            INSERT INTO schedule_skips (schedule_id, scheduled_for, reason, earlier, created_at)
            SELECT schedule_id, scheduled_for, reason, earlier, $5
            FROM unnest($1, $2, $3, $4) AS skipped (schedule_id, scheduled_for, reason, earlier)
            ON CONFLICT (schedule_id, scheduled_for) DO NOTHING
            RETURNING schedule_id, scheduled_for, reason, earlier
        )
        {}",
        tell_missed("noted", "$5")
    )
});

const MOVE_ON: &str = "
    UPDATE schedules
    SET next_run_at = moved.next, last_run_at = coalesce(moved.last, schedules.last_run_at), status = moved.status,
        status_reason = moved.reason,
        resume_from = CASE WHEN moved.status = 'paused' THEN schedules.next_run_at END
    FROM unnest($1, $2, $3, $4, $5) AS moved (id, next, last, status, reason)
    WHERE schedules.id = moved.id AND schedules.status = 'active'";

/// Locks, decides, writes. What another node holds is its business.
pub(super) async fn fire_due(
    connection: &mut Connection,
    now: DateTime<Utc>,
    options: &FireOptions,
) -> Result<Fired, Error> {
    let transaction = crate::store::pool::begin(connection).await?;
    let lock = format!(
        "SELECT {COLUMNS} FROM schedules WHERE status = 'active' AND next_run_at <= $1
         ORDER BY next_run_at LIMIT $2 FOR UPDATE SKIP LOCKED"
    );
    let limit = i64::from(options.batch);
    let rows = transaction.query_typed(&lock, &[(&now, Type::TIMESTAMPTZ), (&limit, Type::INT8)]).await?;
    let more = rows.len() >= options.batch as usize;
    if rows.is_empty() {
        return Ok(Fired::default());
    }
    let fired = fire(&transaction, &rows, now, options, false).await?;
    fault::pass(Point::BeforeFireCommitted);
    transaction.commit().await?;
    Ok(Fired { more, ..fired })
}

/// Fires a schedule that goes on after a pause, if it is due. Its row is locked by the transaction.
pub(in crate::store) async fn fire_resumed(
    transaction: &Transaction<'_>,
    id: ScheduleId,
    now: DateTime<Utc>,
    options: &FireOptions,
) -> Result<Fired, Error> {
    let due = format!("SELECT {COLUMNS} FROM schedules WHERE id = $1 AND status = 'active' AND next_run_at <= $2");
    let rows = transaction.query_typed(&due, &[(&id.0, Type::UUID), (&now, Type::TIMESTAMPTZ)]).await?;
    if rows.is_empty() { Ok(Fired::default()) } else { fire(transaction, &rows, now, options, true).await }
}

/// Makes of due schedules, whose rows are locked, what is to be made of them.
async fn fire(
    transaction: &Transaction<'_>,
    rows: &[Row],
    now: DateTime<Utc>,
    options: &FireOptions,
    were_paused: bool,
) -> Result<Fired, Error> {
    let mut fired = Fired { schedules: rows.len(), ..Fired::default() };
    let mut due = Vec::with_capacity(rows.len());
    for row in rows {
        match read(row, &options.default_input)? {
            (_, Ok(mut schedule)) => {
                schedule.standing.was_paused = were_paused;
                due.push(schedule);
            }
            (id, Err(reason)) => fired.broken.push((id, reason)),
        }
    }
    count_unfinished(transaction, &mut due).await?;

    let mut writes = Writes::default();
    for schedule in &due {
        writes.add(schedule, plan(&schedule.standing, now, options.missed_cap, options.grace));
    }
    for (id, reason) in &fired.broken {
        writes.moved.add(id.0, (None, None), ScheduleStatus::Paused, Some(reason.clone()));
    }
    fired.skipped = writes.skips.ids.len();
    // Sent together, one round trip.
    let (made, (), ()) = tokio::try_join!(
        writes.made.write(transaction, options.max_retries, now),
        writes.skips.write(transaction, now),
        writes.moved.write(transaction),
    )?;
    fired.made = writes.made.described(&made);
    for task in made {
        match task.pending_at {
            held if held == HELD => fired.held += 1,
            later if later > now => fired.delayed += 1,
            _ => fired.tasks.push(task),
        }
    }
    Ok(fired)
}

/// Counts for the schedules whose policy asks. Their rows are locked, so nobody else makes tasks of them now.
async fn count_unfinished(transaction: &Transaction<'_>, due: &mut [DueSchedule]) -> Result<(), Error> {
    let asks = |schedule: &&DueSchedule| schedule.standing.overlap != OverlapPolicy::Allow;
    let ids: Vec<Uuid> = due.iter().filter(asks).map(|schedule| schedule.standing.id.0).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let mut counts = HashMap::new();
    for row in transaction.query_typed(UNFINISHED, &[(&ids, Type::UUID_ARRAY)]).await? {
        let (running, waiting): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
        let unfinished = Unfinished { running: running.unsigned_abs(), waiting: waiting.unsigned_abs() };
        counts.insert(row.try_get::<_, Uuid>(0)?, unfinished);
    }
    for schedule in due {
        schedule.standing.unfinished = counts.get(&schedule.standing.id.0).copied().unwrap_or_default();
    }
    Ok(())
}

/// What is written, as columns.
#[derive(Default)]
struct Writes {
    made: MadeTasks,
    skips: Skips,
    moved: Moved,
}

impl Writes {
    fn add(&mut self, schedule: &DueSchedule, plan: Plan) {
        let id = schedule.standing.id.0;
        let last = plan.made.last().map(|made| made.scheduled_for);
        let status = if plan.next.is_some() { ScheduleStatus::Active } else { ScheduleStatus::Completed };
        self.moved.add(id, (plan.next, last), status, None);
        for made in plan.made {
            let columns = &mut self.made;
            columns.ids.push(TaskId::generate().0);
            columns.workflows.push(schedule.workflow_id.0);
            columns.schedules.push(id);
            columns.inputs.push(schedule.input.clone());
            columns.queues.push(schedule.queue.to_string());
            columns.priorities.push(schedule.priority.get().into());
            columns.scheduled_for.push(made.scheduled_for);
            columns.pending_at.push(made.pending_at);
            columns.expires_at.push(made.expires_at);
        }
        for skipped in plan.skipped {
            self.skips.ids.push(id);
            self.skips.scheduled_for.push(skipped.scheduled_for);
            self.skips.reasons.push(skipped.reason.as_str());
            self.skips.earlier.push(skipped.earlier.cast_signed());
        }
    }
}

#[derive(Default)]
struct MadeTasks {
    ids: Vec<Uuid>,
    workflows: Vec<Uuid>,
    schedules: Vec<Uuid>,
    inputs: Vec<String>,
    queues: Vec<String>,
    priorities: Vec<i16>,
    scheduled_for: Vec<DateTime<Utc>>,
    pending_at: Vec<DateTime<Utc>>,
    expires_at: Vec<Option<DateTime<Utc>>>,
}

impl MadeTasks {
    async fn write(
        &self,
        transaction: &Transaction<'_>,
        max_retries: u32,
        now: DateTime<Utc>,
    ) -> Result<Vec<PendingTask>, Error> {
        if self.ids.is_empty() {
            return Ok(Vec::new());
        }
        let max_retries = i32::try_from(max_retries).unwrap_or(i32::MAX);
        let rows = transaction
            .query_typed(
                MAKE_TASKS,
                &[
                    (&self.ids, Type::UUID_ARRAY),
                    (&self.workflows, Type::UUID_ARRAY),
                    (&self.schedules, Type::UUID_ARRAY),
                    (&self.inputs, Type::TEXT_ARRAY),
                    (&self.queues, Type::TEXT_ARRAY),
                    (&self.priorities, Type::INT2_ARRAY),
                    (&self.scheduled_for, Type::TIMESTAMPTZ_ARRAY),
                    (&self.pending_at, Type::TIMESTAMPTZ_ARRAY),
                    (&self.expires_at, Type::TIMESTAMPTZ_ARRAY),
                    (&max_retries, Type::INT4),
                    (&now, Type::TIMESTAMPTZ),
                ],
            )
            .await?;
        pending_tasks(&rows)
    }

    /// What is to be known of those that were really made.
    fn described(&self, made: &[PendingTask]) -> Vec<MadeTask> {
        let places: HashMap<Uuid, usize> = self.ids.iter().copied().zip(0..).collect();
        let describe = |task: &PendingTask| {
            let at = *places.get(&task.id.0)?;
            Some(MadeTask {
                id: task.id,
                workflow: WorkflowId(self.workflows[at]),
                schedule: ScheduleId(self.schedules[at]),
                scheduled_for: self.scheduled_for[at],
                queue: task.queue.clone(),
            })
        };
        made.iter().filter_map(describe).collect()
    }
}

#[derive(Default)]
struct Skips {
    ids: Vec<Uuid>,
    scheduled_for: Vec<DateTime<Utc>>,
    reasons: Vec<&'static str>,
    earlier: Vec<i64>,
}

impl Skips {
    async fn write(&self, transaction: &Transaction<'_>, now: DateTime<Utc>) -> Result<(), Error> {
        if self.ids.is_empty() {
            return Ok(());
        }
        let params: [_; 5] = [
            (&self.ids as _, Type::UUID_ARRAY),
            (&self.scheduled_for as _, Type::TIMESTAMPTZ_ARRAY),
            (&self.reasons as _, Type::TEXT_ARRAY),
            (&self.earlier as _, Type::INT8_ARRAY),
            (&now as _, Type::TIMESTAMPTZ),
        ];
        transaction.execute_typed(&NOTE_SKIPS, &params).await?;
        Ok(())
    }
}

#[derive(Default)]
struct Moved {
    ids: Vec<Uuid>,
    next: Vec<Option<DateTime<Utc>>>,
    last: Vec<Option<DateTime<Utc>>>,
    statuses: Vec<&'static str>,
    reasons: Vec<Option<String>>,
}

impl Moved {
    fn add(
        &mut self,
        id: Uuid,
        (next, last): (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
        status: ScheduleStatus,
        reason: Option<String>,
    ) {
        self.ids.push(id);
        self.next.push(next);
        self.last.push(last);
        self.statuses.push(status.as_str());
        self.reasons.push(reason);
    }

    async fn write(&self, transaction: &Transaction<'_>) -> Result<(), Error> {
        let params: [_; 5] = [
            (&self.ids as _, Type::UUID_ARRAY),
            (&self.next as _, Type::TIMESTAMPTZ_ARRAY),
            (&self.last as _, Type::TIMESTAMPTZ_ARRAY),
            (&self.statuses as _, Type::TEXT_ARRAY),
            (&self.reasons as _, Type::TEXT_ARRAY),
        ];
        transaction.execute_typed(MOVE_ON, &params).await?;
        Ok(())
    }
}
