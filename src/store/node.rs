//! Nodes: who is alive, and what the dead left behind.

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::claim::{Attempt, read_attempt};
use super::{Error, Store};
use crate::domain::ids::{NodeId, TaskId};

/// A node as it makes itself known.
#[derive(Clone, Debug)]
pub struct NodeRow {
    /// New at every start.
    pub id: NodeId,
    /// The machine's name.
    pub hostname: String,
    /// The kernel and pid namespace the process runs in: within one scope a pid tells who is alive.
    pub scope: String,
    /// The process.
    pub pid: i32,
    /// When the process began, in the kernel's ticks since boot: pids are used again.
    pub pid_started_at: i64,
    /// The program's version.
    pub version: String,
    /// What it does, e.g. `api,beat,worker`.
    pub roles: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
}

const HEARTBEAT: &str = "
INSERT INTO nodes (id, hostname, scope, pid, pid_started_at, version, roles, started_at, heartbeat_at, lease_until)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (id) DO UPDATE SET heartbeat_at = excluded.heartbeat_at, lease_until = excluded.lease_until";

/// Running tasks with nobody to run them: their node is gone, its lease ran out before `$2` (if that is known), or there
/// never was one (rows that the Python service left running). Not those of the node that asks, whatever its lease: it
/// knows better what it runs.
const ABANDONED: &str = "t.node_id IS DISTINCT FROM $1
  AND NOT EXISTS (SELECT FROM nodes n WHERE n.id = t.node_id AND ($2::timestamptz IS NULL OR n.lease_until > $2))
LIMIT $3";

/// What [`read_attempt`] reads of the running tasks that a condition names.
fn running_where(condition: &str) -> String {
    format!(
        "SELECT t.id, t.workflow_id, w.workflow_source_id AS source_id, t.schedule_id, t.tries, t.queue, t.priority,
                t.max_retries, t.failures, t.lost, t.started_at, t.created_at, t.pending_at,
                coalesce(s.name, s.source_type, 'none') AS source_name,
                coalesce(w.unknown_policy, s.unknown_policy, 'retry') AS unknown_policy
         FROM tasks t
         JOIN workflows w ON w.id = t.workflow_id
         LEFT JOIN workflow_sources s ON s.id = w.workflow_source_id
         WHERE t.status = 'running' AND {condition}"
    )
}

impl Store {
    /// Makes a node known and holds its lease until `lease_until`.
    ///
    /// # Errors
    /// The statement failed.
    pub async fn heartbeat(&self, node: NodeRow, now: DateTime<Utc>, lease_until: DateTime<Utc>) -> Result<(), Error> {
        self.run(move |connection| async move {
            connection
                .execute_typed(
                    HEARTBEAT,
                    &[
                        (&node.id.0, Type::UUID),
                        (&node.hostname, Type::TEXT),
                        (&node.scope, Type::TEXT),
                        (&node.pid, Type::INT4),
                        (&node.pid_started_at, Type::INT8),
                        (&node.version, Type::TEXT),
                        (&node.roles, Type::TEXT),
                        (&node.started_at, Type::TIMESTAMPTZ),
                        (&now, Type::TIMESTAMPTZ),
                        (&lease_until, Type::TIMESTAMPTZ),
                    ],
                )
                .await?;
            Ok(())
        })
        .await
    }

    /// The processes that made themselves known in a scope: node, pid, start of the process.
    ///
    /// # Errors
    /// The statement failed.
    pub async fn nodes_in_scope(&self, scope: String) -> Result<Vec<(NodeId, i32, i64)>, Error> {
        self.run(move |connection| async move {
            let statement = "SELECT id, pid, pid_started_at FROM nodes WHERE scope = $1";
            let rows = connection.query_typed(statement, &[(&scope, Type::TEXT)]).await?;
            Ok(rows.iter().map(|row| (NodeId(row.get(0)), row.get(1), row.get(2))).collect())
        })
        .await
    }

    /// Forgets nodes; what they left running is abandoned from then on.
    ///
    /// # Errors
    /// The statement failed.
    pub async fn forget_nodes(&self, nodes: Vec<NodeId>) -> Result<(), Error> {
        self.run(move |connection| async move {
            let ids: Vec<Uuid> = nodes.iter().map(|node| node.0).collect();
            connection.execute_typed("DELETE FROM nodes WHERE id = ANY ($1)", &[(&ids, Type::UUID_ARRAY)]).await?;
            Ok(())
        })
        .await
    }

    /// Forgets the nodes whose lease ran out before `before`.
    ///
    /// # Errors
    /// The statement failed.
    pub async fn forget_expired_nodes(&self, before: DateTime<Utc>) -> Result<u64, Error> {
        self.run(move |connection| async move {
            let statement = "DELETE FROM nodes WHERE lease_until < $1";
            Ok(connection.execute_typed(statement, &[(&before, Type::TIMESTAMPTZ)]).await?)
        })
        .await
    }

    /// Attempts of other nodes that are not known any more, or whose lease ran out before `expired_before`; at most
    /// `limit`.
    ///
    /// # Errors
    /// The statement failed.
    pub async fn abandoned(
        &self,
        asking: NodeId,
        expired_before: Option<DateTime<Utc>>,
        limit: i64,
    ) -> Result<Vec<Attempt>, Error> {
        self.run(move |connection| async move {
            let rows = connection
                .query_typed(
                    &running_where(ABANDONED),
                    &[(&asking.0, Type::UUID), (&expired_before, Type::TIMESTAMPTZ), (&limit, Type::INT8)],
                )
                .await?;
            rows.iter().map(read_attempt).collect()
        })
        .await
    }

    /// Attempts that run on a node as far as the database knows.
    ///
    /// # Errors
    /// The statement failed.
    pub async fn running_of(&self, node: NodeId) -> Result<Vec<Attempt>, Error> {
        self.run(move |connection| async move {
            let rows = connection.query_typed(&running_where("t.node_id = $1"), &[(&node.0, Type::UUID)]).await?;
            rows.iter().map(read_attempt).collect()
        })
        .await
    }

    /// Of these attempts, those that their task no longer runs: cancelled, deleted or taken over.
    ///
    /// # Errors
    /// The statement failed.
    pub async fn no_longer_running(&self, attempts: Vec<(TaskId, i32)>) -> Result<Vec<(TaskId, i32)>, Error> {
        self.run(move |connection| async move {
            let (ids, numbers): (Vec<Uuid>, Vec<i32>) = attempts.iter().map(|(task, n)| (task.0, *n)).unzip();
            // `expected` keeps the planner from the index of running tasks, see the statement that stores outcomes.
            let statement = "WITH asked AS MATERIALIZED (
                     SELECT *, 'running' AS expected FROM unnest($1::uuid[], $2::int4[]) AS a (id, attempt))
                 SELECT a.id, a.attempt FROM asked a
                 WHERE NOT EXISTS (SELECT FROM tasks t
                                   WHERE t.id = a.id AND t.status = a.expected AND t.tries = a.attempt)";
            let rows =
                connection.query_typed(statement, &[(&ids, Type::UUID_ARRAY), (&numbers, Type::INT4_ARRAY)]).await?;
            Ok(rows.iter().map(|row| (TaskId(row.get(0)), row.get(1))).collect())
        })
        .await
    }
}
