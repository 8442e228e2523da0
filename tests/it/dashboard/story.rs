//! What a person does, in a real browser: log in, make a schedule, watch it fire, open what failed, run it again.

use std::time::Duration;

use automagik_spark::simulate::{self, FLOW_ID, SimulateOptions};

use crate::harness::chromium::Browser;
use crate::harness::stage::{API_KEY, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_task_of_a_new_schedule_is_found_and_run_again() {
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[("worker.max_retries", "0")]).await;
    let broken = simulate::start(SimulateOptions { failure_rate: 1.0, ..Default::default() }).unwrap();
    let (url, source) = (node.url().to_owned(), broken.url());
    let address = source.strip_prefix("http://").unwrap().parse().unwrap();
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let mut browser = Browser::start();
        browser.open(&format!("{url}/"));
        browser.until("location.pathname === '/dashboard/login'");
        browser.fill("key", API_KEY);
        browser.press("Log in");
        browser.see("Welcome");

        // A source, and a flow of it.
        browser.open(&format!("{url}/dashboard/sources"));
        browser.fill("url", "nowhere");
        browser.try_value("document.querySelector('main form').noValidate = true");
        browser.press("Check and add");
        browser.see("url must be an absolute url");
        browser.fill("url", &source);
        browser.fill("api_key", "any");
        browser.press("Check and add");
        browser.until("location.pathname.startsWith('/dashboard/sources/')");
        browser.click(&format!("form[data-path$='{FLOW_ID}'] button"));
        browser.until("location.pathname.startsWith('/dashboard/workflows/')");

        // A schedule, which shows what it will do before it is made.
        browser.press("Schedule it");
        browser.until("location.pathname === '/dashboard/schedules/new'");
        browser.fill("schedule_expr", "61 * * * *");
        browser.until("document.querySelector('[data-preview-here] .error')");
        browser.press("Make the schedule");
        browser.until("document.querySelector('[data-field=schedule_expr] .error').textContent !== ''");
        browser.fill("schedule_type", "one-time");
        browser.fill("schedule_expr", "now");
        browser.until("document.querySelectorAll('[data-preview-here] time').length === 1");
        browser.fill("input_value", "hello <b>you</b>");
        browser.press("Make the schedule");
        browser.until("/schedules\\/[0-9a-f-]{36}$/.test(location.pathname)");

        // It fires while the page is open; nobody reloads it.
        browser.until("document.querySelector('#schedule .pill.bad')");
        browser.click("#schedule .runs a[href^='/dashboard/tasks/']");
        browser.until("location.pathname.startsWith('/dashboard/tasks/')");
        browser.see("attempt 1 of 1");
        browser.see("hello <b>you</b>");

        // Somebody mends the source, and the task runs again before the reader's eyes.
        runtime.block_on(broken.stop());
        let _mended = simulate::start(SimulateOptions { bind: address, ..Default::default() }).unwrap();
        browser.press("Retry");
        browser.until("document.querySelector('.status .pill').textContent === 'completed'");
        browser.see("hello <b>you</b>");
        assert_eq!(browser.complaints(), [] as [String; 0]);
    })
    .await
    .unwrap();
}
