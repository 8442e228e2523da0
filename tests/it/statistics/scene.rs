//! Tasks that end as a test says.

use std::sync::Arc;

use automagik_spark::dispatch::claim::Job;
use automagik_spark::domain::ids::TaskId;
use automagik_spark::domain::outcome::{Answer, Failure, Outcome};
use serde_json::{Value, json};

use crate::api::client::TestApi;

/// Figures of the last hour.
pub(crate) async fn figures(api: &TestApi, query: &str) -> Value {
    api.get(&format!("/api/v1/stats?window=hour{query}")).await.expect(200)
}

/// Makes tasks of a workflow, without a word to anybody.
pub(crate) async fn make_tasks(api: &TestApi, workflow: &str, count: usize) -> Vec<TaskId> {
    let insert = format!(
        "INSERT INTO tasks (id, workflow_id, input_data, pending_at)
         SELECT gen_random_uuid(), '{workflow}', '{{\"value\": \"x\"}}', now() - interval '3 seconds'
           FROM generate_series(1, {count}) RETURNING id"
    );
    let rows = api.sql.query(&insert, &[]).await.unwrap();
    rows.iter().map(|row| TaskId(row.get(0))).collect()
}

/// Begins an attempt of each.
pub(crate) async fn claim(api: &TestApi, ids: &[TaskId]) -> Vec<Job> {
    let pool: Arc<str> = "celery".into();
    let jobs = api.dispatch.claim(&pool, ids.to_vec()).await.unwrap();
    assert_eq!(jobs.len(), ids.len());
    jobs
}

/// Ends attempts, and waits until that is stored.
pub(crate) async fn end(api: &TestApi, jobs: Vec<Job>, outcome: impl Fn() -> Outcome) {
    for job in jobs {
        api.dispatch.record(job.claimed.attempt, outcome());
    }
    api.dispatch.in_flight().wait_until_empty().await;
}

pub(crate) fn completed() -> Outcome {
    let output = serde_json::value::to_raw_value(&json!("y")).unwrap();
    Outcome::Completed(Answer { output, text: "y".to_owned() })
}

pub(crate) fn refused() -> Outcome {
    Outcome::Failed(Failure::permanent("source_4xx", "HTTP 404"))
}
