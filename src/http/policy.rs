//! What a request needs and leaves behind: the scope of its key, and the name of its row in the audit trail.
//!
//! One line for each operation. What has no line here is not answered, so that no new route is open by accident; the
//! tests below say which one is missing.

use crate::domain::access::Scope::{self, Admin, Read, Run};

/// An operation of the API.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// Its method.
    pub(super) method: &'static str,
    /// Its path, as its route and the description of the API have it.
    pub(super) path: &'static str,
    /// The least scope that a key needs.
    pub(super) scope: Scope,
    /// What the audit trail calls it: the kind of thing that changes, and what becomes of it. None: no row.
    pub(super) action: Option<&'static str>,
}

/// Every operation that needs a key.
const RULES: &[Rule] = &[
    quiet("GET", "/", Read),
    // Open, unless the configuration closes it.
    quiet("GET", "/metrics", Read),
    // Sources.
    quiet("GET", "/api/v1/sources", Read),
    logged("POST", "/api/v1/sources", Admin, "source.create"),
    quiet("GET", "/api/v1/sources/{id}", Read),
    logged("PATCH", "/api/v1/sources/{id}", Admin, "source.update"),
    logged("DELETE", "/api/v1/sources/{id}", Admin, "source.delete"),
    logged("POST", "/api/v1/sources/{id}/resume", Admin, "source.resume"),
    quiet("GET", "/api/v1/adapters", Read),
    // Workflows. Running one is the hot path: the task itself tells when and of what it was made.
    quiet("GET", "/api/v1/workflows", Read),
    quiet("GET", "/api/v1/workflows/remote", Read),
    quiet("GET", "/api/v1/workflows/remote/{flow_id}", Read),
    logged("POST", "/api/v1/workflows/sync/{flow_id}", Admin, "workflow.sync"),
    quiet("POST", "/api/v1/workflows/{id}/run", Run),
    quiet("GET", "/api/v1/workflows/{id}", Read),
    logged("PATCH", "/api/v1/workflows/{id}", Admin, "workflow.update"),
    logged("DELETE", "/api/v1/workflows/{id}", Admin, "workflow.delete"),
    // Tasks.
    quiet("GET", "/api/v1/tasks", Read),
    quiet("GET", "/api/v1/tasks/{id}", Read),
    logged("DELETE", "/api/v1/tasks/{id}", Admin, "task.delete"),
    logged("POST", "/api/v1/tasks/{id}/cancel", Run, "task.cancel"),
    logged("POST", "/api/v1/tasks/{id}/retry", Run, "task.retry"),
    quiet("GET", "/api/v1/tasks/{id}/attempts", Read),
    quiet("GET", "/api/v1/tasks/{id}/logs", Read),
    quiet("GET", "/api/v1/tasks/{id}/events", Read),
    logged("POST", "/api/v1/tasks/retry", Run, "task.retry_many"),
    logged("POST", "/api/v1/tasks/cancel", Run, "task.cancel_many"),
    logged("POST", "/api/v1/tasks/delete", Admin, "task.delete_many"),
    quiet("GET", "/api/v1/events", Read),
    // Schedules. A trigger is a run; a preview changes nothing.
    quiet("GET", "/api/v1/schedules", Read),
    logged("POST", "/api/v1/schedules", Admin, "schedule.create"),
    quiet("POST", "/api/v1/schedules/preview", Run),
    quiet("GET", "/api/v1/schedules/{id}", Read),
    logged("PUT", "/api/v1/schedules/{id}", Admin, "schedule.replace"),
    logged("PATCH", "/api/v1/schedules/{id}", Admin, "schedule.update"),
    logged("DELETE", "/api/v1/schedules/{id}", Admin, "schedule.delete"),
    logged("POST", "/api/v1/schedules/{id}/enable", Admin, "schedule.resume"),
    logged("POST", "/api/v1/schedules/{id}/disable", Admin, "schedule.pause"),
    quiet("POST", "/api/v1/schedules/{id}/trigger", Run),
    quiet("GET", "/api/v1/schedules/{id}/preview", Read),
    quiet("GET", "/api/v1/schedules/{id}/occurrences", Read),
    // What runs and waits.
    quiet("GET", "/api/v1/workers", Read),
    quiet("GET", "/api/v1/workers/history", Read),
    quiet("GET", "/api/v1/stats", Read),
    quiet("GET", "/api/v1/pools", Read),
    logged("PATCH", "/api/v1/pools/{name}", Admin, "pool.resize"),
    quiet("GET", "/api/v1/diagnosis", Read),
    quiet("GET", "/api/v1/queues", Read),
    logged("POST", "/api/v1/queues/{queue}/pause", Admin, "queue.pause"),
    logged("POST", "/api/v1/queues/{queue}/resume", Admin, "queue.resume"),
    // Who is told of what.
    quiet("GET", "/api/v1/notifications", Read),
    logged("POST", "/api/v1/notifications", Admin, "notification.create"),
    quiet("GET", "/api/v1/notifications/{id}", Read),
    logged("PATCH", "/api/v1/notifications/{id}", Admin, "notification.update"),
    logged("DELETE", "/api/v1/notifications/{id}", Admin, "notification.delete"),
    logged("POST", "/api/v1/notifications/{id}/test", Admin, "notification.test"),
    quiet("GET", "/api/v1/notifications/{id}/deliveries", Read),
    // Keys and the trail itself.
    quiet("GET", "/api/v1/keys", Admin),
    logged("POST", "/api/v1/keys", Admin, "key.create"),
    logged("DELETE", "/api/v1/keys/{id}", Admin, "key.revoke"),
    quiet("GET", "/api/v1/audit", Admin),
];

const fn quiet(method: &'static str, path: &'static str, scope: Scope) -> Rule {
    Rule { method, path, scope, action: None }
}

const fn logged(method: &'static str, path: &'static str, scope: Scope, action: &'static str) -> Rule {
    Rule { method, path, scope, action: Some(action) }
}

/// The rule of an operation, by its method and the path of its route.
pub(super) fn find(method: &str, path: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.path == path && rule.method == method)
}

/// The methods that a path takes, as `Allow` lists them; none where there is no such path.
pub(super) fn methods(path: &str) -> Option<String> {
    let methods: Vec<&str> = RULES.iter().filter(|rule| rule.path == path).map(|rule| rule.method).collect();
    (!methods.is_empty()).then(|| methods.join(", "))
}

/// Every action that the audit trail has rows of.
pub(super) fn actions() -> impl Iterator<Item = &'static str> {
    RULES.iter().filter_map(|rule| rule.action)
}

/// The kind of thing that an action changes.
pub(super) fn entity_type(action: &str) -> &str {
    action.split('.').next().unwrap_or(action)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::super::openapi::{document, refine::OPEN};
    use super::*;

    /// Operations that are no GET and leave no row.
    const UNLOGGED: &[&str] =
        &["POST /api/v1/workflows/{id}/run", "POST /api/v1/schedules/{id}/trigger", "POST /api/v1/schedules/preview"];
    /// Reading these takes a key that may do everything.
    const PRIVATE: &[&str] = &["GET /api/v1/keys", "GET /api/v1/audit"];

    fn name(rule: &Rule) -> String {
        format!("{} {}", rule.method, rule.path)
    }

    #[test]
    fn every_operation_has_one_line_and_every_line_an_operation() {
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        for rule in RULES.iter().filter(|rule| rule.path != "/metrics") {
            *lines.entry(name(rule)).or_default() += 1;
        }
        let document = document();
        for (path, operations) in document["paths"].as_object().expect("paths") {
            for method in operations.as_object().expect("operations").keys() {
                if OPEN.contains(&path.as_str()) {
                    continue;
                }
                let operation = format!("{} {path}", method.to_uppercase());
                assert_eq!(
                    lines.remove(&operation),
                    Some(1),
                    "`{operation}` must have one line in RULES of src/http/policy.rs: \
                     quiet(\"METHOD\", \"PATH\", SCOPE) if it only reads, \
                     logged(\"METHOD\", \"PATH\", SCOPE, \"ENTITY.ACTION\") if it changes something"
                );
            }
        }
        assert!(lines.is_empty(), "lines of RULES without an operation in src/http/openapi.rs: {lines:?}");
    }

    #[test]
    fn reading_takes_the_scope_read_and_a_change_leaves_a_row() {
        for rule in RULES {
            let operation = name(rule);
            if rule.method == "GET" {
                let expected = if PRIVATE.contains(&operation.as_str()) { Admin } else { Read };
                assert_eq!((rule.scope, rule.action), (expected, None), "{operation}");
            } else {
                assert!(rule.scope >= Run, "{operation} is no GET, so it takes the scope run or admin");
                let is_quiet = UNLOGGED.contains(&operation.as_str());
                assert_eq!(rule.action.is_none(), is_quiet, "{operation}: a change is logged(...), or in UNLOGGED");
            }
        }
    }

    #[test]
    fn actions_are_told_apart_and_name_what_they_change() {
        let actions: Vec<&str> = actions().collect();
        assert_eq!(actions.iter().collect::<HashSet<_>>().len(), actions.len(), "{actions:?}");
        for action in actions {
            let (entity, verb) = action.split_once('.').expect("ENTITY.ACTION");
            assert!(!verb.contains('.') && entity_type(action) == entity, "{action}");
        }
    }

    #[test]
    fn a_path_names_its_methods() {
        assert_eq!(methods("/api/v1/sources").as_deref(), Some("GET, POST"));
        assert_eq!(methods("/api/v1/nothing"), None);
        assert!(find("HEAD", "/api/v1/sources").is_none() && find("GET", "/api/v1/sources/x").is_none());
    }
}
