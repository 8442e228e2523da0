//! The description of the API, made from the code, and the pages that show it, which need nothing from elsewhere.

pub(super) mod refine;

use std::sync::{Arc, LazyLock};

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Path;
use actix_web::{HttpResponse, Responder};
use serde_json::Value;
use utoipa::OpenApi;
use utoipa_swagger_ui::Config;

use super::error::{Error, ErrorBody, ValidationBody};
use super::{
    adapter, audit, bulk, diagnosis, events, health, key, metrics, occurrence, pool, preview, queue, remote, run,
    schedule, schedule_body, source, stats, task, task_log, worker, workflow, workflow_change,
};

const URL: &str = "/api/v1/openapi.json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Spark API",
        description = "Schedules the workflows of other servers, runs them durably, and shows what happened."
    ),
    paths(
        health::report, health::live, health::ready, health::root, metrics::scrape,
        source::create, source::list, source::get, source::patch, source::delete, source::resume, adapter::list,
        workflow::list, workflow::get, workflow_change::patch, workflow::delete, remote::list, remote::get, remote::sync, run::run,
        task::list, task::get, task::delete, task::cancel, task::retry, task::attempts, task_log::list,
        bulk::retry, bulk::cancel, bulk::delete, events::of_task, events::of_all,
        schedule::create, schedule::list, schedule::get, schedule::put, schedule::patch, schedule::delete,
        schedule::enable, schedule::disable, schedule::trigger, preview::of_schedule, preview::of_rule_given,
        occurrence::list,
        diagnosis::get, worker::workers, worker::history, stats::show, pool::list, pool::patch, queue::list,
        queue::pause, queue::resume,
        key::create, key::list, key::revoke, audit::list,
    ),
    components(schemas(ErrorBody, ValidationBody, schedule_body::ScheduleBody)),
    tags(
        (name = "sources", description = "Servers that hold workflows"),
        (name = "workflows", description = "What can be run"),
        (name = "tasks", description = "What was asked for, and what came of it"),
        (name = "schedules", description = "What runs by itself"),
        (name = "operations", description = "What runs and waits now"),
        (name = "keys", description = "Who may use the API, and who changed what"),
        (name = "meta", description = "The service itself"),
    )
)]
struct Document;

/// The description as it is served; made once.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());
static SWAGGER: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| Arc::new(Config::from(URL)));

/// The description of the API.
pub fn document() -> Value {
    let mut document = serde_json::to_value(Document::openapi()).expect("utoipa's document is JSON");
    refine::schemas(&mut document);
    refine::operations(&mut document);
    document
}

/// `/api/v1/openapi.json`.
pub(super) async fn json() -> impl Responder {
    HttpResponse::Ok().content_type("application/json").body(DOCUMENT.as_str())
}

/// `/api/v1/docs`: Swagger UI. Its page names its files relative to a directory, which the page's path, answered with
/// and without a slash, is not always.
pub(super) async fn swagger_page() -> Result<HttpResponse, Error> {
    let file = utoipa_swagger_ui::serve("index.html", SWAGGER.clone()).ok().flatten();
    let page = file.ok_or(Error::NotFound("Page"))?.bytes;
    let page = String::from_utf8_lossy(&page)
        .replace("\"./", "\"/api/v1/docs/")
        .replace("\"index.css", "\"/api/v1/docs/index.css");
    Ok(HttpResponse::Ok().content_type("text/html; charset=utf-8").body(page))
}

/// `/api/v1/docs/{file}`: the files of Swagger UI.
pub(super) async fn swagger_file(file: Path<String>) -> Result<HttpResponse, Error> {
    let found = utoipa_swagger_ui::serve(&file, SWAGGER.clone()).ok().flatten();
    let found = found.ok_or(Error::NotFound("Page"))?;
    let mut response = HttpResponse::Ok();
    // They change with the program only, and hold nothing of anybody.
    response.insert_header((CACHE_CONTROL, "public, max-age=3600"));
    if found.gzpipped {
        response.insert_header(("Content-Encoding", "gzip"));
    }
    Ok(response.content_type(found.content_type).body(found.bytes.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_complete() {
        let document = document();
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["components"]["securitySchemes"]["APIKeyHeader"]["name"], "X-API-Key");
        let paths = document["paths"].as_object().expect("paths");
        assert!(paths.len() >= 25, "{}", paths.len());
        let operations = paths.values().flat_map(|operations| operations.as_object().expect("operations").values());
        let ids: Vec<&Value> = operations.map(|operation| &operation["operationId"]).collect();
        let unique: std::collections::HashSet<_> = ids.iter().map(ToString::to_string).collect();
        assert_eq!(unique.len(), ids.len(), "{ids:?}");
        assert!(unique.contains("\"post_workflows_by_id_run\""), "{unique:?}");
        for (path, operations) in paths {
            for (method, operation) in operations.as_object().expect("operations") {
                let is_open = refine::OPEN.contains(&path.as_str());
                assert_eq!(operation.get("security").is_none(), is_open, "{method} {path}");
                let may_ask = !is_open || path == "/metrics";
                assert_eq!(operation["responses"].get("401").is_some(), may_ask, "{method} {path}");
                assert!(operation["responses"].as_object().is_some_and(|all| !all.is_empty()), "{method} {path}");
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(object) => {
                    found.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    object.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("a reference within the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
