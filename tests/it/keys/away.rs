//! Keys while the database is away.

use std::time::{Duration, Instant};

use super::{NOBODYS, ask, make, text};
use crate::api::client::{KEY, TestApi};
use crate::harness::servers::TestServers;
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
