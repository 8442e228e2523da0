//! `doctor`: what it prints, and the codes it ends with.

use serde_json::{Value, json};

use super::script::Script;
use super::{ask, run};

fn diagnosis(levels: &[(&str, &str)]) -> Value {
    let items: Vec<Value> = levels
        .iter()
        .map(|(check, level)| {
            let is_wrong = matches!(*level, "warning" | "critical");
            json!({"check": check, "level": level, "figure": 81.5, "unit": "percent", "warning_above": 70.0,
                "critical_above": 90.0, "symptom": is_wrong.then_some("It is full"),
                "cause": is_wrong.then_some("much is in it"), "advice": is_wrong.then_some("make it larger")})
        })
        .collect();
    json!({"at": "2026-01-02T03:04:05Z", "level": "ok", "total": items.len(), "items": items})
}

#[test]
fn what_is_wrong_is_told_by_the_exit_code() {
    let script = Script::start();
    let plan = |levels: &[(&str, &str)]| script.on("GET /api/v1/diagnosis", 200, &diagnosis(levels));
    plan(&[("servers", "ok"), ("worker_cpu", "unknown")]);
    let well = ask(&script, &["doctor"]).ok();
    assert!(well.stdout.contains("servers") && !well.stdout.contains("larger"), "{}", well.stdout);
    plan(&[("servers", "ok"), ("redis_memory", "warning")]);
    ask(&script, &["doctor"]).failed_with(3, &["warning: redis_memory"]);
    plan(&[("failures", "critical"), ("redis_memory", "warning")]);
    ask(&script, &["doctor"]).failed_with(4, &["critical: failures; warning: redis_memory"]);
    plan(&[("failures", "critical")]);
    assert_eq!(ask(&script, &["-o", "json", "doctor"]).json()["items"][0]["level"], "critical");
}

#[test]
fn a_service_that_is_away_is_told_with_where_to_look() {
    run(&["doctor", "--url", "http://127.0.0.1:9"]).failed_with(69, &["127.0.0.1:9", "journalctl"]);
}
