//! The REST API: one resource a file, with its request and response types.
//!
//! Handlers read a request, call a use case of `dispatch` or the store, and show what came of it; they never hold an
//! actor's address. What can go wrong becomes an answer in one table, `error.rs`.

pub mod adapter;
pub mod audit;
mod auth;
mod body;
pub mod bulk;
mod cors;
mod dashboard;
pub mod diagnosis;
pub mod error;
pub mod events;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod harden;
pub mod health;
pub mod key;
mod keyring;
pub mod limits;
mod metrics;
pub mod notification;
pub mod notification_body;
pub mod occurrence;
pub mod openapi;
pub mod page;
mod policy;
pub mod pool;
pub mod preview;
mod query;
pub mod queue;
pub mod remote;
mod room;
pub mod run;
pub mod schedule;
pub mod schedule_body;
mod session;
mod shown;
pub mod source;
pub mod source_body;
mod sse;
pub mod state;
pub mod stats;
mod summary;
pub mod task;
pub mod task_log;
mod trail;
pub mod worker;
pub mod workflow;
pub mod workflow_change;

use std::any::Any;
use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::guard::{self, Guard, GuardContext};
use actix_web::http::header::{ACCEPT, ALLOW};
use actix_web::middleware::{NormalizePath, from_fn};
use actix_web::rt::net::TcpStream;
use actix_web::web::{self, Data, ServiceConfig, get, post};
use actix_web::{App, HttpResponse, HttpServer, Resource};

use rustix::net::sockopt::set_tcp_user_timeout;

pub use error::{Error, ErrorBody};
pub use keyring::Keyring;
pub use state::{ApiOptions, ApiState};

/// How long a connection that is being closed is read on, so that a client that still sends hears the answer.
const LINGER: Duration = Duration::from_secs(1);
/// How long a client may take nothing of what it is sent.
const STALLED: Duration = Duration::from_secs(60);
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Serves the API on a listener, on so many threads. Stops when its handle says so, never by a signal.
///
/// # Errors
/// The listener can't be used.
pub fn serve(listener: TcpListener, state: ApiState, workers: usize) -> std::io::Result<Server> {
    let workers = workers.max(1);
    let options = state.options.clone();
    let data = Data::new(state);
    let attempts = Data::new(dashboard::Attempts::default());
    let room = Data::new(room::Room::new(options.max_bodies_bytes));
    let server = HttpServer::new(move || {
        // The last wrap is the outermost: what any part answers passes through CORS.
        App::new()
            .app_data(data.clone())
            .app_data(attempts.clone())
            .app_data(room.clone())
            .configure(|config| routes(config, &data.options))
            .wrap(NormalizePath::trim())
            .wrap(from_fn(cors::allow_origins))
            .wrap(from_fn(harden::harden))
    });
    let server = server
        .workers(workers)
        .max_connections(options.max_connections.div_ceil(workers))
        .backlog(BACKLOG)
        .on_connect(|connection, _| limit_silence(connection))
        // A client that closes its side has left: its stream or its wait ends at once, not at the next write.
        .h1_allow_half_closed(false)
        .client_request_timeout(options.request_timeout)
        .client_disconnect_timeout(LINGER)
        .keep_alive(options.keep_alive)
        .shutdown_timeout(options.shutdown_timeout.as_secs())
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}

/// A client that takes nothing of its answer must not keep the answer in memory for ever: the system ends the connection.
fn limit_silence(connection: &dyn Any) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
    let limit = u32::try_from(STALLED.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = set_tcp_user_timeout(stream, limit) {
        log::debug!("a connection has no limit for a client that stops reading: {error}");
    }
}

/// Every route. Paths have no trailing slash here; one in a request is taken off before it gets here. A route that needs
/// a key also needs its line in `policy.rs`: without one it is not answered.
fn routes(config: &mut ServiceConfig, options: &ApiOptions) {
    config
        .service(resource("/health", "GET, HEAD").route(get().to(health::report)).route(head().to(health::report)))
        .service(resource("/health/live", "GET, HEAD").route(get().to(health::live)).route(head().to(health::live)))
        .service(resource("/health/ready", "GET, HEAD").route(get().to(health::ready)).route(head().to(health::ready)))
        .service(resource("/api/v1/openapi.json", "GET").route(get().to(openapi::json)))
        .service(resource("/api/v1/docs", "GET").route(get().to(openapi::swagger_page)))
        .service(resource("/api/v1/redoc", "GET").route(get().to(openapi::swagger_page)))
        .service(resource("/api/v1/docs/{file}", "GET").route(get().to(openapi::swagger_file)));
    let metrics = resource("/metrics", "GET").route(get().to(metrics::scrape));
    if options.open_metrics {
        config.service(metrics);
    } else {
        config.service(metrics.wrap(from_fn(auth::require_key)));
    }
    config
        .configure(dashboard::routes)
        .service(web::resource("/").guard(WantsHtml).route(get().to(health::to_home_page)))
        .service(resource("/", "GET").route(get().to(health::root)).wrap(from_fn(auth::require_key)))
        .service(
            web::scope("/api/v1")
                .configure(sources)
                .service(resource("/adapters", "GET").route(get().to(adapter::list)))
                .configure(workflows)
                .configure(tasks)
                .configure(schedules)
                .service(resource("/events", "GET").route(get().to(events::of_all)))
                .configure(keys)
                .configure(notifications)
                .configure(operations)
                .default_service(web::to(not_found))
                .wrap(from_fn(auth::require_key)),
        )
        .default_service(web::to(not_found));
}

fn sources(config: &mut ServiceConfig) {
    config
        .service(resource("/sources", "GET, POST").route(get().to(source::list)).route(post().to(source::create)))
        .service(
            resource("/sources/{id}", "GET, PATCH, DELETE")
                .route(get().to(source::get))
                .route(web::patch().to(source::patch))
                .route(web::delete().to(source::delete)),
        )
        .service(resource("/sources/{id}/resume", "POST").route(post().to(source::resume)));
}

fn workflows(config: &mut ServiceConfig) {
    config
        .service(resource("/workflows", "GET").route(get().to(workflow::list)))
        .service(resource("/workflows/remote", "GET").route(get().to(remote::list)))
        .service(resource("/workflows/remote/{flow_id}", "GET").route(get().to(remote::get)))
        .service(resource("/workflows/sync/{flow_id}", "POST").route(post().to(remote::sync)))
        .service(resource("/workflows/{id}/run", "POST").route(post().to(run::run)))
        .service(
            resource("/workflows/{id}", "GET, PATCH, DELETE")
                .route(get().to(workflow::get))
                .route(web::patch().to(workflow_change::patch))
                .route(web::delete().to(workflow::delete)),
        );
}

fn tasks(config: &mut ServiceConfig) {
    config
        .service(resource("/tasks", "GET").route(get().to(task::list)))
        .service(resource("/tasks/retry", "POST").route(post().to(bulk::retry)))
        .service(resource("/tasks/cancel", "POST").route(post().to(bulk::cancel)))
        .service(resource("/tasks/delete", "POST").route(post().to(bulk::delete)))
        .service(
            resource("/tasks/{id}", "GET, DELETE").route(get().to(task::get)).route(web::delete().to(task::delete)),
        )
        .service(resource("/tasks/{id}/cancel", "POST").route(post().to(task::cancel)))
        .service(resource("/tasks/{id}/retry", "POST").route(post().to(task::retry)))
        .service(resource("/tasks/{id}/events", "GET").route(get().to(events::of_task)))
        .service(resource("/tasks/{id}/attempts", "GET").route(get().to(task::attempts)))
        .service(resource("/tasks/{id}/logs", "GET").route(get().to(task_log::list)));
}

fn schedules(config: &mut ServiceConfig) {
    config
        .service(resource("/schedules", "GET, POST").route(get().to(schedule::list)).route(post().to(schedule::create)))
        .service(resource("/schedules/preview", "POST").route(post().to(preview::of_rule_given)))
        .service(
            resource("/schedules/{id}", "GET, PUT, PATCH, DELETE")
                .route(get().to(schedule::get))
                .route(web::put().to(schedule::put))
                .route(web::patch().to(schedule::patch))
                .route(web::delete().to(schedule::delete)),
        )
        .service(resource("/schedules/{id}/enable", "POST").route(post().to(schedule::enable)))
        .service(resource("/schedules/{id}/disable", "POST").route(post().to(schedule::disable)))
        .service(resource("/schedules/{id}/trigger", "POST").route(post().to(schedule::trigger)))
        .service(resource("/schedules/{id}/occurrences", "GET").route(get().to(occurrence::list)))
        .service(resource("/schedules/{id}/preview", "GET").route(get().to(preview::of_schedule)));
}

fn keys(config: &mut ServiceConfig) {
    config
        .service(resource("/keys", "GET, POST").route(get().to(key::list)).route(post().to(key::create)))
        .service(resource("/keys/{id}", "DELETE").route(web::delete().to(key::revoke)))
        .service(resource("/audit", "GET").route(get().to(audit::list)));
}

fn notifications(config: &mut ServiceConfig) {
    config
        .service(
            resource("/notifications", "GET, POST")
                .route(get().to(notification::list))
                .route(post().to(notification::create)),
        )
        .service(
            resource("/notifications/{id}", "GET, PATCH, DELETE")
                .route(get().to(notification::get))
                .route(web::patch().to(notification::patch))
                .route(web::delete().to(notification::delete)),
        )
        .service(resource("/notifications/{id}/test", "POST").route(post().to(notification::test)))
        .service(resource("/notifications/{id}/deliveries", "GET").route(get().to(notification::deliveries)));
}

fn operations(config: &mut ServiceConfig) {
    config
        .service(resource("/workers", "GET").route(get().to(worker::workers)))
        .service(resource("/workers/history", "GET").route(get().to(worker::history)))
        .service(resource("/stats", "GET").route(get().to(stats::show)))
        .service(resource("/pools", "GET").route(get().to(pool::list)))
        .service(resource("/pools/{name}", "PATCH").route(web::patch().to(pool::patch)))
        .service(resource("/diagnosis", "GET").route(get().to(diagnosis::get)))
        .service(resource("/queues", "GET").route(get().to(queue::list)))
        .service(resource("/queues/{queue}/pause", "POST").route(post().to(queue::pause)))
        .service(resource("/queues/{queue}/resume", "POST").route(post().to(queue::resume)));
}

/// A resource that answers other methods than its own with 405 and their names.
fn resource(path: &str, allowed: &'static str) -> Resource {
    web::resource(path).default_service(web::to(move || async move { method_not_allowed(allowed) }))
}

fn method_not_allowed(allowed: &str) -> HttpResponse {
    let body = ErrorBody {
        detail: format!("Method Not Allowed; this path takes {allowed}"),
        code: "method_not_allowed".to_owned(),
        changed: None,
    };
    HttpResponse::MethodNotAllowed().insert_header((ALLOW, allowed)).json(body)
}

fn head() -> actix_web::Route {
    web::route().guard(guard::Head())
}

async fn not_found() -> HttpResponse {
    HttpResponse::NotFound().json(ErrorBody {
        detail: "Not Found".to_owned(),
        code: "not_found".to_owned(),
        changed: None,
    })
}

/// A browser that opens the address.
struct WantsHtml;

impl Guard for WantsHtml {
    fn check(&self, context: &GuardContext<'_>) -> bool {
        let head = context.head();
        let accept = head.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
        head.method == actix_web::http::Method::GET && accept.is_some_and(|accept| accept.contains("text/html"))
    }
}
