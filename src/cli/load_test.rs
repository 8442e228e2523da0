//! `load-test`: many runs of a workflow, submitted by several clients at once and watched until they have ended.

mod figures;

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::client::Answer;
use super::connection::{Remote, ServiceRemote};
use super::progress::Progress;
use super::render::{field, shorten};
use super::{Error, Session, resolve};
use crate::domain::task::TaskStatus;
use figures::{Durations, bars};

/// How often the service is asked how many have ended.
const LOOK: Duration = Duration::from_millis(500);
/// Tasks of a page.
const PAGE: usize = 100;
/// Bars of the chart.
const WIDTH: usize = 50;

/// What to put on the service.
#[derive(Args, Debug)]
pub(super) struct LoadTestArgs {
    /// The workflow: its id, a beginning of it, its name, or the flow's id in its source. It is really run
    workflow: String,
    /// How many tasks
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    tasks: usize,
    /// How many clients submit them at once
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1000))]
    clients: usize,
    /// What each is given
    #[arg(long, value_name = "TEXT", default_value = "Load test", allow_hyphen_values = true)]
    input: String,
    /// The queue to wait in
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// Only submit them, and do not wait for their end
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    remote: ServiceRemote,
}

impl LoadTestArgs {
    /// The service, if it was named after the command.
    pub(super) fn remote(&self) -> Remote {
        self.remote.remote()
    }
}

/// What the clients saw.
struct Submitted {
    /// The accepted tasks, each with the time it took to accept it.
    accepted: Vec<(Value, Duration)>,
    /// Why others were not.
    refused: Vec<Error>,
    took: Duration,
}

/// A task that has ended.
struct Ended {
    completed: bool,
    error: String,
    created: DateTime<Utc>,
    started: Option<DateTime<Utc>>,
    finished: DateTime<Utc>,
}

pub(super) async fn run(session: &Session, args: LoadTestArgs) -> Result<(), Error> {
    let workflow = resolve::id(&session.client, &resolve::WORKFLOW, &args.workflow).await?;
    let submitted = submit(session, &workflow, &args).await;
    let ended = if args.no_wait { None } else { Some(watch(session, &workflow, &submitted).await?) };
    report(session, &args, &submitted, ended.as_deref())?;
    match verdict(&args, &submitted, ended.as_deref()) {
        Some(trouble) => Err(Error::Failed(trouble)),
        None => Ok(()),
    }
}

async fn submit(session: &Session, workflow: &str, args: &LoadTestArgs) -> Submitted {
    let mut body = json!({ "input_data": args.input });
    if let Some(queue) = &args.queue {
        body["queue"] = queue.as_str().into();
    }
    let (begun, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let client = async || {
        let mut seen = Vec::new();
        while begun.fetch_add(1, Ordering::Relaxed) < args.tasks {
            let sent = Instant::now();
            let answer = session.client.post(&["workflows", workflow, "run"]).json(&body).send().await;
            seen.push(answer.map(|task| (task.value, sent.elapsed())));
            done.fetch_add(1, Ordering::Relaxed);
        }
        seen
    };
    let started = Instant::now();
    let clients = join_all((0..args.clients.min(args.tasks)).map(|_| client()));
    let mut progress = Progress::of(args.tasks);
    let mut shown = 0;
    let mut look = tokio::time::interval(LOOK);
    let mut clients = std::pin::pin!(clients);
    let seen = loop {
        tokio::select! {
            seen = &mut clients => break seen,
            _ = look.tick() => {
                let now = done.load(Ordering::Relaxed);
                (shown..now).for_each(|_| progress.advance());
                shown = now;
                progress.show(&format!("submitted, {:.0}/s", rate(now, started.elapsed())));
            }
        }
    };
    let took = started.elapsed();
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    for answer in seen.into_iter().flatten() {
        match answer {
            Ok(task) => accepted.push(task),
            Err(error) => refused.push(error),
        }
    }
    Submitted { accepted, refused, took }
}

/// Waits until every accepted task has ended, then reads what became of each. Ctrl-C ends the waiting, not the tasks.
async fn watch(session: &Session, workflow: &str, submitted: &Submitted) -> Result<Vec<Ended>, Error> {
    let created = submitted.accepted.iter().filter_map(|(task, _)| time(task, "created_at"));
    let (Some(first), Some(last)) = (created.clone().min(), created.max()) else { return Ok(Vec::new()) };
    // All of ours lie within, by the service's own clock; what others submit later does not.
    let span = [("created_after", first), ("created_before", last + TimeDelta::microseconds(1))];
    let list = |status: Option<TaskStatus>, limit: usize| {
        let mut request = session.client.get(&["tasks"]).query("workflow_id", Some(workflow));
        for (name, time) in span {
            request = request.query(name, Some(time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)));
        }
        request.query("status", status.map(TaskStatus::as_str)).query("limit", Some(limit))
    };
    let mut progress = Progress::of(submitted.accepted.len());
    let mut shown = 0;
    loop {
        let mut left = 0;
        for status in TaskStatus::ALL.into_iter().filter(|status| !status.is_final()) {
            left += list(Some(status), 1).send().await?.value["total"].as_u64().unwrap_or(0) as usize;
        }
        let ended = submitted.accepted.len().saturating_sub(left);
        (shown..ended).for_each(|_| progress.advance());
        progress.show(&format!("ended, {:.0}/s", rate(ended - shown.min(ended), LOOK)));
        shown = ended;
        if left == 0 {
            break;
        }
        sleep(LOOK).await;
    }
    drop(progress);
    let mut ours: HashSet<String> = submitted.accepted.iter().map(|(task, _)| field(task, "id")).collect();
    let mut found = Vec::with_capacity(ours.len());
    let mut cursor: Option<String> = None;
    loop {
        let page: Answer = list(None, PAGE).query("cursor", cursor.as_ref()).send().await?;
        found.extend(page.items().iter().filter(|task| ours.remove(&field(task, "id"))).filter_map(ended));
        cursor = page.value["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() || ours.is_empty() {
            return Ok(found);
        }
    }
}

fn ended(task: &Value) -> Option<Ended> {
    Some(Ended {
        completed: field(task, "status") == TaskStatus::Completed.as_str(),
        error: field(task, "error"),
        created: time(task, "created_at")?,
        started: time(task, "started_at"),
        finished: time(task, "finished_at")?,
    })
}

fn time(task: &Value, name: &str) -> Option<DateTime<Utc>> {
    task[name].as_str()?.parse().ok()
}

fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(0.001)
}

/// Two decimals are enough of a rate, and of seconds.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn report(session: &Session, args: &LoadTestArgs, submitted: &Submitted, ended: Option<&[Ended]>) -> Result<(), Error> {
    let (accepted, refused) = (submitted.accepted.len(), submitted.refused.len());
    let submits = Durations::of(submitted.accepted.iter().map(|(_, took)| *took));
    let between = |from: DateTime<Utc>, to: DateTime<Utc>| (to - from).to_std().unwrap_or_default();
    let ended = ended.unwrap_or_default();
    let waits = Durations::of(ended.iter().filter_map(|task| Some(between(task.created, task.started?))));
    let totals = Durations::of(ended.iter().map(|task| between(task.created, task.finished)));
    let begin = ended.iter().map(|task| task.created).min();
    let moments: Vec<Duration> = ended.iter().filter_map(|task| Some(between(begin?, task.finished))).collect();
    let took = moments.iter().max().copied().unwrap_or_default();
    let completed = ended.iter().filter(|task| task.completed).count();
    if session.out.is_json() {
        let figures = json!({
            "tasks": args.tasks, "clients": args.clients, "accepted": accepted, "refused": refused,
            "submit_s": rounded(submitted.took.as_secs_f64()),
            "submits_per_s": rounded(rate(accepted, submitted.took)),
            "submit_ms": submits.in_json(),
            "ended": ended.len(), "completed": completed, "total_s": rounded(took.as_secs_f64()),
            "tasks_per_s": rounded(rate(ended.len(), took)),
            "wait_ms": waits.in_json(), "task_ms": totals.in_json(),
        });
        return session.out.text(&format!("{figures:#}"));
    }
    let mut lines = vec![
        (
            "submitted",
            format!(
                "{accepted} of {} in {:.2} s, by {} clients",
                args.tasks,
                submitted.took.as_secs_f64(),
                args.clients
            ),
        ),
        ("submit rate", format!("{:.0} tasks/s", rate(accepted, submitted.took))),
        ("submit time", submits.in_words()),
    ];
    if !ended.is_empty() {
        lines.extend([
            ("completed", format!("{completed} of {} in {:.2} s", ended.len(), took.as_secs_f64())),
            ("task rate", format!("{:.0} tasks/s", rate(ended.len(), took))),
            ("wait to start", waits.in_words()),
            ("submit to end", totals.in_words()),
        ]);
        if let Some((chart, part)) = bars(&moments, WIDTH) {
            lines.push(("ends over time", format!("{chart}  ({} ms a bar)", part.as_millis().max(1))));
        }
    }
    session.out.fields(&lines)
}

/// What went wrong, if anything did.
fn verdict(args: &LoadTestArgs, submitted: &Submitted, ended: Option<&[Ended]>) -> Option<String> {
    if let Some(error) = submitted.refused.first() {
        let count = submitted.refused.len();
        return Some(format!("{count} of {} tasks were not accepted, the first because: {error}", args.tasks));
    }
    let ended = ended?;
    let failed: Vec<&Ended> = ended.iter().filter(|task| !task.completed).collect();
    let gone = submitted.accepted.len() - ended.len();
    match failed.first() {
        Some(first) => Some(format!(
            "{} of {} tasks did not complete, one of them because: {}",
            failed.len(),
            ended.len(),
            shorten(&first.error, 300)
        )),
        None if gone > 0 => Some(format!("{gone} tasks were deleted before their end was seen")),
        None => None,
    }
}
