//! Workflows.

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;

use super::gate::GateRecord;
use super::{Error, Store, gate, pool};
use crate::domain::clock;
use crate::domain::id_prefix::IdPrefix;
use crate::domain::ids::{SourceId, TaskId, WorkflowId};
use crate::domain::limit::Limits;
use crate::domain::workflow::{RemoteFlow, UnknownPolicy};

/// Shortest part of an id that is taken for it.
const PREFIX_MIN: usize = 4;

/// A workflow as it is stored, with what its tasks say of it.
#[derive(Clone, Debug)]
pub struct WorkflowRecord {
    /// Its id.
    pub id: WorkflowId,
    /// Shown to people.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// The source's url.
    pub source: String,
    /// The source.
    pub source_id: Option<SourceId>,
    /// Its id in the source.
    pub remote_flow_id: String,
    /// Rises when a sync finds another flow than the last one did.
    pub flow_version: i32,
    /// Where input goes.
    pub input_component: Option<String>,
    /// Where the result comes from.
    pub output_component: Option<String>,
    /// A component rather than a flow.
    pub is_component: bool,
    /// The folder it lies in.
    pub folder_id: Option<String>,
    /// Its name.
    pub folder_name: Option<String>,
    /// Name of an icon.
    pub icon: Option<String>,
    /// Its background.
    pub icon_bg_color: Option<String>,
    /// Marked by its owner.
    pub liked: bool,
    /// Labels, JSON.
    pub tags: Option<String>,
    /// What to do where it is unknown whether the source ran it; none: what the source says.
    pub unknown_policy: Option<UnknownPolicy>,
    /// Its limits.
    pub limits: Limits,
    /// When it was first synced.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last synced.
    pub updated_at: Option<DateTime<Utc>>,
    /// Status of the newest task.
    pub latest_run: Option<String>,
    /// How many tasks it has.
    pub task_count: i64,
    /// How many of them failed.
    pub failed_task_count: i64,
    /// The graph, JSON; only where one workflow is read.
    pub data: Option<String>,
    /// All that the source said, JSON; only where one workflow is read.
    pub raw: Option<String>,
}

/// Which workflows; what is `None` does not narrow.
#[derive(Clone, Debug, Default)]
pub struct WorkflowFilter {
    /// Of the source with this url or name.
    pub source: Option<String>,
    /// Whose name contains this, in either case of letters.
    pub name: Option<String>,
    /// In the folder with this name or id.
    pub folder: Option<String>,
    /// With exactly this name, or this id in its source.
    pub named: Option<String>,
    /// Whose id begins so.
    pub id_prefix: Option<IdPrefix>,
}

/// What a text that should name a workflow names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// This one.
    One(WorkflowId),
    /// Several.
    Several,
    /// None.
    None,
}

const COLUMNS: &str = "w.id, w.name, w.description, coalesce(s.url, w.source) AS source, w.workflow_source_id, \
     w.remote_flow_id, coalesce(w.flow_version, 1) AS flow_version, w.input_component, w.output_component, \
     coalesce(w.is_component, false) AS is_component, w.folder_id, w.folder_name, w.icon, w.icon_bg_color, \
     coalesce(w.liked, false) AS liked, w.tags::text AS tags, w.created_at, w.updated_at, \
     w.unknown_policy, newest.status AS latest_run, counted.total AS task_count, counted.failed AS failed_task_count";

const TABLES: &str = "workflows w LEFT JOIN workflow_sources s ON s.id = w.workflow_source_id \
     LEFT JOIN LATERAL (SELECT status FROM tasks WHERE workflow_id = w.id \
          ORDER BY created_at DESC, id DESC LIMIT 1) newest ON true \
     CROSS JOIN LATERAL (SELECT count(*) AS total, count(*) FILTER (WHERE status = 'failed') AS failed \
          FROM tasks WHERE workflow_id = w.id) counted";

const GRAPH: &str = "w.data::text AS data, w.flow_raw_data::text AS raw";
const NO_GRAPH: &str = "NULL::text AS data, NULL::text AS raw";

impl WorkflowRecord {
    fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: WorkflowId(row.try_get("id")?),
            name: row.try_get("name")?,
            description: row.try_get("description")?,
            source: row.try_get("source")?,
            source_id: row.try_get::<_, Option<_>>("workflow_source_id")?.map(SourceId),
            remote_flow_id: row.try_get("remote_flow_id")?,
            flow_version: row.try_get("flow_version")?,
            input_component: row.try_get("input_component")?,
            output_component: row.try_get("output_component")?,
            is_component: row.try_get("is_component")?,
            folder_id: row.try_get("folder_id")?,
            folder_name: row.try_get("folder_name")?,
            icon: row.try_get("icon")?,
            icon_bg_color: row.try_get("icon_bg_color")?,
            liked: row.try_get("liked")?,
            tags: row.try_get("tags")?,
            unknown_policy: row.try_get::<_, Option<&str>>("unknown_policy")?.map(UnknownPolicy::from_stored),
            limits: GateRecord::from_column(row)?.limits,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
            latest_run: row.try_get("latest_run")?,
            task_count: row.try_get("task_count")?,
            failed_task_count: row.try_get("failed_task_count")?,
            data: row.try_get("data")?,
            raw: row.try_get("raw")?,
        })
    }
}

impl Store {
    /// Workflows, newest first, and how many the filter fits in all.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn workflows(
        &self,
        filter: WorkflowFilter,
        offset: i64,
        limit: i64,
    ) -> Result<(Vec<WorkflowRecord>, i64), Error> {
        self.run(move |connection| async move {
            let conditions = "($1::text IS NULL OR rtrim(coalesce(s.url, w.source), '/') = rtrim($1, '/') OR s.name = $1) \
                 AND ($2::text IS NULL OR position(lower($2) IN lower(w.name)) > 0) \
                 AND ($3::text IS NULL OR w.folder_name = $3 OR w.folder_id = $3) \
                 AND ($4::text IS NULL OR w.name = $4 OR w.remote_flow_id = $4) \
                 AND ($5::uuid IS NULL OR w.id BETWEEN $5 AND $6)";
            let count = format!(
                "SELECT count(*) FROM workflows w LEFT JOIN workflow_sources s ON s.id = w.workflow_source_id \
                 WHERE {conditions}"
            );
            let (first, last) = filter.id_prefix.map(|prefix| (prefix.first, prefix.last)).unzip();
            let mut params = vec![
                (&filter.source as _, Type::TEXT),
                (&filter.name as _, Type::TEXT),
                (&filter.folder as _, Type::TEXT),
                (&filter.named as _, Type::TEXT),
                (&first as _, Type::UUID),
                (&last as _, Type::UUID),
            ];
            let total = connection.query_typed_one(&count, &params).await?.try_get(0)?;
            let gate = gate::column("w.id");
            let sql = format!(
                "SELECT {COLUMNS}, {gate}, {NO_GRAPH} FROM {TABLES} WHERE {conditions} \
                 ORDER BY w.created_at DESC, w.id DESC LIMIT $7 OFFSET $8"
            );
            params.extend([(&limit as _, Type::INT8), (&offset as _, Type::INT8)]);
            let rows = connection.query_typed(&sql, &params).await?;
            Ok((rows.iter().map(WorkflowRecord::from_row).collect::<Result<_, _>>()?, total))
        })
        .await
    }

    /// One workflow with its graph.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn workflow(&self, id: WorkflowId) -> Result<Option<WorkflowRecord>, Error> {
        self.run(move |connection| async move {
            let gate = gate::column("w.id");
            let sql = format!("SELECT {COLUMNS}, {gate}, {GRAPH} FROM {TABLES} WHERE w.id = $1");
            let row = connection.query_typed_opt(&sql, &[(&id.0, Type::UUID)]).await?;
            row.as_ref().map(WorkflowRecord::from_row).transpose()
        })
        .await
    }

    /// Finds the workflow that a text names: by its id, else its id in the source (of several of one flow, the one that
    /// a sync updates), else the beginning of its id.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn name_workflow(&self, text: String) -> Result<Named, Error> {
        if text.contains('\0') {
            return Ok(Named::None);
        }
        self.run(move |connection| async move {
            let id: Option<Uuid> = text.parse().ok();
            let prefix: Option<IdPrefix> = text.parse().ok().filter(|_| text.len() >= PREFIX_MIN);
            let (first, last) = prefix.map(|prefix| (prefix.first, prefix.last)).unzip();
            // Two of the best rank make the text ambiguous.
            let sql = "SELECT id, rank FROM (
                    SELECT id, CASE WHEN id = $1 THEN 1
                                    WHEN remote_flow_id = $2 AND duplicate_of IS NULL THEN 2 ELSE 3 END AS rank
                      FROM workflows
                     WHERE id = $1 OR (remote_flow_id = $2 AND duplicate_of IS NULL) OR id BETWEEN $3 AND $4) AS fit
                 ORDER BY rank LIMIT 2";
            let params =
                [(&id as _, Type::UUID), (&text as _, Type::TEXT), (&first as _, Type::UUID), (&last as _, Type::UUID)];
            let rows = connection.query_typed(sql, &params).await?;
            let ranked = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
            let ranked = ranked.collect::<Result<Vec<(Uuid, i32)>, Error>>()?;
            Ok(match ranked.as_slice() {
                [] => Named::None,
                [(_, first), (_, second)] if first == second => Named::Several,
                [(id, _), ..] => Named::One(WorkflowId(*id)),
            })
        })
        .await
    }

    /// Stores a flow of a source; the same flow again updates the same workflow. `None` where the source is gone.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn sync_workflow(&self, source: SourceId, flow: RemoteFlow) -> Result<Option<WorkflowId>, Error> {
        let now = clock::now();
        self.run(move |connection| async move {
            let sql = "INSERT INTO workflows
                    (id, name, description, data, flow_raw_data, source, remote_flow_id, flow_version,
                     workflow_source_id, input_component, output_component, is_component, folder_id, folder_name, icon,
                     icon_bg_color, liked, tags, created_at, updated_at)
                SELECT $1, $2, $3, $4::json, $5::json, s.url, $6, 1, s.id, $8, $9, $10, $11, $12, $13, $14, $15,
                       $16::json, $17, $17
                  FROM (SELECT id, url FROM workflow_sources WHERE id = $7 FOR KEY SHARE) s
                ON CONFLICT (workflow_source_id, remote_flow_id) WHERE duplicate_of IS NULL DO UPDATE SET
                    name = excluded.name, description = excluded.description, data = excluded.data,
                    flow_raw_data = excluded.flow_raw_data, source = excluded.source,
                    flow_version = coalesce(workflows.flow_version, 1)
                        + (workflows.data::text IS DISTINCT FROM excluded.data::text)::integer,
                    input_component = excluded.input_component, output_component = excluded.output_component,
                    is_component = excluded.is_component, folder_id = excluded.folder_id,
                    folder_name = excluded.folder_name, icon = excluded.icon,
                    icon_bg_color = excluded.icon_bg_color, liked = excluded.liked, tags = excluded.tags,
                    updated_at = excluded.updated_at
                RETURNING id";
            let id = WorkflowId::generate();
            let data = flow.data.as_ref().map(ToString::to_string);
            let raw = flow.raw.as_ref().map(ToString::to_string);
            let tags = serde_json::Value::from(flow.tags).to_string();
            let params = [
                (&id.0 as _, Type::UUID),
                (&flow.name as _, Type::TEXT),
                (&flow.description as _, Type::TEXT),
                (&data as _, Type::TEXT),
                (&raw as _, Type::TEXT),
                (&flow.id as _, Type::TEXT),
                (&source.0 as _, Type::UUID),
                (&flow.input_component as _, Type::TEXT),
                (&flow.output_component as _, Type::TEXT),
                (&flow.is_component as _, Type::BOOL),
                (&flow.folder_id as _, Type::TEXT),
                (&flow.folder_name as _, Type::TEXT),
                (&flow.icon as _, Type::TEXT),
                (&flow.icon_bg_color as _, Type::TEXT),
                (&flow.liked as _, Type::BOOL),
                (&tags as _, Type::TEXT),
                (&now as _, Type::TIMESTAMPTZ),
            ];
            let row = connection.query_typed_opt(sql, &params).await?;
            Ok(row.map(|row| row.try_get(0)).transpose()?.map(WorkflowId))
        })
        .await
    }

    /// Deletes a workflow with its schedules and tasks. Returns the tasks that were running; `None` where there is no
    /// such workflow.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn delete_workflow(&self, id: WorkflowId) -> Result<Option<Vec<TaskId>>, Error> {
        self.run(move |mut connection| async move {
            let transaction = pool::begin(&mut connection).await?;
            let lock = "SELECT FROM workflows WHERE id = $1 FOR UPDATE";
            if transaction.query_typed_opt(lock, &[(&id.0, Type::UUID)]).await?.is_none() {
                return Ok(None);
            }
            let running = delete_workflows(&transaction, &[id.0]).await?;
            transaction.commit().await?;
            Ok(Some(running))
        })
        .await
    }
}

/// Deletes workflows, which the caller has locked against new tasks and schedules, with all that is theirs. Running
/// tasks are cancelled first (which also waits for an outcome that is being stored); the caller aborts them.
pub(super) async fn delete_workflows(transaction: &Transaction<'_>, ids: &[Uuid]) -> Result<Vec<TaskId>, Error> {
    gate::delete_gates(transaction, ids).await?;
    let ids = [(&ids as _, Type::UUID_ARRAY)];
    let cancel =
        "UPDATE tasks SET status = 'cancelled' WHERE workflow_id = ANY($1) AND status = 'running' RETURNING id";
    let running = transaction.query_typed(cancel, &ids).await?;
    for sql in [
        // No claim and no line of a log comes in between.
        "SELECT FROM tasks WHERE workflow_id = ANY($1) FOR UPDATE",
        "DELETE FROM task_logs WHERE task_id IN (SELECT id FROM tasks WHERE workflow_id = ANY($1))",
        "DELETE FROM task_attempts WHERE task_id IN (SELECT id FROM tasks WHERE workflow_id = ANY($1))",
        "DELETE FROM tasks WHERE workflow_id = ANY($1)",
        "DELETE FROM schedules WHERE workflow_id = ANY($1)",
        "DELETE FROM workflow_components WHERE workflow_id = ANY($1)",
        "DELETE FROM workflows WHERE id = ANY($1)",
    ] {
        transaction.execute_typed(sql, &ids).await?;
    }
    running.iter().map(|row| Ok(TaskId(row.try_get(0)?))).collect()
}
