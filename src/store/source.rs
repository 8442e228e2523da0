//! Sources.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::gate::GateRecord;
use super::workflow::delete_workflows;
use super::{Error, Store, gate, pool};
use crate::domain::clock;
use crate::domain::id_prefix::IdPrefix;
use crate::domain::ids::{SourceId, TaskId};
use crate::domain::limit::Limits;
use crate::domain::source::{Endpoint, Secret, SourceKind, Trust, trim_url};
use crate::domain::workflow::UnknownPolicy;

/// A source as it is stored; its key stays sealed.
#[derive(Clone, Debug)]
pub struct SourceRecord {
    /// Its id.
    pub id: SourceId,
    /// Shown to people.
    pub name: Option<String>,
    /// A [`SourceKind`], or whatever a former version wrote.
    pub kind: String,
    /// Where it is.
    pub url: String,
    /// The adapter that describes it, by name.
    pub adapter: Option<String>,
    /// `active` or `inactive`.
    pub status: String,
    /// What it said of its version, JSON.
    pub version_info: Option<String>,
    /// What to do where it is unknown whether it ran a flow.
    pub unknown_policy: UnknownPolicy,
    /// Whether its server's certificate is checked.
    pub tls_verify: bool,
    /// The only certificates that it is checked by, PEM.
    pub tls_ca: Option<String>,
    /// Its limits and its circuit.
    pub gate: GateRecord,
    /// When it was added.
    pub created_at: Option<DateTime<Utc>>,
    /// When its row last changed.
    pub updated_at: Option<DateTime<Utc>>,
    /// The key as the vault made it.
    sealed_key: String,
}

/// All that can be said of a source.
#[derive(Clone, Debug)]
pub struct SourceDraft {
    /// Shown to people.
    pub name: String,
    /// What speaks there.
    pub kind: SourceKind,
    /// Where it is, without a trailing slash.
    pub url: String,
    /// The adapter that describes it, by name.
    pub adapter: Option<String>,
    /// Its key; `None` keeps the one it has.
    pub api_key: Option<Secret>,
    /// Whether its workflows are listed and run.
    pub active: bool,
    /// What it said of its version, JSON.
    pub version_info: Option<String>,
    /// What to do where it is unknown whether it ran a flow.
    pub unknown_policy: UnknownPolicy,
    /// Whether its server's certificate is checked.
    pub tls_verify: bool,
    /// The only certificates that it is checked by, PEM.
    pub tls_ca: Option<String>,
    /// What its tasks are limited to.
    pub limits: Limits,
}

static COLUMNS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "id, name, source_type, url, encrypted_api_key, status, version_info::text AS version_info, unknown_policy, \
         adapter, tls_verify, tls_ca, created_at, updated_at, {}",
        gate::column("workflow_sources.id")
    )
});

/// The constraint that keeps urls apart.
const URL_CONSTRAINT: &str = "workflow_sources_url_key";

impl SourceRecord {
    fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: SourceId(row.try_get("id")?),
            name: row.try_get("name")?,
            kind: row.try_get("source_type")?,
            url: row.try_get("url")?,
            adapter: row.try_get("adapter")?,
            status: row.try_get("status")?,
            version_info: row.try_get("version_info")?,
            unknown_policy: UnknownPolicy::from_stored(row.try_get("unknown_policy")?),
            tls_verify: row.try_get("tls_verify")?,
            tls_ca: row.try_get("tls_ca")?,
            gate: GateRecord::from_column(row)?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
            sealed_key: row.try_get("encrypted_api_key")?,
        })
    }

    /// Whether the source is in use.
    pub fn is_active(&self) -> bool {
        self.status == "active"
    }
}

/// Which sources; what is `None` does not narrow.
#[derive(Clone, Debug, Default)]
pub struct SourceFilter {
    /// In a status.
    pub status: Option<String>,
    /// With exactly this name, or this url but for trailing slashes.
    pub named: Option<String>,
    /// Whose id begins so.
    pub id_prefix: Option<IdPrefix>,
}

/// Whether the url of a call was free.
#[derive(Clone, Debug)]
pub enum Stored {
    /// It was, and the source is stored.
    Done(Box<SourceRecord>),
    /// Another source has it.
    Duplicate,
    /// The source to change is gone.
    Unknown,
}

impl Store {
    /// How to open a source.
    ///
    /// # Errors
    /// Its kind is not known to this version, or its key was sealed with another encryption key.
    pub fn endpoint(&self, source: &SourceRecord) -> Result<Endpoint, Error> {
        let (kind, api_key) = (self.source_kind(source)?, self.source_key(source)?);
        let trust = Trust::of(source.tls_verify, source.tls_ca.as_deref());
        Ok(Endpoint { kind, url: trim_url(&source.url).to_owned(), api_key, adapter: source.adapter.clone(), trust })
    }

    /// What speaks at a source.
    ///
    /// # Errors
    /// Its kind is not known to this version.
    pub fn source_kind(&self, source: &SourceRecord) -> Result<SourceKind, Error> {
        source.kind.parse().map_err(|_| Error::Unreadable(format!("source_type {:?}", source.kind)))
    }

    /// A source's key.
    ///
    /// # Errors
    /// It was sealed with another encryption key.
    pub fn source_key(&self, source: &SourceRecord) -> Result<Secret, Error> {
        match source.sealed_key.as_str() {
            "" => Ok(Secret::default()),
            sealed => self.vault.decrypt(sealed),
        }
    }

    /// One source.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn source(&self, id: SourceId) -> Result<Option<SourceRecord>, Error> {
        self.run(move |connection| async move {
            let sql = format!("SELECT {} FROM workflow_sources WHERE id = $1", *COLUMNS);
            let row = connection.query_typed_opt(&sql, &[(&id.0, Type::UUID)]).await?;
            row.as_ref().map(SourceRecord::from_row).transpose()
        })
        .await
    }

    /// The source with this url, but for trailing slashes. A database of the Python service may hold two.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn source_by_url(&self, url: String) -> Result<Option<SourceRecord>, Error> {
        self.run(move |connection| async move {
            let columns = &*COLUMNS;
            let sql = format!("SELECT {columns} FROM workflow_sources WHERE rtrim(url, '/') = $1 LIMIT 1");
            let row = connection.query_typed_opt(&sql, &[(&trim_url(&url), Type::TEXT)]).await?;
            row.as_ref().map(SourceRecord::from_row).transpose()
        })
        .await
    }

    /// Two of the sources with this name, if there are so many.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn sources_by_name(&self, name: String) -> Result<Vec<SourceRecord>, Error> {
        self.run(move |connection| async move {
            let columns = &*COLUMNS;
            let sql = format!("SELECT {columns} FROM workflow_sources WHERE name = $1 LIMIT 2");
            let rows = connection.query_typed(&sql, &[(&name, Type::TEXT)]).await?;
            rows.iter().map(SourceRecord::from_row).collect()
        })
        .await
    }

    /// Sources, newest first, and how many the filter fits in all.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn sources(
        &self,
        filter: SourceFilter,
        offset: i64,
        limit: i64,
    ) -> Result<(Vec<SourceRecord>, i64), Error> {
        self.run(move |connection| async move {
            let conditions = "($1::text IS NULL OR status = $1) \
                 AND ($2::text IS NULL OR name = $2 OR rtrim(url, '/') = rtrim($2, '/')) \
                 AND ($3::uuid IS NULL OR id BETWEEN $3 AND $4)";
            let (first, last) = filter.id_prefix.map(|prefix| (prefix.first, prefix.last)).unzip();
            let mut params: Vec<(&(dyn ToSql + Sync), Type)> = vec![
                (&filter.status, Type::TEXT),
                (&filter.named, Type::TEXT),
                (&first, Type::UUID),
                (&last, Type::UUID),
            ];
            let count = format!("SELECT count(*) FROM workflow_sources WHERE {conditions}");
            let total = connection.query_typed_one(&count, &params).await?.try_get(0)?;
            let columns = &*COLUMNS;
            let sql = format!(
                "SELECT {columns} FROM workflow_sources WHERE {conditions} \
                 ORDER BY created_at DESC, id DESC LIMIT $5 OFFSET $6"
            );
            params.extend([(&limit as &(dyn ToSql + Sync), Type::INT8), (&offset, Type::INT8)]);
            let rows = connection.query_typed(&sql, &params).await?;
            Ok((rows.iter().map(SourceRecord::from_row).collect::<Result<_, _>>()?, total))
        })
        .await
    }

    /// Adds a source.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn add_source(&self, draft: SourceDraft) -> Result<Stored, Error> {
        let sql = "INSERT INTO workflow_sources
                (id, name, source_type, url, encrypted_api_key, status, version_info, unknown_policy, created_at, updated_at,
                 adapter, tls_verify, tls_ca)
             SELECT $1, $2, $3, $4, coalesce($5, ''), $6, $7::json, $8, $9, $9, $10, $11, $12
              WHERE NOT EXISTS (SELECT FROM workflow_sources WHERE rtrim(url, '/') = $4)
             RETURNING id";
        self.write_source(sql, SourceId::generate(), draft, Stored::Duplicate).await
    }

    /// Replaces what is said of a source.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn update_source(&self, id: SourceId, draft: SourceDraft) -> Result<Stored, Error> {
        let sql = "UPDATE workflow_sources SET name = $2, source_type = $3, url = $4, encrypted_api_key = coalesce($5, encrypted_api_key), status = $6,
                    version_info = $7::json, unknown_policy = $8, updated_at = $9, adapter = $10,
                    tls_verify = $11, tls_ca = $12
              WHERE id = $1 RETURNING id";
        self.write_source(sql, id, draft, Stored::Unknown).await
    }

    async fn write_source(
        &self,
        sql: &'static str,
        id: SourceId,
        draft: SourceDraft,
        otherwise: Stored,
    ) -> Result<Stored, Error> {
        let sealed = draft.api_key.as_ref().map(|key| self.vault.encrypt(key));
        let now = clock::now();
        let written = self
            .run(move |mut connection| async move {
                let transaction = pool::begin(&mut connection).await?;
                let params = [
                    (&id.0 as _, Type::UUID),
                    (&draft.name as _, Type::TEXT),
                    (&draft.kind.as_str() as _, Type::TEXT),
                    (&draft.url as _, Type::TEXT),
                    (&sealed as _, Type::TEXT),
                    (&(if draft.active { "active" } else { "inactive" }) as _, Type::TEXT),
                    (&draft.version_info as _, Type::TEXT),
                    (&draft.unknown_policy.as_str() as _, Type::TEXT),
                    (&now as _, Type::TIMESTAMPTZ),
                    (&draft.adapter as _, Type::TEXT),
                    (&draft.tls_verify as _, Type::BOOL),
                    (&draft.tls_ca as _, Type::TEXT),
                ];
                if transaction.query_typed_opt(sql, &params).await?.is_none() {
                    return Ok(None);
                }
                gate::set_limits(&transaction, id.0, draft.limits).await?;
                let sql = format!("SELECT {} FROM workflow_sources WHERE id = $1", *COLUMNS);
                let source = SourceRecord::from_row(&transaction.query_typed_one(&sql, &[(&id.0, Type::UUID)]).await?)?;
                transaction.commit().await?;
                Ok(Some(source))
            })
            .await;
        match written {
            Ok(Some(source)) => Ok(Stored::Done(Box::new(source))),
            Ok(None) => Ok(otherwise),
            Err(error) if error.is_duplicate(URL_CONSTRAINT) => Ok(Stored::Duplicate),
            Err(error) => Err(error),
        }
    }

    /// Deletes a source with its workflows, their schedules and tasks. Returns the tasks that were running; `None`
    /// where there is no such source.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn delete_source(&self, id: SourceId) -> Result<Option<Vec<TaskId>>, Error> {
        self.run(move |mut connection| async move {
            let transaction = pool::begin(&mut connection).await?;
            // The lock keeps out a sync, which would add a workflow.
            let lock = "SELECT FROM workflow_sources WHERE id = $1 FOR UPDATE";
            if transaction.query_typed_opt(lock, &[(&id.0, Type::UUID)]).await?.is_none() {
                return Ok(None);
            }
            let workflows = "SELECT id FROM workflows WHERE workflow_source_id = $1 ORDER BY id FOR UPDATE";
            let workflows = transaction.query_typed(workflows, &[(&id.0, Type::UUID)]).await?;
            let workflows = workflows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<_>, _>>()?;
            gate::delete_gates(&transaction, &[id.0]).await?;
            let running = delete_workflows(&transaction, &workflows).await?;
            let sql = "DELETE FROM workflow_sources WHERE id = $1";
            transaction.execute_typed(sql, &[(&id.0, Type::UUID)]).await?;
            transaction.commit().await?;
            Ok(Some(running))
        })
        .await
    }
}
