//! What is old is deleted, and nothing else.

use automagik_spark::domain::clock;
use automagik_spark::domain::task::TaskStatus;
use automagik_spark::store::retention::Old;
use chrono::TimeDelta;

use super::client::TestApi;

#[tokio::test(flavor = "multi_thread")]
async fn only_what_ended_long_ago_is_deleted_with_its_history() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    for _ in 0..5 {
        api.run(&workflow, "x").await;
    }
    // One of each: old and completed, old and failed, old and still pending, old but ended just now, new and completed.
    for (number, change) in [
        "status = 'completed', created_at = now() - interval '9 days', finished_at = now() - interval '9 days'",
        "status = 'failed', created_at = now() - interval '9 days', finished_at = now() - interval '9 days'",
        "created_at = now() - interval '9 days'",
        "status = 'completed', created_at = now() - interval '9 days', finished_at = now()",
        "status = 'completed', finished_at = now()",
    ]
    .into_iter()
    .enumerate()
    {
        let sql =
            format!("UPDATE tasks SET {change} WHERE id = (SELECT id FROM tasks ORDER BY id OFFSET {number} LIMIT 1)");
        assert_eq!(api.execute(&sql).await, 1);
    }
    api.execute(
        "INSERT INTO task_attempts (task_id, attempt, status, started_at, finished_at)
         SELECT id, 1, 'completed', now(), now() FROM tasks",
    )
    .await;
    api.execute("INSERT INTO task_logs (id, task_id, level, message) SELECT id, id, 'info', 'a line' FROM tasks").await;
    let (store, week_ago) = (api.dispatch.store(), clock::now() - TimeDelta::days(7));
    assert_eq!(store.delete_old(Old::Tasks(TaskStatus::Completed), week_ago, None, 100).await.unwrap().count, 1);
    assert_eq!(api.count("tasks WHERE status = 'failed'").await, 1, "its age is another key's");
    assert_eq!(store.delete_old(Old::Tasks(TaskStatus::Cancelled), week_ago, None, 100).await.unwrap().count, 0);
    assert_eq!(store.delete_old(Old::Tasks(TaskStatus::Failed), week_ago, None, 100).await.unwrap().count, 1);
    for table in ["tasks", "task_attempts", "task_logs"] {
        assert_eq!(api.count(table).await, 3, "{table}");
    }

    api.execute(
        "INSERT INTO idempotency_keys (key, task_id, created_at) VALUES
         ('old', gen_random_uuid(), now() - interval '9 days'), ('new', gen_random_uuid(), now())",
    )
    .await;
    assert_eq!(store.delete_old(Old::IdempotencyKeys, week_ago, None, 100).await.unwrap().count, 1);
    assert_eq!(api.count("idempotency_keys WHERE key = 'new'").await, 1);
}
