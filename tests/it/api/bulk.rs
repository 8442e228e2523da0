//! Changes of many tasks with one request.

use std::collections::BTreeSet;
use std::time::Duration;

use automagik_spark::domain::queue::QueueName;
use serde_json::{Value, json};

use super::client::{TestApi, fields, id};
use crate::harness::until;

/// Makes tasks with SQL: some of each status, in the order of their ids.
async fn make(api: &TestApi, workflow: &str, status: &str, count: usize) {
    let sql = format!(
        "INSERT INTO tasks (id, workflow_id, status, tries, input_data, created_at, started_at)
         SELECT gen_random_uuid(), '{workflow}', '{status}', 1, '{{\"value\": \"x\"}}', now(), now()
           FROM generate_series(1, {count})"
    );
    assert_eq!(api.execute(&sql).await, count as u64);
}

async fn change(api: &TestApi, action: &str, body: Value) -> Value {
    api.post(&format!("/api/v1/tasks/{action}"), body).await.expect(200)
}

/// `matched`, `changed`, `skipped`.
fn counts(tally: &Value) -> [u64; 3] {
    ["matched", "changed", "skipped"].map(|name| tally[name].as_u64().unwrap())
}

async fn statuses(api: &TestApi) -> String {
    let sql = "SELECT coalesce(string_agg(status || ' ' || n, ', ' ORDER BY status), '') FROM
               (SELECT status, count(*) AS n FROM tasks GROUP BY status) AS s";
    api.sql.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_are_cancelled_retried_and_deleted() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    for (status, count) in [("pending", 3), ("retrying", 2), ("running", 2), ("completed", 4), ("failed", 1)] {
        make(&api, &workflow, status, count).await;
    }
    let mut aborts = api.dispatch.aborts();
    let tally = change(&api, "cancel/", json!({"workflow_id": workflow})).await;
    assert_eq!(fields(&tally), ["changed", "has_more", "matched", "next_cursor", "skipped"]);
    assert_eq!(counts(&tally), [12, 7, 5]);
    assert_eq!((&tally["has_more"], &tally["next_cursor"]), (&json!(false), &Value::Null));
    assert_eq!(statuses(&api).await, "cancelled 7, completed 4, failed 1");
    for _ in 0..2 {
        assert_eq!(aborts.recv().await.unwrap().up_to_attempt, 1);
    }
    assert_eq!(api.count("task_attempts WHERE status = 'cancelled' AND outcome_unknown").await, 2);

    let celery = || vec![QueueName::default()];
    assert_eq!(counts(&change(&api, "retry", json!({"status": "cancelled", "queue": "celery"})).await), [7, 7, 0]);
    until("the retried tasks are in their mailbox", Duration::from_secs(10), async || {
        (api.dispatch.mailbox().lengths(celery()).await.ok()? == [7]).then_some(())
    })
    .await;
    assert_eq!(counts(&change(&api, "retry", json!({"status": "completed"})).await), [4, 0, 4]);
    // What is called off does not stand in the way of what comes after it.
    assert_eq!(counts(&change(&api, "cancel", json!({"status": "pending"})).await), [7, 7, 0]);
    assert_eq!(api.dispatch.mailbox().lengths(celery()).await.unwrap(), [0]);
    assert_eq!(counts(&change(&api, "retry", json!({"status": "cancelled"})).await), [7, 7, 0]);

    let some = api.get("/api/v1/tasks?status=pending&limit=2").await.expect(200);
    let ids: Vec<String> = some["items"].as_array().unwrap().iter().map(id).collect();
    let unknown = "00000000-0000-4000-8000-000000000000";
    let body = json!({"ids": [ids[0], ids[1], unknown], "status": "pending"});
    assert_eq!(counts(&change(&api, "delete", body).await), [2, 2, 0]);
    api.execute("UPDATE tasks SET status = 'running' WHERE status = 'failed'").await;
    assert_eq!(counts(&change(&api, "delete", json!({"status": "running"})).await), [1, 1, 0]);
    assert_eq!(counts(&change(&api, "delete", json!({"all": true})).await), [9, 9, 0]);
    for table in ["tasks", "task_attempts", "task_logs"] {
        assert_eq!(api.count(table).await, 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_no_filter_is_refused() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    make(&api, &workflow, "failed", 2).await;
    for action in ["retry", "cancel", "delete"] {
        let path = format!("/api/v1/tasks/{action}");
        let refused = api.post(&path, json!({})).await.expect(422);
        assert_eq!(refused["detail"][0]["type"], "filter_empty");
        assert_eq!(api.act(&path).await.status, 422, "no body at all");
        for bad in [
            json!({"workflow": workflow}),
            json!({"workflow_id": "x"}),
            json!({"ids": "all"}),
            json!({"ids": ["x"]}),
            json!({"all": true, "limit": 0}),
            json!({"all": true, "limit": 100_001}),
            json!({"all": true, "cursor": "x"}),
            json!({"status": "done"}),
            json!([]),
        ] {
            assert_eq!(api.post(&path, bad.clone()).await.status, 422, "{action} {bad}");
        }
        assert_eq!(api.call("GET", &path, None).await.status, 405);
    }
    assert_eq!(statuses(&api).await, "failed 2");
}

/// More than a batch holds, in several requests: each task is looked at once, though those that are changed fit again.
#[tokio::test(flavor = "multi_thread")]
async fn a_script_goes_on_where_the_answer_before_stopped() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    make(&api, &workflow, "failed", 2500).await;
    make(&api, &workflow, "completed", 300).await;
    let mut seen = Vec::new();
    let mut body = json!({"workflow_id": workflow, "limit": 1200});
    loop {
        let tally = change(&api, "retry", body.clone()).await;
        seen.push(counts(&tally));
        // It fails again at once.
        api.execute("UPDATE tasks SET status = 'failed' WHERE status = 'pending'").await;
        assert_eq!(tally["has_more"], tally["next_cursor"].is_string());
        if tally["has_more"] == false {
            break;
        }
        body["cursor"] = tally["next_cursor"].clone();
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert_eq!([0, 1, 2].map(|n| seen.iter().map(|counts| counts[n]).sum::<u64>()), [2800, 2500, 300]);
    assert!(seen[..2].iter().all(|counts| counts[1] == 1200), "{seen:?}");
    assert_eq!(api.count("task_logs").await, 2500, "each was retried once");
}

/// A row that somebody holds must not keep the others waiting, and is not forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_held_delays_only_itself() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    make(&api, &workflow, "pending", 20).await;
    let (mut holder, connection) =
        tokio_postgres::connect(&api.servers.database_url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let held = holder.transaction().await.unwrap();
    held.execute("UPDATE tasks SET priority = 6 WHERE id = (SELECT min(id::text)::uuid FROM tasks)", &[])
        .await
        .unwrap();
    let (tally, ()) = tokio::join!(change(&api, "cancel", json!({"workflow_id": workflow})), async {
        until("the others are cancelled", Duration::from_secs(10), async || {
            (statuses(&api).await == "cancelled 19, pending 1").then_some(())
        })
        .await;
        held.commit().await.unwrap();
    });
    assert_eq!(counts(&tally), [20, 20, 0]);
}

/// A task moves on while a change waits for its row: what counts is the state that it is in when its turn comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_waited_for_a_row_sees_what_it_has_become() {
    for (from, to, path) in
        [("pending", "running", "cancel"), ("running", "retrying", "cancel"), ("failed", "cancelled", "retry")]
    {
        let api = TestApi::start().await;
        let workflow = api.add_workflow().await;
        make(&api, &workflow, from, 1).await;
        let task: uuid::Uuid = api.sql.query_one("SELECT id FROM tasks", &[]).await.unwrap().get(0);
        let (mut holder, connection) =
            tokio_postgres::connect(&api.servers.database_url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let url = format!("/api/v1/tasks/{task}/{path}");
        let held = holder.transaction().await.unwrap();
        held.execute("UPDATE tasks SET status = $1", &[&to]).await.unwrap();
        let (changed, ()) = tokio::join!(api.post(&url, json!({})), async {
            let waits =
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            until("the change waits", Duration::from_secs(10), async || {
                (api.sql.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 1).then_some(())
            })
            .await;
            held.commit().await.unwrap();
        });
        let now = if path == "retry" { "pending" } else { "cancelled" };
        assert_eq!(changed.expect(200)["status"], now, "{from} -> {to}");
        let notes = api.sql.query("SELECT message FROM task_logs", &[]).await.unwrap();
        assert!(notes.len() == 1 && notes[0].get::<_, &str>(0).contains(to), "{notes:?}");
        assert_eq!(api.count("task_attempts").await, i64::from(to == "running"), "only an attempt that ran has ended");
    }
}

/// Two who cancel, one who retries and one who claims at the same time: nobody fails, and every task is in one state.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_at_the_same_time_do_not_stop_each_other() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    make(&api, &workflow, "pending", 3000).await;
    let ids: Vec<uuid::Uuid> = api
        .sql
        .query("SELECT id FROM tasks ORDER BY id DESC", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let claims = async {
        let pool: std::sync::Arc<str> = "celery".into();
        let mut claimed = BTreeSet::new();
        for batch in ids.chunks(100) {
            let batch = batch.iter().map(|id| automagik_spark::domain::ids::TaskId(*id)).collect();
            for job in api.dispatch.claim(&pool, batch).await.unwrap() {
                claimed.insert(job.claimed.attempt.task);
            }
        }
        claimed
    };
    let filter = || json!({"workflow_id": workflow});
    let (one, other, retried, claimed) = tokio::join!(
        change(&api, "cancel", filter()),
        change(&api, "cancel", filter()),
        change(&api, "retry", filter()),
        claims
    );
    let cancelled = counts(&one)[1] + counts(&other)[1];
    assert!(cancelled >= 3000, "{one} {other} {retried}");
    let running = api.count("tasks WHERE status = 'running'").await;
    assert!(usize::try_from(running).unwrap() <= claimed.len());
    change(&api, "cancel", filter()).await;
    assert_eq!(statuses(&api).await, "cancelled 3000");
}

/// Its tasks go in parts, and all of it goes, also when whoever asked for it went away.
#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_with_many_tasks_is_deleted_to_the_end() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let source = id(&api.get("/api/v1/sources").await.expect(200)["items"][0]);
    for (status, count) in [("completed", 2500), ("pending", 700), ("running", 1)] {
        make(&api, &workflow, status, count).await;
    }
    let body = json!({"workflow_id": workflow, "schedule_type": "interval", "schedule_expr": "1h"});
    api.post("/api/v1/schedules", body).await.expect(201);
    let mut aborts = api.dispatch.aborts();
    {
        let path = format!("/api/v1/workflows/{workflow}");
        let request = api.call("DELETE", &path, None);
        tokio::pin!(request);
        // The request is under way, and is dropped with its connection as soon as some of the tasks are gone.
        tokio::select! {
            _ = &mut request => {}
            () = until("some are gone", Duration::from_secs(20), async || (api.count("tasks").await < 3201).then_some(())) => {}
        }
    }
    until("all of it is gone", Duration::from_secs(20), async || (api.count("workflows").await == 0).then_some(()))
        .await;
    assert_eq!(aborts.recv().await.unwrap().up_to_attempt, 1);
    for table in ["tasks", "task_attempts", "task_logs", "schedules"] {
        assert_eq!(api.count(table).await, 0, "{table}");
    }
    let again = api.sync(automagik_spark::simulate::FLOW_ID).await;
    make(&api, &again, "failed", 1100).await;
    api.call("DELETE", &format!("/api/v1/sources/{source}"), None).await.expect(200);
    assert_eq!(api.call("DELETE", &format!("/api/v1/sources/{source}"), None).await.status, 404);
    assert_eq!(
        [api.count("tasks").await, api.count("workflows").await, api.count("workflow_sources").await],
        [0, 0, 0]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn delayed_tasks_are_told_from_those_that_may_start() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let ended = api.run(&workflow, "ended").await;
    api.execute("UPDATE tasks SET status = 'completed'").await;
    let now = api.run(&workflow, "now").await;
    let later = json!({"input_data": "later", "delay": 3600});
    let made = api.post(&format!("/api/v1/workflows/{workflow}/run"), later).await.expect(200);
    let later = id(&made);
    for (query, expected) in [
        ("delayed=true", vec![&later]),
        ("delayed=false", vec![&now]),
        ("delayed=false&status=pending", vec![&now]),
        ("delayed=true&status=completed", vec![]),
        ("delayed=false&status=completed", vec![]),
        ("status=pending", vec![&later, &now]),
        ("", vec![&later, &now, &ended]),
    ] {
        let page = api.get(&format!("/api/v1/tasks?{query}")).await.expect(200);
        let ids: Vec<String> = page["items"].as_array().unwrap().iter().map(id).collect();
        assert_eq!((ids.iter().collect::<Vec<_>>(), &page["total"]), (expected, &json!(ids.len())), "{query}");
    }
    let shown = api.get(&format!("/api/v1/tasks/{later}")).await.expect(200);
    let time = |name: &str| shown[name].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    assert_eq!((time("pending_at") - time("created_at")).num_seconds(), 3600);
    assert_eq!(made["pending_at"], shown["pending_at"]);
    // One that waits for another to end has no time yet.
    let held = automagik_spark::domain::task::HELD;
    api.sql.execute("UPDATE tasks SET pending_at = $1 WHERE pending_at > now()", &[&held]).await.unwrap();
    assert_eq!(api.get("/api/v1/tasks?delayed=true").await.expect(200)["items"][0]["pending_at"], json!(null));
    let cancelled = api.post("/api/v1/tasks/cancel", json!({"delayed": true})).await.expect(200);
    assert_eq!((&cancelled["matched"], &cancelled["changed"]), (&json!(1), &json!(1)));
    assert_eq!(api.get(&format!("/api/v1/tasks/{now}")).await.expect(200)["status"], "pending");
    assert_eq!(api.get("/api/v1/tasks?delayed=perhaps").await.status, 422);
}
