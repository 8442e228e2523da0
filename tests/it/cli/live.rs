//! Every command against a running service, as a session at a terminal: what it prints, as a table and as JSON. What
//! differs from run to run is replaced by a word.

use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

use super::{Ended, program};
use crate::harness::node::{SOON, TestNode};
use crate::harness::stage::{API_KEY, Stage};
use crate::harness::until;

/// A session: what was typed and what came.
struct Session<'a> {
    stage: &'a Stage,
    node: &'a TestNode,
    format: &'static str,
    transcript: String,
}

impl Session<'_> {
    fn spark(&self, args: &[&str]) -> Ended {
        let mut command = program(self.stage.directory());
        command.env("AUTOMAGIK_SPARK_REMOTE_URL", self.node.url()).env("AUTOMAGIK_SPARK_API_KEY", API_KEY);
        command.args(["-o", self.format]).args(args).output().expect("started").into()
    }

    /// Types a line. A word with a blank in it stands in quotes.
    fn types(&mut self, line: &str) {
        let words: Vec<&str> = line
            .split('"')
            .enumerate()
            .flat_map(|(at, part)| if at % 2 == 1 { vec![part] } else { part.split_whitespace().collect() })
            .collect();
        let ended = self.spark(&words);
        let mut shown = format!("$ spark {}\n", words_of(line));
        if self.format == "json" && !ended.stdout.is_empty() {
            writeln!(shown, "{:#}", settled(ended.json())).expect("text");
        } else {
            shown += &ended.stdout.lines().map(|line| cells(line) + "\n").collect::<String>();
        }
        // Which states a wait sees depends on the moment.
        for line in ended.stderr.lines().filter(|_| !line.contains("--wait")) {
            writeln!(shown, "! {}", words_of(line)).expect("text");
        }
        if ended.code != 0 {
            writeln!(shown, "exit code {}", ended.code).expect("text");
        }
        let source = self.stage.source.url();
        self.transcript += &(shown.replace(source.as_str(), "http://SOURCE") + "\n");
    }
}

/// A line of a table: its cells, two blanks between them.
fn cells(line: &str) -> String {
    let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
    cells.map(cell).collect::<Vec<_>>().join("  ")
}

fn cell(text: &str) -> String {
    let number = |text: &str| text.parse::<f64>().is_ok();
    if is_id(text) {
        return "ID".to_owned();
    }
    match text.split(' ').collect::<Vec<_>>().as_slice() {
        ["now"] | ["in", _, _] | [_, _, "ago"] => "WHEN".to_owned(),
        [n, "ms" | "s"] if number(n) => "SECONDS".to_owned(),
        [n, unit @ ("MB" | "%")] if number(n) => format!("N {unit}"),
        [n] if n.len() > 3 && number(n) => "N".to_owned(),
        _ => words_of(text),
    }
}

/// A sentence, with its ids and times replaced.
fn words_of(text: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_time = bare.len() >= 4
            && bare.bytes().all(|byte| byte.is_ascii_digit() || b"-:.TZ+".contains(&byte))
            && bare.bytes().filter(|byte| byte.is_ascii_digit()).count() >= 4;
        match bare {
            "" => word.to_owned(),
            _ if is_id(bare) => word.replace(bare, "ID"),
            _ if is_time => word.replace(bare, "TIME"),
            "Mon" | "Tue" | "Wed" | "Thu" | "Fri" | "Sat" | "Sun" => "DAY".to_owned(),
            _ => word.to_owned(),
        }
    };
    let words = text.split(' ').map(word).collect::<Vec<_>>().join(" ");
    // Which machine it was, and how long it took.
    let words = match words.split_once(" began on ") {
        Some((before, _)) => format!("{before} began on HOST."),
        None => match words.split_once(" completed after ") {
            Some((before, _)) => format!("{before} completed after SECONDS."),
            None => words,
        },
    };
    // How long ago a time was.
    words.split_once("TIME (").map_or(words.clone(), |(before, _)| format!("{before}TIME"))
}

/// A whole id, or a beginning of one. The flow's own id is the same in every run.
fn is_id(text: &str) -> bool {
    let is_hex = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts: Vec<&str> = text.split('-').collect();
    parts[0].len() == 8 && parts.iter().all(|part| is_hex(part)) && text != automagik_spark::simulate::FLOW_ID
}

/// JSON with everything replaced that is of this run only.
fn settled(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(settled).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| {
                let value = match name.as_str() {
                    "data" | "flow_raw_data" | "output_data" => "...".into(),
                    "pid" | "rss_kb" | "cpu_percent" => "N".into(),
                    _ => settled(value),
                };
                (name, value)
            })
            .collect(),
        Value::String(text) if is_id(&text) => "ID".into(),
        Value::String(text) if text.parse::<chrono::DateTime<chrono::Utc>>().is_ok() => "TIME".into(),
        other => other,
    }
}

async fn session(format: &'static str) -> String {
    let stage = Box::pin(Stage::new(Duration::ZERO)).await;
    let node = Box::pin(stage.node(&[("worker.workers", "1")])).await;
    node.until_measured().await;
    let mut at = Session { stage: &stage, node: &node, format, transcript: String::new() };
    let source = stage.source.url();
    at.types("tasks list");
    at.types(&format!("sources add --name flow --type langflow --url {source} --api-key any"));
    at.types(&format!("sources add --name flow --type langflow --url {source} --api-key other"));
    at.types("sources list");
    at.types("workflows sync");
    at.types(&format!("workflows sync {}", automagik_spark::simulate::FLOW_ID));
    at.types("workflows sync --all --source flow");
    at.types("workflows list");
    at.types("workflows run \"Simulated flow\" --input Hello --wait");
    at.types("tasks list");
    let task = node.get("/api/v1/tasks").await["items"][0]["id"].as_str().expect("an id").to_owned();
    at.types(&format!("tasks view {task}"));
    at.types(&format!("tasks logs {task}"));
    at.types(&format!("tasks retry {task}"));
    at.types("schedules create --workflow \"Simulated flow\" --type interval --expr 1h --input \"every hour\"");
    at.types("schedules list");
    let schedule = node.get("/api/v1/schedules").await["items"][0]["id"].as_str().expect("an id").to_owned();
    at.types(&format!("schedules preview {schedule} --count 2"));
    at.types("schedules preview --type cron --expr \"0 8 * * *\" --timezone Europe/Berlin --count 2");
    at.types("schedules preview --type cron --expr \"99 8 * * *\"");
    at.types(&format!("schedules update {schedule} pause"));
    at.types(&format!("schedules update {schedule} set-expression 2h"));
    at.types(&format!("schedules delete {schedule}"));
    let is_counted = |executor: &Value| executor["tasks_done"] == 1 && executor["active_attempts"] == 0;
    until("the run is counted", SOON, async || node.executors().await.iter().all(is_counted).then_some(())).await;
    at.types("worker status");
    at.types("workflows run nonsense --input x");
    at.types("tasks view 00000000-0000-7000-8000-000000000000");
    at.types(&format!("tasks delete {task}"));
    at.types("sources delete flow");
    at.types("sources update flow --status inactive");
    at.types("workflows delete \"Simulated flow\"");
    at.types("sources delete flow");
    at.transcript
}

#[tokio::test]
async fn a_session_in_tables() {
    insta::assert_snapshot!(session("table").await);
}

#[tokio::test]
async fn a_session_in_json() {
    insta::assert_snapshot!(session("json").await);
}
