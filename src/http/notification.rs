//! `/api/v1/notifications`: who is told of what, and what came of it.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use rand::RngExt as _;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::auth::Caller;
use super::body::Body;
use super::error::{Error, ErrorBody, Problem, ValidationBody};
use super::notification_body::NotificationBody;
use super::page::Page;
use super::query::Query;
use super::shown;
use super::source::Message;
use super::state::ApiState;
use crate::domain::access::Scope;
use crate::domain::ids::{NotificationId, WorkflowId};
use crate::domain::notification::NotificationEvent;
use crate::domain::queue::QueueName;
use crate::domain::source::Secret;
use crate::domain::webhook::{FRESH_BYTES, SigningKey};
use crate::store::delivery::DeliveryRecord;
use crate::store::notification::{NOTIFICATIONS_MAX, NotificationFilter, NotificationRecord, Stored};

/// Whom to tell of what. Its secret is never shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct Notification {
    /// Its id.
    #[schema(value_type = Uuid)]
    id: NotificationId,
    /// What it is called.
    #[schema(example = "on-call")]
    name: String,
    /// Where messages are posted. Receivers often put a secret into its path, so a key whose scope is below admin is shown
    /// no more than the server.
    #[schema(example = "https://alerts.example.com/spark")]
    url: String,
    /// What is told of.
    #[schema(value_type = Vec<String>, example = json!(["task.failed"]))]
    events: Vec<NotificationEvent>,
    /// Only of this workflow.
    #[schema(value_type = Option<Uuid>)]
    workflow_id: Option<WorkflowId>,
    /// Only of this queue, where it is about queues.
    #[schema(value_type = Option<String>)]
    queue: Option<QueueName>,
    /// So many waiting tasks are too many.
    queue_depth: Option<i32>,
    /// A task that has waited for so long has waited too long.
    queue_age_s: Option<i32>,
    /// `active` or `inactive`.
    #[schema(example = "active")]
    status: &'static str,
    /// Messages that are still to be delivered.
    waiting: i64,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

/// A notification that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewNotification {
    /// What is stored of it.
    #[serde(flatten)]
    stored: Notification,
    /// The secret that was made for it, shown this once; absent where one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    secret: Option<Secret>,
}

/// A message, and what came of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Delivery {
    /// Its id, the `webhook-id` of every try.
    id: Uuid,
    /// What it tells of.
    #[schema(example = "task.failed")]
    event: String,
    /// `pending`, `delivered` or `given_up`.
    #[schema(example = "delivered")]
    status: String,
    /// How often it was tried.
    tries: i32,
    /// The status that the last try was answered with.
    last_status: Option<i16>,
    /// Why the last try failed.
    last_error: Option<String>,
    /// When it is tried next; none once it has ended.
    next_try_at: Option<DateTime<Utc>>,
    /// When there was something to tell.
    created_at: DateTime<Utc>,
    /// When it was delivered or given up.
    ended_at: Option<DateTime<Utc>>,
    /// What is sent.
    #[schema(value_type = serde_json::Value)]
    body: Option<Box<RawValue>>,
}

impl Notification {
    /// As far as it may be shown to whoever asks.
    fn for_caller(stored: NotificationRecord, caller: &Caller) -> Self {
        let mut shown = Self::from(stored);
        if caller.scope < Scope::Admin {
            shown.url = server_of(&shown.url);
        }
        shown
    }
}

/// A url without what may be a secret.
fn server_of(url: &str) -> String {
    url::Url::parse(url).map_or_else(|_| "***".to_owned(), |url| format!("{}/***", url.origin().ascii_serialization()))
}

impl From<NotificationRecord> for Notification {
    fn from(stored: NotificationRecord) -> Self {
        let rule = stored.rule;
        Self {
            id: stored.id,
            name: rule.name,
            url: rule.url,
            events: rule.events,
            workflow_id: rule.workflow,
            queue: rule.queue,
            queue_depth: rule.queue_depth,
            queue_age_s: rule.queue_age_s,
            status: if rule.active { "active" } else { "inactive" },
            waiting: stored.waiting,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        }
    }
}

impl From<DeliveryRecord> for Delivery {
    fn from(stored: DeliveryRecord) -> Self {
        Self {
            id: stored.id,
            event: stored.event,
            status: stored.status,
            tries: stored.tries,
            last_status: stored.last_status,
            last_error: stored.last_error,
            next_try_at: stored.next_try_at,
            created_at: stored.created_at,
            ended_at: stored.ended_at,
            body: shown::json(Some(stored.body)),
        }
    }
}

/// Make a notification. Where no secret is given, one is made, and the answer is the only place that ever shows it.
#[utoipa::path(
    post, path = "/api/v1/notifications", tag = "notifications", request_body = NotificationBody,
    responses(
        (status = 201, description = "The notification", body = NewNotification),
        (status = 400, description = "There are too many notifications", body = ErrorBody),
        (status = 409, description = "Another notification has the name", body = ErrorBody),
        (status = 422, description = "Parts of the body can't be used", body = ValidationBody),
    )
)]
pub(super) async fn create(state: Data<ApiState>, body: Body) -> Result<HttpResponse, Error> {
    let new: NotificationBody = body.json()?;
    let mut draft = new.over(None)?;
    refuse_unknown_workflow(&state, draft.rule.workflow).await?;
    let made = draft.secret.is_none().then(|| SigningKey::fresh(rand::rng().random::<[u8; FRESH_BYTES]>()));
    draft.secret = draft.secret.or_else(|| made.clone());
    let stored = stored(state.store.add_notification(draft).await?)?;
    Ok(HttpResponse::Created().json(NewNotification { stored, secret: made }))
}

/// List notifications, newest first.
#[utoipa::path(
    get, path = "/api/v1/notifications", tag = "notifications",
    params(
        ("named" = Option<String>, Query, description = "The whole name"),
        ("id_prefix" = Option<String>, Query, description = "Beginning of the id"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100), ("offset" = Option<i64>, Query, minimum = 0),
    ),
    responses(
        (status = 200, description = "A page of notifications", body = Page<Notification>),
        (status = 422, description = "Parts of the query can't be used", body = ValidationBody),
    )
)]
pub(super) async fn list(
    state: Data<ApiState>,
    caller: Caller,
    request: HttpRequest,
) -> Result<Json<Page<Notification>>, Error> {
    let mut query = Query::of(&request);
    let span = query.span();
    let filter = NotificationFilter { named: query.text("named"), id_prefix: query.read("id_prefix") };
    query.finish()?;
    let (items, total) = state.store.notifications(filter, span.offset, span.limit).await?;
    let shown = items.into_iter().map(|stored| Notification::for_caller(stored, &caller)).collect();
    Ok(Json(Page::new(shown, total, span)))
}

/// Show a notification.
#[utoipa::path(
    get, path = "/api/v1/notifications/{id}", tag = "notifications", params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "The notification", body = Notification),
        (status = 404, description = "Notification not found", body = ErrorBody),
    )
)]
pub(super) async fn get(state: Data<ApiState>, caller: Caller, id: Path<String>) -> Result<Json<Notification>, Error> {
    Ok(Json(Notification::for_caller(find(&state, &id).await?, &caller)))
}

/// Change a notification. Where that changes what is told of, what is the case then is told of anew.
#[utoipa::path(
    patch, path = "/api/v1/notifications/{id}", tag = "notifications", params(("id" = uuid::Uuid, Path)),
    request_body = NotificationBody,
    responses(
        (status = 200, description = "The notification", body = Notification),
        (status = 404, description = "Notification not found", body = ErrorBody),
        (status = 409, description = "Another notification has the name", body = ErrorBody),
        (status = 422, description = "Parts of the body can't be used", body = ValidationBody),
    )
)]
pub(super) async fn patch(state: Data<ApiState>, id: Path<String>, body: Body) -> Result<Json<Notification>, Error> {
    let patch: NotificationBody = body.json()?;
    let is_moved = patch.workflow_id.is_some();
    let former = find(&state, &id).await?;
    let id = former.id;
    let draft = patch.over(Some(former))?;
    if is_moved {
        refuse_unknown_workflow(&state, draft.rule.workflow).await?;
    }
    Ok(Json(stored(state.store.update_notification(id, draft).await?)?))
}

/// Delete a notification with its deliveries; what is still to be delivered is not.
#[utoipa::path(
    delete, path = "/api/v1/notifications/{id}", tag = "notifications", params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "It is deleted", body = Message),
        (status = 404, description = "Notification not found", body = ErrorBody),
    )
)]
pub(super) async fn delete(state: Data<ApiState>, id: Path<String>) -> Result<Json<Message>, Error> {
    if state.store.delete_notification(parse_id(&id)?).await? {
        Ok(Json(Message { message: "Notification deleted successfully" }))
    } else {
        Err(NOT_FOUND)
    }
}

/// Send a message to try the receiver, also of a notification that is inactive. It is tried once; its delivery, which is
/// answered, tells soon what came of it.
#[utoipa::path(
    post, path = "/api/v1/notifications/{id}/test", tag = "notifications", params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 202, description = "The delivery, which is about to be made", body = Delivery),
        (status = 404, description = "Notification not found", body = ErrorBody),
    )
)]
pub(super) async fn test(state: Data<ApiState>, id: Path<String>) -> Result<HttpResponse, Error> {
    let delivery = state.store.add_test_delivery(parse_id(&id)?).await?.ok_or(NOT_FOUND)?;
    Ok(HttpResponse::Accepted().json(Delivery::from(delivery)))
}

/// List the deliveries of a notification, newest first. They are kept for 30 days.
#[utoipa::path(
    get, path = "/api/v1/notifications/{id}/deliveries", tag = "notifications",
    params(
        ("id" = uuid::Uuid, Path),
        ("status" = Option<String>, Query, description = "Only those `pending`, `delivered` or `given_up`"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100), ("offset" = Option<i64>, Query, minimum = 0),
    ),
    responses(
        (status = 200, description = "A page of deliveries", body = Page<Delivery>),
        (status = 404, description = "Notification not found", body = ErrorBody),
        (status = 422, description = "Parts of the query can't be used", body = ValidationBody),
    )
)]
pub(super) async fn deliveries(
    state: Data<ApiState>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<Json<Page<Delivery>>, Error> {
    let mut query = Query::of(&request);
    let span = query.span();
    let status = query.text("status");
    if status.as_ref().is_some_and(|status| !["pending", "delivered", "given_up"].contains(&status.as_str())) {
        query.refuse("status", "status must be pending, delivered or given_up");
    }
    query.finish()?;
    let id = find(&state, &id).await?.id;
    let (items, total) = state.store.deliveries(id, status, span.offset, span.limit).await?;
    Ok(Json(Page::new(items.into_iter().map(Delivery::from).collect(), total, span)))
}

const NOT_FOUND: Error = Error::NotFound("Notification");

fn parse_id(text: &str) -> Result<NotificationId, Error> {
    text.parse().map_err(|_| NOT_FOUND)
}

async fn find(state: &ApiState, id: &str) -> Result<NotificationRecord, Error> {
    state.store.notification(parse_id(id)?).await?.ok_or(NOT_FOUND)
}

async fn refuse_unknown_workflow(state: &ApiState, workflow: Option<WorkflowId>) -> Result<(), Error> {
    let Some(id) = workflow else { return Ok(()) };
    match state.store.workflow(id).await? {
        Some(_) => Ok(()),
        None => Err(Error::invalid(Problem::body("workflow_id", "there is no workflow with this id"))),
    }
}

fn stored(stored: Stored) -> Result<Notification, Error> {
    match stored {
        Stored::Done(notification) => Ok((*notification).into()),
        Stored::Unknown => Err(NOT_FOUND),
        Stored::NameTaken => Err(Error::Conflict {
            code: "notification_name_taken",
            detail: "Another notification has this name; change that one instead, or choose another name".to_owned(),
        }),
        Stored::Full => Err(Error::refused(
            "notification_limit",
            format!("There are {NOTIFICATIONS_MAX} notifications; delete some first"),
        )),
    }
}
