//! Databases that can't be taken over are left as they are, with a word on what to do.

use automagik_spark::simulate::SimulateOptions;
use automagik_spark::store::{Error, migrate};

use super::{NEWEST, run, stage};
use crate::harness::servers::{TestServers, pool_options};
use crate::harness::stage::{Stage, connect};

async fn refusal(stage: &Stage) -> Error {
    let tables = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public'";
    let before = stage.count(tables).await;
    let refused = migrate::upgrade(&pool_options(&stage.servers.service_url), chrono_tz::UTC).await;
    assert_eq!(stage.count(tables).await, before, "nothing was changed");
    refused.expect_err("it can't be taken over")
}

#[tokio::test]
async fn a_schema_from_before_the_first_one_names_what_is_missing() {
    let stage = stage(NEWEST).await;
    run(&stage, "ALTER TABLE tasks DROP COLUMN schedule_id; ALTER TABLE tasks ALTER started_at TYPE timestamp").await;
    let error = refusal(&stage).await.to_string();
    assert!(error.contains("tasks.schedule_id is missing"), "{error}");
    assert!(error.contains("tasks.started_at is timestamp without time zone"), "{error}");
    assert!(error.contains("alembic upgrade head") && error.contains("nothing was changed"), "{error}");
}

#[tokio::test]
async fn somebody_else_s_tables_are_not_touched() {
    let servers = TestServers::with_script("CREATE TABLE tasks (id serial PRIMARY KEY, title text)").await;
    let stage = Stage::with(servers, SimulateOptions::default());
    let error = refusal(&stage).await;
    assert_eq!(error.code(), "database_misfit");
    assert!(error.to_string().contains("a database or a schema of its own"), "{error}");
    let status = stage.serve(&[]).stderr(std::process::Stdio::null()).status().expect("started");
    assert_eq!(status.code(), Some(2), "the service says so too");
}

#[tokio::test]
async fn a_python_service_that_still_runs_is_told_of() {
    let stage = stage(NEWEST).await;
    let other = connect(&stage.servers.database_url).await;
    other.batch_execute("BEGIN; SELECT count(*) FROM tasks").await.expect("a transaction that stays open");
    let refused = migrate::upgrade(&pool_options(&stage.servers.service_url), chrono_tz::UTC).await;
    let error = refused.expect_err("the table is held").to_string();
    assert!(error.contains("another program uses the tables") && error.contains("stop it"), "{error}");
    other.batch_execute("ROLLBACK").await.expect("it lets go");
    let upgraded = super::upgrade(&stage).await;
    assert!(upgraded.taken_over.is_some(), "then it works, from where it was");
}
