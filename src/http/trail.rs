//! Writes the audit trail: one row for each change that was made, before its answer is sent.
//!
//! The row is written here and not in the handlers, so that none can forget it. What it says is read off the request
//! and the answer (`summary.rs`); a handler that knows better which thing it changed says so with [`Changed`].

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::ErrorInternalServerError;
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, web};
use serde_json::json;
use uuid::Uuid;

use super::auth::Caller;
use super::body::Body;
use super::state::ApiState;
use super::{policy, summary};
use crate::domain::clock;
use crate::store::audit::AuditRecord;

/// Longest id of a thing that is kept.
const ID_MAX: usize = 255;

/// The id of what a handler changed, in the extensions of its request: where the path names it otherwise, and the
/// answer does not name it.
#[derive(Clone, Debug)]
pub(super) struct Changed(pub(super) String);

/// Carries a request out and, where it succeeded, writes its row.
///
/// It runs to its end also where the client goes away meanwhile: a change must not slip past the trail that way.
pub(super) async fn follow(
    caller: Caller,
    action: &'static str,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let work = actix_web::rt::spawn(async move {
        let (request, response) = next.call(request).await?.into_parts();
        let (head, body) = response.into_parts();
        let (bytes, response) = match body.try_into_bytes() {
            Ok(bytes) => (Some(bytes.clone()), head.set_body(bytes).map_into_boxed_body()),
            Err(body) => (None, head.set_body(body).map_into_boxed_body()),
        };
        if response.status().is_success() {
            write(row(caller, action, &request, bytes.as_deref(), response.status().as_u16()), &request).await;
        }
        Ok(ServiceResponse::new(request, response))
    });
    work.await.map_err(|_| ErrorInternalServerError("the request broke off"))?
}

fn row(caller: Caller, action: &str, request: &HttpRequest, answer: Option<&[u8]>, status: u16) -> AuditRecord {
    let extensions = request.extensions();
    let asked = extensions.get::<Body>().map(Body::bytes).unwrap_or_default();
    let summary = summary::of(asked, request.query_string(), answer.unwrap_or_default());
    let named = request.match_info().iter().next().map(|(_, value)| value.to_owned());
    let entity_id = extensions.get::<Changed>().map(|changed| changed.0.clone()).or(summary.id).or(named);
    AuditRecord {
        id: Uuid::now_v7(),
        at: clock::now(),
        actor: caller.actor.to_string(),
        key_id: caller.key_id,
        remote: request.peer_addr().map(|address| address.ip().to_canonical()),
        action: action.to_owned(),
        entity_type: policy::entity_type(action).to_owned(),
        entity_id: entity_id.map(|id| plain(&id)),
        summary: summary.text,
        status: i16::try_from(status).unwrap_or(i16::MAX),
    }
}

/// Ids are looked for as the API writes them; others are kept as far as the database takes them.
fn plain(id: &str) -> String {
    match Uuid::try_parse(id) {
        Ok(id) => id.to_string(),
        Err(_) => id.replace('\0', "").chars().take(ID_MAX).collect(),
    }
}

/// The change has been made. If its row can't be written, the log is the one place left that can tell of it.
async fn write(row: AuditRecord, request: &HttpRequest) {
    let Some(state) = request.app_data::<web::Data<ApiState>>() else { return };
    if let Err(error) = state.store.add_audit(row.clone()).await {
        let row = json!({
            "id": row.id, "at": row.at, "actor": row.actor, "key_id": row.key_id, "remote": row.remote,
            "action": row.action, "entity_type": row.entity_type, "entity_id": row.entity_id,
            "summary": row.summary, "status": row.status,
        });
        log::error!("a change that was made is not in the audit trail ({error}): {row}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kept_in_one_form() {
        assert_eq!(plain("0192F3A17B2C70018000000000000001"), "0192f3a1-7b2c-7001-8000-000000000001");
        assert_eq!(plain("celery"), "celery");
        assert_eq!(plain(&format!("a\0{}", "x".repeat(300))).len(), ID_MAX);
    }
}
