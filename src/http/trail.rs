//! Writes the audit trail: one row for each change, before it is made.
//!
//! The row is written here and not in the handlers, so that none can forget it. First it says that the change began: so
//! there is no change without a row, whatever dies or goes away meanwhile. When the change has ended, the row is completed
//! with the answer's status and with what changed, read off the request and the answer (`summary.rs`); a handler that knows
//! better which thing it changed says so with [`Changed`]. The row of what was refused is taken back. One that stays as it
//! was begun tells of a change whose outcome nobody noted.

use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::ErrorInternalServerError;
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, rt, web};
use serde_json::json;
use uuid::Uuid;

use super::auth::Caller;
use super::body::Body;
use super::error::Error;
use super::state::ApiState;
use super::summary::{self, Summary};
use super::{not_found, policy};
use crate::domain::clock;
use crate::store::audit::AuditRecord;
use crate::store::{self, Store};

/// Longest id of a thing that is kept.
const ID_MAX: usize = 255;
/// Wait before an end that could not be written is tried again.
const LATE_PAUSE: Duration = Duration::from_secs(1);
/// How often that is tried: a database that is restarted or fails over is back by then. Few wait at a time, since nothing
/// new begins while the database is away.
const LATE_TRIES: u32 = 600;

/// The id of what a handler changed, in the extensions of its request: where the path names it otherwise, and the
/// answer does not name it.
#[derive(Clone, Debug)]
pub(super) struct Changed(pub(super) String);

/// Writes the row of a request, carries it out, and completes the row. Where the row can't be written nothing is changed.
///
/// It runs to its end also where the client goes away meanwhile: how a change ended must not slip past the trail that way.
pub(super) async fn follow(
    caller: Caller,
    route: &'static str,
    action: &'static str,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let work = rt::spawn(async move {
        let Some(state) = request.app_data::<web::Data<ApiState>>().cloned() else {
            return Ok(request.into_response(not_found().await));
        };
        // The body first: the row says what was asked for, and a slow client keeps none open.
        if let Err(error) = Body::read_ahead(&mut request).await {
            return Ok(request.error_response(error));
        }
        let row = begun(caller, route, action, &request);
        if let Err(error) = state.store.put_audit(row.clone()).await {
            return Ok(request.error_response(Error::from(error)));
        }
        let (request, response) = next.call(request).await?.into_parts();
        let (head, body) = response.into_parts();
        let (bytes, response) = match body.try_into_bytes() {
            Ok(bytes) => (Some(bytes.clone()), head.set_body(bytes).map_into_boxed_body()),
            Err(body) => (None, head.set_body(body).map_into_boxed_body()),
        };
        note(&state.store, End::of(row, &request, &response, bytes.as_deref().unwrap_or_default())).await;
        Ok(ServiceResponse::new(request, response))
    });
    work.await.map_err(|_| ErrorInternalServerError("the request broke off"))?
}

/// The row of a change that is about to be made.
fn begun(caller: Caller, route: &str, action: &str, request: &ServiceRequest) -> AuditRecord {
    AuditRecord {
        id: Uuid::now_v7(),
        at: clock::now(),
        actor: caller.actor.to_string(),
        key_id: caller.key_id,
        remote: request.peer_addr().map(|address| address.ip().to_canonical()),
        action: action.to_owned(),
        entity_type: policy::entity_type(action).to_owned(),
        entity_id: named(route, request.match_info().as_str()).map(plain),
        summary: summary_of(request.request(), b"").text,
        status: None,
    }
}

/// What a path names, where its route has a name for it.
fn named<'a>(route: &str, path: &'a str) -> Option<&'a str> {
    route.split('/').zip(path.split('/')).find_map(|(part, given)| part.starts_with('{').then_some(given))
}

fn summary_of(request: &HttpRequest, answer: &[u8]) -> Summary {
    let extensions = request.extensions();
    let asked = extensions.get::<Body>().map(Body::bytes).unwrap_or_default();
    summary::of(asked, request.query_string(), answer)
}

/// Ids are looked for as the API writes them; others are kept as far as the database takes them.
fn plain(id: &str) -> String {
    match Uuid::try_parse(id) {
        Ok(id) => id.to_string(),
        Err(_) => id.replace('\0', "").chars().take(ID_MAX).collect(),
    }
}

/// What becomes of a row that was begun.
#[derive(Clone)]
enum End {
    /// It says how the change ended.
    Known(Box<AuditRecord>),
    /// Nothing was changed, and the row goes.
    Refused(Uuid),
}

impl End {
    fn of(row: AuditRecord, request: &HttpRequest, response: &HttpResponse, answer: &[u8]) -> Self {
        let status = response.status();
        let error = response.error().and_then(|error| error.as_error::<Error>());
        if status.is_client_error() && !error.is_some_and(Error::is_after_changes) {
            return Self::Refused(row.id);
        }
        // An error's fields are no values of what was asked for; of one that broke off it is known how far it came.
        let counts = error.and_then(Error::changed).map(|changed| json!({"changed": changed}).to_string());
        let answer = if status.is_success() { answer } else { counts.as_deref().unwrap_or_default().as_bytes() };
        let summary = summary_of(request, answer);
        let changed = request.extensions().get::<Changed>().map(|changed| changed.0.clone());
        Self::Known(Box::new(AuditRecord {
            entity_id: changed.or(summary.id).map(|id| plain(&id)).or(row.entity_id),
            summary: summary.text,
            status: Some(i16::try_from(status.as_u16()).unwrap_or(i16::MAX)),
            ..row
        }))
    }

    fn id(&self) -> Uuid {
        match self {
            Self::Known(row) => row.id,
            Self::Refused(id) => *id,
        }
    }

    async fn write(self, store: &Store) -> Result<(), store::Error> {
        match self {
            Self::Known(row) => store.put_audit(*row).await,
            Self::Refused(id) => store.remove_audit(id).await,
        }
    }

    /// Until it is written, if it ever is, the log is the one place that can tell of it.
    fn log_unwritten(&self, error: &store::Error) {
        match self {
            Self::Known(row) => {
                let row = json!({
                    "id": row.id, "at": row.at, "actor": row.actor, "key_id": row.key_id, "remote": row.remote,
                    "action": row.action, "entity_type": row.entity_type, "entity_id": row.entity_id,
                    "summary": row.summary, "status": row.status,
                });
                log::error!("how a change ended is not in the audit trail ({error}): {row}");
            }
            Self::Refused(id) => {
                log::warn!("a change that was refused stays in the audit trail as one that began ({error}): {id}");
            }
        }
    }
}

/// Completes a row or takes it back; where the database is away, later, as far as this service lives.
async fn note(store: &Store, end: End) {
    let Err(error) = end.clone().write(store).await else { return };
    end.log_unwritten(&error);
    if error.is_transient() {
        rt::spawn(note_late(store.clone(), end));
    }
}

async fn note_late(store: Store, end: End) {
    for _ in 0..LATE_TRIES {
        rt::time::sleep(LATE_PAUSE).await;
        match end.clone().write(&store).await {
            Ok(()) => return log::info!("how a change ended is in the audit trail by now: {}", end.id()),
            Err(error) if error.is_transient() => {}
            Err(error) => return end.log_unwritten(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_what_its_route_has_a_name_for() {
        assert_eq!(named("/api/v1/queues/{queue}/pause", "/api/v1/queues/low/pause"), Some("low"));
        assert_eq!(named("/api/v1/sources/{id}", "/api/v1/sources/x/"), Some("x"));
        assert_eq!(named("/api/v1/sources", "/api/v1/sources"), None);
    }

    #[test]
    fn ids_are_kept_in_one_form() {
        assert_eq!(plain("0192F3A17B2C70018000000000000001"), "0192f3a1-7b2c-7001-8000-000000000001");
        assert_eq!(plain("celery"), "celery");
        assert_eq!(plain(&format!("a\0{}", "x".repeat(300))).len(), ID_MAX);
    }
}
