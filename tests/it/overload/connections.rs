//! Clients that are many, slow, or rude at the level of connections.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::api::client::TestApi;
use crate::harness::node::{SOON, TestNode};
use crate::harness::stage::{API_KEY, Stage};
use crate::harness::until;
use crate::lifecycle::alone;

/// Connections that do nothing.
const IDLE: usize = 10_000;
/// Requests with the largest body there may be, far more at one time than there is room for.
const BODIES: usize = 50;
const BODIES_AT_ONCE: usize = 40;
/// How many are opened at one time.
const OPENING: usize = 100;

/// Resident memory of a process, in MB.
fn memory_mb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of it");
    line.split_whitespace().next().expect("a number").parse::<u64>().expect("a number") / 1024
}

fn address(node: &TestNode) -> String {
    node.url().trim_start_matches("http://").to_owned()
}

/// This process holds the other ends.
fn allow_files(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum })
            .expect("the test needs 12000 open files: ulimit -Hn");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_leave_room_for_a_new_client() {
    let _machine = alone().await;
    allow_files(12_000);
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    let before = memory_mb(node.pid());
    let to = address(&node);
    // Half of them say nothing at all, half were answered once and stay.
    let opened = stream::iter(0..IDLE).map(|number| {
        let to = &to;
        async move {
            let mut connection = TcpStream::connect(to).await.expect("it is taken");
            if number % 2 == 0 {
                connection.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it is read");
                let mut answer = [0; 16];
                connection.read_exact(&mut answer).await.expect("it is answered");
                assert!(answer.starts_with(b"HTTP/1.1 200"));
            }
            connection
        }
    });
    let idle: Vec<TcpStream> = opened.buffer_unordered(OPENING).collect().await;
    let during = memory_mb(node.pid());
    let asked_at = Instant::now();
    let task = node.run(&workflow, &json!({"input_data": "x"})).await;
    let answered_after = asked_at.elapsed();
    node.until_task_is(&task, "completed").await;
    until("they are counted", SOON, async || (node.open_files().await > IDLE / 2).then_some(())).await;
    drop(idle);
    until("they are gone", SOON, async || (node.open_files().await < 500).then_some(())).await;
    let after = memory_mb(node.pid());
    println!(
        "{IDLE} idle connections: {before} MB before, {during} MB during, {after} MB after; a new client was answered after {answered_after:?}"
    );
    assert!(answered_after < Duration::from_secs(5), "{answered_after:?}");
    assert!(during - before < 400, "{before} MB before, {during} MB during");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_the_largest_bodies_takes_bounded_memory() {
    let _machine = alone().await;
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    node.post("/api/v1/queues/celery/pause", &Value::Null).await;
    let before = memory_mb(node.pid());
    let body = json!({"input_data": "x".repeat(10 * 1024 * 1024)}).to_string();
    let head = format!(
        "POST /api/v1/workflows/{workflow}/run HTTP/1.1\r\nHost: x\r\nX-API-Key: {API_KEY}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let to = address(&node);
    let statuses = stream::iter(0..BODIES).map(|_| {
        let (to, head, body) = (&to, &head, &body);
        async move {
            let mut connection = TcpStream::connect(to).await.expect("it is taken");
            connection.write_all(head.as_bytes()).await.expect("it is read");
            // One that is refused may be closed before all of it was sent.
            connection.write_all(body.as_bytes()).await.ok();
            let mut answer = [0; 12];
            connection.read_exact(&mut answer).await.ok();
            String::from_utf8_lossy(&answer[9..]).into_owned()
        }
    });
    let sampling = async {
        let mut most = 0;
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            most = most.max(memory_mb(node.pid()));
            MOST.store(most, std::sync::atomic::Ordering::Relaxed);
        }
    };
    let statuses: Vec<String> = tokio::select! {
        statuses = statuses.buffer_unordered(BODIES_AT_ONCE).collect() => statuses,
        () = sampling => unreachable!("it samples for ever"),
    };
    let most = MOST.load(std::sync::atomic::Ordering::Relaxed);
    let accepted = statuses.iter().filter(|status| *status == "200").count();
    let refused = statuses.iter().filter(|status| *status == "503").count();
    println!(
        "{BODIES} bodies of 10 MB, {BODIES_AT_ONCE} at once: {accepted} accepted, {refused} refused; {before} MB before, {most} MB at most, {} MB after",
        memory_mb(node.pid())
    );
    assert!(accepted > 0, "{statuses:?}");
    assert_eq!(stage.count("SELECT count(*) FROM tasks").await, accepted as i64);
    assert!(most - before < 1500, "{before} MB before, {most} MB at most");
    // And it serves on.
    node.run(&workflow, &json!({"input_data": "x"})).await;
}

static MOST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_sent_ahead_are_all_answered() {
    let api = TestApi::start().await;
    let mut connection = TcpStream::connect(api.address()).await.expect("it is taken");
    let ahead = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n".repeat(500);
    connection.write_all(&ahead).await.expect("it is read");
    connection.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("read");
    let mut answers = String::new();
    connection.read_to_string(&mut answers).await.expect("they are answered");
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 501);
}

/// The service is started where few files may be open: it takes fewer connections and says so, and a connection that
/// finds no room waits until there is some.
#[tokio::test(flavor = "multi_thread")]
async fn where_few_files_may_be_open_the_api_takes_fewer_connections_and_says_so() {
    let stage = Stage::new(Duration::ZERO).await;
    let serve = stage.serve(&[]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 300 && exec \"$0\" \"$@\""]).arg(serve.get_program()).args(serve.get_args());
    command.env_clear().envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(stage.directory()).stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    let node = TestNode::launch(command, &stage.servers.database_url).await;
    node.until_children_are_ready().await;
    let log = node.log();
    assert!(log.contains("the API takes ") && log.contains("the system allows 300 open files"), "{log}");
    let mut held = Vec::new();
    for _ in 0..150 {
        held.push(TcpStream::connect(address(&node)).await.expect("the system takes it"));
    }
    // Not over the connection that this test has had all along.
    let mut asked = TcpStream::connect(address(&node)).await.expect("the system takes it");
    asked.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it waits there");
    let mut answer = [0; 12];
    let early = tokio::time::timeout(Duration::from_millis(500), asked.read_exact(&mut answer)).await;
    assert!(early.is_err(), "there was no room");
    drop(held);
    let answered = tokio::time::timeout(SOON, asked.read_exact(&mut answer)).await;
    answered.expect("there is room").expect("it is answered");
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert!(!node.log().contains("Too many open files"), "{}", node.log());
}
