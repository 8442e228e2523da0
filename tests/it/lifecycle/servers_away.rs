//! Redis and PostgreSQL go and come back.

use std::time::{Duration, Instant};

use automagik_spark::dev::Signal;
use reqwest::Method;
use serde_json::json;

use super::{alone, among_others};
use crate::harness::node::SOON;
use crate::harness::stage::Stage;
use crate::harness::until;

async fn redis(stage: &Stage) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(stage.servers.redis_url.as_str()).expect("a url");
    client.get_multiplexed_async_connection().await.expect("Redis answers")
}

#[tokio::test]
async fn an_emptied_redis_costs_seconds_and_no_task() {
    let _machine = alone().await;
    let stage = Stage::new(Duration::from_millis(40)).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    node.run_many(&workflow, 1000).await;
    stage.until_some_completed(100).await;
    let mut redis = redis(&stage).await;
    let waiting: u64 = redis::cmd("ZCARD").arg("spark:mailbox:celery").query_async(&mut redis).await.expect("counted");
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut redis).await.expect("listed");
    assert!(waiting > 100, "ids wait in {keys:?}");
    let _: () = redis::cmd("FLUSHALL").query_async(&mut redis).await.expect("emptied");
    let emptied_at = Instant::now();
    let completed = stage.statuses().await["completed"] as usize;
    stage.until_some_completed(completed + 20).await;
    println!("tasks run again {:?} after FLUSHALL", emptied_at.elapsed());
    assert!(emptied_at.elapsed() < Duration::from_secs(10));
    stage.until_all_completed(1000, Duration::from_secs(60)).await;
    println!("all complete {:?} after FLUSHALL, of which {waiting} waited", emptied_at.elapsed());
    stage.assert_calls(1000, 0);
}

#[tokio::test]
async fn a_redis_that_dies_and_comes_back_empty_loses_no_task() {
    let _machine = alone().await;
    let mut stage = Stage::new(Duration::from_millis(40)).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    node.run_many(&workflow, 300).await;
    stage.until_some_completed(50).await;
    stage.servers.redis.signal(Signal::KILL);
    // What is submitted meanwhile is taken all the same.
    node.run_many(&workflow, 50).await;
    stage.servers.redis.start_again().await.expect("it comes back");
    let back_at = Instant::now();
    stage.until_all_completed(350, Duration::from_secs(60)).await;
    println!("all complete {:?} after Redis came back", back_at.elapsed());
    stage.assert_calls(350, 0);
}

#[tokio::test]
async fn a_redis_that_hangs_holds_up_no_submit() {
    let _machine = alone().await;
    let stage = Stage::new(Duration::from_millis(40)).await;
    let node = stage.node(&[("redis.response_timeout_ms", "500")]).await;
    let workflow = node.workflow(&stage).await;
    node.run_many(&workflow, 200).await;
    stage.until_some_completed(50).await;
    stage.servers.redis.signal(Signal::STOP);
    let submitted_at = Instant::now();
    node.run_many(&workflow, 50).await;
    let took = submitted_at.elapsed();
    println!("50 tasks were submitted in {took:?} while Redis hung");
    assert!(took < Duration::from_secs(2));
    until("health says so", SOON, async || {
        (node.get("/health").await["services"]["redis"]["status"] == "unhealthy").then_some(())
    })
    .await;
    stage.servers.redis.signal(Signal::CONT);
    let back_at = Instant::now();
    stage.until_all_completed(250, Duration::from_secs(60)).await;
    println!("all complete {:?} after Redis went on", back_at.elapsed());
    stage.assert_calls(250, 0);
}

#[tokio::test]
async fn a_service_starts_and_takes_tasks_without_redis() {
    let _machine = among_others().await;
    let mut stage = Stage::new(Duration::ZERO).await;
    stage.servers.redis.stop().await.expect("it ends");
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    node.run_many(&workflow, 50).await;
    assert_eq!(node.get("/health").await["services"]["redis"]["status"], "unhealthy");
    assert_eq!(stage.source.calls().total, 0);
    stage.servers.redis.start_again().await.expect("it comes back");
    let back_at = Instant::now();
    stage.until_all_completed(50, SOON).await;
    println!("all complete {:?} after Redis was there", back_at.elapsed());
    stage.assert_calls(50, 0);
}

#[tokio::test]
async fn a_restarted_postgres_loses_no_task() {
    let _machine = alone().await;
    let mut stage = Stage::with_own_postgres(Duration::from_millis(40)).await;
    let node = stage.node(&[("database.pool_timeout_s", "1")]).await;
    let workflow = node.workflow(&stage).await;
    node.run_many(&workflow, 400).await;
    stage.until_some_completed(50).await;
    stage.servers.postgres().stop().await.expect("it ends");
    let path = format!("/api/v1/workflows/{workflow}/run");
    let refused = until("the API refuses", SOON, async || {
        let answer = node.try_ask(Method::POST, &path, Some(&json!("not stored"))).await.expect("it answers");
        assert_ne!(answer.status, 200, "nothing can be stored");
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert_eq!(refused.body["code"], "database_unavailable", "{refused:?}");
    until("readiness says so", SOON, async || {
        let ready = node.try_ask(Method::GET, "/health/ready", None).await.expect("it answers");
        (ready.status == 503).then_some(())
    })
    .await;
    stage.servers.postgres().start_again().await.expect("it comes back");
    let back_at = Instant::now();
    let completed = stage.statuses().await["completed"] as usize;
    stage.until_some_completed(completed + 20).await;
    println!("tasks run again {:?} after PostgreSQL was back", back_at.elapsed());
    stage.until_all_completed(400, Duration::from_secs(60)).await;
    println!("all complete {:?} after PostgreSQL was back", back_at.elapsed());
    stage.assert_calls(400, 0);

    // It crashes: what was being written is rolled back, and nobody is told.
    node.run_many(&workflow, 200).await;
    stage.until_some_completed(450).await;
    stage.servers.postgres().signal(Signal::QUIT);
    stage.servers.postgres().start_again().await.expect("it comes back");
    let back_at = Instant::now();
    stage.until_all_completed(600, Duration::from_secs(60)).await;
    println!("all complete {:?} after PostgreSQL had crashed and was back", back_at.elapsed());
    stage.assert_calls(600, 0);
}

#[tokio::test]
async fn a_service_that_is_stopped_without_postgres_says_that_the_next_start_goes_on() {
    let _machine = among_others().await;
    let mut stage = Stage::with_own_postgres(Duration::ZERO).await;
    let mut node = stage.node(&[("database.pool_timeout_s", "1")]).await;
    let workflow = node.workflow(&stage).await;
    for _ in 0..4 {
        node.run(&workflow, &json!("sleep:1")).await;
    }
    until("they run", SOON, async || (stage.source.calls().total == 4).then_some(())).await;
    stage.servers.postgres().stop().await.expect("it ends");
    node.signal(Signal::TERM);
    let status = node.wait_exit(Duration::from_secs(40)).await;
    assert_eq!(status.code(), Some(75), "{}", node.log());
    assert!(node.log().contains("4 attempts were not finished or stored"), "{}", node.log());
    stage.servers.postgres().start_again().await.expect("it comes back");
    let node = stage.node(&[]).await;
    stage.until_all_completed(4, SOON).await;
    stage.assert_calls(4, 4);
    drop(node);
}

/// What broke: a janitor that looked before any heartbeat had renewed a lease took living nodes for dead, its own too.
#[tokio::test]
async fn an_outage_of_postgres_longer_than_a_lease_takes_nobody_for_dead() {
    let _machine = among_others().await;
    let mut stage = Stage::with_own_postgres(Duration::ZERO).await;
    let settings = [("database.pool_timeout_s", "0.5"), ("node.heartbeat_s", "0.4"), ("node.lease_s", "1")];
    let nodes = [stage.node(&settings).await, stage.node(&settings).await];
    let workflow = nodes[0].workflow(&stage).await;
    for _ in 0..8 {
        nodes[0].run(&workflow, &json!("sleep:8")).await;
    }
    until("they run", SOON, async || (stage.source.calls().total == 8).then_some(())).await;
    stage.servers.postgres().stop().await.expect("it ends");
    let away_since = Instant::now();
    until("all leases have run out", SOON, async || (away_since.elapsed() > Duration::from_secs(2)).then_some(()))
        .await;
    stage.servers.postgres().start_again().await.expect("it comes back");
    stage.until_all_completed(8, Duration::from_secs(40)).await;
    stage.assert_calls(8, 0);
    assert_eq!(stage.count("SELECT count(*) FROM task_attempts").await, 8, "each ran once");
}
