//! Pages in a real browser, which reaches nothing but this machine.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::chromium;
use crate::harness::stage::Stage;

/// How long a page's scripts may run, by the page's own clock.
const PAGE_TIME_MS: u32 = 30_000;

/// What is in a page when its scripts have come to rest.
fn rendered(url: &str) -> String {
    let profile = TempDir::new().unwrap();
    let output = Command::new(chromium::program())
        .args(chromium::FLAGS)
        .arg("--dump-dom")
        .arg(format!("--virtual-time-budget={PAGE_TIME_MS}"))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let page = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && !page.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn the_docs_page_shows_every_operation() {
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[]).await;
    let document = node.get("/api/v1/openapi.json").await;
    let operations: BTreeSet<&str> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|operations| operations.as_object().unwrap().values())
        .filter_map(|operation| operation["operationId"].as_str())
        .collect();
    assert!(operations.len() > 30, "{operations:?}");
    let url = format!("{}/api/v1/docs", node.url());
    let page = tokio::task::spawn_blocking(move || rendered(&url)).await.unwrap();
    let missing: Vec<&str> = operations.into_iter().filter(|id| !page.contains(&format!("-{id}\""))).collect();
    assert!(missing.is_empty(), "the page does not show {missing:?}: {}", &page[..page.len().min(2000)]);
    assert!(page.contains(document["info"]["title"].as_str().unwrap()));
    assert!(page.contains("Authorize"), "there is no place for the key");
    assert_eq!(document["openapi"], "3.1.0");
}
