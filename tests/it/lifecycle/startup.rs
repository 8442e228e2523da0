//! What a service says that can't start.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use super::among_others;
use crate::harness::node::{SOON, TestNode, spawn};
use crate::harness::proxy::{Proxy, Traffic};
use crate::harness::stage::{Stage, connect};
use crate::harness::until;

/// Runs it to its end: exit code and log.
async fn end_of(command: Command) -> (i32, String) {
    let started = Instant::now();
    let (mut process, log) = spawn(command);
    let status =
        tokio::time::timeout(SOON, until("it ends", SOON * 2, async || process.try_wait().expect("ours"))).await;
    let Ok(status) = status else {
        process.kill().expect("ours");
        process.wait().expect("ours");
        panic!("it runs: {:?}", log.lock().expect("whole"));
    };
    println!("it ended after {:?}", started.elapsed());
    // The last lines are on their way when the process is gone.
    let last = until("its words", SOON, async || {
        let log = log.lock().expect("whole").join("\n");
        (!log.is_empty()).then_some(log)
    })
    .await;
    (status.code().expect("no signal"), last)
}

#[tokio::test]
async fn without_postgres_it_says_so_and_ends_with_69() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let url = format!("postgresql://spark:s3cret@{free}/spark");
    let (code, log) = end_of(stage.serve(&[("database.url", &url), ("database.pool_timeout_s", "1")])).await;
    assert_eq!(code, 69, "{log}");
    assert!(log.contains("PostgreSQL can't be reached") && log.contains("must run before the service"), "{log}");
    assert!(log.to_lowercase().contains("connection refused"), "{log}");
    assert!(!log.contains("s3cret") && !log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn all_that_is_wrong_with_the_configuration_is_told_at_once() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let wrong =
        [("worker.threads", "none"), ("worker.thread", "2"), ("worker.time_limit_s", "1"), ("timezone", "Mars")];
    let (code, log) = end_of(stage.serve(&wrong)).await;
    assert_eq!(code, 2, "{log}");
    for (key, _) in wrong {
        assert!(log.contains(key), "{key} is not told of: {log}");
    }
    assert!(log.contains("flag --set"), "where it was written: {log}");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let (code, log) = end_of(stage.serve(&[("api.port", &address.port().to_string())])).await;
    assert_ne!(code, 0, "{log}");
    assert!(log.contains(&format!("can't listen on {address}")) && log.contains("--port"), "{log}");
    assert_eq!(stage.count("SELECT count(*) FROM nodes").await, 0, "it never was a node");
}

/// What broke: a heartbeat has a quarter of the lease to get its connection. Through a PgBouncer on a busy machine the first
/// one did not, and the service ended.
#[tokio::test]
async fn a_connection_that_takes_longer_than_a_heartbeat_may_only_delays_the_start() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let cable = Proxy::start(stage.servers.service_port());
    // Two round trips to connect, one for a statement.
    cable.set(Traffic::Delay(Duration::from_millis(150)));
    let url = cable.url(&stage.servers.service_url);
    let node = stage.node(&[("database.url", &url), ("node.lease_s", "2"), ("node.heartbeat_s", "0.5")]).await;
    assert!(node.log().contains("waiting for PostgreSQL"), "{}", node.log());
    assert_eq!(stage.count("SELECT count(*) FROM nodes WHERE lease_until > now()").await, 1);
}

/// What broke: only the upgrade and the first heartbeat were tried again. A server that went away right after one of them
/// ended the start.
#[tokio::test]
async fn every_call_of_a_start_is_tried_again() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let mut blocker = connect(&stage.servers.database_url).await;
    // A lock that is not had in time is an error that passes, like those of a server that is away.
    let database = "SELECT quote_ident(current_database()), quote_ident(current_user)";
    let database: String = stage.rows(database, &[]).await[0].get(0);
    stage.rows(&format!("ALTER DATABASE {database} SET lock_timeout = '200ms'"), &[]).await;
    let mut node = None;
    for (times, table) in ["workflow_sources", "paused_queues"].into_iter().enumerate() {
        let lock = blocker.transaction().await.expect("it begins");
        lock.batch_execute(&format!("LOCK TABLE {table}")).await.expect("it is free");
        let node = node.get_or_insert_with(|| TestNode::begin(stage.serve(&[]), &stage.servers.database_url));
        until("it waits", SOON, async || (node.log().matches("waiting for PostgreSQL").count() > times).then_some(()))
            .await;
        lock.rollback().await.expect("it ends");
    }
    node.expect("begun").until_it_listens().await;
}
