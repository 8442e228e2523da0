//! A service whose only way to PostgreSQL is a PgBouncer in transaction mode, with the settings that are shipped.
//!
//! `make test-pgbouncer` sends the other tests that way too.

use std::time::{Duration, Instant};

use automagik_spark::dev::Signal;
use automagik_spark::simulate::SimulateOptions;
use automagik_spark::store::migrate;
use reqwest::Method;
use serde_json::json;

use crate::harness::node::{SOON, TestNode};
use crate::harness::servers::{TestServers, pool_options};
use crate::harness::stage::Stage;
use crate::harness::until;

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

/// A PgBouncer answers for a server that is away, with errors of its own: for statements under way, for connections that it
/// has to end, for new ones.
#[tokio::test(flavor = "multi_thread")]
async fn what_it_says_of_a_postgres_that_is_away_is_known_for_what_it_is() {
    let servers = TestServers::with_own_postgres_behind_pgbouncer().await;
    let mut stage = Stage::with(servers, SimulateOptions::default());
    let node = stage.node(&[("database.pool_timeout_s", "2")]).await;
    let workflow = node.workflow(&stage).await;
    node.run_many(&workflow, 20).await;
    let run = format!("/api/v1/workflows/{workflow}/run");
    stage.servers.postgres().signal(Signal::QUIT);
    // At once, when one may still be in time, then when it is known to be away.
    let mut in_time = 0;
    for round in ["in that moment", "later", "later still"] {
        let ask = |number: usize| {
            let (method, path) =
                if number.is_multiple_of(2) { (Method::POST, &*run) } else { (Method::GET, "/api/v1/tasks") };
            let body = json!({"input_data": round});
            let node = &node;
            async move { node.try_ask(method.clone(), path, (method == Method::POST).then_some(&body)).await }
        };
        for answer in futures_util::future::join_all((0..12).map(ask)).await {
            let answer = answer.expect("it answers");
            if round == "in that moment" && answer.status == 200 {
                in_time += usize::from(answer.body["id"].is_string());
                continue;
            }
            assert_eq!((answer.status, &answer.body["code"]), (503, &json!("database_unavailable")), "{answer:?}");
            assert!(answer.retry_after.is_some(), "{answer:?}");
        }
    }
    // A service that starts now waits.
    let mut other = TestNode::begin(stage.serve(&[]), &stage.servers.database_url);
    until("it waits", SOON, async || other.log().contains("waiting for PostgreSQL").then_some(())).await;
    stage.servers.postgres().start_again().await.expect("it comes back");
    let back_at = Instant::now();
    other.until_it_listens().await;
    println!("a start goes on {:?} after PostgreSQL is back", back_at.elapsed());
    // What was refused in the very moment of the failure may have been stored: the answer to its commit was lost.
    until("all complete", SOON, async || {
        let statuses = stage.statuses().await;
        (statuses.len() == 1 && statuses.get("completed").is_some_and(|completed| *completed >= 20)).then_some(())
    })
    .await;
    let more = "SELECT input_data->>'value' FROM tasks WHERE input_data->>'value' NOT LIKE 'task %'";
    let more: Vec<String> = stage.rows(more, &[]).await.iter().map(|row| row.get(0)).collect();
    assert!((in_time..=6).contains(&more.len()) && more.iter().all(|input| input == "in that moment"), "{more:?}");
    println!("{in_time} were in time, {} refused and stored", more.len() - in_time);
    stage.assert_calls(20 + more.len(), 0);
    other.stop(SOON).await;
}
