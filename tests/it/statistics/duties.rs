//! What a running service does by itself: add up, and delete what is old.

use std::time::Duration;

use serde_json::json;

use crate::harness::node::SOON;
use crate::harness::stage::Stage;
use crate::harness::until;

#[tokio::test(flavor = "multi_thread")]
async fn old_tasks_are_deleted_by_status_in_batches_and_their_figures_stay() {
    let stage = Stage::new(Duration::ZERO).await;
    let first = stage.node(&[]).await;
    let workflow = first.workflow(&stage).await;
    first.run_many(&workflow, 20).await;
    stage.until_all_completed(20, SOON).await;
    until("all is added up", SOON, async || {
        let left = stage.count("SELECT count(*) FROM statistic_ends").await;
        let told = stage.count("SELECT coalesce(sum(n), 0)::int8 FROM statistics WHERE figure = 'task'").await;
        ((left, told) == (0, 20)).then_some(())
    })
    .await;
    let insert = format!(
        "INSERT INTO tasks (id, workflow_id, status, created_at, finished_at)
         SELECT gen_random_uuid(), '{workflow}', status, now() - interval '9 days', now() - interval '9 days'
           FROM generate_series(1, 1200), unnest(ARRAY['failed', 'cancelled', 'completed']) AS status"
    );
    stage.rows(&insert, &[]).await;
    stage.rows("UPDATE tasks SET created_at = created_at - interval '9 days', finished_at = finished_at - interval '9 days' WHERE created_at > now() - interval '1 day'", &[]).await;

    let second = stage.node(&[("janitor.failed_days", "7"), ("janitor.completed_days", "8.5")]).await;
    until("what is old is gone", SOON, async || {
        let statuses = stage.statuses().await;
        (statuses.keys().collect::<Vec<_>>() == ["cancelled"]).then_some(())
    })
    .await;
    assert_eq!(stage.count("SELECT count(*) FROM tasks").await, 1200, "nobody said to delete cancelled ones");
    for line in [
        "retention deleted 1200 failed tasks older than 7 days",
        "retention deleted 1220 completed tasks older than 8.5 days",
    ] {
        until(line, SOON, async || second.log().contains(line).then_some(())).await;
    }
    let figures = second.get("/metrics").await.as_str().unwrap().to_owned();
    assert!(figures.contains("automagik_spark_retention_deleted_total{what=\"failed tasks\"} 1200"), "{figures}");
    let told = second.get("/api/v1/stats?window=hour&by=queue").await;
    assert_eq!((&told["totals"]["tasks"]["completed"], &told["groups"][0]["key"]), (&json!(20), &json!("celery")));
    assert_eq!(told["totals"]["run_s"]["count"], 20);
}
