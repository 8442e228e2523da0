//! One run: a plan is carried out, and what is known of it in the end is checked.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::checker::{Report, check};
use super::clients::Told;
use super::history::{History, Scheduled, Seen};
use super::plan::Plan;
use super::world::World;
use crate::harness::until;
use automagik_spark::domain::clock;

/// How long the last tasks may take after all is well again.
const AFTERMATH: Duration = Duration::from_secs(60);

/// A schedule as its client knows it.
struct Known {
    id: String,
    first: DateTime<Utc>,
    /// None where it is due once.
    every: Option<TimeDelta>,
    /// It is due at none later.
    until: DateTime<Utc>,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) report: Report,
    /// Whether each of its faults struck.
    pub(crate) struck: Vec<bool>,
}

/// Carries a plan out; fails where a promise is broken.
pub(crate) async fn run(plan: &Plan) -> Ran {
    println!("{plan}");
    let begun = Instant::now();
    let mut world = Box::pin(World::of(plan)).await;
    let workflow = world.nodes[0].workflow(&world.stage).await;
    let clients = world.clients.clone();
    let mut known = schedules(&world, plan, &workflow).await;
    let (told, suffered) = tokio::join!(clients.work(plan, &workflow), world.suffer(plan));
    end_schedules(&world, &mut known).await;
    settle(&mut world).await;
    let history = history(&world, told, known).await;
    let report = check(&history);
    println!(
        "{}\nSEED={}: {} tasks, {} calls ({} again after a kill, {} after an answer), {} kills, {} changes, {:?}",
        suffered.iter().map(|suffered| format!("  {}", suffered.note)).collect::<Vec<_>>().join("\n"),
        plan.seed,
        history.tasks.len(),
        history.calls.len(),
        report.by_kills,
        report.by_answers,
        history.kills.len(),
        history.changes.len(),
        begun.elapsed(),
    );
    let broken: Vec<String> = report.violations.iter().take(20).map(ToString::to_string).collect();
    assert!(
        broken.is_empty(),
        "{plan}{} broken promises:\n{}\nkills: {:#?}",
        report.violations.len(),
        broken.join("\n"),
        history.kills
    );
    Ran { report, struck: suffered.iter().map(|suffered| suffered.struck).collect() }
}

async fn schedules(world: &World, plan: &Plan, workflow: &str) -> Vec<Known> {
    let mut known = Vec::new();
    let every = plan.intervals.iter().map(|seconds| (Some(TimeDelta::seconds(*seconds)), 0));
    for (every, later) in every.chain(plan.once.iter().map(|ms| (None, *ms))) {
        let (kind, expr) = match every {
            Some(every) => ("interval", format!("{}s", every.num_seconds())),
            None => ("one-time", (clock::now() + TimeDelta::milliseconds(later)).to_rfc3339()),
        };
        let rule = json!({
            "workflow_id": workflow, "schedule_type": kind, "schedule_expr": expr, "input_value": "tick",
            "missed_policy": "all",
        });
        let made = world.nodes[0].post("/api/v1/schedules", &rule).await;
        let (id, first) = (text(&made["id"]), time(&made["next_run_at"]).expect("it is to come"));
        known.push(Known { id, first, every, until: first });
    }
    known
}

/// Waits until each schedule has made what is due, and ends those that go on.
async fn end_schedules(world: &World, known: &mut [Known]) {
    for schedule in known {
        let (path, is_once) = (format!("/api/v1/schedules/{}", schedule.id), schedule.every.is_none());
        let next = until("what is due is made", AFTERMATH, async || {
            let shown = world.clients.get(&path).await;
            match time(&shown["next_run_at"]) {
                // What is due once is not ended before it was.
                Some(_) if is_once => None,
                Some(next) => (next > clock::now()).then_some(Some(next)),
                None => (shown["status"] == "completed").then_some(None),
            }
        })
        .await;
        if let Some(next) = next {
            world.clients.put_through(&format!("{path}/disable"), &json!({})).await;
            schedule.until = next;
        }
    }
}

/// Waits until every task has ended; one that does not is the checker's business.
async fn settle(world: &mut World) {
    let unfinished = "SELECT count(*) FROM tasks WHERE status IN ('pending', 'running', 'retrying')";
    let settled =
        until("every task has ended", AFTERMATH * 2, async || (world.count(unfinished).await? == 0).then_some(()));
    if tokio::time::timeout(AFTERMATH, settled).await.is_err() {
        println!("  not every task has ended within {AFTERMATH:?}");
    }
}

async fn history(world: &World, told: Told, known: Vec<Known>) -> History {
    let clients = &world.clients;
    let mut history = History {
        accepted: told.accepted,
        unanswered: told.unanswered,
        kills: world.kills.clone(),
        calls: world.stage.source.kept_calls(),
        changes: world.witnessed().await,
        ..History::default()
    };
    for task in clients.list("/api/v1/tasks").await {
        let id = text(&task["id"]);
        let tries = usize::try_from(task["tries"].as_u64().expect("a number")).expect("small");
        let attempts = if tries > 1 { Some(attempts(world, &id).await) } else { None };
        let (schedule, result) = (task["schedule_id"].as_str(), task["result"].as_str());
        let seen = Seen {
            status: text(&task["status"]),
            result: result.map(str::to_owned),
            schedule: schedule.map(str::to_owned),
            tries,
            attempts,
        };
        history.tasks.insert(id, seen);
    }
    for schedule in known {
        let mut seen = Scheduled { id: schedule.id.clone(), ..Scheduled::default() };
        for one in clients.list(&format!("/api/v1/schedules/{}/occurrences", schedule.id)).await {
            let at = time(&one["scheduled_for"]).expect("a time");
            match one["task_id"].as_str() {
                Some(task) => seen.made.push((at, task.to_owned())),
                None => seen.noted.push(at),
            }
        }
        // One may have been due while the schedule was being ended.
        let last = seen.made.iter().map(|(at, _)| *at).chain(seen.noted.iter().copied()).max();
        seen.due = match schedule.every {
            Some(every) => {
                let grid = std::iter::successors(Some(schedule.first), |at| Some(*at + every));
                grid.take_while(|at| *at < schedule.until || Some(*at) <= last).collect()
            }
            None => vec![schedule.first],
        };
        history.schedules.push(seen);
    }
    history
}

async fn attempts(world: &World, task: &str) -> Vec<(usize, String, String)> {
    let items = world.clients.list(&format!("/api/v1/tasks/{task}/attempts")).await;
    let read = |item: &Value| {
        let number = usize::try_from(item["attempt"].as_u64().expect("a number")).expect("small");
        (number, text(&item["status"]), item["code"].as_str().unwrap_or_default().to_owned())
    };
    let mut attempts: Vec<_> = items.iter().map(read).collect();
    attempts.sort();
    attempts
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn time(value: &Value) -> Option<DateTime<Utc>> {
    value.as_str().map(|text| text.parse().expect("a time"))
}
