//! Tasks that are asked for under a key: the same key within a day means the same task.

use std::time::Duration;

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::task_read::TaskRecord;
use super::{Connection, Error, Store};
use crate::domain::ids::TaskId;
use crate::domain::task::NewTask;

/// How long a key is remembered.
pub const KEY_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// A key whose task was deleted is free again; so often it is looked at anew.
const TRIES: u32 = 3;

/// What a key came to.
#[derive(Clone, Debug)]
pub enum Once {
    /// The key was free: the task is stored and has to be fed.
    Created,
    /// The key made this task before.
    Existing(Box<TaskRecord>),
    /// There is no such workflow, and nothing is stored.
    NoSuchWorkflow,
}

enum Attempt {
    Created,
    NoSuchWorkflow,
    Taken,
}

impl Store {
    /// Stores a task and its key together, or finds the task that the key made.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn submit_once(&self, key: String, task: NewTask) -> Result<Once, Error> {
        for _ in 0..TRIES {
            match self.try_submit_once(key.clone(), task.clone()).await? {
                Attempt::Created => return Ok(Once::Created),
                Attempt::NoSuchWorkflow => return Ok(Once::NoSuchWorkflow),
                Attempt::Taken => {}
            }
            let Some(holder) = self.key_holder(key.clone()).await? else { continue };
            if let Some(task) = self.task(holder).await? {
                return Ok(Once::Existing(Box::new(task)));
            }
            self.free_key(key.clone(), holder).await?;
        }
        Err(Error::Unreachable("the key's task is being deleted and made over and over".to_owned()))
    }

    /// The task that a key made, if the key still stands for it.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn made_under(&self, key: String) -> Result<Option<TaskRecord>, Error> {
        match self.key_holder(key).await? {
            Some(holder) => self.task(holder).await,
            None => Ok(None),
        }
    }

    async fn try_submit_once(&self, key: String, task: NewTask) -> Result<Attempt, Error> {
        self.run(move |connection| async move { insert(&connection, &key, &task).await }).await
    }

    async fn key_holder(&self, key: String) -> Result<Option<TaskId>, Error> {
        self.run(move |connection| async move {
            let sql = "SELECT task_id FROM idempotency_keys WHERE key = $1";
            let row = connection.query_typed_opt(sql, &[(&key, Type::TEXT)]).await?;
            Ok(row.map(|row| row.try_get::<_, Uuid>(0)).transpose()?.map(TaskId))
        })
        .await
    }

    async fn free_key(&self, key: String, holder: TaskId) -> Result<(), Error> {
        self.run(move |connection| async move {
            let sql = "DELETE FROM idempotency_keys WHERE key = $1 AND task_id = $2";
            connection.execute_typed(sql, &[(&key, Type::TEXT), (&holder.0, Type::UUID)]).await?;
            Ok(())
        })
        .await
    }
}

/// One statement, so that key and task are there together or not at all; of two requests at once, one waits at the
/// key and then finds it taken.
async fn insert(connection: &Connection, key: &str, task: &NewTask) -> Result<Attempt, Error> {
    let sql = "WITH workflow AS (SELECT id FROM workflows WHERE id = $3 FOR KEY SHARE),
        kept AS (
            INSERT INTO idempotency_keys (key, task_id, created_at) SELECT $1, $2, $12 FROM workflow
            ON CONFLICT (key) DO UPDATE SET task_id = excluded.task_id, created_at = excluded.created_at
                WHERE idempotency_keys.created_at < excluded.created_at - make_interval(secs => $14)
            RETURNING task_id),
        made AS (
            INSERT INTO tasks (id, workflow_id, schedule_id, status, input_data, queue, priority, max_retries,
                               session_id, timeout_s, created_at, updated_at, pending_at)
            SELECT $2, $3, $4, 'pending', $5::json, $6, $7, $8, $9, $10, $11, $11, $13 FROM kept
            RETURNING id)
        SELECT EXISTS (SELECT FROM workflow), EXISTS (SELECT FROM made)";
    let params = [
        (&key as _, Type::TEXT),
        (&task.id.0 as _, Type::UUID),
        (&task.workflow_id.0 as _, Type::UUID),
        (&task.schedule_id.map(|id| id.0) as _, Type::UUID),
        (&&*task.input as _, Type::TEXT),
        (&task.queue.as_str() as _, Type::TEXT),
        (&i16::from(task.priority.get()) as _, Type::INT2),
        (&i32::try_from(task.max_retries).unwrap_or(i32::MAX) as _, Type::INT4),
        (&task.session_id as _, Type::TEXT),
        (&task.timeout_s.map(|seconds| i32::try_from(seconds).unwrap_or(i32::MAX)) as _, Type::INT4),
        (&task.created_at as _, Type::TIMESTAMPTZ),
        (&task.created_at as _, Type::TIMESTAMPTZ),
        (&task.pending_at as _, Type::TIMESTAMPTZ),
        (&KEY_LIFETIME.as_secs_f64() as _, Type::FLOAT8),
    ];
    let row = connection.query_typed_one(sql, &params).await?;
    Ok(match (row.try_get(0)?, row.try_get(1)?) {
        (_, true) => Attempt::Created,
        (false, false) => Attempt::NoSuchWorkflow,
        (true, false) => Attempt::Taken,
    })
}
