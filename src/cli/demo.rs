//! The demo of `dev`: a simulated LangFlow, its flow synced and scheduled, and the life of its tasks line by line. All
//! of it goes through the REST API, as a user's script would.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Error;
use super::client::Client;
use super::connection::Target;
use super::output::Output;
use crate::domain::source::Secret;
use crate::simulate::{self, SimulateOptions, Simulated};

/// Completed tasks after which a demo that nobody watches ends.
const ENOUGH: usize = 5;
/// A demo that shows nothing within this has failed.
const LIMIT: Duration = Duration::from_secs(60);
/// How often tasks are looked at: often enough to see a run of [`LATENCY`].
const LOOK: Duration = Duration::from_millis(100);
/// How long the simulated flow takes.
const LATENCY: Duration = Duration::from_millis(800);

/// What the demo needs.
pub(super) struct Demo {
    /// The service.
    pub(super) url: String,
    /// Its key.
    pub(super) key: Secret,
    /// End after [`ENOUGH`] tasks, also on a terminal.
    pub(super) once: bool,
}

/// Shows it until `stop`; if nobody watches, until [`ENOUGH`] tasks are completed.
pub(super) async fn run(out: &Output, demo: Demo, stop: impl Future<Output = ()>) -> Result<(), Error> {
    let url = url::Url::parse(&demo.url).map_err(|error| Error::Internal(error.to_string()))?;
    let client = Client::open(&Target { url, api_key: Some(demo.key) })?;
    let source_key = Secret::new(uuid::Uuid::new_v4().to_string());
    let options = SimulateOptions { latency: LATENCY, api_key: source_key.clone(), ..SimulateOptions::default() };
    let langflow = simulate::start(options).map_err(|error| Error::Internal(error.to_string()))?;
    let scene = Scene::set(out, &client, &langflow, &source_key).await?;
    let endless = std::io::stdout().is_terminal() && !demo.once;
    let mut completed = 0;
    let shown = tokio::select! {
        shown = scene.follow(out, &client, endless, &mut completed) => shown,
        () = stop => Ok(()),
    };
    // However it ended: the next demo begins with an empty stage.
    let removed = client.delete(&["sources", &scene.source]).send().await;
    langflow.stop().await;
    shown?;
    removed?;
    out.text(&format!("\n{completed} tasks completed. Their source, workflow and schedule are removed again."))
}

/// What the demo made.
struct Scene {
    source: String,
    schedule: String,
}

impl Scene {
    async fn set(out: &Output, client: &Client, langflow: &Simulated, key: &Secret) -> Result<Self, Error> {
        let body = json!({
            "source_type": "langflow", "url": langflow.url(), "api_key": key.expose(), "name": "simulated LangFlow",
        });
        let source = client.post(&["sources"]).json(&body).send().await?;
        out.text(&format!("source    {}  (simulated LangFlow, checked with its key)", langflow.url()))?;
        let workflow = client
            .post(&["workflows", "sync", simulate::FLOW_ID])
            .query("source_url", Some(langflow.url()))
            .send()
            .await?;
        out.text(&format!("workflow  {}  synced", text(&workflow.value, "name")))?;
        let body = json!({
            "workflow_id": text(&workflow.value, "id"), "schedule_type": "interval", "schedule_expr": "2s",
            "input_value": "hello from Spark",
        });
        let schedule = client.post(&["schedules"]).json(&body).send().await?;
        out.text("schedule  every 2 s\n")?;
        Ok(Self { source: text(&source.value, "id"), schedule: text(&schedule.value, "id") })
    }

    /// Prints every change of every task, and counts those that were completed.
    async fn follow(&self, out: &Output, client: &Client, endless: bool, completed: &mut usize) -> Result<(), Error> {
        let mut seen: HashMap<String, String> = HashMap::new();
        let mut last_change = Instant::now();
        let mut ticks = tokio::time::interval(LOOK);
        while endless || *completed < ENOUGH {
            ticks.tick().await;
            let tasks = client.get(&["tasks"]).query("schedule_id", Some(&self.schedule)).send().await?;
            // Oldest first, so that the lines follow the clock.
            for task in tasks.items().iter().rev() {
                let (id, status) = (text(task, "id"), text(task, "status"));
                let before = seen.insert(id.clone(), status.clone());
                if before.as_deref() == Some(status.as_str()) {
                    continue;
                }
                last_change = Instant::now();
                for step in steps(before.as_deref(), &status) {
                    out.text(&line(&id, step, task))?;
                }
                *completed += usize::from(status == "completed");
            }
            if last_change.elapsed() > LIMIT {
                return Err(Error::Failed(format!("no task changed within {} s; see the log", LIMIT.as_secs())));
            }
        }
        Ok(())
    }
}

/// What a task went through since it was seen last: between two looks it may have taken several steps.
fn steps<'a>(before: Option<&str>, now: &'a str) -> Vec<&'a str> {
    const LIFE: [&str; 3] = ["pending", "running", "completed"];
    let from = before.map_or(0, |before| LIFE.iter().position(|step| *step == before).map_or(0, |at| at + 1));
    match LIFE.iter().position(|step| *step == now) {
        Some(to) if from <= to => LIFE[from..=to].to_vec(),
        _ => vec![now],
    }
}

fn line(id: &str, status: &str, task: &Value) -> String {
    let time = chrono::Local::now().format("%H:%M:%S%.3f");
    let short = id.rsplit('-').next().unwrap_or(id);
    let more = match status {
        "completed" => format!("  -> {}", text(task, "result")),
        "failed" | "retrying" => format!("  {}", text(task, "error")),
        _ => String::new(),
    };
    format!("{time}  task {short}  {status:<9}{more}").trim_end().to_owned()
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_of_a_task_is_shown_once() {
        assert_eq!(steps(None, "pending"), ["pending"]);
        assert_eq!(steps(None, "completed"), ["pending", "running", "completed"]);
        assert_eq!(steps(Some("pending"), "completed"), ["running", "completed"]);
        assert_eq!(steps(Some("running"), "retrying"), ["retrying"]);
        assert_eq!(steps(Some("retrying"), "pending"), ["pending"]);
    }
}
