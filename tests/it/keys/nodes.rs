//! Whole nodes: several that share their keys, and what they leave in logs and tables.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::node::{SOON, TestNode, client_builder};
use crate::harness::sse::EventStream;
use crate::harness::stage::{API_KEY, Stage};
use crate::harness::until;

const TASKS: &str = "/api/v1/tasks";
/// A node reads the keys every 2 s; the rest is for a busy machine.
const WITHIN: Duration = Duration::from_secs(6);

/// From now on the audit trail takes rows that begin, and no end.
const NO_ENDS: &str = "ALTER TABLE audit ADD CHECK (status = 0) NOT VALID";

async fn make(node: &TestNode, name: &str, scope: &str) -> (String, String) {
    let made = node.post("/api/v1/keys", &json!({"name": name, "scope": scope})).await;
    let text = |field: &str| made[field].as_str().expect("a text").to_owned();
    (text("id"), text("key"))
}

async fn status(node: &TestNode, key: &str, path: &str) -> u16 {
    node.try_ask_as(key, Method::GET, path, None).await.expect("the service answers").status
}

#[tokio::test]
async fn a_key_of_one_node_opens_the_other_at_once_and_is_refused_there_soon_after_it_was_revoked() {
    let stage = Stage::new(Duration::ZERO).await;
    let settings = [("node.roles", "api")];
    let launch = || TestNode::launch(stage.serve(&settings), &stage.servers.database_url);
    let (one, other) = tokio::join!(launch(), launch());
    let (id, key) = make(&one, "shared", "read").await;
    for node in [&other, &one] {
        assert_eq!(status(node, &key, TASKS).await, 200);
    }
    one.try_ask(Method::DELETE, &format!("/api/v1/keys/{id}"), None).await.expect("it answers").ok();
    let revoked_at = Instant::now();
    assert_eq!(status(&one, &key, TASKS).await, 401, "at once on the node that did it");
    until("the other node refuses it", WITHIN, async || (status(&other, &key, TASKS).await == 401).then_some(())).await;
    println!("the other node refused the key after {:?}", revoked_at.elapsed());
    for node in [&one, &other] {
        assert_eq!(status(node, &key, TASKS).await, 401, "and it stays so");
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_key_on_every_node() {
    let stage = Stage::new(Duration::ZERO).await;
    let settings = [("node.roles", "api")];
    let launch = || TestNode::launch(stage.serve(&settings), &stage.servers.database_url);
    let (one, other) = tokio::join!(launch(), launch());
    let workflow = one.workflow(&stage).await;
    let task = one.run(&workflow, &json!("waits: no worker runs")).await;
    let (id, key) = make(&one, "watcher", "read").await;
    let mut streams = Vec::new();
    for (node, path) in [&one, &other]
        .into_iter()
        .flat_map(|node| [format!("{TASKS}/{task}/events"), "/api/v1/events".to_owned()].map(|path| (node, path)))
    {
        streams.push(EventStream::open(&format!("{}{path}", node.url()), &key, None).await.expect("it opens"));
    }
    one.try_ask(Method::DELETE, &format!("/api/v1/keys/{id}"), None).await.expect("it answers").ok();
    for mut stream in streams {
        let told = stream.rest().await;
        assert!(told.iter().all(|told| ["pending", "gap"].contains(&told.what())), "{told:?}");
    }
}

#[tokio::test]
async fn secrets_are_in_no_answer_no_log_and_no_table() {
    const SOURCE_KEY: &str = "sk-a-secret-of-the-source";
    let stage = Stage::new(Duration::ZERO).await;
    let node =
        TestNode::launch(stage.serve(&[("node.roles", "api"), ("log.level", "trace")]), &stage.servers.database_url)
            .await;
    let (id, key) = make(&node, "chief", "admin").await;
    let ask = async |method: Method, path: &str, body: Value| {
        node.try_ask_as(&key, method, path, Some(&body)).await.expect("the service answers")
    };
    let source = json!({"source_type": "langflow", "url": stage.source.url(), "api_key": SOURCE_KEY, "key": "x"});
    let added = ask(Method::POST, "/api/v1/sources", source.clone()).await.ok();
    let again = ask(Method::POST, "/api/v1/sources", source).await;
    let path = format!("/api/v1/sources/{}", added["id"].as_str().expect("an id"));
    let patched = ask(Method::PATCH, &path, json!({"api_key": SOURCE_KEY, "name": "flow"})).await.ok();
    // A request that asks for the very field that the key is answered in.
    let greedy = json!({"name": "greedy", "scope": "read", "key": true, "prefix": 1});
    let greedy = ask(Method::POST, "/api/v1/keys", greedy).await.ok();
    let greedy = greedy["key"].as_str().expect("a key").to_owned();
    let refused = status(&node, &format!("{key}x"), TASKS).await;
    assert_eq!((again.status, refused), (400, 401));
    let keys = node.get("/api/v1/keys?revoked=true").await;
    let trail = node.get("/api/v1/audit").await;
    // What the trail can't note goes to the log.
    stage.rows(NO_ENDS, &[]).await;
    ask(Method::PATCH, &path, json!({"api_key": SOURCE_KEY, "name": "flow-2"})).await.ok();
    let gone = ask(Method::DELETE, &format!("/api/v1/keys/{id}"), Value::Null).await.ok();
    // The uses are noted, too, before the tables are looked at.
    until("the use is noted", SOON, async || {
        (stage.count("SELECT count(*) FROM api_keys WHERE last_used_at IS NOT NULL").await > 0).then_some(())
    })
    .await;

    let mut places = vec![
        ("the log".to_owned(), node.log()),
        ("answers".to_owned(), format!("{added} {again:?} {patched} {keys} {trail} {gone}")),
    ];
    let tables = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
    for row in stage.rows(tables, &[]).await {
        let table: String = row.get(0);
        let rows = stage.rows(&format!("SELECT t::text FROM \"{table}\" t"), &[]).await;
        places.push((table, rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")));
    }
    let trail = &places.iter().find(|(place, _)| place == "audit").expect("a table").1;
    assert!(trail.contains("source.update") && trail.contains("key.create"), "{trail}");
    assert!(node.log().contains("flow-2"), "{}", node.log());
    for (place, text) in &places {
        // Of a key only its beginning may be anywhere.
        for secret in [&key[12..], &greedy[12..], SOURCE_KEY, API_KEY] {
            assert!(!text.contains(secret), "{secret} is in {place}");
        }
    }
}

#[tokio::test]
async fn a_change_whose_end_can_not_be_noted_is_told_to_the_log() {
    let stage = Stage::new(Duration::ZERO).await;
    let node = TestNode::launch(stage.serve(&[("node.roles", "api")]), &stage.servers.database_url).await;
    stage.rows(NO_ENDS, &[]).await;
    make(&node, "ci", "run").await;
    assert_eq!(node.get("/api/v1/keys").await["total"], 1);
    let row = node.get("/api/v1/audit").await["items"][0].clone();
    assert_eq!((&row["action"], &row["status"]), (&json!("key.create"), &Value::Null));
    let told = until("the log tells it", SOON, async || {
        let log = node.log();
        log.lines().find(|line| line.contains("is not in the audit trail")).map(str::to_owned)
    })
    .await;
    for part in ["key.create", "configured key", "127.0.0.1", r#""name":"ci""#] {
        assert!(told.contains(part), "no {part} in {told}");
    }
}

#[tokio::test]
async fn a_session_that_was_ended_on_one_node_is_over_on_the_other() {
    let stage = Stage::new(Duration::ZERO).await;
    let settings = [("node.roles", "api")];
    let launch = || TestNode::launch(stage.serve(&settings), &stage.servers.database_url);
    let (one, other) = tokio::join!(launch(), launch());
    let client = client_builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let form = |node: &TestNode, path: &str| {
        client.post(format!("{}/dashboard/{path}", node.url())).header("Sec-Fetch-Site", "same-origin")
    };
    let login = form(&one, "login").header("Content-Type", "application/x-www-form-urlencoded");
    let login = login.body(format!("key={API_KEY}")).send().await.expect("it answers");
    let cookie = login.headers()["set-cookie"].to_str().expect("text").split(';').next().expect("a pair").to_owned();
    let status = async |node: &TestNode| {
        let request = client.get(format!("{}{TASKS}", node.url())).header("Cookie", &cookie);
        request.send().await.expect("it answers").status().as_u16()
    };
    assert_eq!((status(&one).await, status(&other).await), (200, 200));
    form(&one, "logout").header("Cookie", &cookie).send().await.expect("it answers");
    assert_eq!(status(&one).await, 401, "at once on the node that did it");
    until("the other node refuses it", WITHIN, async || (status(&other).await == 401).then_some(())).await;
}
