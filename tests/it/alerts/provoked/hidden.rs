//! What does not come about from outside: a child that computes, a beat that hangs, figures that nobody may ask for.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use automagik_spark::domain::clock;
use automagik_spark::fault::Point;
use chrono::TimeDelta;
use serde_json::json;

use super::{Scene, ask_redis, nothing, serve};
use crate::alerts::prometheus::LIMIT;
use crate::harness::ahead::Ahead;
use crate::harness::node::{SOON, TestNode};
use crate::harness::stage::Stage;
use crate::harness::until;

/// How long others may keep the machine busy.
const CALM: Duration = Duration::from_secs(90);
/// Figures are old after five minutes, which nothing shortens.
const OLD: Duration = Duration::from_secs(5 * 60);

/// Where faults of the stage's services are planned.
pub(super) fn faults(stage: &Stage) -> PathBuf {
    stage.directory().join("faults")
}

fn plan(stage: &Stage, point: Point, how: &str) {
    fs::create_dir_all(faults(stage)).expect("ours");
    // It is whole when it has its name.
    let unfinished = faults(stage).join("new");
    fs::write(&unfinished, how).expect("ours to write");
    fs::rename(unfinished, faults(stage).join(point.name())).expect("ours to write");
}

async fn until_struck(stage: &Stage, point: Point) {
    let file = faults(stage).join(point.name());
    until("the fault has struck", SOON, async || (!file.exists()).then_some(())).await;
}

/// One task computes, with more threads than there are processors: its worker has more than one processor, and the machine
/// no rest. The alert on the machine can be tried only where others leave it some rest before and after.
pub(super) async fn processors(scene: &mut Scene, node: &TestNode, workflow: &str) {
    let Scene { stage, prometheus, .. } = scene;
    let (of_worker, of_machine) = (["WorkerCpuHigh", "WorkerCpuCritical"], ["MachineCpuHigh"]);
    prometheus.until_silent(&of_worker, LIMIT).await;
    let is_calm = prometheus.is_silent_within(&of_machine, CALM).await;
    if !is_calm {
        println!("{of_machine:?} is not tried: others kept the machine busy for {CALM:?}");
    }
    plan(stage, Point::BeforeCall, "burn 45");
    let ahead = Ahead::of_others();
    let task = node.run(workflow, &json!("computes")).await;
    until_struck(stage, Point::BeforeCall).await;
    let (tried, patience) =
        if is_calm { ([&of_worker[..], &of_machine].concat(), CALM) } else { (of_worker.to_vec(), LIMIT) };
    prometheus.see_out(&tried, patience, nothing, async || drop(ahead)).await;
    node.until_task_is(&task, "completed").await;
}

/// Redis forbids to ask how it is, as its rules may. Answers when.
pub(super) async fn deny_figures(Scene { stage, prometheus, .. }: &Scene, node: &TestNode) -> Instant {
    until("Redis was measured", SOON, async || {
        let is_told = |line: &str| line.starts_with("automagik_spark_redis_measured_timestamp_seconds ");
        node.scrape().await.lines().any(is_told).then_some(())
    })
    .await;
    prometheus.until_silent(&["FiguresStale"], LIMIT).await;
    ask_redis(stage, &["ACL", "SETUSER", "default", "-info"]).await.expect("it is forbidden");
    Instant::now()
}

pub(super) async fn allow_figures(Scene { stage, prometheus, .. }: &mut Scene, denied: Instant) {
    println!("Redis has not been measured for {} s", denied.elapsed().as_secs());
    let allow = async || drop(ask_redis(stage, &["ACL", "SETUSER", "default", "+info"]).await.expect("it is allowed"));
    prometheus.see_out(&["FiguresStale"], OLD + LIMIT, nothing, allow).await;
}

/// Beat stands still in the middle of a round, and with it the thread of all actors, while requests are answered. Without
/// systemd's watchdog somebody has to start the service anew. Answers the one that runs then.
pub(super) async fn beat(
    Scene { stage, prometheus, port }: &mut Scene,
    mut node: TestNode,
    workflow: &str,
) -> TestNode {
    prometheus.until_silent(&["BeatSilent"], LIMIT).await;
    plan(stage, Point::AfterFire, "hang");
    let at = (clock::now() + TimeDelta::seconds(1)).to_rfc3339();
    let schedule = json!({"workflow_id": workflow, "schedule_type": "one-time", "schedule_expr": at});
    node.post("/api/v1/schedules", &schedule).await;
    until_struck(stage, Point::AfterFire).await;
    let start = async || {
        node.kill().await;
        node = serve(stage, *port, &[]).await;
    };
    prometheus.see_out(&["BeatSilent"], LIMIT, nothing, start).await;
    node
}
