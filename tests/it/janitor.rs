//! What the janitor finds while tasks run.

use std::sync::Arc;

use automagik_spark::domain::ids::TaskId;
use automagik_spark::domain::outcome::{Answer, Outcome};
use serde_json::json;

use crate::api::client::TestApi;

const TASKS: usize = 600;

/// Attempts end all the time while it looks: between what PostgreSQL says and what the node knows of itself, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_attempt_that_ends_while_the_janitor_looks_is_not_taken_for_a_lost_claim() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let insert = format!(
        "INSERT INTO tasks (id, workflow_id, input_data) SELECT gen_random_uuid(), '{workflow}', '{{\"value\": \"x\"}}'
           FROM generate_series(1, {TASKS})"
    );
    assert_eq!(api.execute(&insert).await, TASKS as u64);
    let rows = api.sql.query("SELECT id FROM tasks", &[]).await.unwrap();
    let ids: Vec<TaskId> = rows.iter().map(|row| TaskId(row.get(0))).collect();
    let pool: Arc<str> = "celery".into();
    let run = async {
        for batch in ids.chunks(4) {
            for job in api.dispatch.claim(&pool, batch.to_vec()).await.unwrap() {
                let output = serde_json::value::to_raw_value(&json!("y")).unwrap();
                let answer = Answer { output, text: "y".to_owned() };
                api.dispatch.record(job.claimed.attempt, Outcome::Completed(answer));
            }
        }
        api.dispatch.in_flight().wait_until_empty().await;
    };
    let look = async {
        loop {
            assert_eq!(api.dispatch.give_back_unknown().await.unwrap(), 0);
        }
    };
    tokio::select! {
        () = run => {}
        () = look => {}
    }
    assert_eq!(api.count("tasks WHERE status = 'completed'").await, TASKS as i64);
    assert_eq!(api.count("task_attempts WHERE status = 'completed'").await, TASKS as i64);
}
