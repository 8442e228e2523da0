//! Pictures of every page for the documentation, with real data: `make screenshots`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use automagik_spark::simulate::FLOW_ID;
use serde_json::json;

use crate::harness::chromium::Browser;
use crate::harness::node::TestNode;
use crate::harness::stage::{API_KEY, Stage};

/// Largest picture.
const BYTES_MAX: usize = 150 * 1024;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes docs/images; run by `make screenshots`"]
async fn every_page_in_both_themes() {
    let stage = Stage::new(Duration::from_millis(300)).await;
    let node = stage.node(&[("worker.max_retries", "1")]).await;
    let (workflow, schedule, failed) = fill(&stage, &node).await;
    let source = node.get("/api/v1/sources").await["items"][0]["id"].as_str().unwrap().to_owned();
    let pages = [
        ("overview", "/dashboard".to_owned()),
        ("tasks", "/dashboard/tasks".to_owned()),
        ("task", format!("/dashboard/tasks/{failed}")),
        ("schedules", "/dashboard/schedules".to_owned()),
        ("schedule", format!("/dashboard/schedules/{schedule}")),
        ("schedule-new", format!("/dashboard/schedules/new?workflow={workflow}")),
        ("calendar", "/dashboard/schedules/calendar".to_owned()),
        ("workflows", "/dashboard/workflows".to_owned()),
        ("workflow", format!("/dashboard/workflows/{workflow}")),
        ("sources", "/dashboard/sources".to_owned()),
        ("source", format!("/dashboard/sources/{source}")),
        ("audit", "/dashboard/audit".to_owned()),
    ];
    let url = node.url().to_owned();
    tokio::task::spawn_blocking(move || {
        let mut browser = Browser::start();
        browser.open(&format!("{url}/dashboard/login"));
        shoot(&mut browser, "login");
        browser.fill("key", API_KEY);
        browser.press("Log in");
        browser.until("location.pathname === '/dashboard'");
        for (name, path) in &pages {
            browser.open(&format!("{url}{path}"));
            if *name == "schedule-new" {
                browser.fill("schedule_expr", "30 2 * * *");
                browser.fill("timezone", "Europe/Berlin");
            }
            browser.until("!document.querySelector('[data-load] > p.muted')");
            browser.until(
                "!document.querySelector('[data-preview]') || document.querySelector('[data-preview-here] .runs')",
            );
            shoot(&mut browser, name);
        }
        browser.size(390, 844);
        for (name, path) in &pages[..2] {
            browser.open(&format!("{url}{path}"));
            shoot(&mut browser, &format!("{name}-phone"));
        }
        assert_eq!(browser.complaints(), [] as [String; 0]);
    })
    .await
    .unwrap();
}

/// What the pictures show: tasks that completed, failed, wait and were cancelled, and schedules of each kind.
async fn fill(stage: &Stage, node: &TestNode) -> (String, String, String) {
    let workflow = node.workflow(stage).await;
    let name = "Summarise the night's tickets";
    stage.rows("UPDATE workflows SET name = $1 WHERE id::text = $2", &[&name, &workflow]).await;
    node.run_many(&workflow, 40).await;
    let refused = json!({"input_data": "fail:the model refused: context length exceeded", "max_retries": 1});
    let failed = node.run(&workflow, &refused).await;
    for (kind, expr, zone) in [
        ("cron", "0 9 * * MON-FRI", "Europe/Berlin"),
        ("cron", "15 */3 * * *", "UTC"),
        ("interval", "10m", "UTC"),
        ("one-time", "2027-01-31 09:00", "America/Sao_Paulo"),
    ] {
        let rule = json!({"workflow_id": workflow, "schedule_type": kind, "schedule_expr": expr, "timezone": zone,
            "input_value": "Good morning"});
        node.post("/api/v1/schedules", &rule).await;
    }
    let every = json!({"workflow_id": workflow, "schedule_type": "interval", "schedule_expr": "2s"});
    let schedule = node.post("/api/v1/schedules", &every).await["id"].as_str().unwrap().to_owned();
    node.until_task_is(&failed, "failed").await;
    crate::harness::until("the schedule has fired", Duration::from_secs(30), async || {
        let past = node.get(&format!("/api/v1/schedules/{schedule}/occurrences")).await;
        (past["total"].as_i64() > Some(3)).then_some(())
    })
    .await;
    node.post(&format!("/api/v1/schedules/{schedule}/disable"), &json!({})).await;
    let later = node.run(&workflow, &json!({"input_data": "tomorrow", "delay": 86_400})).await;
    node.post(&format!("/api/v1/tasks/{later}/cancel"), &json!({})).await;
    node.run(&workflow, &json!({"input_data": "next week", "delay": 604_800})).await;
    node.until_idle().await;
    node.until_measured().await;
    assert!(node.get("/api/v1/workflows").await["items"][0]["remote_flow_id"] == FLOW_ID);
    (workflow, schedule, failed)
}

fn shoot(browser: &mut Browser, name: &str) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
    fs::create_dir_all(&directory).unwrap();
    for theme in ["light", "dark"] {
        browser.theme(theme);
        let picture = browser.picture();
        assert!(picture.len() <= BYTES_MAX, "{name}: {} kB", picture.len() / 1024);
        fs::write(directory.join(format!("{name}-{theme}.png")), picture).unwrap();
    }
}
