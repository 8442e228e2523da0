//! What beat asks of PostgreSQL.

mod server;

use std::collections::BTreeSet;

use automagik_spark::domain::ids::ScheduleId;
use automagik_spark::store::beat::{FireOptions, Fired};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::harness::until;
use server::Database;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

fn options() -> FireOptions {
    FireOptions { missed_cap: 10, ..FireOptions::default() }
}

/// A workflow in a database of its own.
struct Scene {
    db: Database,
    workflow: Uuid,
}

impl Scene {
    async fn new() -> Self {
        let (db, workflow) = (Database::new().await, Uuid::now_v7());
        db.client
            .execute(
                "INSERT INTO workflows (id, name, source, remote_flow_id) VALUES ($1, 'w', 's', 'f')",
                &[&workflow],
            )
            .await
            .expect("a workflow");
        Self { db, workflow }
    }

    /// A schedule; `more` are further columns with their values, such as `missed_policy = 'all'`.
    async fn schedule(&self, kind: &str, expr: &str, next_run_at: &str, more: &str) -> ScheduleId {
        let id = Uuid::now_v7();
        let insert = "INSERT INTO schedules (id, workflow_id, schedule_type, schedule_expr, next_run_at)
                      VALUES ($1, $2, $3, $4, $5)";
        self.db.client.execute(insert, &[&id, &self.workflow, &kind, &expr, &at(next_run_at)]).await.expect("inserted");
        if !more.is_empty() {
            let update = format!("UPDATE schedules SET {more} WHERE id = $1");
            self.db.client.execute(&update, &[&id]).await.expect("updated");
        }
        ScheduleId(id)
    }

    async fn fire(&self, now: &str) -> Fired {
        self.db.store.fire_due(at(now), options()).await.expect("fired")
    }

    /// One text column, in order.
    async fn list(&self, query: &str) -> Vec<String> {
        self.db.client.query(query, &[]).await.expect("a query").iter().map(|row| row.get(0)).collect()
    }

    async fn run(&self, statement: &str) {
        self.db.client.batch_execute(statement).await.expect("a statement");
    }

    async fn occurrences(&self) -> Vec<String> {
        self.list("SELECT to_char(scheduled_for AT TIME ZONE 'UTC', 'DD HH24:MI:SS') FROM tasks ORDER BY 1").await
    }

    async fn skips(&self) -> Vec<String> {
        let query = "SELECT to_char(scheduled_for AT TIME ZONE 'UTC', 'DD HH24:MI:SS ') || reason
                         || CASE WHEN earlier > 0 THEN ' and ' || earlier || ' earlier' ELSE '' END
                     FROM schedule_skips ORDER BY 1";
        self.list(query).await
    }

    async fn states(&self) -> Vec<String> {
        let query = "SELECT status || coalesce(to_char(next_run_at AT TIME ZONE 'UTC', ' DD HH24:MI:SS'), '')
                     FROM schedules ORDER BY id";
        self.list(query).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_schedule_makes_a_task_and_moves_on() {
    let scene = Scene::new().await;
    let more = "input_value = '{\"a\": 1}', queue = 'low_priority', priority = 9, timezone = 'Europe/Berlin'";
    scene.schedule("cron", "0 9 * * *", "2026-06-10T07:00:00Z", more).await;
    scene.schedule("interval", "1h", "2026-06-10T08:00:00Z", "").await;

    assert_eq!(scene.fire("2026-06-10T06:59:59Z").await.schedules, 0);
    let fired = scene.fire("2026-06-10T07:00:00.25Z").await;
    assert_eq!((fired.schedules, fired.delayed, fired.skipped, fired.more), (1, 0, 0, false));
    let [task] = fired.tasks.as_slice() else { panic!("one task, not {:?}", fired.tasks) };
    assert_eq!((task.queue.as_str(), task.priority.get()), ("low_priority", 9));
    assert_eq!(task.pending_at, at("2026-06-10T07:00:00.25Z"));

    let row = "SELECT concat_ws(' ', id, status, input_data, tries, max_retries, queue, priority) FROM tasks";
    assert_eq!(scene.list(row).await, [format!("{} pending {{\"a\": 1}} 0 3 low_priority 9", task.id)]);
    assert_eq!(scene.states().await, ["active 11 07:00:00", "active 10 08:00:00"]);
    let last = "SELECT to_char(last_run_at AT TIME ZONE 'UTC', 'HH24:MI:SS.MS') FROM schedules
                WHERE last_run_at IS NOT NULL";
    assert_eq!(scene.list(last).await, ["07:00:00.000"]);
    assert_eq!(scene.fire("2026-06-10T07:00:01Z").await.schedules, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_time_schedule_runs_once_and_is_completed() {
    let scene = Scene::new().await;
    scene.schedule("one-time", "now", "2026-06-10T07:00:00Z", "").await;
    scene.schedule("one-time", "2026-06-01T07:00:00", "2026-06-01T07:00:00Z", "missed_policy = 'skip'").await;
    let fired = scene.fire("2026-06-10T07:00:01Z").await;
    assert_eq!((fired.tasks.len(), fired.skipped), (1, 1));
    assert_eq!(scene.states().await, ["completed", "completed"]);
    assert_eq!(scene.skips().await, ["01 07:00:00 missed"]);
    assert_eq!(scene.list("SELECT input_data->>'value' FROM tasks").await, ["Hello World"]);
}

/// Everything about one occurrence must happen once, however many nodes see it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_nodes_make_one_task_of_an_occurrence() {
    let scene = Scene::new().await;
    for _ in 0..60 {
        scene.schedule("interval", "1m", "2026-06-10T07:00:00Z", "missed_policy = 'all'").await;
    }
    let small = FireOptions { batch: 7, ..options() };
    for minute in 0..5 {
        let now = at("2026-06-10T07:01:00Z") + TimeDelta::minutes(2 * minute);
        let nodes = (0..8).map(|_| {
            let (store, small) = (scene.db.store.clone(), small.clone());
            tokio::spawn(async move {
                let mut made = Vec::new();
                loop {
                    let fired = store.fire_due(now, small.clone()).await.expect("fired");
                    made.extend(fired.tasks.iter().map(|task| task.id));
                    if fired.schedules == 0 {
                        return made;
                    }
                }
            })
        });
        let mut made = Vec::new();
        for node in nodes.collect::<Vec<_>>() {
            made.extend(node.await.expect("a node"));
        }
        assert_eq!(made.len(), 120);
        assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), 120);
    }
    let count = "SELECT count(*)::text || ' ' || count(DISTINCT (schedule_id, scheduled_for))::text FROM tasks";
    assert_eq!(scene.list(count).await, ["600 600"]);
    assert_eq!(scene.list("SELECT DISTINCT next_run_at::text FROM schedules").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_occurrence_that_has_its_task_makes_no_other() {
    let scene = Scene::new().await;
    scene.schedule("interval", "1h", "2026-06-10T07:00:00Z", "").await;
    assert_eq!(scene.fire("2026-06-10T07:00:00Z").await.tasks.len(), 1);
    scene.run("UPDATE schedules SET next_run_at = '2026-06-10T07:00:00Z'").await;
    let again = scene.fire("2026-06-10T07:00:01Z").await;
    assert_eq!((again.schedules, again.tasks.len()), (1, 0));
    assert_eq!(scene.occurrences().await, ["10 07:00:00"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn downtime_is_made_up_for_as_the_policy_says() {
    let scene = Scene::new().await;
    scene.schedule("interval", "1s", "2025-06-10T07:00:00Z", "missed_policy = 'last'").await;
    let fired = scene.fire("2026-06-10T07:00:00Z").await;
    // The newest of the missed ones, and those of the last two seconds.
    assert_eq!((fired.tasks.len(), fired.skipped), (4, 20));
    assert_eq!(scene.occurrences().await, ["10 06:59:57", "10 06:59:58", "10 06:59:59", "10 07:00:00"]);
    assert_eq!(scene.skips().await[0], "10 06:59:37 missed and 31535977 earlier");
    assert_eq!(scene.states().await, ["active 10 07:00:01"]);

    scene.run("DELETE FROM tasks; DELETE FROM schedule_skips; DELETE FROM schedules").await;
    let more = "missed_policy = 'all', expires_s = 7200";
    scene.schedule("interval", "1h", "2026-06-10T00:00:00Z", more).await;
    scene.fire("2026-06-10T04:30:00Z").await;
    assert_eq!(scene.occurrences().await, ["10 03:00:00", "10 04:00:00"]);
    let expired = ["10 00:00:00 expired", "10 01:00:00 expired", "10 02:00:00 expired"];
    assert_eq!(scene.skips().await, expired);
}

#[tokio::test(flavor = "multi_thread")]
async fn overlapping_runs_follow_the_policy() {
    let scene = Scene::new().await;
    for policy in ["allow", "skip", "queue-one"] {
        let more = format!("overlap_policy = '{policy}', queue = '{policy}'");
        scene.schedule("interval", "1m", "2026-06-10T07:00:00Z", &more).await;
    }
    let by_queue = "SELECT queue || ' ' || count(*) FROM tasks GROUP BY queue ORDER BY queue";
    scene.fire("2026-06-10T07:00:00Z").await;
    assert_eq!(scene.list(by_queue).await, ["allow 1", "queue-one 1", "skip 1"]);
    scene.fire("2026-06-10T07:01:00Z").await;
    assert_eq!(scene.list(by_queue).await, ["allow 2", "queue-one 1", "skip 1"]);
    scene.run("UPDATE tasks SET status = 'running'").await;
    scene.fire("2026-06-10T07:02:00Z").await;
    scene.fire("2026-06-10T07:03:00Z").await;
    assert_eq!(scene.list(by_queue).await, ["allow 4", "queue-one 2", "skip 1"]);
    scene.run("UPDATE tasks SET status = 'completed'").await;
    scene.fire("2026-06-10T07:04:00Z").await;
    assert_eq!(scene.list(by_queue).await, ["allow 5", "queue-one 3", "skip 2"]);
    let skips = "SELECT queue || ' ' || reason || ' ' || count(*) FROM schedule_skips
                 JOIN schedules ON schedules.id = schedule_id GROUP BY queue, reason ORDER BY queue";
    assert_eq!(scene.list(skips).await, ["queue-one overlap 2", "skip overlap 3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_run_starts_when_the_one_before_it_has_ended() {
    let scene = Scene::new().await;
    scene.schedule("interval", "1m", "2026-06-10T07:00:00Z", "overlap_policy = 'queue-one'").await;
    let first = scene.fire("2026-06-10T07:00:00Z").await;
    assert_eq!((first.tasks.len(), first.held), (1, 0));
    scene.run("UPDATE tasks SET status = 'running'").await;
    let second = scene.fire("2026-06-10T07:01:00Z").await;
    assert_eq!((second.tasks.len(), second.held), (0, 1));

    let store = &scene.db.store;
    let now = at("2026-06-10T07:01:30Z");
    assert_eq!(store.next_due(now).await.expect("asked"), Some(at("2026-06-10T07:02:00Z")));
    for unfinished in ["running", "retrying", "pending"] {
        let turn = format!("UPDATE tasks SET status = '{unfinished}' WHERE id = '{}'", first.tasks[0].id);
        scene.run(&turn).await;
        assert_eq!(store.release_held(now, 10).await.expect("asked"), (vec![], true), "{unfinished}");
    }
    scene.run(&format!("UPDATE tasks SET status = 'failed' WHERE id = '{}'", first.tasks[0].id)).await;
    let (released, any_held) = store.release_held(now, 10).await.expect("asked");
    assert_eq!((released.len(), any_held), (1, false));
    assert_eq!(released[0].pending_at, now);
    assert_eq!(store.release_held(now, 10).await.expect("asked"), (vec![], false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_cant_be_read_does_not_stop_the_others() {
    let scene = Scene::new().await;
    let bad = [
        scene.schedule("cron", "61 * * * *", "2026-06-10T01:00:00Z", "").await,
        scene.schedule("sometimes", "x", "2026-06-10T02:00:00Z", "").await,
        scene.schedule("interval", "1h", "2026-06-10T03:00:00Z", "timezone = 'Mars/Olympus'").await,
        scene.schedule("interval", "1h", "2026-06-10T04:00:00Z", "overlap_policy = 'maybe'").await,
    ];
    scene.schedule("interval", "1h", "2026-06-10T07:00:00Z", "").await;
    let fired = scene.fire("2026-06-10T07:00:00Z").await;
    assert_eq!((fired.schedules, fired.tasks.len()), (5, 1));
    assert_eq!(fired.broken.iter().map(|(id, _)| *id).collect::<Vec<_>>(), bad);
    for ((_, reason), part) in fired.broken.iter().zip(["61 *", "schedule_type", "Mars/Olympus", "overlap_policy"]) {
        assert!(reason.contains(part), "{reason}");
    }
    assert_eq!(scene.states().await, ["paused", "paused", "paused", "paused", "active 10 08:00:00"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn jittered_tasks_wait_and_are_given_when_due() {
    let scene = Scene::new().await;
    for _ in 0..20 {
        scene.schedule("interval", "1h", "2026-06-10T07:00:00Z", "jitter_s = 600").await;
    }
    let now = at("2026-06-10T07:00:00Z");
    let fired = scene.fire("2026-06-10T07:00:00Z").await;
    assert_eq!(fired.tasks.len() + fired.delayed, 20);
    assert!(fired.delayed > 0);
    let mut given = BTreeSet::new();
    let mut after = now;
    while let Some(next) =
        scene.db.store.next_due(after).await.expect("asked").filter(|next| *next < at("2026-06-10T08:00:00Z"))
    {
        assert!(next > after && next <= now + TimeDelta::seconds(600));
        let due = scene.db.store.delayed_due(after, next, 100).await.expect("asked");
        assert!(due.iter().all(|task| task.pending_at == next));
        given.extend(due.iter().map(|task| task.id));
        after = next;
    }
    assert_eq!(given.len(), fired.delayed);
    let two = scene.db.store.delayed_due(now, now + TimeDelta::hours(1), 2).await.expect("asked");
    assert_eq!(two.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_are_released_when_due_and_once() {
    let scene = Scene::new().await;
    let insert = format!(
        "INSERT INTO tasks (id, workflow_id, status, tries, next_retry_at, pending_at)
         SELECT gen_random_uuid(), '{}', 'retrying', 1, timestamptz '2026-06-10 07:00Z' + n * interval '1 second',
                '2026-06-10 06:00Z'
         FROM generate_series(1, 100) AS n",
        scene.workflow
    );
    scene.run(&insert).await;
    let now = at("2026-06-10T07:00:50Z");
    let due = scene.db.store.next_due(at("2026-06-10T07:00:00Z")).await.expect("asked");
    assert_eq!(due, Some(at("2026-06-10T07:00:01Z")));
    let nodes = (0..4).map(|_| {
        let store = scene.db.store.clone();
        tokio::spawn(async move { store.release_due_retries(now, 20).await.expect("released") })
    });
    let mut released = Vec::new();
    for node in nodes.collect::<Vec<_>>() {
        released.extend(node.await.expect("a node"));
    }
    released.extend(scene.db.store.release_due_retries(now, 100).await.expect("released"));
    assert!(released.iter().all(|task| task.pending_at == now));
    assert_eq!(released.iter().map(|task| task.id).collect::<BTreeSet<_>>().len(), 50);
    assert_eq!(released.len(), 50);
    let states =
        "SELECT status || ' ' || count(*) || ' ' || count(next_retry_at) FROM tasks GROUP BY status ORDER BY 1";
    assert_eq!(scene.list(states).await, ["pending 50 0", "retrying 50 50"]);
    assert_eq!(scene.db.store.next_due(now).await.expect("asked"), Some(at("2026-06-10T07:00:51Z")));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_due_where_nothing_is_planned() {
    let scene = Scene::new().await;
    let now = at("2026-06-10T07:00:00Z");
    assert_eq!(scene.db.store.next_due(now).await.expect("asked"), None);
    scene.schedule("interval", "1h", "2026-06-10T09:00:00Z", "status = 'paused'").await;
    assert_eq!(scene.db.store.next_due(now).await.expect("asked"), None);
    scene.schedule("interval", "1h", "2026-06-10T09:00:00Z", "next_run_at = '-infinity'").await;
    assert_eq!(scene.db.store.next_due(now).await.expect("asked"), Some(DateTime::UNIX_EPOCH));
    let fired = scene.fire("2026-06-10T07:00:00Z").await;
    assert_eq!((fired.broken.len(), fired.schedules), (0, 1));
    assert_eq!(scene.states().await, ["paused 10 09:00:00", "active 10 08:00:00"]);
}

/// With a history of finished tasks and many schedules, nothing reads a whole table.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_history_is_not_read() {
    let scene = Scene::new().await;
    let workflow = scene.workflow;
    scene
        .run(&format!(
            "INSERT INTO schedules (id, workflow_id, schedule_type, schedule_expr, overlap_policy, next_run_at)
             SELECT gen_random_uuid(), '{workflow}', 'interval', '1h', 'skip', timestamptz '2026-06-10 07:00Z' + n * interval '1 s'
             FROM generate_series(1, 5000) AS n;
             INSERT INTO tasks (id, workflow_id, schedule_id, status, scheduled_for, pending_at, next_retry_at)
             SELECT gen_random_uuid(), '{workflow}', (SELECT id FROM schedules LIMIT 1),
                    CASE WHEN n % 200 = 0 THEN 'retrying' WHEN n % 200 = 1 THEN 'pending' ELSE 'completed' END,
                    timestamptz '2026-06-09 07:00Z' + n * interval '1 s', timestamptz '2026-06-09 07:00Z' + n * interval '1 s',
                    timestamptz '2026-06-09 07:00Z' + n * interval '1 s'
             FROM generate_series(1, 40000) AS n;
             ANALYZE tasks; ANALYZE schedules"
        ))
        .await;
    let scans =
        "SELECT concat_ws(' ', relname, seq_scan) FROM pg_stat_user_tables WHERE relname IN ('tasks', 'schedules')
                 ORDER BY relname";
    scene.run("SELECT pg_stat_force_next_flush()").await;
    let before = scene.list(scans).await;

    let store = &scene.db.store;
    let now = at("2026-06-09T08:00:00Z");
    store.next_due(now).await.expect("asked");
    store.release_due_retries(now, 50).await.expect("released");
    store.delayed_due(now, now + TimeDelta::minutes(10), 50).await.expect("asked");
    store.release_held(now, 50).await.expect("asked");
    let few = FireOptions { batch: 10, ..options() };
    let fired = store.fire_due(at("2026-06-10T07:10:00Z"), few).await.expect("fired");
    assert_eq!((fired.schedules, fired.more), (10, true));

    // Connections hand in their statistics as they end.
    scene
        .run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'automagik-spark' AND datname = current_database()")
        .await;
    let used = "SELECT indexrelname::text FROM pg_stat_user_indexes WHERE idx_scan > 0 AND indexrelname IN
                ('schedules_due', 'tasks_retrying', 'tasks_pending', 'tasks_unfinished') ORDER BY 1";
    until("all four indexes were used", std::time::Duration::from_secs(30), async || {
        (scene.list(used).await.len() == 4).then_some(())
    })
    .await;
    assert_eq!(scene.list(scans).await, before);
}
