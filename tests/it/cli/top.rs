//! `top` on a pseudo-terminal, against a running service: what it draws, how it ends, and what it leaves behind.

mod pseudo_terminal;

use std::process::Command;

use rustix::process::Signal;
use serde_json::json;

use super::script::Script;
use super::{program, run};
use crate::harness::node::SOON;
use crate::harness::proxy::{Proxy, Traffic};
use crate::harness::stage::{API_KEY, Stage};
use crate::harness::until;
use pseudo_terminal::PseudoTerminal;

fn top(directory: &std::path::Path, url: &str, key: &str) -> Command {
    let mut command = program(directory);
    command.args(["--url", url, "--api-key", key, "top", "--interval", "0.5"]);
    command
}

/// The address of nobody.
fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_follows_a_service_over_an_absence_and_gives_the_terminal_back() {
    let stage = Box::pin(Stage::new(std::time::Duration::ZERO)).await;
    let node = Box::pin(stage.node(&[])).await;
    let workflow = node.workflow(&stage).await;
    let task = node.run(&workflow, &json!({"input_data": "sleep:60"})).await;
    node.until_task_is(&task, "running").await;

    let port = node.url().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let proxy = Proxy::start(port);
    let mut terminal = PseudoTerminal::start(top(stage.directory(), &proxy.url(node.url()), API_KEY), 110, 45);
    terminal.until_shown(&task[..13]).await;
    terminal.until_shown("Simulated flow").await;
    // Loads and memory are sampled: the first looks may come before that.
    for expected in ["node healthy", "PostgreSQL healthy", "1/8", "0/100", "/195 MB", "langflow", "queue_depth"] {
        terminal.until_shown(expected).await;
    }
    assert!(terminal.is_taken_over());

    terminal.resize(60, 12);
    terminal.until("one panel is left", |text| text.contains("Queues") && !text.contains(&task[..13])).await;
    terminal.types("\t\t\t");
    terminal.until_shown(&task[..13]).await;

    proxy.set(Traffic::Refuse);
    proxy.cut();
    terminal.until_shown("No answer for").await;
    assert!(terminal.text().contains(&task[..13]), "what was known stays:\n{}", terminal.text());
    proxy.set(Traffic::Pass);
    terminal.until("the service is back", |text| !text.contains("No answer")).await;

    terminal.types("q");
    assert_eq!(terminal.wait_exit().await, Some(0));
    terminal.assert_given_back();
    node.post(&format!("/api/v1/tasks/{task}/cancel"), &json!({})).await;
}

#[tokio::test]
async fn signals_end_it_and_the_terminal_is_as_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut terminal = PseudoTerminal::start(top(directory.path(), &nowhere(), "x"), 80, 24);
        terminal.until_shown("No answer for").await;
        assert!(terminal.is_taken_over());
        terminal.signal(signal);
        assert_eq!(terminal.wait_exit().await, Some(0), "{signal:?}");
        terminal.assert_given_back();
    }
}

#[tokio::test]
async fn control_c_and_escape_end_it() {
    let directory = tempfile::tempdir().expect("a directory");
    for keys in ["\u{3}", "\u{1b}", "?xq"] {
        let mut terminal = PseudoTerminal::start(top(directory.path(), &nowhere(), "x"), 80, 24);
        terminal.until_shown("No answer for").await;
        terminal.types(keys);
        assert_eq!(terminal.wait_exit().await, Some(0), "{keys:?}");
        terminal.assert_given_back();
    }
}

#[tokio::test]
async fn colours_are_for_terminals_that_want_them() {
    let directory = tempfile::tempdir().expect("a directory");
    for (no_color, expected) in [("", true), ("1", false)] {
        let mut command = top(directory.path(), &nowhere(), "x");
        command.env("NO_COLOR", no_color);
        let mut terminal = PseudoTerminal::start(command, 80, 24);
        terminal.until_shown("No answer for").await;
        assert_eq!(terminal.has_colors(), expected, "NO_COLOR={no_color}");
        terminal.types("q");
        terminal.wait_exit().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_refuses_the_key_is_said_on_the_terminal_that_was() {
    let stage = Box::pin(Stage::new(std::time::Duration::ZERO)).await;
    let node = Box::pin(stage.node(&[])).await;
    let mut terminal = PseudoTerminal::start(top(stage.directory(), node.url(), "another-key"), 80, 24);
    assert_eq!(terminal.wait_exit().await, Some(1));
    terminal.assert_given_back();
    let refusal =
        until("the error stands there", SOON, async || Some(terminal.text()).filter(|text| text.contains("error:")))
            .await;
    assert!(refusal.contains("the service refused the request"), "{refusal}");
}

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    run(&["top"]).failed_with(2, &["stdout is none", "`worker status`", "-o json"]);
    run(&["-o", "json", "top"]).failed_with(2, &["no JSON", "`worker status`"]);
    run(&["top", "--interval", "0"]).failed_with(2, &["0.5 to 3600"]);
    // Nothing was asked.
    let script = Script::start();
    run(&["--url", &script.url(), "top"]).failed_with(2, &[]);
    assert!(script.asked().is_empty());
}
