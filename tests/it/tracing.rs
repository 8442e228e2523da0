//! Traces: one for each task, from the request to the stored end, with the call to its source, whoever runs it; and nothing
//! at all unless somebody wants them.

mod collector;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cli::script::{Asked, Script};
use crate::harness::node::{SOON, TestNode, http_client};
use crate::harness::stage::{API_KEY, Stage};
use crate::harness::until;
use crate::lifecycle::among_others;
use collector::{Collector, Told};

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn settings(endpoint: &str) -> [(&'static str, &str); 1] {
    [("tracing.endpoint", endpoint)]
}

/// A workflow of a source that shows what it is sent.
async fn webhook(node: &TestNode, source: &Script) -> String {
    source.on("OPTIONS /", 204, &json!(null));
    let body =
        json!({"source_type": "http", "url": source.url(), "adapter": "webhook", "api_key": "key-of-the-source"});
    node.post("/api/v1/sources", &body).await;
    let synced = node.post("/api/v1/workflows/sync/webhook", &json!({"source_url": source.url()})).await;
    synced["id"].as_str().unwrap().to_owned()
}

fn runs(source: &Script) -> Vec<Asked> {
    source.asked().into_iter().filter(|asked| asked.line.starts_with("POST")).collect()
}

/// Submits a task as part of somebody's trace.
async fn run_within(node: &TestNode, path: &str, input: &Value) -> String {
    let request = http_client().post(format!("{}{path}", node.url())).header("X-API-Key", API_KEY);
    let answer = request.header("traceparent", CALLER).json(input).send().await.unwrap();
    answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

fn names(told: &[Told]) -> Vec<&str> {
    told.iter().map(|told| told.span.name.as_str()).collect()
}

#[track_caller]
fn named<'a>(told: &'a [Told], name: &str) -> Vec<&'a Told> {
    let found: Vec<_> = told.iter().filter(|told| told.span.name.starts_with(name)).collect();
    assert!(!found.is_empty(), "no {name} in {:?}", names(told));
    found
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The figure of a metric by its label `outcome`.
async fn spans(node: &TestNode, outcome: &str) -> u64 {
    let text = node.get("/metrics").await;
    let begin = format!("automagik_spark_trace_spans_total{{outcome=\"{outcome}\"}} ");
    let line = text.as_str().unwrap().lines().find_map(|line| line.strip_prefix(&begin));
    line.expect("the metric is there").parse().unwrap()
}

#[tokio::test]
async fn a_task_is_one_trace_from_the_request_to_the_stored_end_with_the_call_to_its_source() {
    let _machine = among_others().await;
    let (stage, collector, source) = (Stage::new(Duration::ZERO).await, Collector::start().await, Script::start());
    let endpoint = collector.url();
    let node = stage.node(&[("tracing.endpoint", &endpoint), ("tracing.headers", "x-tenant=a%20b")]).await;
    let workflow = webhook(&node, &source).await;
    source.on("POST /", 200, &json!({"result": "answer-of-the-flow"}));
    let path = format!("/api/v1/workflows/{workflow}/run");
    let task = run_within(&node, &path, &json!({"input_data": "input-of-the-task", "priority": 3})).await;
    node.until_task_is(&task, "completed").await;
    let told = collector.until_told(&task, 5).await;
    let [submit, wait, process, call, store] =
        ["submit", "wait", "process", "call", "store"].map(|name| named(&told, name)[0]);
    // The OTLP numbers of producer, internal, consumer, client.
    assert_eq!([submit, wait, process, call, store].map(|told| told.span.kind), [4, 1, 5, 3, 1]);
    let parents = [submit, wait, process, call, store].map(|told| told.span.parent_span_id.clone());
    let (root, attempt) = (submit.span.span_id.clone(), process.span.span_id.clone());
    assert_eq!(parents, [vec![], root.clone(), root, attempt.clone(), attempt]);

    let link = &submit.span.links[0];
    assert_eq!(format!("00-{}-{}-01", hex(&link.trace_id), hex(&link.span_id)), CALLER);
    assert_eq!(submit.get("http.route"), "/api/v1/workflows/{id}/run");
    assert_eq!((submit.get("messaging.message.id"), process.get("spark.workflow.id")), (task.clone(), workflow));
    assert_eq!(
        (process.get("spark.attempt.status"), process.get("spark.task.status")),
        ("completed".into(), "completed".into())
    );
    assert_eq!((call.get("server.address"), call.get("spark.source.kind")), ("127.0.0.1".into(), "http".into()));
    // The source was told of the very span that was its call.
    let expected = format!("00-{}-{}-01", task.replace('-', ""), hex(&call.span.span_id));
    assert_eq!(runs(&source)[0].header("traceparent"), Some(expected.as_str()));

    let times = |told: &Told| (told.span.start_time_unix_nano, told.span.end_time_unix_nano);
    let ((began, ended), (called, answered), (kept, stored)) = (times(process), times(call), times(store));
    assert!(times(wait).1 == began && began <= called && called <= answered && answered <= kept && kept <= stored);
    assert!(stored == ended && told.iter().all(|told| !told.is_error()), "{told:#?}");
    for secret in ["input-of-the-task", "answer-of-the-flow", "key-of-the-source", API_KEY] {
        assert!(!collector.holds(secret), "{secret} is told");
    }
    assert_eq!(process.resource["service.name"], "automagik-spark");
    let head = &collector.heads()[0];
    assert!(
        head.starts_with("POST /v1/traces HTTP/1.1") && head.contains("content-type: application/x-protobuf"),
        "{head}"
    );
    assert!(head.contains("x-tenant: a b"), "{head}");
    assert_eq!((spans(&node, "exported").await, spans(&node, "dropped").await), (5, 0));
}

#[tokio::test]
async fn an_attempt_that_fails_and_the_one_after_a_restart_are_of_one_trace() {
    let _machine = among_others().await;
    let (stage, collector, source) = (Stage::new(Duration::ZERO).await, Collector::start().await, Script::start());
    let endpoint = collector.url();
    let mut node = stage.node(&settings(&endpoint)).await;
    let workflow = webhook(&node, &source).await;
    source.on("POST /", 503, &json!({"detail": "words-of-the-source"})).on("POST /", 200, &json!({"result": "b"}));
    let task = node.run(&workflow, &json!("a")).await;
    node.until_task_is(&task, "retrying").await;
    node.stop(SOON).await;
    assert_eq!(collector.trace(&task).len(), 5, "a stop sends what waits");
    let node = stage.node(&settings(&endpoint)).await;
    node.until_task_is(&task, "completed").await;
    let told = collector.until_told(&task, 9).await;
    let [first, second] = named(&told, "process")[..] else { panic!("{:?}", names(&told)) };
    assert!(first.is_error() && !second.is_error());
    assert_eq!(first.get("error.type"), "source_http_503");
    assert_eq!((first.get("spark.task.status"), second.get("spark.attempt.number")), ("retrying".into(), "2".into()));
    assert_eq!(second.span.links[0].span_id, first.span.span_id);
    assert_eq!(second.span.parent_span_id, first.span.parent_span_id);
    assert_ne!(first.resource["service.instance.id"], second.resource["service.instance.id"]);
    let calls = named(&told, "call");
    assert_eq!(calls[0].get("http.response.status_code"), "503");
    let passed_on: Vec<_> = runs(&source).iter().map(|run| run.header("traceparent").unwrap().to_owned()).collect();
    let expected = |call: &Told| format!("00-{}-{}-01", task.replace('-', ""), hex(&call.span.span_id));
    assert_eq!(passed_on, [expected(calls[0]), expected(calls[1])]);
    assert!(!collector.holds("words-of-the-source"), "the text of a failure is told");
}

#[tokio::test]
async fn a_trace_goes_on_where_another_service_takes_the_task_over() {
    let _machine = among_others().await;
    let (stage, collector) = (Stage::new(Duration::ZERO).await, Collector::start().await);
    let endpoint = collector.url();
    let mut node = stage.node(&settings(&endpoint)).await;
    let workflow = node.workflow(&stage).await;
    let task = node.run(&workflow, &json!("hang")).await;
    node.until_task_is(&task, "running").await;
    collector.until_told(&task, 1).await;
    node.kill().await;
    let node = stage.node(&settings(&endpoint)).await;
    until("the source is called again", SOON, async || (stage.source.calls().total == 2).then_some(())).await;
    node.post(&format!("/api/v1/tasks/{task}/cancel"), &json!({})).await;
    // Nobody knows when the first call was over.
    let told = collector.until_told(&task, 8).await;
    let [first, second] = named(&told, "process")[..] else { panic!("{:?}", names(&told)) };
    assert!(first.is_error() && first.get("error.type") == "node_dead");
    assert_eq!(second.get("spark.attempt.status"), "cancelled");
    assert_eq!(first.get("spark.attempt.outcome_unknown"), "true");
}

#[tokio::test]
async fn a_task_that_is_called_off_while_it_runs_is_told_to_its_end() {
    let _machine = among_others().await;
    let (stage, collector) = (Stage::new(Duration::ZERO).await, Collector::start().await);
    let node = stage.node(&settings(&collector.url())).await;
    let workflow = node.workflow(&stage).await;
    let task = node.run(&workflow, &json!("hang")).await;
    node.until_task_is(&task, "running").await;
    until("the source is called", SOON, async || (stage.source.calls().total == 1).then_some(())).await;
    node.post(&format!("/api/v1/tasks/{task}/cancel"), &json!({})).await;
    let told = collector.until_told(&task, 5).await;
    let process = named(&told, "process")[0];
    assert_eq!(process.get("spark.attempt.status"), "cancelled");
    assert!(told.iter().all(|told| !told.is_error()));
}

#[tokio::test]
async fn a_schedule_s_task_is_a_trace_of_its_own() {
    let _machine = among_others().await;
    let (stage, collector) = (Stage::new(Duration::ZERO).await, Collector::start().await);
    let node = stage.node(&settings(&collector.url())).await;
    let workflow = node.workflow(&stage).await;
    let rule =
        json!({"workflow_id": workflow, "schedule_type": "interval", "schedule_expr": "1s", "input_value": "tick"});
    let schedule = node.post("/api/v1/schedules", &rule).await["id"].as_str().unwrap().to_owned();
    stage.until_some_completed(2).await;
    node.post(&format!("/api/v1/schedules/{schedule}/disable"), &json!({})).await;
    let rows = stage.rows("SELECT id, scheduled_for FROM tasks WHERE status = 'completed'", &[]).await;
    for row in &rows[..2] {
        let (task, due): (uuid::Uuid, chrono::DateTime<chrono::Utc>) = (row.get(0), row.get(1));
        let told = collector.until_told(&task.to_string(), 5).await;
        let submit = named(&told, "submit")[0];
        assert!(submit.span.links.is_empty() && submit.get("http.route").is_empty());
        assert_eq!(submit.get("spark.schedule.id"), schedule);
        assert_eq!(submit.get("spark.schedule.scheduled_for").parse(), Ok(due));
    }
    // By hand it is a request again, of the same schedule.
    let task = run_within(&node, &format!("/api/v1/schedules/{schedule}/trigger"), &json!({})).await;
    let told = collector.until_told(&task, 5).await;
    let submit = named(&told, "submit")[0];
    assert_eq!((submit.get("spark.schedule.id"), submit.span.links.len()), (schedule, 1));
    until("nothing runs", SOON, async || {
        (stage.count("SELECT count(*) FROM tasks WHERE status IN ('running', 'pending')").await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_collector_that_is_away_hurts_no_task_and_is_told_when_it_is_back() {
    let _machine = among_others().await;
    let (stage, collector) = (Stage::new(Duration::ZERO).await, Collector::start().await);
    let (address, endpoint) = (collector.address(), collector.url());
    drop(collector);
    let mut node = stage.node(&settings(&endpoint)).await;
    let workflow = node.workflow(&stage).await;
    let tasks = node.run_many(&workflow, 20).await;
    stage.until_all_completed(20, SOON).await;
    let complaints = || node.log().matches("traces can't be exported").count();
    until("it is told", SOON, async || (complaints() == 1).then_some(())).await;
    let collector = Collector::at(address).await;
    // Busy first, then there: the batch that was kept arrives.
    collector.plan("503 Service Unavailable");
    for task in &tasks {
        collector.until_told(task, 5).await;
    }
    until("it is told", SOON, async || node.log().contains("traces are exported again").then_some(())).await;
    assert_eq!((complaints(), spans(&node, "dropped").await), (1, 0));

    // One that does not answer holds a stop up for no longer than is allowed.
    collector.plan("hang");
    collector.plan("hang");
    let task = node.run(&workflow, &json!("last")).await;
    node.until_task_is(&task, "completed").await;
    let asked = Instant::now();
    node.stop(SOON).await;
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
    assert!(node.log().contains("5 spans could not be exported before the stop"), "{}", node.log());
}

#[tokio::test]
async fn what_a_collector_refuses_is_given_up_and_counted() {
    let _machine = among_others().await;
    let (stage, collector) = (Stage::new(Duration::ZERO).await, Collector::start().await);
    let node = stage.node(&settings(&collector.url())).await;
    let workflow = node.workflow(&stage).await;
    collector.plan("400 Bad Request");
    let task = node.run(&workflow, &json!("x")).await;
    node.until_task_is(&task, "completed").await;
    until("spans are dropped", SOON, async || (spans(&node, "dropped").await > 0).then_some(())).await;
    let second = node.run(&workflow, &json!("y")).await;
    node.until_task_is(&second, "completed").await;
    collector.until_told(&second, 5).await;
    assert!(node.log().contains("it answered 400"), "{}", node.log());
}

#[tokio::test]
async fn a_trace_that_is_not_chosen_goes_to_nobody_and_the_source_is_told_so() {
    let _machine = among_others().await;
    let (stage, collector, source) = (Stage::new(Duration::ZERO).await, Collector::start().await, Script::start());
    let endpoint = collector.url();
    let mut node = stage.node(&[("tracing.endpoint", &endpoint), ("tracing.sample_ratio", "0")]).await;
    let workflow = webhook(&node, &source).await;
    source.on("POST /", 200, &json!({"result": "b"}));
    let task = run_within(&node, &format!("/api/v1/workflows/{workflow}/run"), &json!("a")).await;
    node.until_task_is(&task, "completed").await;
    node.stop(SOON).await;
    let header = runs(&source)[0].header("traceparent").unwrap().to_owned();
    assert!(header.starts_with(&format!("00-{}-", task.replace('-', ""))) && header.ends_with("-00"), "{header}");
    assert_eq!(collector.requests(), 0);
}

#[tokio::test]
async fn without_a_collector_nothing_is_told_to_anybody() {
    let _machine = among_others().await;
    let (stage, source) = (Stage::new(Duration::ZERO).await, Script::start());
    let node = stage.node(&[]).await;
    let workflow = webhook(&node, &source).await;
    source.on("POST /", 200, &json!({"result": "b"}));
    let task = run_within(&node, &format!("/api/v1/workflows/{workflow}/run"), &json!("a")).await;
    node.until_task_is(&task, "completed").await;
    assert_eq!(runs(&source)[0].header("traceparent"), None);
    assert_eq!((spans(&node, "exported").await, spans(&node, "dropped").await), (0, 0));
}
