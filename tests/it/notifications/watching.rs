//! What lasts is told of when it begins and when it ends, and not in between.

use automagik_spark::domain::clock;
use automagik_spark::domain::outcome::{Failure, Outcome};
use automagik_spark::store::beat::FireOptions;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::api::client::{TestApi, id};
use crate::statistics::scene::{claim, completed, end, make_tasks};

async fn add(api: &TestApi, body: Value) -> String {
    let mut whole = json!({ "name": "on-call", "url": "http://127.0.0.1:9/x" });
    whole.as_object_mut().unwrap().extend(body.as_object().cloned().unwrap());
    id(&api.post("/api/v1/notifications", whole).await.expect(201))
}

/// Two nodes look at once, a little later than now; what has been told so far, the oldest first.
async fn look(api: &TestApi, notification: &str, seconds: i64) -> Vec<Value> {
    let (one, other) = (api.dispatch.store(), api.dispatch.store());
    let now = clock::now() + TimeDelta::seconds(seconds);
    let (one, other) = tokio::join!(one.watch(now), other.watch(now));
    one.unwrap();
    other.unwrap();
    let log = api.get(&format!("/api/v1/notifications/{notification}/deliveries")).await.expect(200);
    log["items"].as_array().unwrap().iter().rev().map(|delivery| delivery["body"].clone()).collect()
}

fn kinds(told: &[Value]) -> Vec<&str> {
    told.iter().map(|message| message["type"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_told_of_when_it_passes_its_threshold_and_when_it_is_well_below() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let depth = json!({ "events": ["queue.over"], "queue_depth": 8, "workflow_id": workflow });
    let notification = add(&api, depth).await;
    let ids = make_tasks(&api, &workflow, 7).await;
    assert_eq!(look(&api, &notification, 0).await.len(), 0, "below");
    make_tasks(&api, &workflow, 1).await;
    let told = look(&api, &notification, 0).await;
    assert_eq!(kinds(&told), ["queue.over"]);
    assert_eq!((&told[0]["data"]["queue"], &told[0]["data"]["depth"]), (&json!("celery"), &json!(8)));
    make_tasks(&api, &workflow, 5).await;
    assert_eq!(look(&api, &notification, 1).await.len(), 1, "it lasts");
    let one = format!("/api/v1/notifications/{notification}");
    api.call("PATCH", &one, Some(json!({ "name": "renamed" }))).await.expect(200);
    assert_eq!(look(&api, &notification, 1).await.len(), 1, "another name is no other state");
    // 13 - 7 = 6 is three quarters of 8.
    claim(&api, &ids).await;
    assert_eq!(look(&api, &notification, 2).await.len(), 1, "not well below yet");
    api.execute("UPDATE tasks SET queue = 'other' WHERE id = (SELECT id FROM tasks WHERE status = 'pending' LIMIT 1)")
        .await;
    let told = look(&api, &notification, 3).await;
    assert_eq!(kinds(&told), ["queue.over", "queue.recovered"]);
    assert!(told[1]["data"]["since"].is_string() && told[1]["data"]["queue"] == "celery", "{}", told[1]);
    assert_eq!(look(&api, &notification, 4).await.len(), 2);
    make_tasks(&api, &workflow, 3).await;
    assert_eq!(kinds(&look(&api, &notification, 5).await).len(), 3, "over again");
    api.execute("UPDATE tasks SET status = 'completed' WHERE status = 'running'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_wait_too_long_are_too_much_though_they_are_few() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let notification = add(&api, json!({ "events": ["queue.over"], "queue_age_s": 60, "queue": "celery" })).await;
    make_tasks(&api, &workflow, 1).await;
    assert_eq!(look(&api, &notification, 30).await.len(), 0);
    let told = look(&api, &notification, 61).await;
    assert_eq!(kinds(&told), ["queue.over"]);
    assert!(told[0]["data"]["oldest_age_s"].as_f64().unwrap() >= 61.0, "{}", told[0]);
    api.execute("UPDATE tasks SET queue = 'other'").await;
    assert_eq!(kinds(&look(&api, &notification, 62).await), ["queue.over", "queue.recovered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_down_after_three_attempts_that_did_not_reach_it_and_up_after_one_that_completed() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let notification = add(&api, json!({ "events": ["source.down"], "workflow_id": workflow })).await;
    let unreached = || Outcome::Failed(Failure::transient("source_unreachable", "connection refused"));
    let ids = make_tasks(&api, &workflow, 5).await;
    end(&api, claim(&api, &ids[..2]).await, unreached).await;
    assert_eq!(look(&api, &notification, 0).await.len(), 0, "two are no proof");
    end(&api, claim(&api, &ids[2..3]).await, unreached).await;
    let told = look(&api, &notification, 0).await;
    assert_eq!(kinds(&told), ["source.down"]);
    let source = api.sql.query_one("SELECT id::text FROM workflow_sources", &[]).await.unwrap().get::<_, String>(0);
    assert_eq!(told[0]["data"]["source_id"], json!(source));
    assert!(told[0]["data"]["error"].as_str().unwrap().contains("connection refused"), "{}", told[0]);
    end(&api, claim(&api, &ids[3..4]).await, unreached).await;
    assert_eq!(look(&api, &notification, 0).await.len(), 1, "it lasts");
    assert_eq!(look(&api, &notification, 3600).await.len(), 1, "nobody has reached it since");
    end(&api, claim(&api, &ids[4..]).await, completed).await;
    assert_eq!(kinds(&look(&api, &notification, 1).await), ["source.down", "source.recovered"]);
    while api.dispatch.store().fold_statistics().await.unwrap() > 0 {}
    assert_eq!(look(&api, &notification, 2).await.len(), 2, "the former failures are no news");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_nobody_fires_is_late_until_it_is_fired() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let notification = add(&api, json!({ "events": ["schedule.late"] })).await;
    let rule = json!({ "workflow_id": workflow, "schedule_type": "interval", "schedule_expr": "1h" });
    let schedule = id(&api.post("/api/v1/schedules", rule).await.expect(201));
    assert_eq!(look(&api, &notification, 3600 + 30).await.len(), 0);
    let told = look(&api, &notification, 3600 + 90).await;
    assert_eq!(kinds(&told), ["schedule.late"]);
    assert_eq!(told[0]["data"]["schedule_id"], json!(schedule));
    assert_eq!(look(&api, &notification, 3600 + 95).await.len(), 1);
    api.execute("UPDATE schedules SET next_run_at = next_run_at + interval '1 hour'").await;
    assert_eq!(kinds(&look(&api, &notification, 3600 + 96).await), ["schedule.late", "schedule.on_time"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_schedule_missed_is_told_of_with_the_note_on_it() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let notification = add(&api, json!({ "events": ["schedule.missed"], "workflow_id": workflow })).await;
    let rule = json!({ "workflow_id": workflow, "schedule_type": "interval", "schedule_expr": "1h",
        "missed_policy": "skip" });
    let schedule = id(&api.post("/api/v1/schedules", rule).await.expect(201));
    api.execute("UPDATE schedules SET next_run_at = next_run_at - interval '1 hour 30 minutes'").await;
    let store = api.dispatch.store();
    store.fire_due(clock::now(), FireOptions::default()).await.unwrap();
    store.fire_due(clock::now(), FireOptions::default()).await.unwrap();
    let told = look(&api, &notification, 0).await;
    assert_eq!(kinds(&told), ["schedule.missed"]);
    let note = api.sql.query_one("SELECT earlier FROM schedule_skips", &[]).await.unwrap().get::<_, i64>(0);
    let data = &told[0]["data"];
    assert_eq!((&data["schedule_id"], &data["earlier"]), (&json!(schedule), &json!(note)));
}
