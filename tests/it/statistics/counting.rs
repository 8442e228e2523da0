//! Every end is counted once, whoever adds up and whenever.

use automagik_spark::domain::clock;
use automagik_spark::domain::outcome::{Failure, Lost, Outcome};
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::scene::{claim, completed, end, figures, make_tasks, refused};
use crate::api::client::TestApi;

/// Tasks and attempts by how they ended, without those that nothing is counted of.
fn counts(figures: &Value) -> Value {
    let some = |kind: &str| {
        let all = figures[kind].as_object().unwrap().iter().filter(|(_, count)| **count != 0);
        Value::Object(all.map(|(name, count)| (name.clone(), count.clone())).collect())
    };
    json!({ "tasks": some("tasks"), "attempts": some("attempts") })
}

/// Tasks that end in every way there is, and what is to be told of them.
async fn every_end(api: &TestApi, workflow: &str) -> Value {
    let ids = make_tasks(api, workflow, 10).await;
    end(api, claim(api, &ids[..3]).await, completed).await;
    end(api, claim(api, &ids[3..5]).await, refused).await;
    end(api, claim(api, &ids[5..6]).await, || Outcome::Failed(Failure::transient("source_5xx", "HTTP 503"))).await;
    let lost = || Outcome::Lost(Lost { code: "child_exited".to_owned(), message: "The child ended.".to_owned() });
    end(api, claim(api, &ids[6..7]).await, lost).await;
    // One that runs, one that waits and one that waits to be retried are called off.
    let running = claim(api, &ids[7..8]).await;
    api.act(&format!("/api/v1/tasks/{}/cancel", ids[7])).await.expect(200);
    // Its own outcome comes too late.
    end(api, running, completed).await;
    let both = json!({ "ids": [ids[8].to_string(), ids[5].to_string()] });
    api.post("/api/v1/tasks/cancel", both).await.expect(200);
    // One has not been started in time.
    api.execute(&format!("UPDATE tasks SET expires_at = now() WHERE id = '{}'", ids[9])).await;
    let expired = api.dispatch.store().expire_tasks(clock::now() + TimeDelta::seconds(1), 10).await.unwrap();
    assert_eq!(expired, [ids[9]]);
    // One that failed is retried by hand, and completes.
    api.act(&format!("/api/v1/tasks/{}/retry", ids[3])).await.expect(200);
    end(api, claim(api, &ids[3..4]).await, completed).await;
    json!({
        "tasks": { "ended": 10, "completed": 4, "failed": 2, "cancelled": 4 },
        "attempts": { "completed": 4, "failed": 3, "lost": 1, "cancelled": 1 },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_is_counted_once_and_stays_when_its_task_is_gone() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let right = every_end(&api, &workflow).await;
    let at_once = figures(&api, "&by=queue").await;
    assert_eq!(counts(&at_once["totals"]), right, "before anybody added up");
    assert_eq!(at_once["series"].as_array().map(Vec::len), Some(60));
    let of_points: u64 =
        at_once["series"].as_array().unwrap().iter().map(|point| point["tasks"]["ended"].as_u64().unwrap()).sum();
    assert_eq!(of_points, 10);
    assert_eq!((&at_once["groups"][0]["key"], counts(&at_once["groups"][0])), (&json!("celery"), right.clone()));
    let wait = &at_once["totals"]["wait_s"];
    // The one that was lost waits anew; nobody knows any more how long it had waited.
    assert_eq!(wait["count"], 7, "{wait}");
    let half = wait["p50"].as_f64().unwrap();
    assert!((2.5..30.0).contains(&half), "they had waited 3 s at least: {wait}");
    assert_eq!(at_once["totals"]["run_s"]["count"], 7);

    let store = api.dispatch.store();
    assert!(store.fold_statistics().await.unwrap() > 0);
    assert_eq!((store.fold_statistics().await.unwrap(), api.count("statistic_ends").await), (0, 0));
    assert_eq!(figures(&api, "&by=queue").await["totals"], at_once["totals"], "added up");

    let of_workflow = figures(&api, &format!("&by=workflow&workflow_id={workflow}")).await;
    assert_eq!((&of_workflow["groups"][0]["key"], &of_workflow["totals"]), (&json!(workflow), &at_once["totals"]));
    let source = api.sql.query_one("SELECT id::text FROM workflow_sources", &[]).await.unwrap().get::<_, String>(0);
    let of_source = figures(&api, &format!("&by=source&source_id={source}")).await;
    assert_eq!((&of_source["groups"][0]["key"], &of_source["totals"]), (&json!(source), &at_once["totals"]));
    let of_others = figures(&api, "&queue=other").await;
    assert_eq!(counts(&of_others["totals"]), json!({ "tasks": {}, "attempts": {} }));

    api.call("DELETE", &format!("/api/v1/workflows/{workflow}"), None).await.expect(200);
    assert_eq!(api.count("tasks").await, 0);
    let after = figures(&api, &format!("&by=source&source_id={source}")).await;
    assert_eq!(after["totals"], at_once["totals"], "the tasks and their workflow are gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_that_grow_coarser_keep_their_sums() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    // A row for every minute of the last hundred days or so would be many; one for every 7th minute of a week does.
    let insert = format!(
        "INSERT INTO statistics (minutes, at, workflow_id, queue, figure, outcome, bucket, n, ms)
         SELECT 1, date_trunc('minute', now()) - n * interval '7 minutes', '{workflow}', 'celery', figure, 'completed', 44, 2, 5000
           FROM generate_series(1, 1440) AS n, unnest(ARRAY['task', 'attempt']) AS figure"
    );
    assert_eq!(api.execute(&insert).await, 2880);
    let before = api.get("/api/v1/stats?window=month").await.expect(200);
    assert_eq!(before["totals"]["tasks"]["completed"], 2880);
    let (store, now) = (api.dispatch.store(), clock::now());
    while store.coarsen_statistics(now).await.unwrap() > 0 {}
    let after = api.get("/api/v1/stats?window=month").await.expect(200);
    assert_eq!((&after["totals"], &after["series"]), (&before["totals"], &before["series"]));
    for (minutes, hours) in [(1, 3), (15, 72)] {
        let old = format!("statistics WHERE minutes = {minutes} AND at < now() - interval '{hours} hours 61 minutes'");
        assert_eq!(api.count(&old).await, 0, "{old}");
        assert!(api.count(&format!("statistics WHERE minutes = {minutes}")).await > 0);
    }
    assert!(api.count("statistics WHERE minutes = 60").await > 0);
}

/// Two nodes add up while attempts end: an end that is folded twice or lost in between would show in the sums.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_add_up_at_once_count_nothing_twice() {
    const TASKS: usize = 400;
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let ids = make_tasks(&api, &workflow, TASKS).await;
    let work = async {
        for batch in ids.chunks(5) {
            end(&api, claim(&api, batch).await, completed).await;
        }
    };
    let fold = async || loop {
        api.dispatch.store().fold_statistics().await.unwrap();
    };
    tokio::select! {
        () = work => {}
        () = fold() => {}
        () = fold() => {}
    }
    while api.dispatch.store().fold_statistics().await.unwrap() > 0 {}
    let told = figures(&api, "").await;
    assert_eq!(
        (&told["totals"]["tasks"]["completed"], &told["totals"]["attempts"]["completed"]),
        (&json!(TASKS), &json!(TASKS))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_can_not_be_answered_is_refused_whole() {
    let api = TestApi::start().await;
    let bad = api.get("/api/v1/stats?window=fortnight&by=colour&workflow_id=x&source_id=y").await.expect(422);
    assert_eq!(bad["detail"].as_array().map(Vec::len), Some(4), "{bad}");
    let day = api.get("/api/v1/stats").await.expect(200);
    assert_eq!(
        (&day["window"], &day["step_s"], day["series"].as_array().map(Vec::len)),
        (&json!("day"), &json!(900), Some(96))
    );
}
