//! Going back: the Python service can work on the upgraded database, and coming again takes over what it did.

use std::time::Duration;

use super::{NEWEST, id, rows, run, stage, upgrade};
use crate::harness::stage::Stage;

/// What SQLAlchemy sends for a new schedule and a new task: every column of its models, none of ours.
fn python_writes() -> String {
    let (workflow, schedule, task) = (id('b', 1), id('c', 90), id('d', 90));
    format!(
        "INSERT INTO schedules (id, workflow_id, schedule_type, schedule_expr, params, input_data, status, next_run_at,
                                created_at, updated_at)
         VALUES ('{schedule}', '{workflow}', 'cron', '0 8 1-7 * 1', '{{\"value\": \"made by Python\"}}', NULL, 'active',
                 now(), now(), now());
         INSERT INTO tasks (id, workflow_id, schedule_id, status, input_data, output_data, error, next_retry_at, tries,
                            max_retries, created_at, started_at, finished_at, updated_at)
         VALUES ('{task}', '{workflow}', '{schedule}', 'running', '\"x\"', NULL, NULL, NULL, 0, 3, now(), now(), NULL, now());
         UPDATE tasks SET status = 'completed', finished_at = now() WHERE id = '{task}';
         INSERT INTO task_logs (id, task_id, level, message, created_at)
         VALUES ('{}', '{task}', 'info', 'done', now());
         UPDATE schedules SET status = 'stopped' WHERE id = '{}'",
        id('f', 90),
        id('c', 7)
    )
}

#[tokio::test]
async fn the_python_service_still_writes_and_coming_again_takes_its_rows_over() {
    for version in [NEWEST, "models"] {
        let stage = stage(version).await;
        upgrade(&stage).await;
        let ours = rows(&stage, "schedules").await;
        run(
            &stage,
            "INSERT INTO tasks (id, workflow_id, input_data, created_at, updated_at, pending_at, status)
                     SELECT gen_random_uuid(), id, '{}', now() - interval '9 days', now() - interval '9 days',
                            now() + interval '1 day', 'pending' FROM workflows LIMIT 1",
        )
        .await;
        run(&stage, &python_writes()).await;
        let taken = upgrade(&stage).await.taken_over.expect("a schedule that is not ours");
        assert_eq!(taken.version, "as taken over before");
        let now = rows(&stage, "schedules").await;
        assert_eq!(now[&id('c', 90)]["input_value"]["value"], "made by Python");
        assert_eq!(now[&id('c', 90)]["schedule_expr"], "0 8 1-7 * +1");
        assert_eq!(now[&id('c', 2)], ours[&id('c', 2)], "ours is left alone");
        let delayed =
            "SELECT count(*) FROM tasks WHERE status = 'pending' AND pending_at > now() + interval '20 hours'";
        assert_eq!(stage.count(delayed).await, 1, "a task of ours that waits for its time is none that was forgotten");
        assert_eq!(upgrade(&stage).await, Default::default());
    }
}

/// A row that somebody wrote by hand, or a node of an older version, must not make a database of ours a stranger's.
#[tokio::test]
async fn a_schedule_that_is_not_ours_in_a_database_that_always_was_costs_no_task() {
    let stage = Stage::new(Duration::ZERO).await;
    run(
        &stage,
        "INSERT INTO workflows (id, name, source, remote_flow_id) VALUES (gen_random_uuid(), 'w', 's', 'f');
         INSERT INTO tasks (id, workflow_id, input_data, created_at, updated_at, pending_at, status)
         SELECT gen_random_uuid(), id, '{}', now() - interval '9 days', now() - interval '9 days',
                now() + interval '1 day', 'pending' FROM workflows;
         INSERT INTO schedules (id, workflow_id, schedule_type, schedule_expr)
         SELECT gen_random_uuid(), id, 'interval', '1h' FROM workflows",
    )
    .await;
    upgrade(&stage).await.taken_over.expect("a schedule that is not ours");
    assert_eq!(stage.count("SELECT count(*) FROM tasks WHERE status = 'pending'").await, 1, "it waits for its time");
}
