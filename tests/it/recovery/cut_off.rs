//! Three nodes on one PostgreSQL and one Redis, of which one is cut off and one dies.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::proxy_of_database;
use crate::harness::node::{SOON, TestNode};
use crate::harness::proxy::{Proxy, Traffic};
use crate::harness::stage::Stage;
use crate::harness::until;
use crate::lifecycle::among_others;

const FAST: [(&str, &str); 4] =
    [("node.lease_s", "3"), ("node.heartbeat_s", "0.5"), ("janitor.sweep_s", "1"), ("worker.max_lost", "10")];

/// A node behind cables of its own.
struct Remote {
    node: TestNode,
    cables: [Proxy; 2],
}

impl Remote {
    async fn start(stage: &Stage) -> Self {
        let (database, database_url) = proxy_of_database(stage);
        let redis = Proxy::start(stage.servers.redis.port());
        let redis_url = redis.url(&stage.servers.redis_url);
        let mut settings = FAST.to_vec();
        settings.extend([("database.url", database_url.as_str()), ("redis.url", &redis_url)]);
        Self { node: stage.node(&settings).await, cables: [database, redis] }
    }

    fn cut_off(&self) {
        self.cables.iter().for_each(|cable| cable.set(Traffic::Stall));
    }

    /// What was on its way arrives; or, if the cables were exchanged for new ones, it never does.
    fn join_again(&self, with_new_cables: bool) {
        for cable in &self.cables {
            if with_new_cables {
                cable.reset();
            }
            cable.set(Traffic::Pass);
        }
    }

    async fn id(&self, stage: &Stage) -> uuid::Uuid {
        let rows = stage.rows("SELECT id FROM nodes WHERE pid = $1", &[&self.node.pid().cast_signed()]).await;
        rows[0].get(0)
    }
}

/// How many attempts of a node are running, as far as PostgreSQL knows.
async fn running_of(stage: &Stage, node: uuid::Uuid) -> i64 {
    let sql = "SELECT count(*) FROM tasks WHERE status = 'running' AND node_id = $1";
    stage.rows(sql, &[&node]).await[0].get(0)
}

#[tokio::test]
async fn nodes_that_die_or_are_cut_off_lose_their_tasks_once_and_overwrite_nothing() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let (lonely, mut dying, other) = tokio::join!(Remote::start(&stage), stage.node(&FAST), stage.node(&FAST));
    let workflow = other.workflow(&stage).await;
    let rule = json!({"workflow_id": workflow, "schedule_type": "interval", "schedule_expr": "1s"});
    let schedule = other.post("/api/v1/schedules", &rule).await["id"].as_str().expect("an id").to_owned();
    for with_new_cables in [false, true] {
        let id = lonely.id(&stage).await;
        let calls = stage.source.calls().total;
        let mut tasks = Vec::new();
        // They end while the node is cut off, and are run by another one at the same time.
        while running_of(&stage, id).await < 2 {
            tasks.push(other.run(&workflow, &json!({"input_data": "sleep:6"})).await);
            let submitted = tasks.len() as u64;
            until("it runs", SOON, async || (stage.source.calls().total >= calls + submitted).then_some(())).await;
        }
        lonely.cut_off();
        let cut_off_at = Instant::now();
        if !with_new_cables {
            dying.kill().await;
        }
        until("its tasks are taken over", SOON, async || (running_of(&stage, id).await == 0).then_some(())).await;
        println!("taken over {:?} after the cut, with a lease of 3 s", cut_off_at.elapsed());
        until("its attempts end for nobody", SOON, async || {
            let active = |executor: &Value| executor["active_attempts"] == 0;
            lonely.node.executors().await.iter().all(active).then_some(())
        })
        .await;
        lonely.join_again(with_new_cables);
        for task in &tasks {
            let task = other.until_task_is(task, "completed").await;
            assert_eq!(task["result"], "SLEEP:6");
        }
        until("it is a node again", SOON, async || {
            let sql = "SELECT count(*) FROM nodes WHERE id = $1 AND lease_until > now()";
            (stage.rows(sql, &[&id]).await[0].get::<_, i64>(0) == 1).then_some(())
        })
        .await;
    }
    other.post(&format!("/api/v1/schedules/{schedule}/disable"), &json!({})).await;
    until("all have ended", SOON, async || {
        let open = "SELECT count(*) FROM tasks WHERE status NOT IN ('completed', 'cancelled')";
        (stage.count(open).await == 0).then_some(())
    })
    .await;
    lonely.node.until_idle().await;

    // No occurrence fired twice, none was left out.
    let fired: Vec<chrono::DateTime<chrono::Utc>> = stage
        .rows("SELECT scheduled_for FROM tasks WHERE schedule_id IS NOT NULL ORDER BY scheduled_for", &[])
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(fired.len() > 10, "{}", fired.len());
    for pair in fired.windows(2) {
        assert_eq!(pair[1] - pair[0], chrono::TimeDelta::seconds(1), "{fired:?}");
    }
    // Each task completed once, by its newest attempt; what a lost one said later changed nothing.
    let odd = "SELECT count(*) FROM tasks t WHERE t.status = 'completed' AND
               (SELECT coalesce(array_agg(a.attempt), '{}') FROM task_attempts a
                WHERE a.task_id = t.id AND a.status = 'completed') <> ARRAY[t.tries]";
    assert_eq!(stage.count(odd).await, 0);
    let lost = stage.count("SELECT count(*) FROM task_attempts WHERE status = 'lost'").await;
    let others = "SELECT count(*) FROM task_attempts
                  WHERE status NOT IN ('completed', 'cancelled') AND code NOT IN ('node_dead', 'not_started')";
    assert_eq!(stage.count(others).await, 0);
    let extra: u64 = stage.source.calls().repeated.values().map(|calls| calls - 1).sum();
    println!("{lost} attempts lost, {extra} extra calls, {} occurrences", fired.len());
    assert!(lost >= 4 && extra <= lost.unsigned_abs(), "a flow ran again only where its attempt was lost");
}
