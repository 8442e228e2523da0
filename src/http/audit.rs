//! `/api/v1/audit`: who changed what. (`trail.rs` writes it.)

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::web::{Data, Json};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::{Error, ValidationBody};
use super::page::{Page, read_cursor, write_cursor};
use super::query::Query;
use super::state::ApiState;
use crate::domain::ids::KeyId;
use crate::store::audit::{AuditFilter, AuditRecord};
use crate::store::task_read::Start;

/// A change that was made.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditEntry {
    /// Its id.
    pub id: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// Who: a key's name, `configured key`, or `anonymous (no key configured)`.
    #[schema(example = "ci")]
    pub actor: String,
    /// The key's id, if it is a stored one: a name may be used again.
    #[schema(value_type = Option<Uuid>)]
    pub key_id: Option<KeyId>,
    /// Where the connection came from. Behind a proxy that is the proxy.
    #[schema(value_type = Option<String>, example = "10.0.0.7")]
    pub remote: Option<IpAddr>,
    /// Stable name of what was done.
    #[schema(example = "schedule.pause")]
    pub action: String,
    /// The kind of thing it was done to.
    #[schema(example = "schedule")]
    pub entity_type: String,
    /// Which one; none where it was several.
    pub entity_id: Option<String>,
    /// What changed: `changed` holds new values, `not_shown` the names of fields whose values are secret or long,
    /// `filter` and `counts` what a bulk operation was told and did.
    #[schema(value_type = Object)]
    pub summary: Value,
    /// The status that was answered.
    pub status: i16,
}

impl From<AuditRecord> for AuditEntry {
    fn from(row: AuditRecord) -> Self {
        Self {
            id: row.id,
            at: row.at,
            actor: row.actor,
            key_id: row.key_id,
            remote: row.remote,
            action: row.action,
            entity_type: row.entity_type,
            entity_id: row.entity_id,
            summary: row.summary,
            status: row.status,
        }
    }
}

/// Show the audit trail, newest first.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "keys",
    params(
        ("actor" = Option<String>, Query, description = "A key's name, or how else an actor is called"),
        ("action" = Option<String>, Query), ("entity_type" = Option<String>, Query),
        ("entity_id" = Option<String>, Query),
        ("since" = Option<DateTime<Utc>>, Query, description = "At this time or later"),
        ("until" = Option<DateTime<Utc>>, Query, description = "Before this time"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100), ("offset" = Option<i64>, Query, minimum = 0),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, instead of an offset"),
    ),
    responses(
        (status = 200, description = "A page of changes", body = Page<AuditEntry>),
        (status = 422, description = "Parts of the query can't be used", body = ValidationBody),
    )
)]
pub(super) async fn list(state: Data<ApiState>, request: HttpRequest) -> Result<Json<Page<AuditEntry>>, Error> {
    Ok(Json(find(&state, Query::of(&request)).await?))
}

/// The page of the trail that a query asks for.
pub(super) async fn find(state: &ApiState, mut query: Query) -> Result<Page<AuditEntry>, Error> {
    let span = query.span();
    let filter = AuditFilter {
        actor: query.text("actor"),
        action: query.text("action"),
        entity_type: query.text("entity_type"),
        entity_id: query.text("entity_id"),
        since: query.time("since"),
        until: query.time("until"),
    };
    let cursor = query.text("cursor");
    let after = cursor.as_deref().and_then(read_cursor);
    if cursor.is_some() && after.is_none() {
        query.refuse("cursor", "cursor must be the next_cursor of another page");
    }
    query.finish()?;
    let start = after.map_or(Start::Offset(span.offset), |(time, id)| Start::After(time, id));
    // One more than asked for tells whether more follow, also after a cursor.
    let (mut rows, total) = state.store.audit(filter, start, span.limit + 1).await?;
    let has_more = i64::try_from(rows.len()).is_ok_and(|found| found > span.limit);
    rows.truncate(usize::try_from(span.limit).unwrap_or(usize::MAX));
    let next_cursor = rows.last().filter(|_| has_more).map(|row| write_cursor(row.at, row.id));
    let items = rows.into_iter().map(AuditEntry::from).collect();
    Ok(Page { has_more, next_cursor, ..Page::new(items, total, span) })
}
