//! A database that an earlier build of Spark made, when one index was still made by the third migration.

use std::path::Path;

use automagik_spark::simulate::SimulateOptions;
use refinery::{Migration, Runner};

use super::{run, upgrade};
use crate::harness::servers::TestServers;
use crate::harness::stage::Stage;

/// Where it stood in that file.
const FORMER: (&str, &str) = (
    "CREATE INDEX IF NOT EXISTS schedules_by_workflow",
    "-- The same flow of two sources is two workflows; synced again it is the same one.
CREATE UNIQUE INDEX IF NOT EXISTS workflows_remote ON workflows (workflow_source_id, remote_flow_id);
",
);

#[tokio::test]
async fn a_database_of_an_earlier_build_is_upgraded_with_its_rows() {
    let servers = Box::pin(TestServers::with_script("SELECT 1")).await;
    let stage = Stage::with(servers, SimulateOptions::default());
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let read = |name: &str| std::fs::read_to_string(directory.join(format!("{name}.sql"))).expect("a migration");
    let former: Vec<Migration> = ["V1__python_tables", "V2__spark_columns", "V3__indexes", "V4__compression"]
        .iter()
        .map(|name| {
            let (before, before_it) = FORMER;
            let sql = read(name).replace(before, &format!("{before_it}{before}"));
            Migration::unapplied(name, &sql).expect("a migration")
        })
        .collect();
    let (mut client, connection) =
        tokio_postgres::connect(&stage.servers.database_url, tokio_postgres::NoTls).await.expect("PostgreSQL answers");
    tokio::spawn(connection);
    Runner::new(&former).run_async(&mut client).await.expect("the former migrations work");
    run(
        &stage,
        "INSERT INTO workflow_sources (id, source_type, url, encrypted_api_key) VALUES (gen_random_uuid(), 'langflow', 'u', 'k');
         INSERT INTO workflows (id, name, source, remote_flow_id, workflow_source_id)
         SELECT gen_random_uuid(), 'w', 's', 'f', id FROM workflow_sources;
         INSERT INTO schedules (id, workflow_id, schedule_type, schedule_expr, timezone, next_run_at)
         SELECT gen_random_uuid(), id, 'cron', '0 9 * * 7', 'Asia/Tokyo', now() + interval '1 day' FROM workflows;
         INSERT INTO schedule_skips (schedule_id, scheduled_for, reason)
         SELECT id, now(), 'missed (and 7 earlier)' FROM schedules;
         INSERT INTO tasks (id, workflow_id, schedule_id, created_at, updated_at, pending_at)
         SELECT gen_random_uuid(), workflow_id, id, now() - interval '9 days', now() - interval '9 days',
                now() + interval '1 day' FROM schedules",
    )
    .await;
    let upgraded = upgrade(&stage).await;
    assert!(!upgraded.applied.is_empty());
    assert_eq!(upgraded.taken_over, None, "its rows are ours");
    let kept = "SELECT count(*) FROM tasks t JOIN schedules s ON s.id = t.schedule_id
                 WHERE t.status = 'pending' AND s.is_ours AND s.timezone = 'Asia/Tokyo' AND s.next_run_at > now()";
    assert_eq!(stage.count(kept).await, 1);
    assert_eq!(stage.count("SELECT earlier FROM schedule_skips WHERE reason = 'missed'").await, 7);
    let twice = "INSERT INTO workflows (id, name, source, remote_flow_id, workflow_source_id)
                 SELECT gen_random_uuid(), 'w', 's', 'f', id FROM workflow_sources";
    let refused = client.batch_execute(twice).await.expect_err("the flow is there");
    assert_eq!(refused.as_db_error().and_then(|error| error.constraint()), Some("workflows_remote"));
    assert_eq!(upgrade(&stage).await, Default::default());
}
