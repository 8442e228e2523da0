//! What the audit trail has of each change.

use std::collections::BTreeSet;
use std::time::Duration;

use automagik_spark::domain::clock;
use automagik_spark::simulate::FLOW_ID;
use automagik_spark::store::retention::Old;
use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{ask, make, text};
use crate::api::client::{Answer, KEY, SOURCE_KEY, TestApi, id};
use crate::harness::until;

/// The API, a key, and how many rows there must be.
struct Scene {
    api: TestApi,
    key: String,
    rows: i64,
    seen: BTreeSet<String>,
}

impl Scene {
    async fn new() -> Self {
        let api = TestApi::start().await;
        let key = text(&make(&api, "chief", "admin").await);
        Self { api, key, rows: 1, seen: BTreeSet::from(["key.create".to_owned()]) }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        ask(&self.api, &self.key, method, path, Some(body).filter(|body| !body.is_null())).await
    }

    /// Does something that leaves exactly one row, which whoever got the answer finds; the answer and the row.
    async fn leaves(&mut self, action: &str, method: &str, path: &str, body: Value) -> (Value, Value) {
        let answer = self.ask(method, path, body).await;
        assert!((200..300).contains(&answer.status), "{action}: {}", answer.text());
        self.rows += 1;
        let page = self.api.get("/api/v1/audit?limit=1").await.expect(200);
        let row = page["items"][0].clone();
        assert_eq!((&page["total"], &row["action"]), (&json!(self.rows), &json!(action)), "{row}");
        assert_eq!((&row["actor"], &row["status"]), (&json!("chief"), &json!(answer.status)));
        assert_eq!(row["remote"], "127.0.0.1");
        assert_eq!(row["entity_type"].as_str(), action.split('.').next());
        self.seen.insert(action.to_owned());
        (answer.json(), row)
    }

    async fn leaves_nothing(&self, status: u16, method: &str, path: &str, body: Value) -> Value {
        let answer = self.ask(method, path, body).await.expect(status);
        assert_eq!(self.api.count("audit").await, self.rows, "{method} {path}");
        answer
    }
}

/// Each action of the description, once. A new one is to be added here.
#[tokio::test(flavor = "multi_thread")]
async fn each_change_leaves_one_row() {
    let mut scene = Box::pin(Scene::new()).await;
    let url = scene.api.source.url().to_owned();
    let new = json!({"source_type": "langflow", "url": url, "api_key": SOURCE_KEY, "name": "flow"});
    let (source, row) = scene.leaves("source.create", "POST", "/api/v1/sources", new.clone()).await;
    assert_eq!(row["entity_id"], source["id"]);
    assert_eq!(row["summary"]["changed"], json!({"name": "flow", "source_type": "langflow", "url": url}));
    assert_eq!(row["summary"]["not_shown"], json!(["api_key"]));
    let source = format!("/api/v1/sources/{}", id(&source));
    scene.leaves_nothing(400, "POST", "/api/v1/sources", new).await;
    let patch = json!({"name": "flow-2", "api_key": SOURCE_KEY});
    let (_, row) = scene.leaves("source.update", "PATCH", &source, patch).await;
    assert_eq!(row["summary"]["changed"], json!({"name": "flow-2"}));
    assert_eq!(row["summary"]["not_shown"], json!(["api_key"]));
    scene.leaves("source.resume", "POST", &format!("{source}/resume"), Value::Null).await;

    let sync = format!("/api/v1/workflows/sync/{FLOW_ID}?source_url={url}");
    let (workflow, row) = scene.leaves("workflow.sync", "POST", &sync, Value::Null).await;
    assert_eq!((&row["entity_id"], &row["summary"]["name"]), (&workflow["id"], &workflow["name"]));
    let workflow = id(&workflow);
    let limits = json!({"max_concurrency": 2});
    let (_, row) =
        scene.leaves("workflow.update", "PATCH", &format!("/api/v1/workflows/{}", &workflow[..13]), limits).await;
    assert_eq!((&row["entity_id"], &row["summary"]["changed"]), (&json!(workflow), &json!({"max_concurrency": 2})));
    let run = format!("/api/v1/workflows/{workflow}/run");
    let task = id(&scene.leaves_nothing(200, "POST", &run, json!("Hello")).await);
    let task = format!("/api/v1/tasks/{task}");
    let (_, row) = scene.leaves("task.cancel", "POST", &format!("{task}/cancel"), Value::Null).await;
    assert_eq!(row["summary"], json!({"status": "cancelled"}));
    scene.leaves_nothing(400, "POST", &format!("{task}/cancel"), Value::Null).await;
    scene.leaves("task.retry", "POST", &format!("{task}/retry"), Value::Null).await;
    scene.leaves("task.delete", "DELETE", &task, Value::Null).await;
    scene.leaves_nothing(404, "DELETE", &task, Value::Null).await;
    let one = id(&scene.leaves_nothing(200, "POST", &run, json!("Hello")).await);
    let (_, row) = scene.leaves("task.cancel_many", "POST", "/api/v1/tasks/cancel", json!({"ids": [one]})).await;
    assert_eq!(row["summary"]["filter"], json!({"ids": [one]}));
    assert_eq!(row["summary"]["counts"]["changed"], 1);
    scene.leaves("task.retry_many", "POST", "/api/v1/tasks/retry", json!({"status": "cancelled"})).await;
    scene.leaves_nothing(422, "POST", "/api/v1/tasks/delete", json!({})).await;
    scene.leaves("task.delete_many", "POST", "/api/v1/tasks/delete", json!({"all": true})).await;
    let (_, row) = scene.leaves("queue.pause", "POST", "/api/v1/queues/low/pause", Value::Null).await;
    assert_eq!(row["entity_id"], "low");
    scene.leaves("queue.resume", "POST", "/api/v1/queues/low/resume", Value::Null).await;

    let input = "a private letter ".repeat(50);
    let rule =
        json!({"workflow_id": workflow, "schedule_type": "interval", "schedule_expr": "1h", "input_value": input});
    let (schedule, row) = scene.leaves("schedule.create", "POST", "/api/v1/schedules", rule.clone()).await;
    assert_eq!(row["summary"]["changed"]["schedule_expr"], "1h");
    assert_eq!(row["summary"]["not_shown"], json!(["input_value"]));
    let schedule = format!("/api/v1/schedules/{}", id(&schedule));
    scene.leaves_nothing(422, "PATCH", &schedule, json!({"schedule_expr": "never"})).await;
    let (_, row) = scene.leaves("schedule.update", "PATCH", &schedule, json!({"input_value": "Hi"})).await;
    assert_eq!(row["summary"], json!({"status": "active", "changed": {"input_value": "Hi"}}));
    scene.leaves("schedule.replace", "PUT", &schedule, rule.clone()).await;
    let (_, row) = scene.leaves("schedule.pause", "POST", &format!("{schedule}/disable"), Value::Null).await;
    assert_eq!(row["summary"], json!({"status": "paused"}));
    scene.leaves("schedule.resume", "POST", &format!("{schedule}/enable"), Value::Null).await;
    scene.leaves_nothing(200, "POST", &format!("{schedule}/trigger"), Value::Null).await;
    scene.leaves_nothing(200, "POST", "/api/v1/schedules/preview", rule).await;
    scene.leaves("schedule.delete", "DELETE", &schedule, Value::Null).await;

    let told = json!({"name": "on-call", "url": "http://127.0.0.1:9/x", "events": ["task.failed"]});
    let (made, row) = scene.leaves("notification.create", "POST", "/api/v1/notifications", told).await;
    assert!(made["secret"].is_string());
    assert_eq!(row["summary"]["changed"]["name"], "on-call");
    let one = format!("/api/v1/notifications/{}", id(&made));
    scene.leaves("notification.update", "PATCH", &one, json!({"status": "inactive"})).await;
    scene.leaves("notification.test", "POST", &format!("{one}/test"), Value::Null).await;
    scene.leaves("notification.delete", "DELETE", &one, Value::Null).await;

    let (made, row) =
        scene.leaves("key.create", "POST", "/api/v1/keys", json!({"name": "ci", "scope": "run", "key": 1})).await;
    assert_eq!(row["entity_id"], made["id"]);
    assert_eq!(row["summary"]["changed"], json!({"name": "ci", "scope": "run"}));
    let (_, row) = scene.leaves("key.revoke", "DELETE", &format!("/api/v1/keys/{}", id(&made)), Value::Null).await;
    assert_eq!(row["summary"], json!({"name": "ci", "status": "revoked"}));

    // A workflow may be named by the beginning of its id, the trail names it whole.
    let (_, row) =
        scene.leaves("workflow.delete", "DELETE", &format!("/api/v1/workflows/{}", &workflow[..13]), Value::Null).await;
    assert_eq!(row["entity_id"], json!(workflow));
    let (_, row) = scene
        .leaves(
            "source.delete",
            "DELETE",
            &source.to_uppercase().replace("/API/V1/SOURCES", "/api/v1/sources"),
            Value::Null,
        )
        .await;
    assert_eq!(row["entity_id"].as_str(), source.rsplit('/').next(), "in the form that answers have");

    let document = scene.api.raw("GET", "/api/v1/openapi.json", &[], b"").await.expect(200);
    let operations =
        document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
    let all: BTreeSet<String> =
        operations.filter_map(|operation| operation["x-audit"].as_str().map(str::to_owned)).collect();
    // A pool needs a node: tests/it/pools.
    let missing: Vec<&String> = all.difference(&scene.seen).filter(|action| *action != "pool.resize").collect();
    assert!(missing.is_empty(), "add a `scene.leaves(...)` for {missing:?} to this test");
    let rows = scene.api.sql.query_one("SELECT string_agg(a::text, ' ') FROM audit a", &[]).await.unwrap();
    let rows: String = rows.get(0);
    assert!(
        !rows.contains("private letter")
            && !rows.contains(SOURCE_KEY)
            && !rows.contains("spk_")
            && !rows.contains("whsec_"),
        "{rows}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_filtered_and_paged() {
    let api = TestApi::start().await;
    let key = text(&make(&api, "chief", "admin").await);
    let made =
        id(&ask(&api, &key, "POST", "/api/v1/keys", Some(json!({"name": "a", "scope": "read"}))).await.expect(201));
    api.call("DELETE", &format!("/api/v1/keys/{made}"), None).await.expect(200);
    let found = async |query: &str| {
        let page = api.get(&format!("/api/v1/audit?{query}")).await.expect(200);
        let items = page["items"].as_array().unwrap().clone();
        assert_eq!(page["total"], items.len());
        items.iter().map(|row| row["action"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = ["key.revoke", "key.create", "key.create"];
    assert_eq!(found("").await, all);
    assert_eq!(found("actor=chief").await, ["key.create"]);
    assert_eq!(found("actor=configured%20key").await, ["key.revoke", "key.create"]);
    assert_eq!(found(&format!("entity_id={made}")).await, all[..2]);
    assert_eq!(found("action=key.create&entity_type=key").await, all[1..]);
    assert_eq!(found("entity_type=task").await, [""; 0]);
    let second = api.get("/api/v1/audit?limit=1&offset=1").await.expect(200);
    assert_eq!((&second["total"], &second["has_more"]), (&json!(3), &json!(true)));
    let at = second["items"][0]["at"].as_str().unwrap();
    assert_eq!(found(&format!("since={at}")).await, all[..2], "from this time on");
    assert_eq!(found(&format!("until={at}")).await, all[2..], "before this time");

    let (mut cursor, mut walked) = (String::new(), Vec::new());
    for _ in 0..3 {
        let page = api.get(&format!("/api/v1/audit?limit=1&cursor={cursor}")).await.expect(200);
        walked.push(page["items"][0]["id"].clone());
        cursor = page["next_cursor"].as_str().unwrap_or_default().to_owned();
        // What comes in meanwhile shifts nothing.
        make(&api, &format!("later-{}", walked.len()), "read").await;
    }
    walked.dedup();
    assert_eq!((walked.len(), cursor.as_str()), (3, ""));
    let bad = api.get("/api/v1/audit?since=yesterday&cursor=x&limit=0").await.expect(422);
    assert_eq!(bad["detail"].as_array().map(Vec::len), Some(3));
}

/// What would break: a client that sends a change and goes away must not keep it out of the trail.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_client_goes_away_is_in_the_trail() {
    let mut api = TestApi::start().await;
    let made = id(&make(&api, "ci", "run").await);
    let address = api.address();
    // The change waits for this lock.
    let transaction = api.sql.transaction().await.unwrap();
    transaction.batch_execute("LOCK TABLE api_keys IN EXCLUSIVE MODE").await.unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!("DELETE /api/v1/keys/{made} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    until("the change waits", Duration::from_secs(10), async || {
        let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'api_keys'::regclass";
        (transaction.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 0).then_some(())
    })
    .await;
    // A reset, as when the client's process is killed: the service drops the connection and whatever answers it.
    let socket = inode(address.port(), client.local_addr().unwrap().port());
    client.set_zero_linger().unwrap();
    drop(client);
    until("the service has noticed", Duration::from_secs(10), async || (!is_open(&socket)).then_some(())).await;
    transaction.commit().await.unwrap();
    until("the row is there", Duration::from_secs(10), async || {
        let page = api.get("/api/v1/audit?action=key.revoke").await.expect(200);
        (page["total"] == 1 && page["items"][0]["status"] == 200).then_some(())
    })
    .await;
    assert_eq!(api.count("api_keys WHERE revoked_at IS NOT NULL").await, 1);
}

/// The inode of this process's end of a connection, as /proc names it.
fn inode(here: u16, there: u16) -> String {
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let is_it = |fields: &Vec<&str>| {
        let ends = |at: usize, port: u16| fields.get(at).is_some_and(|end| end.ends_with(&format!(":{port:04X}")));
        ends(1, here) && ends(2, there)
    };
    let fields = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(is_it);
    format!("socket:[{}]", fields.expect("the connection")[9])
}

/// Whether this process still has the socket.
fn is_open(socket: &str) -> bool {
    let files = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    files.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|target| target.as_os_str() == socket)
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rows_are_deleted() {
    let api = TestApi::start().await;
    make(&api, "old", "read").await;
    make(&api, "new", "read").await;
    api.execute("UPDATE audit SET at = at - interval '9 days' WHERE summary->'changed'->>'name' = 'old'").await;
    let week_ago = clock::now() - TimeDelta::days(7);
    assert_eq!(api.dispatch.store().delete_old(Old::Audit, week_ago, None, 100).await.unwrap().count, 1);
    assert_eq!(api.count("audit WHERE summary->'changed'->>'name' = 'new'").await, 1);
    assert_eq!(api.count("audit").await, 1);
}
