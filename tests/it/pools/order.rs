//! In which order the queues of one pool are served.

use std::time::Duration;

use serde_json::json;

use super::{started_by_file, write_configuration};
use crate::harness::stage::Stage;
use crate::lifecycle::among_others;

const STRICT: &str = "[[pools]]\nname = \"celery\"\nqueues = [\"high\", \"low\"]\nworkers = 1\nthreads = 2\n";
/// How many tasks of `low` are among the first that were started, after so many that are left out.
const LOW_AMONG: &str = "
    SELECT count(*) FILTER (WHERE queue = 'low') FROM (
        SELECT queue FROM tasks WHERE started_at IS NOT NULL ORDER BY started_at, id OFFSET $1 LIMIT $2
    ) first";

async fn low_among(stage: &Stage, offset: i64, limit: i64) -> i64 {
    stage.rows(LOW_AMONG, &[&offset, &limit]).await[0].get(0)
}

#[tokio::test]
async fn a_full_queue_starves_the_next_in_strict_order_and_leaves_it_its_share_with_weights() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    write_configuration(&stage, STRICT);
    let node = started_by_file(&stage).await;
    let workflow = node.workflow(&stage).await;
    for queue in ["low", "high"] {
        node.act_on_queue(queue, "pause").await;
        let body = json!({"input_data": "x", "queue": queue});
        let runs = (0..400).map(|_| node.run(&workflow, &body));
        futures_util::future::join_all(runs).await;
    }
    node.act_on_queue("high", "resume").await;
    node.act_on_queue("low", "resume").await;
    stage.until_some_completed(60).await;
    node.act_on_queue("low", "pause").await;
    node.act_on_queue("high", "pause").await;
    let strict = stage.count("SELECT count(*) FROM tasks WHERE started_at IS NOT NULL").await;
    assert!(strict < 400, "the first queue was never empty: {strict}");
    assert_eq!(low_among(&stage, 0, strict).await, 0);

    write_configuration(&stage, &format!("{STRICT}weights = [3, 1]\n"));
    node.reload("the configuration is reloaded").await;
    assert!(node.log().contains("queues high, low -> high:3, low:1"), "{}", node.log());
    assert_eq!(node.pool().await["weights"], json!([3, 1]));
    node.act_on_queue("high", "resume").await;
    node.act_on_queue("low", "resume").await;
    stage.until_all_completed(800, Duration::from_secs(60)).await;
    // Some may have been under way when the queues were paused.
    let low = low_among(&stage, strict + 10, 200).await;
    assert!((40..=60).contains(&low), "a quarter of 200 is 50, not {low}");
}
