//! The admission: who passes the gates of sources and workflows that have limits, or whose circuit is not closed.
//!
//! Those who have no room are parked: pending, in no mailbox, so that they are in nobody's way. When there is room they
//! are called: put into their mailbox again, in order. All of it is one transaction that holds the gates, so what it
//! counts is what there is, whatever other nodes do; after a crash the rows are as they were before it or after.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;

use super::claim::{CLAIMABLE, Claimed, claim_where, read_all_claimed};
use super::gate::{IS_BARRED, clock_of, read_circuit, read_rate};
use super::{Connection, Error, Store, Vault, pool};
use crate::domain::circuit::CircuitState;
use crate::domain::gate::{Gate, Waiting, choose};
use crate::domain::ids::{NodeId, SourceId, TaskId, WorkflowId};
use crate::domain::limit::Limits;
use crate::domain::queue::{Priority, QueueName};
use crate::domain::task::PendingTask;

/// Most tasks of one workflow that are called at one time.
const CALLED_AT_ONCE: u32 = 500;

/// What an admission did.
#[derive(Debug, Default)]
pub struct Admitted {
    /// Tasks that passed; their attempts have begun.
    pub claimed: Vec<Claimed>,
    /// Tasks that have to wait; they belong in no mailbox.
    pub parked: Vec<(QueueName, TaskId)>,
    /// Tasks that waited and may try now: for the mailboxes.
    pub called: Vec<PendingTask>,
    /// In how long time alone will have made room for others, by PostgreSQL's clock.
    pub again_in: Option<Duration>,
}

/// What is asked for.
struct Request {
    /// Tasks to claim, if they may pass.
    popped: Vec<Uuid>,
    /// Tasks that may not be claimed now, but are to be parked if they have to wait.
    ahead: Vec<Uuid>,
    node: NodeId,
    now: DateTime<Utc>,
}

const POPPED: &str =
    "SELECT t.id, t.workflow_id, w.workflow_source_id, t.queue, t.priority, t.pending_at, false AS is_parked
    FROM tasks t JOIN workflows w ON w.id = t.workflow_id
    WHERE t.id = ANY ($1) AND t.status = $2";

/// The workflows that have parked tasks, by one look into the index for each.
const PARKED_WORKFLOWS: &str = "
    WITH RECURSIVE found AS (
        (SELECT workflow_id FROM tasks WHERE status = 'pending' AND parked ORDER BY workflow_id LIMIT 1)
        UNION ALL
        SELECT (SELECT t.workflow_id FROM tasks t WHERE t.status = 'pending' AND t.parked
                   AND t.workflow_id > found.workflow_id ORDER BY t.workflow_id LIMIT 1)
        FROM found WHERE found.workflow_id IS NOT NULL
    )
    SELECT w.id, w.workflow_source_id FROM found JOIN workflows w ON w.id = found.workflow_id";

/// The first that are parked, of each workflow as many as it could call. Who waits in a paused queue is left there.
const PARKED: &str = "
    SELECT t.id, t.workflow_id, w.workflow_source_id, t.queue, t.priority, t.pending_at, true AS is_parked
    FROM unnest($1::uuid[], $2::int8[]) AS asked (id, most)
    JOIN workflows w ON w.id = asked.id
    CROSS JOIN LATERAL (
        SELECT id, workflow_id, queue, priority, pending_at FROM tasks
        WHERE status = 'pending' AND parked AND workflow_id = asked.id
          AND queue <> ALL (ARRAY(SELECT name FROM paused_queues))
        ORDER BY priority DESC, pending_at, tasks.id LIMIT asked.most
    ) t";

const RUNNING: &str = "
    SELECT w.id, w.workflow_source_id, count(*) FROM tasks t JOIN workflows w ON w.id = t.workflow_id
    WHERE t.status = 'running' AND (w.id = ANY ($1) OR w.workflow_source_id = ANY ($1))
    GROUP BY w.id, w.workflow_source_id";

const SET_PARKED: &str =
    "UPDATE tasks SET parked = $2 WHERE id = ANY ($1) AND status = 'pending' AND parked <> $2 RETURNING id";

/// Waited for by a statement of its own: the next one sees what others did meanwhile.
const LOCK_GATES: &str = "SELECT FROM gates WHERE id = ANY ($1) ORDER BY id FOR UPDATE";

const READ_GATES: &str = "SELECT *, EXISTS (SELECT FROM tasks t WHERE t.id = gates.probe AND t.status = 'running'
               AND t.tries = gates.probe_attempt) AS is_probed
    FROM gates WHERE id = ANY ($1)";

impl Store {
    /// Claims those of `popped` that may pass their gates, for this node, and parks the others, as it does those of
    /// `ahead` that have to wait. Calls whoever has waited longer and may pass now.
    ///
    /// # Errors
    /// The database can't be reached; see [`Store::claim`] for a lost answer.
    pub async fn admit(
        &self,
        popped: Vec<TaskId>,
        ahead: Vec<TaskId>,
        node: NodeId,
        now: DateTime<Utc>,
    ) -> Result<Admitted, Error> {
        let vault = self.vault.clone();
        let ids = |tasks: Vec<TaskId>| tasks.into_iter().map(|task| task.0).collect();
        let request = Request { popped: ids(popped), ahead: ids(ahead), node, now };
        self.run(move |mut connection| async move {
            let popped = candidates(&connection, &request).await?;
            if popped.is_empty() {
                return Ok(Admitted::default());
            }
            pass(&mut connection, popped, Some((&request, &vault))).await
        })
        .await
    }

    /// Calls parked tasks for which there is room.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn call_parked(&self) -> Result<Admitted, Error> {
        self.run(|mut connection| async move { pass(&mut connection, Vec::new(), None).await }).await
    }
}

/// The tasks of a request that are pending and have a gate to pass.
async fn candidates(connection: &Connection, request: &Request) -> Result<Vec<Waiting>, Error> {
    let ids: Vec<Uuid> = request.popped.iter().chain(&request.ahead).copied().collect();
    let sql = format!(
        "{POPPED} AND {CLAIMABLE}
           AND EXISTS (SELECT FROM gates WHERE gates.id IN (w.id, w.workflow_source_id) AND {IS_BARRED})"
    );
    let params: [(&(dyn ToSql + Sync), Type); 3] =
        [(&ids, Type::UUID_ARRAY), (&"pending", Type::TEXT), (&request.now, Type::TIMESTAMPTZ)];
    connection.query_typed(&sql, &params).await?.iter().map(read_waiting).collect()
}

async fn pass(
    connection: &mut Connection,
    popped: Vec<Waiting>,
    request: Option<(&Request, &Vault)>,
) -> Result<Admitted, Error> {
    let asked: HashSet<Uuid> = popped.iter().flat_map(Waiting::gates).collect();
    let mut parked = parked_workflows(connection).await?;
    if request.is_some() {
        parked.retain(|(workflow, source)| asked.contains(workflow) || source.is_some_and(|id| asked.contains(&id)));
    }
    if popped.is_empty() && parked.is_empty() {
        return Ok(Admitted::default());
    }
    let of_parked = parked.iter().flat_map(|(workflow, source)| std::iter::once(*workflow).chain(*source));
    let ids: Vec<Uuid> = asked.iter().copied().chain(of_parked).collect::<BTreeSet<_>>().into_iter().collect();
    let transaction = pool::begin(connection).await?;
    let mut gates = lock_gates(&transaction, &ids).await?;
    count_running(&transaction, &ids, &mut gates).await?;
    let now = clock_of(&transaction).await?;
    let mut waiting = first_parked(&transaction, &parked, &gates, now).await?;
    let known: HashSet<Uuid> = waiting.iter().map(|task| task.id.0).collect();
    waiting.extend(popped.into_iter().filter(|task| !known.contains(&task.id.0)));
    let (passing, waiting) = choose(waiting, &gates, now);
    let claimable: HashSet<Uuid> = request.iter().flat_map(|(request, _)| &request.popped).copied().collect();
    let mut admitted = Admitted::default();
    if let Some((request, vault)) = request {
        let ids: Vec<Uuid> = passing.iter().map(|task| task.id.0).filter(|id| claimable.contains(id)).collect();
        admitted.claimed = claim(&transaction, &ids, request, vault).await?;
        note_starts(&transaction, &mut gates, &admitted.claimed, now).await?;
        let ids: Vec<Uuid> = waiting.iter().map(|task| task.id.0).collect();
        set_parked(&transaction, &ids, true).await?;
    }
    let called: Vec<Waiting> =
        passing.into_iter().filter(|task| task.is_parked && !claimable.contains(&task.id.0)).collect();
    let ids: Vec<Uuid> = called.iter().map(|task| task.id.0).collect();
    let done = set_parked(&transaction, &ids, false).await?;
    transaction.commit().await?;
    admitted.called = called.iter().filter(|task| done.contains(&task.id.0)).map(Waiting::pending).collect();
    admitted.parked = waiting.into_iter().map(|task| (task.queue, task.id)).collect();
    let opens_at = gates.values().filter_map(|gate| gate.opens_at(now)).min();
    admitted.again_in = opens_at.and_then(|time| (time - now).to_std().ok());
    Ok(admitted)
}

async fn parked_workflows(connection: &Connection) -> Result<Vec<(Uuid, Option<Uuid>)>, Error> {
    let rows = connection.query_typed(PARKED_WORKFLOWS, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

async fn lock_gates(transaction: &Transaction<'_>, ids: &[Uuid]) -> Result<HashMap<Uuid, Gate>, Error> {
    transaction.execute_typed(LOCK_GATES, &[(&ids, Type::UUID_ARRAY)]).await?;
    let rows = transaction.query_typed(READ_GATES, &[(&ids, Type::UUID_ARRAY)]).await?;
    let read = |row: &Row| {
        let most: Option<i32> = row.try_get("max_concurrency")?;
        let max_concurrency = most.and_then(|most| u32::try_from(most).ok());
        let gate = Gate {
            limits: Limits { max_concurrency, rate: read_rate(row.try_get("rate")?) },
            next_start_at: row.try_get("next_start_at")?,
            circuit: read_circuit(row)?,
            is_probed: row.try_get("is_probed")?,
            running: 0,
        };
        Ok((row.try_get("id")?, gate))
    };
    rows.iter().map(read).collect()
}

async fn count_running(
    transaction: &Transaction<'_>,
    ids: &[Uuid],
    gates: &mut HashMap<Uuid, Gate>,
) -> Result<(), Error> {
    for row in transaction.query_typed(RUNNING, &[(&ids, Type::UUID_ARRAY)]).await? {
        let count = u32::try_from(row.try_get::<_, i64>(2)?).unwrap_or(u32::MAX);
        for id in [row.try_get::<_, Option<Uuid>>(0)?, row.try_get(1)?].into_iter().flatten() {
            gates.entry(id).and_modify(|gate| gate.running += count);
        }
    }
    Ok(())
}

/// The parked tasks that could pass if no other did: of each workflow as many as its gates have room for.
async fn first_parked(
    transaction: &Transaction<'_>,
    parked: &[(Uuid, Option<Uuid>)],
    gates: &HashMap<Uuid, Gate>,
    now: DateTime<Utc>,
) -> Result<Vec<Waiting>, Error> {
    let room_of = |id: &Uuid| gates.get(id).map_or(u32::MAX, |gate| gate.room(now));
    let room = |workflow, source: Option<Uuid>| room_of(workflow).min(source.map_or(u32::MAX, |id| room_of(&id)));
    let asked = parked.iter().map(|(workflow, source)| (*workflow, room(workflow, *source).min(CALLED_AT_ONCE)));
    let (ids, most): (Vec<Uuid>, Vec<i64>) =
        asked.filter(|(_, room)| *room > 0).map(|(id, room)| (id, i64::from(room))).unzip();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&ids, Type::UUID_ARRAY), (&most, Type::INT8_ARRAY)];
    transaction.query_typed(PARKED, &params).await?.iter().map(read_waiting).collect()
}

async fn claim(
    transaction: &Transaction<'_>,
    ids: &[Uuid],
    request: &Request,
    vault: &Vault,
) -> Result<Vec<Claimed>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let params: [(&(dyn ToSql + Sync), Type); 3] =
        [(&ids, Type::UUID_ARRAY), (&request.node.0, Type::UUID), (&request.now, Type::TIMESTAMPTZ)];
    let rows = transaction.query_typed(&claim_where("true"), &params).await?;
    let mut claimed = read_all_claimed(&rows, ids, vault)?;
    claimed.iter_mut().for_each(|claimed| claimed.attempt.is_gated = true);
    Ok(claimed)
}

/// Has the gates remember what started: the turn of the next one, and which attempt is the probe.
async fn note_starts(
    transaction: &Transaction<'_>,
    gates: &mut HashMap<Uuid, Gate>,
    claimed: &[Claimed],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    for (id, gate) in gates {
        let passed = |claimed: &&Claimed| {
            claimed.attempt.workflow.0 == *id || claimed.attempt.source.is_some_and(|source| source.0 == *id)
        };
        let starts: Vec<&Claimed> = claimed.iter().filter(passed).collect();
        let Some(first) = starts.first() else { continue };
        if let Some(rate) = gate.limits.rate {
            gate.next_start_at =
                Some(rate.after(gate.next_start_at, now, u32::try_from(starts.len()).unwrap_or(u32::MAX)));
            let sql = "UPDATE gates SET next_start_at = $2 WHERE id = $1";
            transaction.execute_typed(sql, &[(id, Type::UUID), (&gate.next_start_at, Type::TIMESTAMPTZ)]).await?;
        }
        if gate.circuit.state != CircuitState::Closed {
            gate.circuit.state = CircuitState::HalfOpen;
            let sql = "UPDATE gates SET circuit = 'half_open', probe = $2, probe_attempt = $3 WHERE id = $1";
            let (task, attempt) = (first.attempt.task.0, first.attempt.number);
            transaction.execute_typed(sql, &[(id, Type::UUID), (&task, Type::UUID), (&attempt, Type::INT4)]).await?;
        }
    }
    Ok(())
}

async fn set_parked(transaction: &Transaction<'_>, ids: &[Uuid], parked: bool) -> Result<HashSet<Uuid>, Error> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = transaction.query_typed(SET_PARKED, &[(&ids, Type::UUID_ARRAY), (&parked, Type::BOOL)]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

fn read_waiting(row: &Row) -> Result<Waiting, Error> {
    Ok(Waiting {
        id: TaskId(row.try_get("id")?),
        workflow: WorkflowId(row.try_get("workflow_id")?),
        source: row.try_get::<_, Option<_>>("workflow_source_id")?.map(SourceId),
        queue: QueueName::new(row.try_get::<_, String>("queue")?).unwrap_or_default(),
        priority: Priority::new(row.try_get::<_, i16>("priority")?.into()).unwrap_or_default(),
        pending_at: row.try_get("pending_at")?,
        is_parked: row.try_get("is_parked")?,
    })
}
