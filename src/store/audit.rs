//! The audit trail: who changed what over the API.
//!
//! A row is written before its change and once more after it. Until then its status is 0 in the table: no answer has
//! that, and versions that know nothing of rows without a status read it all the same.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::task_read::Start;
use super::{Error, Store};
use crate::domain::ids::KeyId;

const COLUMNS: &str = "id, at, actor, key_id, remote, action, entity_type, entity_id, summary, status";

/// The same, to read.
const SHOWN: &str = "id, at, actor, key_id, remote, action, entity_type, entity_id, summary, nullif(status, 0)";

const FILTER: &str = "($1::text IS NULL OR actor = $1) AND ($2::text IS NULL OR action = $2) \
    AND ($3::text IS NULL OR entity_type = $3) AND ($4::text IS NULL OR entity_id = $4) \
    AND ($5::timestamptz IS NULL OR at >= $5) AND ($6::timestamptz IS NULL OR at < $6)";

/// A change that was begun.
#[derive(Clone, Debug)]
pub struct AuditRecord {
    /// Its id; time-ordered.
    pub id: Uuid,
    /// When it began.
    pub at: DateTime<Utc>,
    /// Who: the name of a key, or how somebody without a stored one is called.
    pub actor: String,
    /// The stored key, if it was one: a name may be used again.
    pub key_id: Option<KeyId>,
    /// Where the connection came from.
    pub remote: Option<IpAddr>,
    /// Stable name of what was done.
    pub action: String,
    /// What kind of thing it was done to.
    pub entity_type: String,
    /// Which one.
    pub entity_id: Option<String>,
    /// What changed.
    pub summary: Value,
    /// The status that was answered. None: it began, and nobody noted how it ended.
    pub status: Option<i16>,
}

/// Which changes; what is absent does not matter.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// By whom.
    pub actor: Option<String>,
    /// What was done.
    pub action: Option<String>,
    /// To which kind of thing.
    pub entity_type: Option<String>,
    /// To which thing.
    pub entity_id: Option<String>,
    /// At this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Before this time.
    pub until: Option<DateTime<Utc>>,
}

impl Store {
    /// Writes a row of the trail, or what became known of it since it was written. Doing it twice does no harm.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn put_audit(&self, row: AuditRecord) -> Result<(), Error> {
        self.run(move |connection| async move {
            let sql = format!(
                "INSERT INTO audit ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce($10, 0))
                 ON CONFLICT (id) DO UPDATE SET
                    entity_id = excluded.entity_id, summary = excluded.summary, status = excluded.status"
            );
            let key_id = row.key_id.map(|id| id.0);
            let params: [_; 10] = [
                (&row.id as _, Type::UUID),
                (&row.at as _, Type::TIMESTAMPTZ),
                (&row.actor as _, Type::TEXT),
                (&key_id as _, Type::UUID),
                (&row.remote as _, Type::INET),
                (&row.action as _, Type::TEXT),
                (&row.entity_type as _, Type::TEXT),
                (&row.entity_id as _, Type::TEXT),
                (&row.summary as _, Type::JSONB),
                (&row.status as _, Type::INT2),
            ];
            connection.execute_typed(&sql, &params).await?;
            Ok(())
        })
        .await
    }

    /// Takes back the row of a change that was refused.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn remove_audit(&self, id: Uuid) -> Result<(), Error> {
        self.run(move |connection| async move {
            connection.execute_typed("DELETE FROM audit WHERE id = $1", &[(&id, Type::UUID)]).await?;
            Ok(())
        })
        .await
    }

    /// The trail, newest first: at most `limit` rows, and how many the filter fits in all.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn audit(&self, filter: AuditFilter, start: Start, limit: i64) -> Result<(Vec<AuditRecord>, i64), Error> {
        self.run(move |connection| async move {
            let mut params: Vec<(&(dyn ToSql + Sync), Type)> = vec![
                (&filter.actor, Type::TEXT),
                (&filter.action, Type::TEXT),
                (&filter.entity_type, Type::TEXT),
                (&filter.entity_id, Type::TEXT),
                (&filter.since, Type::TIMESTAMPTZ),
                (&filter.until, Type::TIMESTAMPTZ),
            ];
            let count = format!("SELECT count(*) FROM audit WHERE {FILTER}");
            let total = connection.query_typed_one(&count, &params).await?.try_get(0)?;
            let (offset, after_time, after_id) = match start {
                Start::Offset(offset) => (offset, None, None),
                Start::After(time, id) => (0, Some(time), Some(id)),
            };
            let sql = format!(
                "SELECT {SHOWN} FROM audit WHERE {FILTER} \
                 AND ($7::timestamptz IS NULL OR (at, id) < ($7, $8::uuid)) \
                 ORDER BY at DESC, id DESC LIMIT $9 OFFSET $10"
            );
            params.extend([
                (&after_time as &(dyn ToSql + Sync), Type::TIMESTAMPTZ),
                (&after_id, Type::UUID),
                (&limit, Type::INT8),
                (&offset, Type::INT8),
            ]);
            let rows = connection.query_typed(&sql, &params).await?;
            Ok((rows.iter().map(AuditRecord::from_row).collect::<Result<_, _>>()?, total))
        })
        .await
    }
}

impl AuditRecord {
    fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.try_get(0)?,
            at: row.try_get(1)?,
            actor: row.try_get(2)?,
            key_id: row.try_get::<_, Option<Uuid>>(3)?.map(KeyId),
            remote: row.try_get(4)?,
            action: row.try_get(5)?,
            entity_type: row.try_get(6)?,
            entity_id: row.try_get(7)?,
            summary: row.try_get(8)?,
            status: row.try_get(9)?,
        })
    }
}
