//! Pages in a real browser, which reaches nothing but this machine.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::stage::Stage;

/// The names of the program; `scripts/setup.sh browser` installs it.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// How long a page's scripts may run, by the page's own clock.
const PAGE_TIME_MS: u32 = 30_000;

/// What is in a page when its scripts have come to rest.
fn rendered(url: &str) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let is_there = |name: &&str| std::env::split_paths(&path).any(|directory| directory.join(name).is_file());
    let browser = BROWSERS.iter().copied().find(is_there).expect("a browser: scripts/setup.sh browser");
    let profile = TempDir::new().unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom"])
        .arg("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1")
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
