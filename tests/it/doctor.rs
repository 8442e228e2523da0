//! `doctor` at a real service: each symptom of the scaling guide's table of bottlenecks is brought about by what really
//! causes it, and `doctor` names that one, in the API and by its exit code.

mod servers;
mod tasks;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::harness::node::{SOON, TestNode};
use crate::harness::stage::{API_KEY, Stage};
use crate::harness::until;

/// A figure is measured every five seconds, and the machine may be busy.
const LIMIT: Duration = Duration::from_secs(60);
const QUICK: Duration = Duration::from_millis(20);

/// The symptoms of the guide, and the checks that tell of them.
const SYMPTOMS: [(&str, &[&str]); 6] = [
    ("Tasks queued but not executing", &["waiting"]),
    ("High CPU on workers", &["worker_cpu"]),
    ("High memory on workers", &["worker_memory", "worker_recycles"]),
    ("Slow database queries", &["queries", "connections"]),
    ("Redis memory errors", &["redis_memory"]),
    ("Tasks timing out", &["timeouts"]),
];

/// What a check finds now.
async fn finding(node: &TestNode, check: &str) -> Value {
    let diagnosis = node.get("/api/v1/diagnosis").await;
    let items = diagnosis["items"].as_array().expect("a list");
    items.iter().find(|found| found["check"] == check).expect("the check").clone()
}

/// Waits until a check was measured and finds nothing.
async fn until_well(node: &TestNode, check: &str) {
    until(&format!("{check} is well"), LIMIT * 2, async || (finding(node, check).await["level"] == "ok").then_some(()))
        .await;
}

/// Waits until a check finds something wrong.
async fn until_wrong(node: &TestNode, check: &str) -> Value {
    until(&format!("doctor sees {check}"), LIMIT, async || {
        let found = finding(node, check).await;
        (found["level"] == "warning" || found["level"] == "critical").then_some(found)
    })
    .await
}

fn says(found: &Value, name: &str, words: &str) {
    assert!(found[name].as_str().is_some_and(|text| text.contains(words)), "{words} in {found}");
}

/// What the command says of a service.
#[derive(Debug)]
struct Verdict {
    code: Option<i32>,
    /// What is wrong, with its level.
    wrong: BTreeMap<String, String>,
    last_line: String,
}

impl Verdict {
    async fn of(stage: &Stage, node: &TestNode) -> Self {
        let mut doctor = Command::new(env!("CARGO_BIN_EXE_automagik-spark"));
        doctor.env_clear().current_dir(stage.directory()).stdin(Stdio::null());
        doctor.args(["doctor", "-o", "json", "--url", node.url(), "--api-key", API_KEY]);
        let told = doctor.output().await.expect("it runs");
        let diagnosis: Value = serde_json::from_slice(&told.stdout).expect("JSON");
        let items = diagnosis["items"].as_array().expect("a list").iter();
        let text = |found: &Value, field: &str| found[field].as_str().expect("text").to_owned();
        let wrong = items
            .map(|found| (text(found, "check"), text(found, "level")))
            .filter(|(_, level)| level == "warning" || level == "critical")
            .collect();
        Self { code: told.status.code(), wrong, last_line: String::from_utf8(told.stderr).expect("text") }
    }

    /// The symptoms of the guide that it names. A machine that is busy with other tests makes statements slow, too.
    fn symptoms(&self) -> BTreeSet<&str> {
        let is_named =
            |checks: &[&str]| checks.iter().any(|check| *check != "queries" && self.wrong.contains_key(*check));
        SYMPTOMS.iter().filter(|(_, checks)| is_named(checks)).map(|(symptom, _)| *symptom).collect()
    }

    /// The code and the last line are those of what is wrong.
    fn assert_told_alike(&self) {
        let any = |level: &str| self.wrong.values().any(|other| other == level);
        let code = if any("critical") { 4 } else { 3 * i32::from(any("warning")) };
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.wrong.keys().all(|check| self.last_line.contains(check)), "{self:?}");
    }
}

/// `doctor` names none of the symptoms: so it can be wrong afterwards.
async fn assert_well(stage: &Stage, node: &TestNode) {
    let verdict = Verdict::of(stage, node).await;
    verdict.assert_told_alike();
    assert!(verdict.symptoms().is_empty(), "{verdict:?}");
}

/// Waits until `doctor` names what was brought about, and fails if it names another symptom. Answers what the check found.
async fn assert_named(stage: &Stage, node: &TestNode, check: &str) -> Value {
    let found = until_wrong(node, check).await;
    let verdict = until(&format!("the command names {check}"), SOON, async || {
        let verdict = Verdict::of(stage, node).await;
        verdict.wrong.contains_key(check).then_some(verdict)
    })
    .await;
    println!("{check}: {} {}, exit code {:?}: {}", found["figure"], found["unit"], verdict.code, found["cause"]);
    verdict.assert_told_alike();
    let mut others = verdict.symptoms();
    others.retain(|symptom| !SYMPTOMS.iter().any(|(name, checks)| name == symptom && checks.contains(&check)));
    assert!(others.is_empty(), "{check} is not {others:?}: {verdict:?}");
    found
}
