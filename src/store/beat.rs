//! What beat asks of PostgreSQL: due schedules become tasks, due retries become pending, and when the next is due.
//!
//! Any number of nodes may ask at once: rows that another transaction holds are passed over, and a unique index lets
//! an occurrence make one task at most.

pub(super) mod fire;
mod row;

use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::tally::tally_cancelled;
use super::{Error, Store};
use crate::domain::ids::{ScheduleId, TaskId, WorkflowId};
use crate::domain::input::Input;
use crate::domain::queue::{Priority, QueueName};
use crate::domain::schedule::SkipReason;
use crate::domain::task::{HELD, PendingTask};

/// How due schedules are fired.
#[derive(Clone, Debug)]
pub struct FireOptions {
    /// Most schedules in one transaction.
    pub batch: u32,
    /// Most missed occurrences of one schedule that are made up for under the policy `all`.
    pub missed_cap: usize,
    /// An occurrence that is late by no more than this is on time.
    pub grace: TimeDelta,
    /// What a task is given whose schedule has no input.
    pub default_input: Input,
    /// How often a task is retried.
    pub max_retries: u32,
}

impl Default for FireOptions {
    fn default() -> Self {
        Self {
            batch: 100,
            missed_cap: 100,
            grace: TimeDelta::seconds(2),
            default_input: Input::Text("Hello World".to_owned()),
            max_retries: 3,
        }
    }
}

/// A task that was made of a schedule.
#[derive(Clone, Debug)]
pub struct MadeTask {
    /// Its id.
    pub id: TaskId,
    /// What it runs.
    pub workflow: WorkflowId,
    /// The schedule.
    pub schedule: ScheduleId,
    /// When that was due.
    pub scheduled_for: DateTime<Utc>,
    /// Where it waits.
    pub queue: QueueName,
}

/// What one round of firing did.
#[derive(Clone, Debug, Default)]
pub struct Fired {
    /// All new tasks.
    pub made: Vec<MadeTask>,
    /// New tasks that may start at once: for the mailboxes.
    pub tasks: Vec<PendingTask>,
    /// How many new tasks wait for their jitter; [`Store::delayed_due`] gives them when it is over.
    pub delayed: usize,
    /// How many new tasks wait for another one of their schedule; [`Store::release_held`] gives them.
    pub held: usize,
    /// How many occurrences were noted as skipped.
    pub skipped: usize,
    /// How many schedules were due.
    pub schedules: usize,
    /// Schedules that can't be read, and why. They are paused now.
    pub broken: Vec<(ScheduleId, String)>,
    /// Whether the batch was full, so that more may be due.
    pub more: bool,
}

// Each statement that changes tasks here names the status that it leaves as a column of what it has picked. Named as a
// constant it would lead the planner to the partial index of tasks in that status, which it may take for empty: then that
// is read through again for every single row. So each row is looked up by its key instead.

const RELEASE_RETRIES: &str = "
    WITH due AS MATERIALIZED (
        SELECT id, status FROM tasks
        WHERE status = 'retrying' AND next_retry_at <= $1
        ORDER BY next_retry_at LIMIT $2
        FOR UPDATE SKIP LOCKED
    )
    UPDATE tasks SET status = 'pending', pending_at = $1, next_retry_at = NULL, updated_at = $1
    FROM due WHERE tasks.id = due.id AND tasks.status = due.status
    RETURNING tasks.id, tasks.queue, tasks.priority, tasks.pending_at";

/// A held task is free once no other task of its schedule is unfinished, save others that are held too. `OFFSET 0` has the
/// others looked for by their schedule: made a join, they would be read through for every held task, as above.
const RELEASE_HELD: &str = "
    WITH free AS MATERIALIZED (
        SELECT id, status FROM tasks AS held
        WHERE status = 'pending' AND pending_at = $2 AND NOT EXISTS (
            SELECT 1 FROM tasks AS other
            WHERE other.schedule_id = held.schedule_id AND other.schedule_id IS NOT NULL
              AND other.status IN ('pending', 'running', 'retrying')
              AND (other.status <> 'pending' OR other.pending_at <> $2)
            OFFSET 0
        )
        LIMIT $3
        FOR UPDATE SKIP LOCKED
    )
    UPDATE tasks SET pending_at = $1, updated_at = $1
    FROM free WHERE tasks.id = free.id AND tasks.status = free.status AND tasks.pending_at = $2
    RETURNING tasks.id, tasks.queue, tasks.priority, tasks.pending_at";

/// Tasks that have not started in time. The note is lost where the schedule is gone, and nobody could read it.
///
/// What has neither begun nor ended is pending, and an index has it in the order of its expiry. The status is compared all
/// the same, with a value that the planner does not know: or it would sort all that is pending where it expects little.
static EXPIRE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
    WITH late AS MATERIALIZED (
        SELECT id, schedule_id, scheduled_for, status, workflow_id, queue, started_at FROM tasks
        WHERE tries = 0 AND finished_at IS NULL AND expires_at <= $1 AND status = ANY (ARRAY(SELECT 'pending'))
        ORDER BY expires_at LIMIT $2
        FOR UPDATE SKIP LOCKED
    ), noted AS (
        INSERT INTO task_logs (id, task_id, level, message, created_at)
        SELECT gen_random_uuid(), id, 'warning', $3, $1 FROM late
    ), skipped AS (
        INSERT INTO schedule_skips (schedule_id, scheduled_for, reason, created_at)
        SELECT schedule_id, scheduled_for, $4, $1 FROM late
        WHERE scheduled_for IS NOT NULL AND EXISTS (SELECT FROM schedules WHERE schedules.id = late.schedule_id)
        ON CONFLICT (schedule_id, scheduled_for) DO NOTHING
    ), tallied AS (
        {}
    )
    UPDATE tasks SET status = 'cancelled', finished_at = $1, updated_at = $1, error = $3
    FROM late WHERE tasks.id = late.id AND tasks.status = late.status
    RETURNING tasks.id",
        tally_cancelled("late", "$1::timestamptz")
    )
});

const EXPIRED: &str = "The task had not started within the expires_s of its schedule and was called off.";

const ANY_HELD: &str = "SELECT EXISTS (SELECT 1 FROM tasks WHERE status = 'pending' AND pending_at = $1)";

const DELAYED_DUE: &str = "
    SELECT id, queue, priority, pending_at FROM tasks
    WHERE status = 'pending' AND pending_at > $1 AND pending_at <= $2
    ORDER BY pending_at FETCH FIRST $3 ROWS WITH TIES";

/// Each is the first entry of a partial index: by its order, since `min` may be had by reading all of one that is taken for
/// empty. The bounds keep `infinity` and the like readable.
const NEXT_DUE: &str = "
    SELECT least(greatest(at, timestamptz '1970-01-01 00:00Z'), timestamptz '9999-01-01 00:00Z')
    FROM (SELECT least(
        (SELECT min(next_run_at) FROM schedules WHERE status = 'active'),
        (SELECT next_retry_at FROM tasks WHERE status = 'retrying' ORDER BY next_retry_at LIMIT 1),
        (SELECT expires_at FROM tasks WHERE tries = 0 AND finished_at IS NULL AND expires_at IS NOT NULL
          ORDER BY expires_at LIMIT 1),
        (SELECT pending_at FROM tasks WHERE status = 'pending' AND pending_at > $1 AND pending_at < $2
          ORDER BY pending_at LIMIT 1)
    ) AS at) AS earliest
    WHERE at IS NOT NULL";

impl Store {
    /// Makes the tasks of one batch of due schedules, the longest due first, and moves the schedules on.
    ///
    /// # Errors
    /// PostgreSQL can't be reached or refuses; then nothing was done.
    pub async fn fire_due(&self, now: DateTime<Utc>, options: FireOptions) -> Result<Fired, Error> {
        self.run(move |mut connection| async move { fire::fire_due(&mut connection, now, &options).await }).await
    }

    /// Makes at most `batch` retrying tasks pending whose wait is over, the longest due first.
    ///
    /// # Errors
    /// PostgreSQL can't be reached or refuses.
    pub async fn release_due_retries(&self, now: DateTime<Utc>, batch: u32) -> Result<Vec<PendingTask>, Error> {
        self.run(move |connection| async move {
            let limit = i64::from(batch);
            let params: [_; 2] = [(&now as _, Type::TIMESTAMPTZ), (&limit as _, Type::INT8)];
            pending_tasks(&connection.query_typed(RELEASE_RETRIES, &params).await?)
        })
        .await
    }

    /// Calls off at most `batch` tasks that have not started although the `expires_s` of their schedule is over. Returns
    /// which.
    ///
    /// # Errors
    /// PostgreSQL can't be reached or refuses.
    pub async fn expire_tasks(&self, now: DateTime<Utc>, batch: u32) -> Result<Vec<TaskId>, Error> {
        self.run(move |connection| async move {
            let (limit, reason) = (i64::from(batch), SkipReason::Expired.as_str());
            let params: [_; 4] = [
                (&now as _, Type::TIMESTAMPTZ),
                (&limit as _, Type::INT8),
                (&EXPIRED as _, Type::TEXT),
                (&reason as _, Type::TEXT),
            ];
            let rows = connection.query_typed(&EXPIRE, &params).await?;
            Ok(rows.iter().map(|row| TaskId(row.get(0))).collect())
        })
        .await
    }

    /// Lets at most `batch` held tasks start whose turn has come, and says whether others are still held: then beat
    /// asks again within a second, since the end of the task they wait for is not announced to it.
    ///
    /// # Errors
    /// PostgreSQL can't be reached or refuses.
    pub async fn release_held(&self, now: DateTime<Utc>, batch: u32) -> Result<(Vec<PendingTask>, bool), Error> {
        self.run(move |connection| async move {
            let limit = i64::from(batch);
            let params: [_; 3] =
                [(&now as _, Type::TIMESTAMPTZ), (&HELD as _, Type::TIMESTAMPTZ), (&limit as _, Type::INT8)];
            let released = pending_tasks(&connection.query_typed(RELEASE_HELD, &params).await?)?;
            let rows = connection.query_typed(ANY_HELD, &[(&HELD, Type::TIMESTAMPTZ)]).await?;
            let any_held = rows.first().map_or(Ok(false), |row| row.try_get(0))?;
            Ok((released, any_held))
        })
        .await
    }

    /// The pending tasks whose time to start came after `after` and no later than `until`, in that order. More than
    /// `batch` only where the last ones share one instant; where it is full, ask again after the last one's.
    ///
    /// # Errors
    /// PostgreSQL can't be reached or refuses.
    pub async fn delayed_due(
        &self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
        batch: u32,
    ) -> Result<Vec<PendingTask>, Error> {
        self.run(move |connection| async move {
            let limit = i64::from(batch);
            let params: [_; 3] =
                [(&after as _, Type::TIMESTAMPTZ), (&until as _, Type::TIMESTAMPTZ), (&limit as _, Type::INT8)];
            pending_tasks(&connection.query_typed(DELAYED_DUE, &params).await?)
        })
        .await
    }

    /// When beat has something to do next: a schedule, a retry, an expiry or a delayed task. It may have
    /// passed. Held tasks have no time; [`Store::release_held`] tells whether there are any.
    ///
    /// # Errors
    /// PostgreSQL can't be reached or refuses.
    pub async fn next_due(&self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Error> {
        self.run(move |connection| async move {
            let rows =
                connection.query_typed(NEXT_DUE, &[(&now, Type::TIMESTAMPTZ), (&HELD, Type::TIMESTAMPTZ)]).await?;
            rows.first().map_or(Ok(None), |row| Ok(row.try_get(0)?))
        })
        .await
    }
}

/// Reads rows of id, queue, priority and pending_at.
fn pending_tasks(rows: &[Row]) -> Result<Vec<PendingTask>, Error> {
    rows.iter()
        .map(|row| {
            Ok(PendingTask {
                id: TaskId(row.try_get(0)?),
                queue: QueueName::new(row.try_get::<_, String>(1)?).unwrap_or_default(),
                priority: Priority::new(row.try_get::<_, i16>(2)?.into()).unwrap_or_default(),
                pending_at: row.try_get(3)?,
            })
        })
        .collect()
}
