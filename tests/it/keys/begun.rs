//! What the audit trail has of changes that broke off, or whose end nobody noted.

use std::time::Duration;

use automagik_spark::fault::{Point, VARIABLE};
use reqwest::Method;
use serde_json::{Value, json};

use super::ask;
use crate::api::client::{KEY, TestApi};
use crate::harness::node::{SOON, TestNode, http_client};
use crate::harness::servers::TestServers;
use crate::harness::stage::Stage;
use crate::harness::until;

const TRAIL: &str = "/api/v1/audit";

/// A connection that does this dies.
const DIES: &str = "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$";

/// Makes tasks that have ended; the id of their workflow.
async fn make_tasks(api: &TestApi, count: u64) -> String {
    let workflow = api.add_workflow().await;
    let sql = format!(
        "INSERT INTO tasks (id, workflow_id, status, tries, input_data, created_at, finished_at)
         SELECT gen_random_uuid(), '{workflow}', 'completed', 1, '{{\"value\": \"x\"}}', now(), now()
           FROM generate_series(1, {count})"
    );
    assert_eq!(api.execute(&sql).await, count);
    workflow
}

/// The newest row of an action, once there is one.
async fn row(api: &TestApi, action: &str) -> Option<Value> {
    let answer = api.get(&format!("{TRAIL}?action={action}")).await;
    let page = (answer.status == 200).then(|| answer.json())?;
    page["items"].as_array().and_then(|rows| rows.first().cloned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_that_an_outage_breaks_off_leaves_its_row_and_how_far_it_came() {
    let mut api = TestApi::over(TestServers::with_own_postgres().await, |_| {}).await;
    let filter = json!({"workflow_id": make_tasks(&api, 1500).await});
    let url = format!("http://{}/api/v1", api.address());
    let post = |path: &str, body: Value| {
        let request = http_client().post(format!("{url}/{path}")).header("X-API-Key", KEY).json(&body);
        tokio::spawn(async move {
            let answer = request.send().await.expect("it answers");
            (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
        })
    };
    // One of the second batch is held: it is waited for, when all others are gone.
    let transaction = api.sql.transaction().await.unwrap();
    transaction.batch_execute("SELECT FROM tasks ORDER BY id DESC LIMIT 1 FOR UPDATE").await.unwrap();
    let bulk = post("tasks/delete", filter.clone());
    until("the last one is waited for", SOON, async || {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        let left = "SELECT count(*) FROM tasks";
        let count = async |sql| transaction.query_one(sql, &[]).await.unwrap().get::<_, i64>(0);
        (count(waiting).await > 0 && count(left).await == 1).then_some(())
    })
    .await;
    let trail = "SELECT action, status::int, summary::text FROM audit ORDER BY at DESC LIMIT 1";
    let begun = transaction.query_one(trail, &[]).await.unwrap();
    assert_eq!((begun.get::<_, &str>(0), begun.get::<_, i32>(1)), ("task.delete_many", 0), "as older versions read it");
    assert_eq!(begun.get::<_, &str>(2).parse::<Value>().unwrap(), json!({"filter": filter}));

    api.servers.postgres().stop().await.unwrap();
    let (status, body) = bulk.await.unwrap();
    assert_eq!(
        (status, &body["code"], &body["changed"]),
        (503, &json!("database_unavailable"), &json!(1499)),
        "{body}"
    );
    assert!(body["detail"].as_str().is_some_and(|text| text.contains("1499 tasks were changed")), "{body}");
    let (status, body) = post("queues/low/pause", Value::Null).await.unwrap();
    assert_eq!((status, &body["code"]), (503, &json!("database_unavailable")), "{body}");

    drop(transaction);
    api.servers.postgres().start_again().await.unwrap();
    let row = until("its end is noted", SOON, async || {
        row(&api, "task.delete_many").await.filter(|row| !row["status"].is_null())
    })
    .await;
    assert_eq!(row["status"], 503);
    assert_eq!(row["summary"], json!({"filter": filter, "counts": {"changed": 1499}}));
    assert_eq!(api.get("/api/v1/tasks").await.expect(200)["total"], 1, "the one that was held");
    // What could not be begun was not done, neither then nor later.
    assert!(self::row(&api, "queue.pause").await.is_none());
    let queues = api.get("/api/v1/queues").await.expect(200).to_string();
    assert!(!queues.contains("\"paused\":true"), "{queues}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_whose_deletion_breaks_off_leaves_a_row() {
    let api = TestApi::start().await;
    make_tasks(&api, 1200).await;
    let source: uuid::Uuid = api.sql.query_one("SELECT id FROM workflow_sources", &[]).await.unwrap().get(0);
    api.execute(DIES).await;
    api.execute("CREATE TRIGGER die BEFORE DELETE ON workflows FOR EACH ROW EXECUTE FUNCTION die()").await;
    let broke_off = api.call("DELETE", &format!("/api/v1/sources/{source}"), None).await.expect(503);
    assert_eq!(broke_off["changed"], 1200, "{broke_off}");
    let row = row(&api, "source.delete").await.expect("a row");
    assert_eq!((&row["status"], &row["entity_id"]), (&json!(503), &json!(source)));
    assert_eq!(row["summary"], json!({"counts": {"changed": 1200}}));
    api.get(&format!("/api/v1/sources/{source}")).await.expect(200);
}

/// What would break: a change with no row to tell of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_row_can_not_be_written_is_not_made() {
    let api = TestApi::start().await;
    api.execute(DIES).await;
    api.execute("CREATE TRIGGER die BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION die()").await;
    let refused = api.post("/api/v1/keys", json!({"name": "ci", "scope": "run"})).await;
    assert_eq!(refused.expect(503)["code"], "database_unavailable");
    assert!(refused.headers.contains_key("retry-after"));
    api.act("/api/v1/queues/low/pause").await.expect(503);
    api.execute("DROP TRIGGER die ON audit").await;
    for table in ["api_keys", "paused_queues", "audit"] {
        assert_eq!(api.count(table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_service_that_is_killed_before_the_end_is_noted_leaves_a_row_that_began() {
    let stage = Stage::new(Duration::ZERO).await;
    let faults = tempfile::tempdir().unwrap();
    let mut command = stage.serve(&[("node.roles", "api")]);
    command.env(VARIABLE, faults.path());
    let mut node = TestNode::launch(command, &stage.servers.database_url).await;
    let workflow = node.workflow(&stage).await;
    let task = node.run(&workflow, &json!("waits: no worker runs")).await;
    let rows = node.get(TRAIL).await["total"].clone();
    std::fs::write(faults.path().join(Point::AfterCancelStored.name()), "kill").unwrap();
    let cancel = format!("/api/v1/tasks/{task}/cancel");
    node.try_ask(Method::POST, &cancel, None).await.expect_err("it dies");
    node.kill().await;

    let node = TestNode::launch(stage.serve(&[("node.roles", "api")]), &stage.servers.database_url).await;
    assert_eq!(node.task(&task).await["status"], "cancelled", "the change was made");
    let page = node.get(TRAIL).await;
    assert_eq!(page["total"].as_i64(), rows.as_i64().map(|rows| rows + 1));
    let row = &page["items"][0];
    assert_eq!((&row["action"], &row["entity_id"]), (&json!("task.cancel"), &json!(task)));
    assert_eq!((&row["status"], &row["actor"]), (&Value::Null, &json!("configured key")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_end_is_told_apart_on_the_page() {
    let api = TestApi::start().await;
    let page = async || ask(&api, KEY, "GET", "/dashboard/audit", None).await.text();
    api.act("/api/v1/queues/low/pause").await.expect(200);
    let good = page().await;
    assert!(good.contains("queue.pause") && !good.contains(">unknown<") && !good.contains(">broke off<"), "{good}");
    api.execute("UPDATE audit SET status = 0").await;
    assert!(page().await.contains(">unknown<"));
    assert_eq!(api.get(TRAIL).await.expect(200)["items"][0]["status"], Value::Null);
    api.execute("UPDATE audit SET status = 503").await;
    assert!(page().await.contains(">broke off<"));
}
