//! What the rows mean after the move.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{NEWEST, VERSIONS, id, rows, stage, upgrade};

#[tokio::test]
async fn tasks_get_a_state_of_ours_and_old_ones_are_not_run() {
    for version in [NEWEST, "models", "d2f7d449b382"] {
        let stage = stage(version).await;
        upgrade(&stage).await;
        let tasks = rows(&stage, "tasks").await;
        let states: BTreeMap<u32, &str> =
            (1..=18).map(|number| (number, tasks[&id('d', number)]["status"].as_str().expect("a text"))).collect();
        let expected = [
            (1, "completed"),
            (2, "failed"),
            (3, "pending"),
            (4, "failed"),
            (5, "running"),
            (6, "failed"),
            (7, "retrying"),
            (8, "failed"),
            (9, "retrying"),
            (10, "completed"),
            (11, "failed"),
            (12, "completed"),
            (13, "cancelled"),
            (14, "failed"),
            (15, "pending"),
            (16, "completed"),
            (17, "pending"),
            (18, "completed"),
        ];
        assert_eq!(states, BTreeMap::from(expected), "{version}");
        let error = tasks[&id('d', 6)]["error"].as_str().expect("a text");
        assert!(error.contains("still running when the Python service was replaced"), "{error}");
        assert!(error.contains("Retry it") && error.contains("a former try failed"), "{error}");
        let unknown = tasks[&id('d', 14)]["error"].as_str().expect("a text");
        assert!(unknown.contains("\"zombie\"") && unknown.contains("Retry it"), "{unknown}");
        assert!(tasks[&id('d', 7)]["next_retry_at"].is_string(), "it does not wait for ever");
        assert!(tasks[&id('d', 9)]["next_retry_at"].is_string());
        let delayed = &tasks[&id('d', 17)];
        assert!(delayed["next_retry_at"].is_null() && delayed["pending_at"].as_str() > delayed["created_at"].as_str());
        assert_eq!(tasks[&id('d', 5)]["tries"], 1, "an attempt with a number");
        assert!(tasks.values().all(|task| task["created_at"].is_string() && task["updated_at"].is_string()));
    }
}

#[tokio::test]
async fn schedules_go_on_or_say_why_not() {
    let stage = stage(NEWEST).await;
    upgrade(&stage).await;
    let schedules = rows(&stage, "schedules").await;
    let now: String = stage.rows("SELECT to_jsonb(now())::text", &[]).await[0].get(0);
    let now = now.trim_matches('"').to_owned();
    for (number, status, expr, next) in [
        (1, "active", "1m", "past"),
        (2, "active", "0 8 1-7 * +1", "future"),
        (3, "paused", "0 30 8 * * *", ""),
        (4, "active", "2099-01-01T10:00:00", "future"),
        (5, "active", "2099-01-05T15:00:00Z", "future"),
        (6, "completed", "now", ""),
        (7, "paused", "30m", ""),
        (8, "paused", "*/5 * * * *", ""),
        (9, "completed", "now", ""),
        (10, "active", "0 22,23,0,1,2 * * *", "future"),
        (11, "paused", "soon", ""),
        (13, "paused", "0 9 * * 7", ""),
    ] {
        let schedule = &schedules[&id('c', number)];
        assert_eq!((&schedule["status"], &schedule["schedule_expr"]), (&json!(status), &json!(expr)), "{schedule}");
        let found = match schedule["next_run_at"].as_str() {
            None => "",
            Some(at) if at > now.as_str() => "future",
            Some(_) => "past",
        };
        assert_eq!(found, next, "{schedule}");
        let has_reason = schedule["status_reason"].is_string();
        assert_eq!(has_reason, [3, 6, 11, 13].contains(&number), "{schedule}");
    }
    assert_eq!(schedules[&id('c', 2)]["timezone"], "Europe/Berlin");
    assert_eq!(schedules[&id('c', 4)]["timezone"], "UTC");
    let missed = stage.count("SELECT count(*) FROM schedule_skips WHERE reason = 'missed'").await;
    assert_eq!(missed, 1, "the one-time schedule that never came to it");
}

#[tokio::test]
async fn an_input_is_found_wherever_its_version_kept_it() {
    for version in VERSIONS {
        let stage = stage(version).await;
        upgrade(&stage).await;
        let schedules = rows(&stage, "schedules").await;
        let input = |number| schedules.get(&id('c', number)).map(|schedule| schedule["input_value"].clone());
        assert_eq!(input(1), Some(json!({"value": "every minute"})), "{version}");
        assert_eq!(input(2), Some(json!({"value": "first Monday"})), "{version}");
        assert_eq!(input(8), Some(Value::Null), "{version}");
        if let Some(old) = input(14) {
            assert_eq!(old, json!({"value": "from workflow_params"}), "{version}");
        }
    }
}

#[tokio::test]
async fn workflows_are_linked_and_those_that_are_there_twice_stay() {
    for version in VERSIONS {
        let stage = stage(version).await;
        upgrade(&stage).await;
        let workflows = rows(&stage, "workflows").await;
        let of = |number, column: &str| workflows[&id('b', number)][column].clone();
        assert_eq!(of(5, "workflow_source_id"), json!(id('a', 1)), "{version}: its url names the source");
        assert_eq!(of(6, "workflow_source_id"), Value::Null, "{version}: nobody knows which source");
        assert_eq!(of(7, "duplicate_of"), json!(id('b', 1)), "{version}: the flow was there already");
        let newest = if of(3, "duplicate_of").is_null() { 3 } else { 2 };
        assert_eq!(of(5 - newest, "duplicate_of"), json!(id('b', newest)), "{version}");
        if version == NEWEST {
            assert_eq!(newest, 3, "it was synced last");
        }
        assert!(workflows.values().all(|workflow| workflow["created_at"].is_string()), "{version}");
    }
}
