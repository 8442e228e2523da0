//! The shipped configuration of Prometheus, its alerts and the dashboard of Grafana fit the service: Prometheus's own
//! tool reads them, every alert fires and resolves, and every metric they name is told by a service that works.
//! `make test-alerts` tries the alerts against real servers.

mod prometheus;
mod provoked;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use automagik_spark::domain::clock;
use serde_json::{Value, json};

use crate::harness::node::{SOON, TestNode};
use crate::harness::stage::Stage;
use crate::harness::until;

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(file(path)).expect("the file is there")
}

fn promtool(arguments: &[&str], input: &str) {
    let mut tool = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed: scripts/setup.sh prometheus");
    tool.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    let output = tool.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(output.status.success(), "promtool {arguments:?}:\n{said}");
}

#[test]
fn prometheus_takes_the_shipped_configuration() {
    promtool(&["check", "config", &file("config/prometheus.yml").to_string_lossy()], "");
}

#[test]
fn every_alert_fires_and_resolves() {
    promtool(&["test", "rules", &file("tests/alerts/alerts_test.yml").to_string_lossy()], "");
}

#[test]
fn every_alert_is_tried_and_says_what_to_do() {
    let (alerts, tests) = (read("config/alerts.yml"), read("tests/alerts/alerts_test.yml"));
    let rules: Vec<&str> = alerts.split("- alert: ").skip(1).collect();
    assert!(rules.len() > 30, "the alerts are found");
    for rule in rules {
        let name = rule.lines().next().expect("a name");
        assert!(tests.contains(&format!("alertname=\"{name}\"")), "{name} is not in alerts_test.yml");
        for part in ["labels: {severity: ", "summary: ", "description: ", "runbook: "] {
            assert!(rule.contains(part), "{name} has no {part}");
        }
        assert!(rule.split("runbook: ").nth(1).expect("it has one").contains('`'), "{name} names no command");
    }
}

/// The names of metrics in a text, as far as they are ours or a program's common ones.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_metric = |word: &&str| {
        ["automagik_spark_", "process_", "celery_", "pg_stat_database_"].iter().any(|start| word.starts_with(start))
    };
    words.filter(is_metric).map(str::to_owned).collect()
}

/// The expressions of a dashboard, with their panels' titles.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| expressions(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

/// A service that has completed a task, failed another, fired a schedule, and has a paused queue in which one waits.
async fn loaded(stage: &Stage) -> TestNode {
    let node = stage.node(&[]).await;
    let workflow = node.workflow(stage).await;
    node.act("queues/low_priority/pause").await;
    let waiting = json!({"input_data": "waits", "queue": "low_priority"});
    node.run(&workflow, &waiting).await;
    let failing = node.run(&workflow, &json!({"input_data": "fail:on purpose", "max_retries": 0})).await;
    node.until_task_is(&failing, "failed").await;
    let completing = node.run(&workflow, &json!({"input_data": "good morning"})).await;
    node.until_task_is(&completing, "completed").await;
    let at = (clock::now() + chrono::TimeDelta::milliseconds(300)).to_rfc3339();
    let schedule = json!({"workflow_id": workflow, "schedule_type": "one-time", "schedule_expr": at});
    node.post("/api/v1/schedules", &schedule).await;
    node.until_figure("automagik_spark_schedule_lateness_seconds_count 1").await;
    node.until_figure("automagik_spark_task_total_seconds_count{queue=\"celery\"} 3").await;
    node.until_figure("automagik_spark_queue_depth{queue=\"low_priority\"} 1").await;
    node
}

impl TestNode {
    async fn scrape(&self) -> String {
        self.get("/metrics").await.as_str().expect("text").to_owned()
    }

    async fn until_figure(&self, line: &str) -> String {
        until(line, SOON, async || {
            let text = self.scrape().await;
            text.lines().any(|other| other == line).then_some(text)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_that_is_named_is_told_by_a_loaded_service() {
    let stage = Stage::new(Duration::ZERO).await;
    let node = loaded(&stage).await;
    let text = node.scrape().await;
    let samples: BTreeSet<&str> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next()).collect();
    let dashboard: Value = serde_json::from_str(&read("config/grafana/spark.json")).expect("JSON");
    let mut queries = Vec::new();
    expressions(&dashboard, &mut queries);
    assert!(queries.len() > 40, "the queries are found");
    let named = metrics_in(&[read("config/alerts.yml"), queries.join("\n")].concat());
    assert!(named.len() > 40, "{named:?}");
    let missing: Vec<&String> = named.iter().filter(|name| !samples.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?} are not in\n{text}");
    let documented = metrics_in(&read("docs/OPERATIONS.md"));
    let told = |name: &&&str| !name.ends_with("_bucket") && !name.ends_with("_sum");
    let undocumented: Vec<_> = samples
        .iter()
        .filter(told)
        .map(|name| name.strip_suffix("_count").unwrap_or(name))
        .filter(|name| !documented.contains(*name))
        .collect();
    assert!(undocumented.is_empty(), "docs/OPERATIONS.md says nothing of {undocumented:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_tells_what_happened() {
    let stage = Stage::new(Duration::ZERO).await;
    let node = loaded(&stage).await;
    let text = node.scrape().await;
    promtool(&["check", "metrics"], &text);
    let source = node.get("/api/v1/sources").await["items"][0]["name"].as_str().expect("a name").to_owned();
    for line in [
        "automagik_spark_ready 1".to_owned(),
        "celery_queue_length{queue=\"low_priority\"} 1".to_owned(),
        "automagik_spark_queue_paused{queue=\"low_priority\"} 1".to_owned(),
        format!("automagik_spark_tasks_finished_total{{queue=\"celery\",source=\"{source}\",status=\"completed\"}} 2"),
        format!("automagik_spark_tasks_finished_total{{queue=\"celery\",source=\"{source}\",status=\"failed\"}} 1"),
        format!("automagik_spark_attempts_total{{queue=\"celery\",source=\"{source}\",outcome=\"failed\"}} 1"),
        format!("automagik_spark_attempt_run_seconds_count{{source=\"{source}\"}} 3"),
        "automagik_spark_task_wait_seconds_count{queue=\"celery\"} 3".to_owned(),
        "automagik_spark_task_total_seconds_count{queue=\"celery\"} 3".to_owned(),
        "automagik_spark_nodes{state=\"alive\"} 1".to_owned(),
        "automagik_spark_schedule_overdue_seconds 0".to_owned(),
    ] {
        assert!(text.lines().any(|other| other == line), "no {line} in\n{text}");
    }
    let figure = |name: &str| -> f64 {
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("no {name} in\n{text}"))
    };
    assert!(figure("automagik_spark_redis_memory_used_bytes") > 100_000.0);
    assert!(figure("automagik_spark_database_connections") >= 1.0);
    assert!(figure("automagik_spark_database_max_connections") >= figure("automagik_spark_database_connections"));
    assert!(figure("automagik_spark_database_query_seconds_count") > 10.0);
    assert!(figure("process_open_fds") > 10.0 && figure("process_cpu_seconds_total") > 0.0);
    assert!(figure("automagik_spark_executors_memory_bytes{pool=\"celery\"}") > 1_000_000.0);
}
