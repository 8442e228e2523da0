//! The description of the API, made from the code, and the pages that show it, which need nothing from elsewhere.

use std::sync::{Arc, LazyLock};

use actix_web::web::Path;
use actix_web::{HttpResponse, Responder};
use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa_swagger_ui::Config;

use super::error::{Error, ErrorBody, ValidationBody};
use super::{
    bulk, health, metrics, occurrence, preview, remote, run, schedule, schedule_body, source, task, task_log, worker,
    workflow,
};

const URL: &str = "/api/v1/openapi.json";
/// Paths that are answered without a key, see `mod.rs`.
const OPEN: [&str; 4] = ["/health", "/health/live", "/health/ready", "/metrics"];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Spark API",
        description = "Schedules the workflows of other servers, runs them durably, and shows what happened."
    ),
    paths(
        health::report, health::live, health::ready, health::root, metrics::scrape,
        source::create, source::list, source::get, source::patch, source::delete,
        workflow::list, workflow::get, workflow::delete, remote::list, remote::get, remote::sync, run::run,
        task::list, task::get, task::delete, task::cancel, task::retry, task::attempts, task_log::list,
        bulk::retry, bulk::cancel, bulk::delete,
        schedule::create, schedule::list, schedule::get, schedule::put, schedule::patch, schedule::delete,
        schedule::enable, schedule::disable, schedule::trigger, preview::of_schedule, preview::of_rule_given,
        occurrence::list,
        worker::workers, worker::history, worker::queues,
    ),
    components(schemas(ErrorBody, ValidationBody, schedule_body::ScheduleBody)),
    tags(
        (name = "sources", description = "Servers that hold workflows"),
        (name = "workflows", description = "What can be run"),
        (name = "tasks", description = "What was asked for, and what came of it"),
        (name = "schedules", description = "What runs by itself"),
        (name = "operations", description = "What runs and waits now"),
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
    document["components"]["securitySchemes"] =
        json!({ "APIKeyHeader": { "type": "apiKey", "in": "header", "name": "X-API-Key" } });
    // A new schedule is what a change is, with three fields that must be there.
    let mut new_schedule = document["components"]["schemas"]["ScheduleBody"].clone();
    new_schedule["required"] = json!(["workflow_id", "schedule_type", "schedule_expr"]);
    document["components"]["schemas"]["NewSchedule"] = new_schedule;
    // What can be of more than one type, which Rust's types don't say.
    for (schema, field, types) in [
        ("RunRequest", "input_data", json!(["string", "object"])),
        ("ScheduleBody", "input_value", json!(["string", "object", "null"])),
        ("NewSchedule", "input_value", json!(["string", "object", "null"])),
        ("Schedule", "input_value", json!(["string", "object", "null"])),
    ] {
        document["components"]["schemas"][schema]["properties"][field]["type"] = types;
    }
    document["paths"]["/api/v1/workflows/{id}/run"]["post"]["requestBody"]["content"]["application/json"]["schema"] =
        json!({ "oneOf": [{ "type": "string" }, { "$ref": "#/components/schemas/RunRequest" }] });
    for (path, operations) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            complete(path, method, operation);
        }
    }
    document
}

/// Adds what holds for every operation of its kind: the key, and the refusals that no handler makes.
fn complete(path: &str, method: &str, operation: &mut Value) {
    operation["operationId"] = operation_id(path, method).into();
    if OPEN.contains(&path) {
        return;
    }
    operation["security"] = json!([{ "APIKeyHeader": [] }]);
    let mut refusals = vec![("401", "The X-API-Key header is missing or wrong")];
    if method != "get" {
        refusals.push(("403", "A web page of another origin asks, and no key is configured"));
    }
    if path != "/" && path != "/api/v1/workers" {
        refusals.push(("503", "The database is away, or the service stops; try again after Retry-After seconds"));
    }
    if operation.get("requestBody").is_some() {
        refusals.extend([
            ("400", "The body broke off"),
            ("408", "The body did not arrive in time"),
            ("413", "The body is too large"),
            ("415", "The body is not said to be JSON"),
        ]);
    }
    for (status, description) in refusals {
        let schema = json!({ "$ref": "#/components/schemas/ErrorBody" });
        let answer = json!({ "description": description, "content": { "application/json": { "schema": schema } } });
        if let Some(responses) = operation["responses"].as_object_mut() {
            responses.entry(status).or_insert(answer);
        }
    }
}

/// The name that generated clients give the operation: functions of two resources may be called alike, paths are not.
fn operation_id(path: &str, method: &str) -> String {
    let path = path.strip_prefix("/api/v1").unwrap_or(path);
    let words = path.split('/').filter(|word| !word.is_empty()).map(|word| {
        let parameter = word.strip_prefix('{').and_then(|word| word.strip_suffix('}'));
        parameter.map_or_else(|| word.to_owned(), |name| format!("by_{name}"))
    });
    std::iter::once(method.to_owned()).chain(words).collect::<Vec<_>>().join("_")
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
                let is_open = OPEN.contains(&path.as_str());
                assert_eq!(operation.get("security").is_none(), is_open, "{method} {path}");
                assert_eq!(operation["responses"].get("401").is_none(), is_open, "{method} {path}");
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
