//! What the derived description does not say: choices and bounds of values that are read by hand, refusals that no
//! handler makes, and which answer has the id that another operation wants.

use serde_json::{Value, json};

use crate::http::policy;

use crate::domain::access::Scope;
use crate::domain::schedule::{MissedPolicy, OverlapPolicy, ScheduleKind, ScheduleStatus};
use crate::domain::source::SourceKind;
use crate::domain::task::TaskStatus;

/// Paths that are answered without a key, see `http/mod.rs`.
pub(in crate::http) const OPEN: [&str; 4] = ["/health", "/health/live", "/health/ready", "/metrics"];

/// Answers whose `id` other operations take as `id`: method and path, status, and the operations.
const LINKS: &[(&str, &str, &str, &[&str])] = &[
    ("post", "/api/v1/sources", "201", &["get_sources_by_id", "patch_sources_by_id", "delete_sources_by_id"]),
    (
        "post",
        "/api/v1/workflows/sync/{flow_id}",
        "200",
        &["get_workflows_by_id", "post_workflows_by_id_run", "delete_workflows_by_id"],
    ),
    (
        "post",
        "/api/v1/workflows/{id}/run",
        "200",
        &[
            "get_tasks_by_id",
            "get_tasks_by_id_attempts",
            "get_tasks_by_id_logs",
            "post_tasks_by_id_cancel",
            "post_tasks_by_id_retry",
            "delete_tasks_by_id",
        ],
    ),
    (
        "post",
        "/api/v1/schedules",
        "201",
        &[
            "get_schedules_by_id",
            "put_schedules_by_id",
            "patch_schedules_by_id",
            "post_schedules_by_id_enable",
            "post_schedules_by_id_disable",
            "post_schedules_by_id_trigger",
            "get_schedules_by_id_preview",
            "delete_schedules_by_id",
        ],
    ),
];

/// Completes the schemas of values.
pub(super) fn schemas(document: &mut Value) {
    let schemas = &mut document["components"]["schemas"];
    // What can be of more than one type, which Rust's types don't say.
    for (schema, field, types) in [
        ("RunRequest", "input_data", json!(["string", "object"])),
        ("ScheduleBody", "input_value", json!(["string", "object", "null"])),
        ("Schedule", "input_value", json!(["string", "object", "null"])),
    ] {
        schemas[schema]["properties"][field]["type"] = types;
    }
    schemas["Problem"]["properties"]["loc"]["items"] = json!({ "type": ["string", "integer"] });
    for (fields, choices) in choices() {
        for (schema, field) in fields {
            let property = property(&mut schemas[*schema], field);
            let nullable = property["type"].as_array().is_some_and(|types| types.iter().any(|kind| kind == "null"));
            property["enum"] =
                choices.iter().map(|choice| json!(choice)).chain(nullable.then_some(Value::Null)).collect();
        }
    }
    // Whole flows (`simplified=false`) have all the fields that their source gives them.
    schemas["RemoteFlowItem"]["additionalProperties"] = true.into();
    // A page repeats what its items are, without what was completed above.
    let pages: Vec<String> = schemas.as_object().into_iter().flat_map(|all| all.keys().cloned()).collect();
    for (page, item) in pages.iter().filter_map(|name| Some((name, name.strip_prefix("Page_")?))) {
        schemas[page]["properties"]["items"]["items"] = json!({ "$ref": format!("#/components/schemas/{item}") });
    }
    // A new schedule is what a change is, with three fields that must be there.
    let mut new_schedule = schemas["ScheduleBody"].clone();
    let needed = ["workflow_id", "schedule_type", "schedule_expr"];
    new_schedule["required"] = json!(needed);
    for field in needed {
        let property = &mut new_schedule["properties"][field];
        property["type"] = "string".into();
        if let Some(choices) = property.get_mut("enum").and_then(Value::as_array_mut) {
            choices.retain(|choice| !choice.is_null());
        }
    }
    schemas["NewSchedule"] = new_schedule;
    document["paths"]["/api/v1/workflows/{id}/run"]["post"]["requestBody"]["content"]["application/json"]["schema"] =
        json!({ "oneOf": [{ "type": "string", "minLength": 1 }, { "$ref": "#/components/schemas/RunRequest" }] });
}

/// A field of a schema, be it in a part of its own beside what the schema takes over from others.
fn property<'a>(schema: &'a mut Value, field: &str) -> &'a mut Value {
    let parts = schema["allOf"].as_array().map_or(0, Vec::len);
    let own = (0..parts).find(|at| !schema["allOf"][*at]["properties"][field].is_null());
    match own {
        Some(at) => &mut schema["allOf"][at]["properties"][field],
        None => &mut schema["properties"][field],
    }
}

/// A schema and one of its fields.
type Field = (&'static str, &'static str);

/// Fields that hold one of a few names, with the names.
fn choices() -> Vec<(&'static [Field], Vec<&'static str>)> {
    vec![
        (
            &[("Source", "source_type"), ("NewSource", "source_type"), ("SourcePatch", "source_type")],
            names(&SourceKind::ALL, |kind| kind.as_str()),
        ),
        (&[("Task", "status")], names(&TaskStatus::ALL, |status| status.as_str())),
        (
            &[
                ("Schedule", "schedule_type"),
                ("ScheduleBody", "schedule_type"),
                ("PreviewRequest", "schedule_type"),
                ("Preview", "schedule_type"),
            ],
            names(ScheduleKind::ALL, |kind| kind.as_str()),
        ),
        (&[("Schedule", "status")], names(ScheduleStatus::ALL, |status| status.as_str())),
        (&[("ScheduleBody", "status")], vec!["active", "paused"]),
        (
            &[("Schedule", "missed_policy"), ("ScheduleBody", "missed_policy")],
            names(MissedPolicy::ALL, |policy| policy.as_str()),
        ),
        (
            &[("Schedule", "overlap_policy"), ("ScheduleBody", "overlap_policy")],
            names(OverlapPolicy::ALL, |policy| policy.as_str()),
        ),
    ]
}

fn names<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().copied().map(name).collect()
}

/// Completes every operation.
pub(super) fn operations(document: &mut Value) {
    for (path, names) in [
        ("/api/v1/sources", vec!["active", "inactive"]),
        ("/api/v1/schedules", names(ScheduleStatus::ALL, |status| status.as_str())),
        ("/api/v1/tasks", [names(&TaskStatus::ALL, |status| status.as_str()), vec!["success"]].concat()),
    ] {
        parameter(&mut document["paths"][path]["get"], "status")["schema"] = json!({ "type": "string", "enum": names });
    }
    for (path, operations) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            complete(path, method, operation);
        }
    }
    for (method, path, status, targets) in LINKS {
        let links: serde_json::Map<String, Value> = targets
            .iter()
            .map(|target| {
                let link = json!({ "operationId": target, "parameters": { "id": "$response.body#/id" } });
                ((*target).to_owned(), link)
            })
            .collect();
        document["paths"][path][method]["responses"][status]["links"] = links.into();
    }
    document["components"]["securitySchemes"] =
        json!({ "APIKeyHeader": { "type": "apiKey", "in": "header", "name": "X-API-Key" } });
}

/// A parameter of an operation.
fn parameter<'a>(operation: &'a mut Value, name: &str) -> &'a mut Value {
    let parameters = operation["parameters"].as_array_mut().expect("the operation has parameters");
    parameters.iter_mut().find(|parameter| parameter["name"] == name).expect("the operation has this parameter")
}

/// Adds what holds for every operation of its kind: the key, and the refusals that no handler makes.
fn complete(path: &str, method: &str, operation: &mut Value) {
    operation["operationId"] = operation_id(path, method).into();
    if path == "/metrics" {
        add_refusals(
            operation,
            &[("401", "ErrorBody", "The configuration asks for a key here, and it is missing or wrong")],
        );
    }
    if OPEN.contains(&path) {
        return;
    }
    operation["security"] = json!([{ "APIKeyHeader": [] }]);
    let mut refusals = vec![("401", "ErrorBody", "The X-API-Key header is missing or wrong")];
    if operation.get("parameters").is_some() {
        refusals.push(("422", "ValidationBody", "Parts of the request can't be used"));
    }
    // A test wants a rule for every operation.
    let rule = policy::find(&method.to_uppercase(), path);
    let scope = rule.map_or(Scope::Admin, |rule| rule.scope);
    operation["x-scope"] = scope.as_str().into();
    if let Some(action) = rule.and_then(|rule| rule.action) {
        operation["x-audit"] = action.into();
    }
    let unknown_host = "no key is configured and the request names another host than the service's";
    let forbidden = match (scope, method) {
        // Every key has this scope.
        (Scope::Read, "get") => format!("Refused, for {unknown_host}"),
        (scope, "get") => format!("The key lacks the scope `{scope}`, or {unknown_host}"),
        (scope, _) => format!(
            "The key lacks the scope `{scope}`, or {unknown_host}, or a web page of another origin asks without a key"
        ),
    };
    refusals.push(("403", "ErrorBody", &forbidden));
    // Also where the answer itself needs no database: the key may.
    let away = "The database is away, or the service stops; try again after Retry-After seconds";
    refusals.push(("503", "ErrorBody", away));
    if operation.get("requestBody").is_some() {
        refusals.extend([
            ("400", "ErrorBody", "The body broke off"),
            ("408", "ErrorBody", "The body did not arrive in time"),
            ("413", "ErrorBody", "The body is too large"),
            ("415", "ErrorBody", "The body is not said to be JSON"),
        ]);
    }
    add_refusals(operation, &refusals);
}

/// Adds answers that the handler's own description does not have.
fn add_refusals(operation: &mut Value, refusals: &[(&str, &str, &str)]) {
    for (status, schema, description) in refusals {
        let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
        let answer = json!({ "description": description, "content": { "application/json": { "schema": schema } } });
        if let Some(responses) = operation["responses"].as_object_mut() {
            responses.entry(*status).or_insert(answer);
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
