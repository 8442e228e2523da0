//! Sources and workflows: kinds in our spelling, and workflows that name their source by url alone.

use tokio_postgres::types::Type;

use super::Step;
use super::report::TakenOver;
use crate::domain::source::SourceKind;
use crate::store::Error;

/// The flow may be there already, or be there twice among those that are linked now: one of them is the one that is
/// synced, the others keep their tasks and schedules.
const LINK: &str = "
    WITH found AS (
        SELECT w.id, w.remote_flow_id, s.id AS source_id, first_value(w.id) OVER (
                   PARTITION BY s.id, w.remote_flow_id ORDER BY w.updated_at DESC NULLS LAST, w.id) AS newest
          FROM workflows w
          JOIN LATERAL (SELECT id FROM workflow_sources WHERE rtrim(url, '/') = rtrim(w.source, '/')
                         ORDER BY created_at, id LIMIT 1) s ON true
         WHERE w.workflow_source_id IS NULL
    ), linked AS (
        UPDATE workflows w
           SET workflow_source_id = f.source_id,
               duplicate_of = coalesce((SELECT k.id FROM workflows k
                                         WHERE k.workflow_source_id = f.source_id AND k.duplicate_of IS NULL
                                           AND k.remote_flow_id = f.remote_flow_id),
                                       nullif(f.newest, f.id))
          FROM found f WHERE w.id = f.id AND w.workflow_source_id IS NULL
        RETURNING w.id
    )
    INSERT INTO takeover_changes (takeover_id, entity, entity_id, field, reason)
    SELECT $1, 'workflow', id, 'workflow_source_id', 'it named its source by url alone' FROM linked";

const RESPELL: &str = "
    WITH spelled AS (UPDATE workflow_sources SET source_type = $4 WHERE source_type = $3 RETURNING id)
    INSERT INTO takeover_changes (takeover_id, entity, entity_id, field, former, reason)
    SELECT $1, 'source', id, 'source_type', $3, 'another spelling' FROM spelled";

const UNLINKED: &str = "SELECT count(*) FROM workflows WHERE workflow_source_id IS NULL";
const DUPLICATES: &str = "SELECT count(*) FROM workflows WHERE duplicate_of IS NOT NULL";

pub(super) async fn link(step: &Step<'_>, report: &mut TakenOver) -> Result<(), Error> {
    for row in step.transaction.query_typed("SELECT DISTINCT source_type FROM workflow_sources", &[]).await? {
        let former: String = row.try_get(0)?;
        let ours = former.trim().to_ascii_lowercase().replace(['_', ' '], "-").parse::<SourceKind>();
        if let Some(ours) = ours.ok().map(SourceKind::as_str).filter(|ours| *ours != former) {
            let count = step.change(RESPELL, &[(&former, Type::TEXT), (&ours, Type::TEXT)]).await?;
            report.note(&format!("sources of type {former:?}, which is {ours} now"), count);
        }
    }
    let linked = step.change(LINK, &[]).await?;
    report.note("workflows linked to the source whose url they name", linked);
    let count = async |sql| -> Result<u64, Error> {
        Ok(step.transaction.query_typed_one(sql, &[]).await?.try_get::<_, i64>(0)?.unsigned_abs())
    };
    report.note(
        "workflows without a known source, kept; they can't run before they are synced again",
        count(UNLINKED).await?,
    );
    report.note(
        "workflows of a flow that was synced twice, kept; a sync updates the newest of them",
        count(DUPLICATES).await?,
    );
    Ok(())
}
