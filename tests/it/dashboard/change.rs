//! What an operator changes, in a real browser: limits of a source, also while it is away, a schedule, a queue.

use std::time::Duration;

use automagik_spark::simulate::{self, SimulateOptions};
use serde_json::json;

use crate::harness::chromium::Browser;
use crate::harness::stage::{API_KEY, Stage};

/// A field that the page, with its script, came with holding this.
fn came_with(name: &str, value: &str) -> String {
    format!(
        "document.readyState === 'complete' && document.querySelector('main [name={name}]').defaultValue === '{value}'"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_sends_what_differs_also_while_the_source_is_away() {
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[]).await;
    let source = simulate::start(SimulateOptions::default()).unwrap();
    let body = json!({"source_type": "langflow", "url": source.url(), "api_key": "any", "max_concurrency": 2});
    let id = node.post("/api/v1/sources", &body).await["id"].as_str().unwrap().to_owned();
    source.stop().await;
    let rule = json!({"workflow_id": node.workflow(&stage).await, "schedule_type": "interval", "schedule_expr": "1h",
        "input_value": {"kept": [1, 2]}, "expires_s": 60});
    let schedule = node.post("/api/v1/schedules", &rule).await["id"].as_str().unwrap().to_owned();
    let (url, schedule_path) = (node.url().to_owned(), format!("/dashboard/schedules/{schedule}"));
    let path = format!("/dashboard/sources/{id}");
    tokio::task::spawn_blocking(move || {
        let mut browser = Browser::start();
        browser.open(&format!("{url}/dashboard/login"));
        browser.fill("key", API_KEY);
        browser.press("Log in");
        browser.until("location.pathname === '/dashboard'");
        browser.open(&format!("{url}{path}"));
        browser.press("Save");
        browser.see("Nothing was changed.");

        // What is wrong stands beside its field, and what was typed stays.
        browser.fill("rate", "often");
        browser.press("Save");
        browser.until("document.querySelector('[data-field=rate] .error').textContent.includes('30/m')");
        browser.until("document.querySelector('main [name=rate]').value === 'often'");
        browser.fill("rate", "30/m");
        browser.fill("unknown_policy", "fail");
        browser.press("Save");
        browser.until(&came_with("rate", "30/m"));
        browser.until("document.querySelector('main [name=unknown_policy] [value=fail]').defaultSelected");
        browser.until(&came_with("max_concurrency", "2"));
        browser.fill("max_concurrency", "");
        browser.press("Save");
        browser.until(&came_with("max_concurrency", ""));
        browser.until(&came_with("rate", "30/m"));

        // Whom to trust is tried at once, and the source does not answer.
        browser.click("main [name=tls_verify]");
        browser.press("Save");
        browser.until("document.querySelector('[data-rest]').textContent.includes('Failed to validate source')");
        browser.until("!document.querySelector('main [name=tls_verify]').checked");
        browser.try_value("document.querySelector('main form details').open = false");
        browser.fill("tls_ca", "no certificate");
        browser.press("Save");
        browser
            .until("document.querySelector('main form details[open] [data-field=tls_ca] .error').textContent !== ''");

        browser.open(&format!("{url}{schedule_path}"));
        browser.fill("jitter_s", "7");
        browser.fill("expires_s", "");
        browser.press("Save");
        browser.until(&came_with("jitter_s", "7"));

        browser.open(&format!("{url}/dashboard"));
        browser.press("Pause");
        browser.press("Yes");
        browser.until("document.querySelector('#overview .pill.warn')?.textContent === 'paused'");
        browser.press("Resume");
        browser.until("!document.querySelector('#overview .pill.warn')");
        browser.until("document.querySelector('form[data-path$=\"/celery/pause\"]')");
        assert_eq!(browser.complaints(), [] as [String; 0]);
    })
    .await
    .unwrap();
    let schedule = node.get(&format!("/api/v1/schedules/{schedule}")).await;
    assert_eq!((&schedule["jitter_s"], &schedule["expires_s"]), (&json!(7), &json!(null)));
    assert_eq!((&schedule["input_value"], &schedule["schedule_expr"]), (&rule["input_value"], &json!("1h")));
    let source = node.get(&format!("/api/v1/sources/{id}")).await;
    assert_eq!((&source["rate"], &source["max_concurrency"]), (&json!("30/m"), &json!(null)));
    assert_eq!((&source["unknown_policy"], &source["tls_verify"]), (&json!("fail"), &json!(true)));
}
