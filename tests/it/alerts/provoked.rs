//! Alerts against the real thing: Prometheus scrapes a service while its conditions are brought about one by one, each
//! until its alert fires, and ended until it is gone. Takes minutes: `make test-alerts`.

mod hidden;

use std::process::{Command, Stdio};
use std::time::Duration;

use automagik_spark::dev::Signal;
use automagik_spark::simulate::{self, FLOW_ID, SimulateOptions};
use rustix::process::{Pid, kill_process};
use serde_json::json;

use super::prometheus::{Prometheus, free_port};
use super::read;
use crate::harness::node::{SOON, TestNode};
use crate::harness::stage::{Stage, connect};

struct Scene {
    stage: Stage,
    port: u16,
    prometheus: Prometheus,
}

/// A service on the port that Prometheus scrapes.
async fn serve(stage: &Stage, port: u16, settings: &[(&str, &str)]) -> TestNode {
    let given = stage.serve(settings);
    let mut command = Command::new(given.get_program());
    command
        .env_clear()
        .env("SPARK_FAULTS", hidden::faults(stage))
        .current_dir(stage.directory())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command.envs(given.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut arguments = given.get_args();
    while let Some(argument) = arguments.next() {
        command.arg(argument);
        if argument == "--port" {
            arguments.next();
            command.arg(port.to_string());
        }
    }
    for setting in [
        "node.heartbeat_s=1",
        "node.lease_s=3",
        "database.max_overflow=0",
        "worker.max_restarts=3",
        "worker.restart_window_s=20",
        "worker.restart_backoff_ms=3000",
    ] {
        command.args(["--set", setting]);
    }
    let node = TestNode::launch(command, &stage.servers.database_url).await;
    node.until_children_are_ready().await;
    node
}

/// Asks Redis something.
async fn ask_redis(stage: &Stage, words: &[&str]) -> redis::RedisResult<String> {
    let client = redis::Client::open(stage.servers.redis_url.as_str()).expect("a url");
    let mut redis = client.get_multiplexed_async_connection().await.expect("reachable");
    redis::cmd(words[0]).arg(&words[1..]).query_async(&mut redis).await
}

async fn set_redis(stage: &Stage, key: &str, value: &str) {
    ask_redis(stage, &["CONFIG", "SET", key, value]).await.expect("it is set");
}

async fn nothing() {}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes and needs Prometheus: make test-alerts"]
async fn alerts_fire_and_resolve_on_a_real_service() {
    let port = free_port();
    let prometheus = Prometheus::start(port).await;
    let stage = Stage::with_own_postgres(Duration::from_millis(20)).await;
    let mut scene = Scene { stage, port, prometheus };
    let node = serve(&scene.stage, port, &[]).await;
    let workflow = node.workflow(&scene.stage).await;
    let first = node.run(&workflow, &json!({"input_data": "good morning"})).await;
    node.until_task_is(&first, "completed").await;

    // It takes five minutes by itself, and so goes on beside all that does not need Redis's figures.
    let denied = hidden::deny_figures(&scene, &node).await;
    queues(&mut scene, &node, &workflow).await;
    tasks(&mut scene, &node, &workflow).await;
    workers(&mut scene, &node).await;
    hidden::processors(&mut scene, &node, &workflow).await;
    hidden::allow_figures(&mut scene, denied).await;
    redis_server(&mut scene).await;
    postgres(&mut scene, &node).await;
    let node = service(&mut scene, node).await;
    let node = hidden::beat(&mut scene, node, &workflow).await;

    let rules = read("config/alerts.yml");
    let rules: Vec<&str> = rules.split("- alert: ").skip(1).filter_map(|rule| rule.lines().next()).collect();
    let provoked = &scene.prometheus.provoked;
    let missing: Vec<_> = rules.iter().filter(|name| !provoked.contains_key(**name)).collect();
    assert!(missing.is_empty(), "{missing:?} were not tried; MachineCpuHigh needs a machine that others leave alone");
    println!("{} of {} alerts fired and went", provoked.len(), rules.len());
    node.until_idle().await;
}

async fn queues(scene: &mut Scene, node: &TestNode, workflow: &str) {
    node.act("queues/celery/pause").await;
    node.run_many(workflow, 520).await;
    let alerts = ["HighTaskQueueDepth", "TaskQueueDepthCritical", "QueuePaused"];
    scene.prometheus.provoke(&alerts, nothing, async || node.act("queues/celery/resume").await).await;

    // Nobody serves this queue, and its task is made to look half an hour old.
    let waiting = node.run(workflow, &json!({"input_data": "waits", "queue": "nobody"})).await;
    let sql = "UPDATE tasks SET pending_at = now() - interval '31 min' WHERE queue = 'nobody'";
    scene.stage.rows(sql, &[]).await;
    let cancel = async || node.act(&format!("tasks/{waiting}/cancel")).await;
    scene.prometheus.provoke(&["BacklogOld", "BacklogVeryOld"], nothing, cancel).await;
}

async fn tasks(scene: &mut Scene, node: &TestNode, workflow: &str) {
    let fail = async || drop(node.run(workflow, &json!({"input_data": "fail:on purpose", "max_retries": 0})).await);
    scene.prometheus.provoke(&["TaskFailureRateHigh", "TaskFailureRateCritical"], fail, nothing).await;

    // With answers in between: a source that never answers is left alone.
    let reset = async || {
        let broken = node.run(workflow, &json!({"input_data": "reset", "max_retries": 0})).await;
        node.until_task_is(&broken, "failed").await;
        let answered = node.run(workflow, &json!({"input_data": "good morning"})).await;
        node.until_task_is(&answered, "completed").await;
    };
    scene.prometheus.provoke(&["OutcomeUnknown"], reset, nothing).await;

    // It runs for eleven minutes, as far as the database knows.
    let slow = node.run(workflow, &json!({"input_data": "sleep:600"})).await;
    node.until_task_is(&slow, "running").await;
    let sql = "UPDATE tasks SET started_at = now() - interval '11 min' WHERE status = 'running'";
    scene.stage.rows(sql, &[]).await;
    let cancel = async || node.act(&format!("tasks/{slow}/cancel")).await;
    scene.prometheus.provoke(&["TaskExecutionSlow", "TaskExecutionCritical"], nothing, cancel).await;

    let other = simulate::start(SimulateOptions::default()).expect("a source");
    let address = other.url().trim_start_matches("http://").parse().expect("an address");
    let source = json!({"source_type": "langflow", "url": other.url(), "api_key": "any", "name": "going away"});
    let id = node.post("/api/v1/sources", &source).await["id"].as_str().expect("an id").to_owned();
    let synced = node.post(&format!("/api/v1/workflows/sync/{FLOW_ID}"), &json!({"source_url": other.url()})).await;
    let other_workflow = synced["id"].as_str().expect("an id").to_owned();
    other.stop().await;
    let call = async || drop(node.run(&other_workflow, &json!({"input_data": "anyone?", "max_retries": 0})).await);
    let mut back = None;
    let mend = async || {
        let options = SimulateOptions { bind: address, ..Default::default() };
        back = Some(simulate::start(options).expect("its port is free"));
        node.act(&format!("sources/{id}/resume")).await;
    };
    scene.prometheus.provoke(&["SourceDown"], call, mend).await;
    node.until_idle().await;
    drop(back);
}

async fn workers(scene: &mut Scene, node: &TestNode) {
    let kill = async || {
        for pid in node.child_pids().await {
            // One may have ended since it was listed.
            let child = Pid::from_raw(pid.cast_signed()).expect("a process id");
            kill_process(child, Signal::KILL).unwrap_or_default();
        }
    };
    let alerts = ["WorkersCrashing", "PoolFailed", "NoWorkerReady"];
    scene.prometheus.provoke(&alerts, kill, nothing).await;
    node.until_children_are_ready().await;

    let limit = |soft: usize| {
        let (pid, soft) = (node.pid().to_string(), format!("--nofile={soft}:"));
        let limited = Command::new("prlimit").args(["--pid", &pid, &soft]).status().expect("prlimit is there");
        assert!(limited.success(), "{limited}");
    };
    let open = node.open_files().await;
    limit(open + open / 8);
    scene.prometheus.provoke(&["OpenFilesHigh"], nothing, async || limit(4_096)).await;
}

async fn redis_server(Scene { stage, prometheus, .. }: &mut Scene) {
    let info = ask_redis(stage, &["INFO", "memory"]).await.expect("it tells");
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse::<u64>().ok());
    set_redis(stage, "maxmemory", &(used.expect("it says so") * 104 / 100).to_string()).await;
    let free = async || set_redis(stage, "maxmemory", "0").await;
    prometheus.provoke(&["RedisMemoryHigh", "RedisMemoryCritical"], nothing, free).await;

    // What an operator may have who took a cache for the pattern.
    set_redis(stage, "maxmemory-policy", "allkeys-lru").await;
    set_redis(stage, "maxmemory", "4000000").await;
    let (mut number, block) = (0, "x".repeat(500_000));
    let fill = async || {
        number += 1;
        ask_redis(stage, &["SET", &format!("filler-{number}"), &block]).await.expect("room is made");
    };
    let empty = async || {
        set_redis(stage, "maxmemory", "0").await;
        set_redis(stage, "maxmemory-policy", "noeviction").await;
    };
    prometheus.provoke(&["RedisEvicting"], fill, empty).await;

    stage.servers.redis.signal(Signal::STOP);
    prometheus.provoke(&["RedisDown"], nothing, async || stage.servers.redis.signal(Signal::CONT)).await;
}

async fn postgres(scene: &mut Scene, node: &TestNode) {
    // The private server takes 300.
    let mut many = Vec::new();
    for _ in 0..276 {
        many.push(connect(&scene.stage.servers.database_url).await);
    }
    let alerts = ["HighDatabaseConnections", "DatabaseConnectionsHigh", "DatabaseConnectionsCritical"];
    scene.prometheus.provoke(&alerts, nothing, async || drop(many)).await;

    // Somebody's transaction holds what every call needs, time after time; requests use the pool up behind it.
    let holder = connect(&scene.stage.servers.database_url).await;
    let hold = async || {
        let sql = "BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(3); COMMIT";
        let ask = || node.try_ask(reqwest::Method::GET, "/api/v1/tasks", None);
        let (held, ..) = tokio::join!(holder.batch_execute(sql), ask(), ask(), ask(), ask());
        held.expect("the lock is had");
    };
    let alerts = ["PostgresQuerySlow", "PostgresQueryCritical", "DatabasePoolHigh", "DatabasePoolCritical"];
    scene.prometheus.provoke(&alerts, hold, nothing).await;

    let Scene { stage, prometheus, .. } = scene;
    stage.servers.postgres().stop().await.expect("it stops");
    let start = async || stage.servers.postgres().start_again().await.expect("it starts");
    prometheus.provoke(&["DatabaseDown", "SparkNotReady"], nothing, start).await;
}

/// The service itself. Answers the one that runs in the end.
async fn service(scene: &mut Scene, mut node: TestNode) -> TestNode {
    // Another node vanishes. Its row goes after ten leases.
    let mut other = scene.stage.node(&[("node.heartbeat_s", "1"), ("node.lease_s", "3")]).await;
    other.kill().await;
    scene.prometheus.provoke(&["NodeDead"], nothing, nothing).await;

    // Nobody fires schedules.
    let workflows = node.get("/api/v1/workflows").await;
    let workflow = workflows["items"][0]["id"].as_str().expect("an id");
    let schedule = json!({"workflow_id": workflow, "schedule_type": "interval", "schedule_expr": "12h"});
    node.post("/api/v1/schedules", &schedule).await;
    let Scene { stage, prometheus, port } = scene;
    node.stop(SOON).await;
    node = serve(stage, *port, &[("node.roles", "api,worker")]).await;
    stage.rows("UPDATE schedules SET next_run_at = now() - interval '6 min'", &[]).await;
    let with_beat = async || {
        node.stop(SOON).await;
        node = serve(stage, *port, &[]).await;
    };
    prometheus.provoke(&["SchedulesLate", "SchedulesVeryLate"], nothing, with_beat).await;

    node.until_idle().await;
    node.kill().await;
    let start = async || node = serve(stage, *port, &[]).await;
    prometheus.provoke(&["SparkDown", "WorkerDown"], nothing, start).await;
    let restart = async || {
        node.kill().await;
        node = serve(stage, *port, &[]).await;
    };
    prometheus.provoke(&["SparkRestarting"], restart, nothing).await;
    node
}
