use automagik_spark::domain::source::Secret;
use automagik_spark::simulate::{FLOW_ID, TEXT_FLOW_ID};
use automagik_spark::store::Vault;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{KEY, SOURCE_KEY, TestApi, fields, id};
use crate::harness::node::SOON;
use crate::harness::servers::TestServers;
use crate::harness::until;

const FIELDS: [&str; 23] = [
    "created_at",
    "description",
    "failed_task_count",
    "flow_version",
    "folder_id",
    "folder_name",
    "icon",
    "icon_bg_color",
    "id",
    "input_component",
    "is_component",
    "latest_run",
    "liked",
    "max_concurrency",
    "name",
    "output_component",
    "rate",
    "remote_flow_id",
    "source",
    "tags",
    "task_count",
    "unknown_policy",
    "updated_at",
];

#[tokio::test(flavor = "multi_thread")]
async fn remote_flows_are_listed_and_a_source_that_fails_is_named() {
    let api = TestApi::start().await;
    let source = api.add_source().await;
    let answer = api.get("/api/v1/workflows/remote").await;
    let flows = answer.expect(200);
    assert!(!answer.headers.contains_key("warnings"));
    let flow = flows.as_array().unwrap().iter().find(|flow| flow["id"] == FLOW_ID).unwrap();
    assert_eq!(fields(flow), ["components", "description", "id", "name", "origin"]);
    assert_eq!(flow["origin"], json!({"instance": source["name"], "source_url": source["url"]}));
    let by_name = format!("/api/v1/workflows/remote?source_url={}", source["name"].as_str().unwrap());
    assert_eq!(api.get(&by_name).await.expect(200), flows);
    let whole = api.get("/api/v1/workflows/remote?simplified=false").await.expect(200);
    assert!(whole[0].as_object().unwrap().len() > flow.as_object().unwrap().len());

    let one = api.get(&format!("/api/v1/workflows/remote/{FLOW_ID}?source_url={}", api.source.url())).await.expect(200);
    assert!(one["data"]["nodes"].is_array(), "{one}");
    assert_eq!(api.get("/api/v1/workflows/remote/00000000-0000-4000-8000-000000000000").await.status, 404);
    let unknown = api.get("/api/v1/workflows/remote?source_url=http://nobody").await;
    assert_eq!(unknown.expect(404)["detail"], "Source not found");

    api.execute("UPDATE workflow_sources SET url = 'http://127.0.0.1:9'").await;
    let answer = api.get("/api/v1/workflows/remote").await;
    assert_eq!(answer.expect(200), json!([]));
    assert!(answer.headers["warnings"].starts_with("http://127.0.0.1:9: "));
    assert_eq!(api.get(&format!("/api/v1/workflows/remote/{FLOW_ID}")).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_is_synced_again_is_the_same_workflow() {
    let api = TestApi::start().await;
    let source = api.add_source().await;
    let path = format!("/api/v1/workflows/sync/{FLOW_ID}");
    let synced = api.act(&format!("{path}?source_url={}/", api.source.url())).await.expect(200);
    let mut expected = FIELDS.to_vec();
    expected.extend(["data", "flow_raw_data", "schedules", "workflow_source_id"]);
    expected.sort_unstable();
    assert_eq!(fields(&synced), expected);
    assert_eq!(synced["workflow_source_id"], source["id"]);
    assert_eq!(synced["source"], source["url"]);
    assert!(synced["input_component"].as_str().unwrap().starts_with("ChatInput"));
    assert_eq!((&synced["schedules"], &synced["latest_run"]), (&json!([]), &json!("NEW")));

    let body = json!({"source_url": source["name"], "output_component": "Other-1"});
    let again = api.post(&path, body).await.expect(200);
    assert_eq!((&again["id"], &again["flow_version"]), (&synced["id"], &json!(1)));
    assert_eq!(again["output_component"], "Other-1");
    assert_eq!(api.act(&path).await.expect(200)["id"], synced["id"]);
    assert_eq!(api.count("workflows").await, 1);

    let unknown = "/api/v1/workflows/sync/00000000-0000-4000-8000-000000000000";
    assert_eq!(api.act(unknown).await.status, 404);
    assert_eq!(api.act(&format!("{path}?source_url=http://nobody")).await.expect(404)["detail"], "Source not found");
    api.execute("UPDATE workflow_sources SET url = 'http://127.0.0.1:9'").await;
    let away = api.act(&format!("{path}?source_url=http://127.0.0.1:9")).await;
    assert_eq!(away.expect(400)["code"], "source_unreachable");
}

#[tokio::test(flavor = "multi_thread")]
async fn workflows_are_found_by_either_id_and_by_a_part_of_it() {
    let api = TestApi::start().await;
    let first = api.add_workflow().await;
    let second = api.sync(TEXT_FLOW_ID).await;
    let page = api.get("/api/v1/workflows/").await.expect(200);
    assert_eq!(fields(&page["items"][0]), FIELDS);
    let listed: Vec<String> = page["items"].as_array().unwrap().iter().map(id).collect();
    assert_eq!(listed, [second.clone(), first.clone()]);
    assert_eq!(fields(&page), ["has_more", "items", "limit", "offset", "total"]);
    for name in [first.as_str(), FLOW_ID, &first[..30]] {
        let shown = api.get(&format!("/api/v1/workflows/{name}")).await.expect(200);
        assert_eq!(id(&shown), first, "{name}");
        assert!(shown["data"]["nodes"].is_array());
    }
    // Ids made within a minute begin alike.
    assert_eq!(api.call("DELETE", &format!("/api/v1/workflows/{}", &first[..6]), None).await.status, 400);
    assert_eq!(api.get(&format!("/api/v1/workflows/{}", &first[..2])).await.status, 404);
    let filtered = |filter: String| {
        let api = &api;
        async move { api.get(&format!("/api/v1/workflows?{filter}")).await.expect(200)["total"].as_i64() }
    };
    assert_eq!(filtered("name=TEXT".to_owned()).await, Some(1));
    assert_eq!(filtered(format!("source={}/", api.source.url())).await, Some(2));
    assert_eq!(filtered("source=http://nobody".to_owned()).await, Some(0));
    assert_eq!(filtered("folder=nowhere".to_owned()).await, Some(0));
    api.run(&first, "x").await;
    let task = api.run(&first, "y").await;
    api.execute(&format!("UPDATE tasks SET status = 'failed' WHERE id = '{task}'")).await;
    let shown = api.get(&format!("/api/v1/workflows/{first}")).await.expect(200);
    assert_eq!(
        (&shown["latest_run"], &shown["task_count"], &shown["failed_task_count"]),
        (&json!("FAILED"), &json!(2), &json!(1))
    );
    assert_eq!(
        api.call("DELETE", &format!("/api/v1/workflows/{first}"), None).await.expect(200),
        json!({"success": true})
    );
    assert_eq!((api.count("workflows").await, api.count("tasks").await), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_answers_with_the_pending_task() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let path = format!("/api/v1/workflows/{workflow}/run");
    for (body, shown) in [
        (json!(" as it is \n"), json!({"value": " as it is \n"})),
        (json!({"input_data": "text"}), json!({"value": "text"})),
        (json!({"input_data": {"b": 1, "a": [2.5, null]}}), json!({"b": 1, "a": [2.5, null]})),
        (json!({"input_data": {"value": "inner"}}), json!({"value": "inner"})),
        (json!({"input_data": {"value": {"k": "v"}}}), json!({"k": "v"})),
    ] {
        let task = api.post(&path, body.clone()).await.expect(200);
        assert_eq!(task["input_data"], shown, "{body}");
        assert_eq!((&task["status"], &task["tries"], &task["max_retries"]), (&json!("pending"), &json!(0), &json!(3)));
        // What was answered without looking is what is stored.
        assert_eq!(api.get(&format!("/api/v1/tasks/{}", id(&task))).await.expect(200), task);
    }
    let options = json!({"input_data": "x", "session_id": "s", "queue": "high_priority", "priority": 9,
        "max_retries": 0, "timeout": 5, "delay": 60});
    let task = api.post(&path, options).await.expect(200);
    assert_eq!(
        (&task["queue"], &task["priority"], &task["max_retries"]),
        (&json!("high_priority"), &json!(9), &json!(0))
    );
    let sql =
        "SELECT pending_at > now() + interval '50 s', session_id, timeout_s FROM tasks WHERE queue = 'high_priority'";
    let row = api.sql.query_one(sql, &[]).await.unwrap();
    assert_eq!((row.get(0), row.get(1), row.get(2)), (true, Some("s"), Some(5)));
    assert_eq!(
        api.post(&format!("/api/v1/workflows/{FLOW_ID}/run"), json!("x")).await.expect(200)["workflow_id"],
        workflow
    );
    let unknown = api.post("/api/v1/workflows/00000000-0000-4000-8000-000000000000/run", json!("x")).await;
    assert_eq!(unknown.expect(404)["detail"], "Workflow not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_input_is_refused_and_makes_no_task() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let path = format!("/api/v1/workflows/{workflow}/run");
    for body in [
        json!(""),
        json!(null),
        json!(5),
        json!(true),
        json!([]),
        json!({}),
        json!({"value": "x"}),
        json!({"input_data": ""}),
        json!({"input_data": null}),
        json!({"input_data": []}),
        json!({"input_data": {}}),
        json!("nul\0"),
        json!({"input_data": "x", "priority": 10}),
        json!({"input_data": "x", "queue": "a b"}),
        json!({"input_data": "x", "max_retries": -1}),
        json!({"input_data": "x", "max_retries": 1000}),
        json!({"input_data": "x", "timeout": 0}),
        json!({"input_data": "x", "delay": -1}),
        json!({"input_data": "x", "run_at": "tomorrow"}),
        json!({"input_data": "x", "delay": 1, "run_at": "2030-01-01T00:00:00Z"}),
        json!({"input_data": "x", "session_id": ""}),
    ] {
        let answer = api.post(&path, body.clone()).await.expect(422);
        assert_eq!(answer["detail"][0]["loc"][0], "body", "{body}");
    }
    let both = api.post(&path, json!({"input_data": "", "timeout": 0, "delay": -1})).await.expect(422);
    assert_eq!(both["detail"].as_array().unwrap().len(), 3, "every problem at once: {both}");
    assert_eq!(api.count("tasks").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_idempotency_key_is_the_same_task_also_when_it_comes_at_once() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let other = api.sync(TEXT_FLOW_ID).await;
    let send = |workflow: String, key: &'static str| {
        let headers = [("X-API-Key", KEY), ("Content-Type", "application/json"), ("Idempotency-Key", key)];
        let api = &api;
        async move { api.raw("POST", &format!("/api/v1/workflows/{workflow}/run"), &headers, b"\"x\"").await }
    };
    let sends = (0..8).map(|_| send(workflow.clone(), "k-1"));
    let answers = futures_util::future::join_all(sends).await;
    let ids: Vec<String> = answers.iter().map(|answer| id(&answer.expect(200))).collect();
    assert!(ids.iter().all(|one| *one == ids[0]), "{ids:?}");
    assert_eq!(api.count("tasks").await, 1);
    assert_eq!(send(other, "k-1").await.expect(409)["code"], "idempotency_key_used");
    assert_ne!(id(&send(workflow.clone(), "k-2").await.expect(200)), ids[0]);
    api.call("DELETE", &format!("/api/v1/tasks/{}", ids[0]), None).await.expect(200);
    assert_ne!(id(&send(workflow.clone(), "k-1").await.expect(200)), ids[0], "the key of a deleted task is free");
    api.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'").await;
    let before = api.count("tasks").await;
    send(workflow.clone(), "k-1").await.expect(200);
    assert_eq!(api.count("tasks").await, before + 1, "a key is remembered for a day");
    let unknown = send("00000000-0000-4000-8000-000000000000".to_owned(), "k-3").await;
    assert_eq!(unknown.status, 404);
    assert_eq!(api.count("idempotency_keys WHERE key = 'k-3'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_may_wait_for_its_end() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let path = format!("/api/v1/workflows/{workflow}/run");
    let short = api.post(&format!("{path}?wait=1"), json!("x")).await.expect(200);
    assert_eq!(short["status"], "pending");
    let waited = format!("{path}?wait=20");
    let finish = async {
        // Nothing runs here; the test plays the executor once the task is there.
        while api.execute("UPDATE tasks SET status = 'completed', result = 'Y' WHERE input_data->>'value' = 'y'").await
            == 0
        {
            tokio::task::yield_now().await;
        }
    };
    let (task, ()) = tokio::join!(api.post(&waited, json!("y")), finish);
    let task: Value = task.expect(200);
    assert_eq!((&task["status"], &task["result"]), (&json!("completed"), &json!("Y")));
    assert_eq!(
        api.post(&format!("{path}?wait=301"), json!("x")).await.expect(422)["detail"][0]["loc"],
        json!(["query", "wait"])
    );
}

/// The task is accepted: an error would make whoever waits send it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_is_answered_though_the_database_goes_away() {
    let mut api = TestApi::over(TestServers::with_own_postgres().await, |_| {}).await;
    let workflow = api.add_workflow().await;
    let head = format!(
        "POST /api/v1/workflows/{workflow}/run?wait=3 HTTP/1.1\r\nHost: spark\r\nConnection: close\r\n\
         X-API-Key: {KEY}\r\nContent-Length: 3\r\n\r\n\"x\""
    );
    let mut waiting = TcpStream::connect(api.address).await.unwrap();
    waiting.write_all(head.as_bytes()).await.unwrap();
    until("the task is stored", SOON, async || (api.count("tasks").await == 1).then_some(())).await;
    api.servers.postgres().stop().await.unwrap();
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let task: Value = serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).unwrap();
    assert_eq!(task["status"], "pending", "as it was seen last");
    assert!(task["id"].is_string());
}

/// What broke: the hundred newest sources were asked, and nobody was told of the others.
#[tokio::test(flavor = "multi_thread")]
async fn every_active_source_is_asked_however_many_there_are() {
    let api = TestApi::start().await;
    api.add_source().await;
    api.execute(
        "INSERT INTO workflow_sources (id, name, source_type, url, encrypted_api_key, status, created_at, updated_at)
         SELECT gen_random_uuid(), 'away-' || n, source_type, 'http://127.0.0.1:9/' || n, encrypted_api_key, status,
                now() + interval '1 minute', now() FROM workflow_sources, generate_series(1, 130) AS n",
    )
    .await;
    let answer = api.get("/api/v1/workflows/remote").await;
    let flows = answer.expect(200);
    assert!(flows.as_array().unwrap().iter().any(|flow| flow["id"] == FLOW_ID), "{flows}");
    let warnings = &answer.headers["warnings"];
    assert!(warnings.starts_with("http://127.0.0.1:9/") && warnings.ends_with(" more"), "{warnings}");
    assert_eq!(api.act(&format!("/api/v1/workflows/sync/{FLOW_ID}")).await.expect(200)["source"], api.source.url());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_stored_under_another_encryption_key_is_a_conflict() {
    let api = TestApi::start().await;
    let source = id(&api.add_source().await);
    let foreign = Vault::new(&Secret::new("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")).expect("a Fernet key");
    let sealed = foreign.encrypt(&Secret::new(SOURCE_KEY));
    api.execute(&format!("UPDATE workflow_sources SET encrypted_api_key = '{sealed}'")).await;
    let url = json!({"url": api.source.url(), "tls_verify": true});
    for (method, path, body) in [
        ("PATCH", format!("/api/v1/sources/{source}"), Some(url)),
        ("GET", format!("/api/v1/workflows/remote/{FLOW_ID}"), None),
        ("POST", format!("/api/v1/workflows/sync/{FLOW_ID}"), None),
    ] {
        let refused = api.call(method, &path, body).await.expect(409);
        assert_eq!(refused["code"], "encryption_key", "{method} {path}: {refused}");
    }
}
