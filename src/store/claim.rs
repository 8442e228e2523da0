//! Claiming tasks: PostgreSQL decides who runs what.

use std::collections::HashMap;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::gate::IS_BARRED;
use super::{Error, Store};
use crate::domain::event::TaskEvent;
use crate::domain::ids::{NodeId, ScheduleId, SourceId, TaskId, WorkflowId};
use crate::domain::input::Input;
use crate::domain::queue::{Priority, QueueName};
use crate::domain::retry::TaskLimits;
use crate::domain::source::{Endpoint, Trust};
use crate::domain::task::TaskStatus;
use crate::domain::workflow::UnknownPolicy;

/// An attempt that this node has begun: the claimed row with all that running and judging it takes.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The task.
    pub task: TaskId,
    /// What it runs.
    pub workflow: WorkflowId,
    /// Where the workflow is.
    pub source: Option<SourceId>,
    /// Whether it passed a gate, so that its end makes room for another.
    pub is_gated: bool,
    /// What made it, if a schedule did.
    pub schedule: Option<ScheduleId>,
    /// The attempt's number, the fencing token of its outcome.
    pub number: i32,
    /// Where the task waited.
    pub queue: QueueName,
    /// Its place there.
    pub priority: Priority,
    /// The name of that source.
    pub source_name: String,
    /// When the task was made.
    pub created_at: DateTime<Utc>,
    /// Since when it might have started.
    pub pending_at: DateTime<Utc>,
    /// What it has behind and before it.
    pub limits: TaskLimits,
    /// When the attempt began.
    pub started_at: DateTime<Utc>,
}

impl Attempt {
    /// What is told of the task as the attempt begins or ends.
    pub fn event(&self, status: TaskStatus, at: DateTime<Utc>, error: Option<&str>) -> TaskEvent {
        let event = TaskEvent {
            id: self.task,
            workflow_id: self.workflow,
            schedule_id: self.schedule,
            status: status.as_str().to_owned(),
            attempt: self.number,
            queue: self.queue.as_str().to_owned(),
            at,
            error: error.map(str::to_owned),
        };
        event.settled()
    }
}

/// A claimed task: its attempt, and what to run.
#[derive(Debug)]
pub struct Claimed {
    /// The attempt.
    pub attempt: Attempt,
    /// The flow's id in its source.
    pub flow_id: String,
    /// The source; an error where its key can't be decrypted.
    pub endpoint: Result<Endpoint, Error>,
    /// What the source is sent.
    pub input: String,
    /// The session to run in.
    pub session_id: String,
    /// The flow's input component.
    pub input_component: Option<String>,
    /// The component whose answer is the result.
    pub output_component: Option<String>,
    /// The task's own soft time limit, in seconds.
    pub timeout_s: Option<u32>,
}

/// A task that is delayed or held is not claimed; two seconds are for clocks of nodes that differ. Neither is one of a
/// paused queue: whatever a node knows of pauses, this is where they count. Their names are read once for all rows. Nor
/// is one that should have started by now (beat calls it off).
///
/// `expected` keeps the planner from the partial index of pending tasks, see the statement that stores outcomes.
pub(super) fn claim_where(condition: &str) -> String {
    format!(
        "
WITH popped AS MATERIALIZED (
    SELECT id, 'pending' AS expected FROM unnest($1::uuid[]) AS p (id)
), claimed AS (
    UPDATE tasks t SET status = 'running', tries = t.tries + 1, node_id = $2, started_at = $3, updated_at = $3,
           parked = false
    FROM popped p
    WHERE t.id = p.id AND t.status = p.expected AND {CLAIMABLE} AND {condition}
    RETURNING t.id, t.tries, t.queue, t.priority, t.max_retries, t.failures, t.lost, t.started_at, t.workflow_id,
              t.schedule_id, t.created_at, t.pending_at, t.input_data, t.session_id, t.timeout_s
)
SELECT c.id, c.workflow_id, w.workflow_source_id AS source_id, c.schedule_id, c.tries, c.queue, c.priority, c.max_retries,
       c.failures, c.lost, c.started_at, c.created_at, c.pending_at,
       coalesce(s.name, s.source_type, 'none') AS source_name,
       coalesce(w.unknown_policy, s.unknown_policy, 'retry') AS unknown_policy,
       c.input_data::text AS input, c.session_id, c.timeout_s, w.remote_flow_id, w.input_component, w.output_component,
       s.source_type, s.url, s.encrypted_api_key, s.adapter,
       coalesce(s.tls_verify, true) AS tls_verify, s.tls_ca
FROM claimed c
JOIN workflows w ON w.id = c.workflow_id
LEFT JOIN workflow_sources s ON s.id = w.workflow_source_id"
    )
}

/// Whether a pending task `t` may start at the time that is parameter 3.
pub(super) const CLAIMABLE: &str = "t.pending_at <= $3 + interval '2 s'
      AND t.queue <> ALL (ARRAY(SELECT name FROM paused_queues))
      AND (t.expires_at IS NULL OR t.tries > 0 OR t.expires_at > $3)";

/// Tasks that have to pass a gate are left to the admission, see `admit.rs`. While there is no gate at all, as almost
/// always, that costs one look at an empty table for all rows together.
static CLAIM: LazyLock<String> = LazyLock::new(|| {
    claim_where(&format!(
        "(NOT EXISTS (SELECT FROM gates WHERE {IS_BARRED})
           OR NOT EXISTS (SELECT FROM workflows w JOIN gates ON gates.id IN (w.id, w.workflow_source_id)
                          WHERE w.id = t.workflow_id AND {IS_BARRED}))"
    ))
});

impl Store {
    /// Claims tasks for this node: those of `ids` that are pending begin an attempt. Returned in the order of `ids`.
    ///
    /// # Errors
    /// The statement failed, or its answer was lost: then some of the tasks may be running with nobody to run them,
    /// which the reconciling of running tasks ([`Store::running_of`]) finds.
    pub async fn claim(&self, ids: Vec<TaskId>, node: NodeId, now: DateTime<Utc>) -> Result<Vec<Claimed>, Error> {
        let vault = self.vault.clone();
        self.run(move |connection| async move {
            let uuids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
            let rows = connection
                .query_typed(&CLAIM, &[(&uuids, Type::UUID_ARRAY), (&node.0, Type::UUID), (&now, Type::TIMESTAMPTZ)])
                .await?;
            read_all_claimed(&rows, &uuids, &vault)
        })
        .await
    }
}

/// Reads what a claim returned, in the order of the ids that it was asked for.
pub(super) fn read_all_claimed(rows: &[Row], ids: &[Uuid], vault: &super::Vault) -> Result<Vec<Claimed>, Error> {
    let order: HashMap<Uuid, usize> = ids.iter().copied().zip(0..).collect();
    let mut claimed = rows.iter().map(|row| read_claimed(row, vault)).collect::<Result<Vec<_>, Error>>()?;
    claimed.sort_by_key(|claimed| order.get(&claimed.attempt.task.0).copied());
    Ok(claimed)
}

fn read_claimed(row: &Row, vault: &super::Vault) -> Result<Claimed, Error> {
    let task = TaskId(row.try_get("id")?);
    let session: Option<String> = row.try_get("session_id")?;
    let timeout: Option<i32> = row.try_get("timeout_s")?;
    let input: Option<&str> = row.try_get("input")?;
    Ok(Claimed {
        attempt: read_attempt(row)?,
        flow_id: row.try_get("remote_flow_id")?,
        endpoint: read_endpoint(row, vault),
        input: Input::source_text(input),
        session_id: session.unwrap_or_else(|| task.to_string()),
        input_component: row.try_get("input_component")?,
        output_component: row.try_get("output_component")?,
        timeout_s: timeout.and_then(|seconds| u32::try_from(seconds).ok()),
    })
}

/// Reads the columns that every query of attempts selects.
pub(super) fn read_attempt(row: &Row) -> Result<Attempt, Error> {
    let queue: String = row.try_get("queue")?;
    let policy: &str = row.try_get("unknown_policy")?;
    let count = |column| row.try_get::<_, i32>(column).map(|n| u32::try_from(n).unwrap_or(0));
    let pending_at = row.try_get("pending_at")?;
    Ok(Attempt {
        task: TaskId(row.try_get("id")?),
        workflow: WorkflowId(row.try_get("workflow_id")?),
        source: row.try_get::<_, Option<_>>("source_id")?.map(SourceId),
        is_gated: false,
        schedule: row.try_get::<_, Option<_>>("schedule_id")?.map(ScheduleId),
        number: row.try_get("tries")?,
        queue: QueueName::new(queue).unwrap_or_default(),
        priority: Priority::new(i64::from(row.try_get::<_, i16>("priority")?)).unwrap_or_default(),
        source_name: row.try_get("source_name")?,
        created_at: row.try_get::<_, Option<_>>("created_at")?.unwrap_or(pending_at),
        pending_at,
        limits: TaskLimits {
            max_retries: count("max_retries")?,
            failures: count("failures")?,
            lost: count("lost")?,
            unknown_policy: UnknownPolicy::from_stored(policy),
        },
        started_at: row.try_get::<_, Option<_>>("started_at")?.unwrap_or_default(),
    })
}

fn read_endpoint(row: &Row, vault: &super::Vault) -> Result<Endpoint, Error> {
    let missing = || Error::Unreadable("the workflow has no source; sync it again".to_owned());
    let kind: &str = row.try_get::<_, Option<_>>("source_type")?.ok_or_else(missing)?;
    let key: &str = row.try_get::<_, Option<_>>("encrypted_api_key")?.ok_or_else(missing)?;
    Ok(Endpoint {
        kind: kind.parse().map_err(|_| Error::Unreadable(format!("unknown source type {kind}")))?,
        url: row.try_get::<_, Option<_>>("url")?.ok_or_else(missing)?,
        api_key: vault.decrypt(key)?,
        adapter: row.try_get("adapter")?,
        trust: Trust::of(row.try_get("tls_verify")?, row.try_get("tls_ca")?),
    })
}
