//! Keys while the database is away.

use std::time::{Duration, Instant};

use automagik_spark::domain::clock;
use chrono::TimeDelta;
use serde_json::json;

use super::{NOBODYS, ask, make, text};
use crate::api::client::{KEY, TestApi};
use crate::harness::servers::TestServers;
use crate::harness::sse::EventStream;
use crate::harness::until;

/// Answers without the database.
const WORKERS: &str = "/api/v1/workers";

#[tokio::test(flavor = "multi_thread")]
async fn known_keys_go_on_and_unknown_ones_are_told_to_come_again() {
    let mut api = TestApi::over(TestServers::with_own_postgres().await, |_| {}).await;
    let known = text(&make(&api, "ci", "run").await);
    assert_eq!(ask(&api, &known, "GET", WORKERS, None).await.status, 200);
    api.servers.postgres().stop().await.unwrap();
    for _ in 0..3 {
        let begun = Instant::now();
        for key in [KEY, &known] {
            assert_eq!(ask(&api, key, "GET", WORKERS, None).await.status, 200);
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "a known key waits for nobody");
        assert_eq!(ask(&api, &known, "GET", "/api/v1/keys", None).await.status, 403, "its scope is known, too");
        let answer = ask(&api, NOBODYS, "GET", WORKERS, None).await;
        let body = answer.expect(503);
        assert!(body["code"] == "database_unavailable" && answer.detail().contains("can't be checked"), "{body}");
        assert!(answer.headers["retry-after"].parse::<u32>().is_ok());
        assert_eq!(ask(&api, "no key at all", "GET", WORKERS, None).await.status, 401, "that needs no lookup");
    }
    api.servers.postgres().start_again().await.unwrap();
    until("unknown keys are told apart again", Duration::from_secs(20), async || {
        (ask(&api, NOBODYS, "GET", WORKERS, None).await.status == 401).then_some(())
    })
    .await;
    assert_eq!(ask(&api, &known, "GET", "/api/v1/tasks", None).await.status, 200);
}

/// What broke: the end of a key was noticed only by a read that did not find it any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_key_expires_though_the_database_is_away() {
    let mut api = TestApi::over(TestServers::with_own_postgres().await, |_| {}).await;
    let ends_at = clock::now() + TimeDelta::seconds(5);
    let made = json!({"name": "brief", "scope": "read", "expires_at": ends_at});
    let made = api.post("/api/v1/keys", made).await.expect(201);
    let url = format!("http://{}/api/v1/events", api.address());
    let mut stream = EventStream::open(&url, &text(&made), None).await.expect("it opens");
    api.servers.postgres().stop().await.unwrap();
    stream.rest().await;
    assert!(clock::now() >= ends_at, "not before");
}
