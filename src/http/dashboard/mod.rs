//! The dashboard: pages for people, rendered here and shown by a browser without any build step.
//!
//! Pages only read, from the store and the use cases that the REST API reads from. Whatever changes something is a form
//! that `app.js` sends to the REST API of this address: so a change by a page takes the one way there is, with its
//! checks, its scopes and its row in the audit trail, and a refusal comes back with the name of the field.

mod asked;
mod asset;
mod audit;
mod calendar;
mod chart;
mod element;
mod gate;
mod limit;
mod login;
mod overview;
mod schedule_form;
mod schedule_list;
mod source;
mod source_form;
mod task_list;
mod task_page;
mod view;
mod workflow;

use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig, get, post};

pub(super) use login::Attempts;

use super::{not_found, resource};

/// Where the dashboard is.
pub(super) const HOME: &str = "/dashboard";

/// Every page. Those of the first group are open; the others need a session.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::scope("/dashboard/assets")
                .service(resource("/{file}", "GET").route(get().to(asset::serve)))
                .default_service(web::to(not_found)),
        )
        .service(
            resource("/dashboard/login", "GET, POST")
                .route(get().to(login::page))
                .route(post().to(login::login))
                .wrap(from_fn(gate::dress)),
        )
        .service(resource("/dashboard/logout", "POST").route(post().to(login::logout)).wrap(from_fn(gate::dress)))
        .service(
            web::scope("/dashboard")
                .service(resource("", "GET").route(get().to(overview::page)))
                .service(resource("/tasks", "GET").route(get().to(task_list::page)))
                .service(resource("/tasks/{id}", "GET").route(get().to(task_page::page)))
                .service(resource("/schedules", "GET").route(get().to(schedule_list::page)))
                .service(resource("/schedules/new", "GET").route(get().to(schedule_form::new)))
                .service(resource("/schedules/preview", "GET").route(get().to(schedule_form::preview)))
                .service(resource("/schedules/calendar", "GET").route(get().to(calendar::page)))
                .service(resource("/schedules/{id}", "GET").route(get().to(schedule_form::edit)))
                .service(resource("/workflows", "GET").route(get().to(workflow::list)))
                .service(resource("/workflows/{id}", "GET").route(get().to(workflow::page)))
                .service(resource("/sources", "GET").route(get().to(source::list)))
                .service(resource("/sources/{id}", "GET").route(get().to(source::page)))
                .service(resource("/sources/{id}/flows", "GET").route(get().to(source::flows)))
                .service(resource("/audit", "GET").route(get().to(audit::page)))
                .default_service(web::to(gate::no_such_page))
                .wrap(from_fn(gate::require_session))
                .wrap(from_fn(gate::dress)),
        );
}
