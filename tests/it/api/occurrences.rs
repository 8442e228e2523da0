//! What became of the occurrences of schedules: made, skipped, missed, expired.

use automagik_spark::store::beat::FireOptions;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde_json::{Value, json};

use super::client::{TestApi, fields, id};

const FIELDS: [&str; 8] =
    ["detail", "earlier", "noted_at", "reason", "scheduled_for", "status", "task_id", "task_status"];

/// An API with a schedule that runs every hour.
struct Scene {
    api: TestApi,
    path: String,
    id: String,
    /// The beginning of the hour, in which nothing is due.
    hour: DateTime<Utc>,
}

impl Scene {
    async fn new(more: Value) -> Self {
        let api = Box::pin(TestApi::start()).await;
        let workflow = api.add_workflow().await;
        let mut body = json!({"workflow_id": workflow, "schedule_type": "interval", "schedule_expr": "1h"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let schedule = api.post("/api/v1/schedules", body).await.expect(201);
        let now: DateTime<Utc> = api.sql.query_one("SELECT now()", &[]).await.unwrap().get(0);
        // Its times are half an hour away from now.
        let hour = now.trunc_subsecs(0) - TimeDelta::minutes(30);
        Self { api, path: format!("/api/v1/schedules/{}", id(&schedule)), id: id(&schedule), hour }
    }

    /// The next occurrence was that many hours ago.
    async fn due(&self, hours_ago: i32) {
        let due = self.hour - TimeDelta::hours(hours_ago.into());
        let sql = "UPDATE schedules SET next_run_at = $1";
        assert_eq!(self.api.sql.execute(sql, &[&due]).await.unwrap(), 1);
    }

    async fn fire(&self) {
        let now = self.hour + TimeDelta::minutes(30);
        self.api.dispatch.store().fire_due(now, FireOptions { missed_cap: 3, ..FireOptions::default() }).await.unwrap();
    }

    async fn act(&self, action: &str) -> Value {
        self.api.act(&format!("{}/{action}", self.path)).await.expect(200)
    }

    async fn occurrences(&self, query: &str) -> Value {
        self.api.get(&format!("{}/occurrences{query}", self.path)).await.expect(200)
    }

    /// How many hours ago, and what became of it.
    async fn outline(&self, query: &str) -> Vec<String> {
        let page = self.occurrences(query).await;
        let items = page["items"].as_array().unwrap();
        assert_eq!(page["total"], items.len(), "{page}");
        let line = |item: &Value| {
            let at: DateTime<Utc> = item["scheduled_for"].as_str().unwrap().parse().unwrap();
            let words = ["status", "reason", "task_status"].map(|name| item[name].as_str().unwrap_or("-").to_owned());
            let earlier = item["earlier"].as_i64().filter(|earlier| *earlier > 0);
            let earlier = earlier.map(|earlier| format!(" +{earlier}")).unwrap_or_default();
            format!("{} {}{earlier}", (self.hour - at).num_hours(), words.join(" "))
        };
        items.iter().map(line).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_spark_made_and_missed_is_listed_the_latest_first() {
    let scene = Scene::new(json!({"missed_policy": "all"})).await;
    scene.due(30).await;
    scene.fire().await;
    let all = scene.occurrences("?limit=100").await;
    assert_eq!(fields(&all["items"][0]), FIELDS);
    assert_eq!(all["total"], 23, "three made up for, twenty noted one by one");
    let lines = scene.outline("?limit=100").await;
    assert_eq!(lines[..4], ["0 made - pending", "1 made - pending", "2 made - pending", "3 missed missed -"]);
    assert_eq!(lines[22], "22 missed missed - +8", "the oldest note stands for those beyond the limit");
    let missed = &all["items"][3];
    assert!(missed["detail"].as_str().unwrap().contains("down"), "{missed}");

    let task = all["items"][0]["task_id"].as_str().unwrap();
    api_task_is(&scene, task, "pending").await;
    let at = |hours: i64| (scene.hour - TimeDelta::hours(hours)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    for (query, total) in [
        ("?status=made".to_owned(), 3),
        ("?status=missed".to_owned(), 20),
        ("?status=skipped".to_owned(), 0),
        (format!("?after={}", at(4)), 5),
        (format!("?before={}", at(4)), 18),
        (format!("?after={}&before={}&status=missed", at(9), at(4)), 5),
    ] {
        assert_eq!(scene.occurrences(&query).await["total"], total, "{query}");
    }
    let page = scene.occurrences("?limit=2&offset=1").await;
    assert_eq!((&page["has_more"], &page["items"][0]["task_status"]), (&json!(true), &json!("pending")));
    let bad = scene.api.get(&format!("{}/occurrences?status=gone&after=x&limit=0", scene.path)).await.expect(422);
    assert_eq!(bad["detail"].as_array().unwrap().len(), 3);
    for unknown in ["00000000-0000-4000-8000-000000000000", "x"] {
        let path = format!("/api/v1/schedules/{unknown}/occurrences");
        assert_eq!(scene.api.get(&path).await.expect(404)["detail"], "Schedule not found");
    }
    // A task that was started by hand is no occurrence.
    scene.act("trigger").await;
    assert_eq!(scene.occurrences("").await["total"], 23);
}

async fn api_task_is(scene: &Scene, task: &str, status: &str) {
    assert_eq!(scene.api.get(&format!("/api/v1/tasks/{task}")).await.expect(200)["status"], status);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlap_and_an_occurrence_that_is_too_old_are_listed_with_the_reason() {
    let scene = Scene::new(json!({"missed_policy": "all", "overlap_policy": "skip", "expires_s": 3600})).await;
    scene.due(3).await;
    scene.fire().await;
    let lines = ["0 made - pending", "1 expired expired -", "2 expired expired -", "3 missed missed -"];
    assert_eq!(scene.outline("").await, lines);
    scene.api.execute("DELETE FROM schedule_skips").await;
    scene.api.execute("UPDATE tasks SET scheduled_for = scheduled_for - interval '5 hours', status = 'running'").await;
    scene.due(0).await;
    scene.fire().await;
    assert_eq!(scene.outline("").await, ["0 skipped overlap -", "5 made - running"]);
}

/// The pause is over: the policy decides about what was missed, at once, and the next time is in the future.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_during_a_pause_follows_the_policy_when_it_ends() {
    for (policy, expected) in [
        ("last", ["0 made - pending", "1 missed paused -", "2 missed paused -"]),
        ("skip", ["0 missed paused -", "1 missed paused -", "2 missed paused -"]),
        ("all", ["0 made - pending", "1 made - pending", "2 made - pending"]),
    ] {
        let scene = Scene::new(json!({"missed_policy": policy})).await;
        scene.due(2).await;
        assert_eq!(scene.act("disable").await["next_run_at"], Value::Null);
        // Saying it twice, or changing something else, forgets nothing.
        scene.act("disable").await;
        let patched = scene.api.call("PATCH", &scene.path, Some(json!({"priority": 7}))).await.expect(200);
        assert_eq!((&patched["status"], &patched["next_run_at"]), (&json!("paused"), &Value::Null));
        assert_eq!(scene.outline("").await, [""; 0], "nothing is decided while it is paused");
        let enabled = scene.act("enable").await;
        assert_eq!(enabled["status"], "active");
        let next: DateTime<Utc> = enabled["next_run_at"].as_str().unwrap().parse().unwrap();
        assert_eq!(next, scene.hour + TimeDelta::hours(1), "the grid is kept");
        assert_eq!(scene.outline("").await, expected, "{policy}");
        // Beat has nothing left to do.
        scene.fire().await;
        assert_eq!(scene.outline("").await, expected, "{policy}");
        assert_eq!(scene.act("enable").await["next_run_at"], enabled["next_run_at"]);
        let made = i64::try_from(expected.iter().filter(|line| line.contains("made")).count()).unwrap();
        assert_eq!(scene.api.count(&format!("tasks WHERE schedule_id = '{}' AND priority = 7", scene.id)).await, made);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_rule_missed_nothing_and_one_moment_is_late_or_gone() {
    let scene = Scene::new(json!({"missed_policy": "all"})).await;
    scene.due(2).await;
    scene.act("disable").await;
    scene.api.call("PATCH", &scene.path, Some(json!({"schedule_expr": "2h"}))).await.expect(200);
    let enabled = scene.api.call("PATCH", &scene.path, Some(json!({"status": "active"}))).await.expect(200);
    assert!(enabled["next_run_at"].is_string());
    assert_eq!(scene.outline("").await, [""; 0]);

    for (policy, line) in [("last", "0 made - pending"), ("skip", "0 missed paused -")] {
        let scene = Scene::new(json!({"missed_policy": policy, "schedule_type": "one-time",
            "schedule_expr": "2999-01-01 00:00"}))
        .await;
        scene.act("disable").await;
        let at = scene.hour.format("%Y-%m-%dT%H:%M:%SZ");
        let sql = format!("UPDATE schedules SET schedule_expr = '{at}', resume_from = '{at}'");
        scene.api.execute(&sql).await;
        let enabled = scene.act("enable").await;
        assert_eq!((&enabled["status"], &enabled["next_run_at"]), (&json!("completed"), &Value::Null), "{policy}");
        assert_eq!(scene.outline("").await, [line]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_a_pause_called_off_is_listed_until_it_is_retried() {
    let scene = Scene::new(json!({})).await;
    scene.due(0).await;
    scene.fire().await;
    scene.act("disable").await;
    assert_eq!(scene.outline("").await, ["0 skipped called_off cancelled"]);
    let task = scene.occurrences("").await["items"][0]["task_id"].as_str().unwrap().to_owned();
    let log = scene.api.get(&format!("/api/v1/tasks/{task}/logs")).await.expect(200);
    assert!(log.to_string().contains("its schedule was paused"), "{log}");
    scene.api.act(&format!("/api/v1/tasks/{task}/retry")).await.expect(200);
    assert_eq!(scene.outline("").await, ["0 made - pending"]);
    // It was asked for although the schedule is paused: what else is changed of the schedule does not call it off again.
    scene.api.call("PATCH", &scene.path, Some(json!({"priority": 7}))).await.expect(200);
    assert_eq!(scene.outline("").await, ["0 made - pending"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_did_not_start_in_time_expires() {
    let scene = Scene::new(json!({"expires_s": 3600})).await;
    scene.due(0).await;
    scene.fire().await;
    let (store, now) = (scene.api.dispatch.store(), scene.hour + TimeDelta::minutes(30));
    let over = scene.hour + TimeDelta::minutes(60);
    assert_eq!(store.next_due(now).await.unwrap(), Some(over.min(scene.hour + TimeDelta::hours(1))));
    assert_eq!(store.expire_tasks(now, 10).await.unwrap().len(), 0, "it has half an hour left");
    let task = scene.occurrences("").await["items"][0]["task_id"].as_str().unwrap().to_owned();

    // One that has begun may take as long as it likes, also when its attempt was lost.
    scene.api.execute("UPDATE tasks SET tries = 1").await;
    assert_eq!(store.expire_tasks(over, 10).await.unwrap().len(), 0);
    scene.api.execute("UPDATE tasks SET tries = 0").await;

    let ids = || vec![task.parse().unwrap()];
    let node = automagik_spark::domain::ids::NodeId::generate();
    assert_eq!(store.claim(ids(), node, over).await.unwrap().len(), 0, "nobody starts it any more");
    assert_eq!(store.expire_tasks(over, 10).await.unwrap().len(), 1);
    assert_eq!(scene.outline("").await, ["0 expired expired cancelled"]);
    assert_eq!(scene.outline("?status=expired").await.len(), 1);
    let shown = scene.api.get(&format!("/api/v1/tasks/{task}")).await.expect(200);
    assert!(shown["error"].as_str().unwrap().contains("expires_s"), "{shown}");
    // By hand it runs all the same.
    scene.api.act(&format!("/api/v1/tasks/{task}/retry")).await.expect(200);
    assert_eq!(store.expire_tasks(over + TimeDelta::days(1), 10).await.unwrap().len(), 0);
    let later = over + TimeDelta::days(1);
    assert_eq!(store.claim(ids(), node, later).await.unwrap().len(), 1);
    assert_eq!(scene.outline("").await, ["0 made - running"]);
}
