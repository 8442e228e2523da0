//! Event streams of one node. What happens to a task, the test does with the node's own use cases.

use std::sync::Arc;
use std::time::Duration;

use automagik_spark::dispatch::claim::Job;
use automagik_spark::domain::clock;
use automagik_spark::domain::ids::TaskId;
use automagik_spark::domain::outcome::{Answer, Failure, Outcome};
use automagik_spark::domain::queue::{Priority, QueueName};
use automagik_spark::domain::task::NewTask;
use automagik_spark::domain::trace::Origin;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::client::{KEY, TestApi};
use crate::harness::node::SOON;
use crate::harness::sse::EventStream;
use crate::harness::until;

async fn open(api: &TestApi, path: &str, last_id: Option<&str>) -> Result<EventStream, reqwest::Response> {
    EventStream::open(&format!("http://{}/api/v1{path}", api.address), KEY, last_id).await
}

async fn stream(api: &TestApi, path: &str) -> EventStream {
    open(api, path, None).await.expect("it opens")
}

async fn claim(api: &TestApi, task: &str) -> Job {
    let pool: Arc<str> = "celery".into();
    api.dispatch.claim(&pool, vec![task.parse().unwrap()]).await.unwrap().remove(0)
}

/// An answer that is stored with line ends of both kinds.
fn answer() -> Outcome {
    let output = serde_json::value::RawValue::from_string("{\r\n\"text\":\n\"done\"}".to_owned()).unwrap();
    Outcome::Completed(Answer { output, text: "done".to_owned() })
}

async fn streams(api: &TestApi) -> usize {
    let metrics = api.get("/metrics").await.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("automagik_spark_event_streams "));
    line.expect("the metric").parse().expect("a number")
}

const ORIGIN: Origin = Origin::Request { route: "/", caller: None };

fn new_task(workflow: &str, queue: &str) -> NewTask {
    NewTask {
        id: TaskId::generate(),
        workflow_id: workflow.parse().unwrap(),
        schedule_id: None,
        input: json!({"value": "x"}).to_string().into(),
        queue: QueueName::new(queue).unwrap(),
        priority: Priority::default(),
        max_retries: 3,
        session_id: None,
        timeout_s: None,
        created_at: clock::now(),
        pending_at: clock::now(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_told_state_by_state_and_whole_at_its_end() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let task = api.run(&workflow, "x").await;
    let mut watching = stream(&api, &format!("/tasks/{task}/events")).await;
    let told = watching.next().await.expect("the present state at once");
    let at = told.data["at"].clone();
    assert_eq!(
        told.data,
        json!({"id": task, "workflow_id": workflow, "schedule_id": null, "status": "pending", "attempt": 0,
            "queue": "celery", "at": at, "error": null})
    );
    let attempt = claim(&api, &task).await.claimed.attempt;
    let told = watching.next().await.expect("goes on");
    assert_eq!((told.what(), &told.data["attempt"]), ("running", &json!(1)));
    // Of one that told of the source (503) the task would be in flight until that is noted, and could not be claimed.
    let failure = Failure::transient("source_http_500", "busy ".repeat(100));
    api.dispatch.record(attempt, Outcome::Failed(failure));
    let told = watching.next().await.expect("goes on");
    assert_eq!(told.what(), "retrying");
    assert_eq!(told.data["error"].as_str().map(|error| error.chars().count()), Some(201), "{told:?}");
    api.execute("UPDATE tasks SET next_retry_at = now()").await;
    let released = api.dispatch.store().release_due_retries(clock::now(), 10).await.unwrap();
    api.dispatch.pended(released).await;
    assert_eq!(watching.next().await.expect("goes on").what(), "pending");
    api.dispatch.record(claim(&api, &task).await.claimed.attempt, answer());
    let rest = watching.rest().await;
    let last = rest.last().expect("the end");
    assert!(rest.len() <= 2 && rest.iter().all(|told| ["running", "completed"].contains(&told.what())), "{rest:?}");
    assert_eq!((last.what(), &last.data["attempt"]), ("completed", &json!(2)));
    assert_eq!(last.data["task"], api.get(&format!("/api/v1/tasks/{task}")).await.expect(200), "as the task is shown");
    assert_eq!(last.data["task"]["output_data"], json!({"text": "done"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_task_is_told_once_and_an_unknown_one_is_not_found() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let task = api.run(&workflow, "x").await;
    api.act(&format!("/api/v1/tasks/{task}/cancel")).await.expect(200);
    let path = format!("/tasks/{task}/events");
    let mut watching = stream(&api, &path).await;
    let told = watching.rest().await;
    assert_eq!(told.iter().map(|told| told.what()).collect::<Vec<_>>(), ["cancelled"]);
    assert_eq!(told[0].data["task"]["status"], "cancelled");
    // A browser comes again with the id of the last event: it is told to stay away.
    let id = told[0].id.as_deref();
    assert_eq!(open(&api, &path, id).await.err().expect("no stream").status(), 204);
    assert!(open(&api, &path, Some("0-1")).await.is_ok(), "that was not the last one");
    for unknown in ["0192f3a1-7b2c-7001-8000-000000000001", "no-uuid"] {
        let answer = api.get(&format!("/api/v1/tasks/{unknown}/events")).await;
        assert_eq!((answer.status, answer.detail().as_str()), (404, "Task not found"));
    }
    let bad = api.get("/api/v1/events?workflow_id=x&queue=a%20b&status=odd").await.expect(422);
    assert_eq!(bad["detail"].as_array().map(Vec::len), Some(3), "{bad}");
    until("all streams are closed", SOON, async || (streams(&api).await == 0).then_some(())).await;
}

/// Nobody tells: rows are changed behind the node's back, as when a message is lost.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_nobody_told_of_is_seen_all_the_same() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let (ended, deleted) = (api.run(&workflow, "x").await, api.run(&workflow, "y").await);
    let mut watching = stream(&api, &format!("/tasks/{ended}/events")).await;
    let mut other = stream(&api, &format!("/tasks/{deleted}/events")).await;
    assert_eq!(watching.next().await.expect("open").what(), "pending");
    assert_eq!(other.next().await.expect("open").what(), "pending");
    api.execute(&format!("UPDATE tasks SET status = 'failed', error = 'lost' WHERE id = '{ended}'")).await;
    api.execute(&format!("DELETE FROM tasks WHERE id = '{deleted}'")).await;
    let told = watching.rest().await;
    assert_eq!((told.len(), told[0].what(), &told[0].data["error"]), (1, "failed", &json!("lost")));
    let told = other.rest().await;
    assert_eq!((told.len(), told[0].what(), &told[0].data), (1, "deleted", &json!({ "id": deleted })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_a_task_that_broke_off_goes_on_where_it_was() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let task = api.run(&workflow, "x").await;
    let path = format!("/tasks/{task}/events");
    let pending = stream(&api, &path).await.next().await.expect("the present state");
    let mut again = open(&api, &path, pending.id.as_deref()).await.expect("it opens");
    let attempt = claim(&api, &task).await.claimed.attempt;
    assert_eq!(again.next().await.expect("goes on").what(), "running", "pending was told before");
    drop(again);
    api.dispatch.record(attempt, answer());
    let told = open(&api, &path, pending.id.as_deref()).await.expect("it opens").rest().await;
    assert_eq!(told.last().expect("the end").what(), "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tasks_are_followed_by_what_they_have_in_common() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let mut all = stream(&api, "/events").await;
    let mut of_queue = stream(&api, "/events?queue=direct").await;
    let mut running = stream(&api, &format!("/events?status=running&workflow_id={workflow}")).await;
    let mut elsewhere = stream(&api, "/events?workflow_id=0192f3a1-7b2c-7001-8000-000000000001").await;
    let path = format!("/api/v1/workflows/{workflow}/run");
    let task = api.post(&path, json!({"input_data": "x", "queue": "direct"})).await.expect(200)["id"].clone();
    let other = api.run(&workflow, "y").await;
    let attempt = claim(&api, task.as_str().unwrap()).await.claimed.attempt;
    api.dispatch.record(attempt, answer());
    api.act(&format!("/api/v1/tasks/{other}/cancel")).await.expect(200);
    let mut seen = Vec::new();
    while seen.len() < 5 {
        let told = all.next_task().await;
        assert_eq!(told.data.get("task"), None, "the small facts alone");
        seen.push((told.data["id"] == task, told.what().to_owned()));
    }
    let of = |is_task| seen.iter().filter(move |(of_task, _)| *of_task == is_task).map(|(_, what)| what.as_str());
    assert_eq!(of(true).collect::<Vec<_>>(), ["pending", "running", "completed"]);
    assert_eq!(of(false).collect::<Vec<_>>(), ["pending", "cancelled"]);
    for what in ["pending", "running", "completed"] {
        let told = of_queue.next_task().await;
        assert_eq!((told.what(), &told.data["id"]), (what, &task));
    }
    assert_eq!(running.next_task().await.data["id"], task);
    api.dispatch.events().close();
    for stream in [&mut all, &mut of_queue, &mut running, &mut elsewhere] {
        let rest = stream.rest().await;
        assert_eq!(rest.iter().map(|told| told.what()).collect::<Vec<_>>(), ["shutdown"]);
    }
    assert_eq!(api.get("/api/v1/events").await.expect(503)["code"], "stopping");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_comes_back_misses_nothing_or_is_told_that_it_did() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let mut first = stream(&api, "/events").await;
    let one = api.run(&workflow, "one").await;
    let told = first.next_task().await;
    assert_eq!(told.data["id"], one.as_str());
    drop(first);
    let two = api.run(&workflow, "two").await;
    let mut again = open(&api, "/events", told.id.as_deref()).await.expect("it opens");
    assert_eq!(again.next().await.expect("goes on").data["id"], two.as_str(), "what happened meanwhile");
    for id in ["another-1", "0192f3a17b2c70018000000000000001-7"] {
        let mut lost = open(&api, "/events", Some(id)).await.expect("it opens");
        let gap = lost.next().await.expect("goes on");
        assert_eq!((gap.what(), &gap.data["reason"]), ("gap", &json!("slow")), "an id of another node");
        let three = api.run(&workflow, "three").await;
        assert_eq!(lost.next().await.expect("goes on").data["id"], three.as_str());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_told_of_the_gap_and_goes_on() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1 << 16).unwrap();
    let mut slow = socket.connect(api.address).await.unwrap();
    let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nConnection: close\r\n\r\n");
    slow.write_all(request.as_bytes()).await.unwrap();
    until("the stream is open", SOON, async || (streams(&api).await == 1).then_some(())).await;
    // Far more than the ring, the node's buffers and the kernel's hold: the kernel keeps up to some megabytes.
    let queue = "q".repeat(64);
    for _ in 0..100 {
        let submits = (0..250).map(|_| api.dispatch.submit(new_task(&workflow, &queue), ORIGIN));
        futures_util::future::join_all(submits).await.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    }
    let read = async {
        let (mut text, mut bytes) = (String::new(), vec![0; 1 << 16]);
        while !text.contains("\"queue\":\"last\"") {
            match tokio::time::timeout(Duration::from_millis(200), slow.read(&mut bytes)).await {
                Ok(count) => text.push_str(&String::from_utf8_lossy(&bytes[..count.expect("the stream goes on")])),
                // It has read all there was, and what comes now is new.
                Err(_) => api.dispatch.submit(new_task(&workflow, "last"), ORIGIN).await.unwrap(),
            }
        }
        text
    };
    let text = tokio::time::timeout(SOON * 2, read).await.expect("a gap, then what is new");
    assert!(text.contains("event: gap") && text.contains("\"reason\":\"slow\""));
    let told = text.matches("event: task").count();
    println!("{told} of 25000 events were read");
    assert!(told < 25_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_have_a_limit_and_are_freed_when_clients_go() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let task = api.run(&workflow, "x").await;
    let path = format!("/tasks/{task}/events");
    // Two hundred come and go, never more than forty at a time.
    for _ in 0..5 {
        let opened = (0..40).map(|n| {
            let path = if n % 2 == 0 { "/events" } else { path.as_str() };
            stream(&api, path)
        });
        let mut open = futures_util::future::join_all(opened).await;
        assert_eq!(streams(&api).await, 40);
        // Some hang up in the middle of an event, some before the first.
        for stream in open.iter_mut().skip(20).filter(|stream| stream.response.url().path().contains("tasks")) {
            stream.next().await.expect("the present state");
        }
        drop(open);
        until("all are freed", SOON, async || (streams(&api).await == 0).then_some(())).await;
    }
    let mut held = Vec::new();
    for _ in 0..50 {
        held.push(stream(&api, "/events").await);
    }
    let refused = api.get(&format!("/api/v1{path}")).await;
    assert_eq!(refused.expect(503)["code"], "too_many_streams");
    assert!(refused.headers.contains_key("retry-after"));
    held.pop();
    until("there is room", SOON, async || open(&api, &path, None).await.ok().map(drop)).await;
    assert_eq!(api.get(&format!("/api/v1/tasks/{task}")).await.expect(200)["status"], "pending", "the rest works");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_shows_that_it_lives_and_where_it_is() {
    let api = TestApi::with(|options| options.heartbeat = Duration::from_millis(50)).await;
    let workflow = api.add_workflow().await;
    let mut nothing = stream(&api, "/events?status=failed").await;
    let task = api.run(&workflow, "x").await;
    api.act(&format!("/api/v1/tasks/{task}/cancel")).await.expect(200);
    let mut watching = stream(&api, &format!("/tasks/{}/events", api.run(&workflow, "y").await)).await;
    let heartbeats = async |stream: &mut EventStream| {
        let ask = async { while stream.next().await.is_some_and(|told| told.what() == "pending") {} };
        tokio::time::timeout(Duration::from_millis(500), ask).await.expect_err("nothing happens");
        stream.comments.iter().filter(|comment| *comment == "alive").count()
    };
    assert!(heartbeats(&mut watching).await >= 3);
    assert!(heartbeats(&mut nothing).await >= 3);
    // Nothing of what happened was for it, and still it goes on after all of that.
    let id = nothing.last_id.clone().expect("heartbeats have ids");
    drop(nothing);
    let next = api.run(&workflow, "z").await;
    let told: Value = open(&api, "/events", Some(&id)).await.expect("it opens").next().await.expect("goes on").data;
    assert_eq!(told["id"], next.as_str());
}
