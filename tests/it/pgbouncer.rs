//! A service whose only way to PostgreSQL is a PgBouncer in transaction mode, with the settings that are shipped.
//!
//! `make test-pgbouncer` sends the other tests that way too.

use std::time::Duration;

use automagik_spark::simulate::SimulateOptions;
use automagik_spark::store::migrate;

use crate::harness::node::SOON;
use crate::harness::servers::{TestServers, pool_options};
use crate::harness::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_is_migrated_and_tasks_run_through_it() {
    let stage = Stage::with(TestServers::empty_behind_pgbouncer().await, SimulateOptions::default());
    // Two at once, so that one has to wait for its turn to migrate.
    let (mut node, mut other) = tokio::join!(stage.node(&[]), stage.node(&[]));
    let workflow = node.workflow(&stage).await;
    node.run_many(&workflow, 40).await;
    stage.until_all_completed(40, SOON).await;
    node.stop(SOON).await;
    other.stop(SOON).await;
    stage.assert_calls(40, 0);
}

#[tokio::test]
async fn no_step_of_a_migration_leaves_a_lock_or_a_setting_behind() {
    let servers = TestServers::empty_behind_pgbouncer().await;
    let options = pool_options(&servers.service_url);
    let all = futures_util::future::join_all((0..4).map(|_| migrate::upgrade(&options, chrono_tz::UTC))).await;
    let applied: usize = all.into_iter().map(|upgraded| upgraded.expect("it is upgraded").applied.len()).sum();
    let (version, newest) = migrate::current(&options).await.expect("reachable");
    assert_eq!((version, applied as i64), (Some(newest), newest), "each step is taken once");
    let direct = crate::harness::stage::connect(&servers.database_url).await;
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(direct.query_one(locks, &[]).await.expect("it answers").get::<_, i64>(0), 0);
    // The connection that a migration has just given back.
    let bouncer = crate::harness::stage::connect(&servers.service_url).await;
    let rows = bouncer.query_typed("SHOW lock_timeout", &[]).await.expect("it answers");
    assert_eq!(rows[0].get::<_, String>(0), "0");
    tokio::time::timeout(Duration::from_secs(5), migrate::upgrade(&options, chrono_tz::UTC))
        .await
        .expect("nobody holds the lock")
        .expect("it is upgraded");
}
