//! `worker inspect`: what workers run, what waits for them, what comes later, and how they are doing.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Answer;
use super::render::{field, relative, short_task_ids, time};
use super::table::Column::{Drop, Keep, Shrink};
use super::{Error, Session, task_view};
use crate::domain::clock::now;

/// What to look at.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Tasks that run now, on all nodes
    Active(PageArgs),
    /// Tasks that may start and wait for a worker. Workers hold none in reserve: they take what they have room for
    Reserved(PageArgs),
    /// What is to run later: retries, delayed tasks, and the next run of each schedule
    Scheduled(PageArgs),
    /// The pools of the node that answers: their load, memory, processor time, and what became of their children
    Stats,
}

/// How much of it.
#[derive(Args, Debug)]
pub(super) struct PageArgs {
    /// How many
    #[arg(short = 'n', long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// How many to pass over
    #[arg(long)]
    offset: Option<u64>,
}

pub(super) async fn run(session: &Session, command: Command) -> Result<(), Error> {
    match command {
        Command::Active(page) => task_view::list(session, &tasks(session, "running", None, &page).await?).await,
        Command::Reserved(page) => {
            task_view::list(session, &tasks(session, "pending", Some(false), &page).await?).await
        }
        Command::Scheduled(page) => scheduled(session, &page).await,
        Command::Stats => stats(session).await,
    }
}

async fn tasks(session: &Session, status: &str, delayed: Option<bool>, page: &PageArgs) -> Result<Answer, Error> {
    let request = session.client.get(&["tasks"]).query("status", Some(status)).query("delayed", delayed);
    request.query("limit", Some(page.limit)).query("offset", page.offset).send().await
}

async fn scheduled(session: &Session, page: &PageArgs) -> Result<(), Error> {
    let retries = tasks(session, "retrying", None, page).await?;
    let delayed = tasks(session, "pending", Some(true), page).await?;
    let request = session.client.get(&["schedules"]).query("status", Some("active"));
    let schedules = request.query("limit", Some(page.limit)).query("offset", page.offset).send().await?;
    if session.out.is_json() {
        let all = json!({ "retries": retries.value, "delayed": delayed.value, "schedules": schedules.value });
        return session.out.text(&format!("{all:#}"));
    }
    let names = task_view::workflow_names(session).await?;
    let of_retry = retries.items().iter().map(|task| ("retry", task, "next_retry_at"));
    let tasks: Vec<_> = of_retry.chain(delayed.items().iter().map(|task| ("delayed", task, "pending_at"))).collect();
    let ids = short_task_ids(&tasks.iter().map(|(_, task, _)| field(task, "id")).collect::<Vec<_>>());
    let of_task = ids.into_iter().zip(tasks).map(|(id, (kind, task, column))| (kind, id, task, column));
    let of_schedule =
        schedules.items().iter().map(|schedule| ("schedule", field(schedule, "id"), schedule, "next_run_at"));
    let now = now();
    let mut due: Vec<_> = of_task.chain(of_schedule).collect();
    // What waits for another task's end has no time.
    due.sort_by_key(|(_, _, item, column)| time(item, column).map_or((true, now), |at| (false, at)));
    let rows = due.into_iter().map(|(kind, id, item, column)| {
        let at = time(item, column);
        vec![relative(at, now), field(item, column), kind.to_owned(), id, task_view::name_of(item, &names)]
    });
    let columns = [Keep("DUE"), Drop("AT"), Keep("WHAT"), Keep("ID"), Shrink("WORKFLOW")];
    session.out.rows(&columns, rows.collect(), "nothing is to run later")?;
    session.out.page_hint(&retries);
    session.out.page_hint(&delayed);
    session.out.page_hint(&schedules);
    Ok(())
}

async fn stats(session: &Session) -> Result<(), Error> {
    let workers = session.client.get(&["workers"]).send().await?;
    let history = session.client.get(&["workers", "history"]).send().await?;
    if session.out.is_json() {
        let both = json!({ "workers": workers.value, "history": history.value });
        return session.out.text(&format!("{both:#}"));
    }
    let none = Vec::new();
    let pools = workers.value["pools"].as_array().unwrap_or(&none);
    let rows = pools.iter().map(|pool| row(pool, workers.items(), history.items()));
    let columns = [
        Keep("POOL"),
        Shrink("QUEUES"),
        Keep("WORKERS"),
        Keep("BUSY"),
        Keep("DONE"),
        Keep("MEMORY"),
        Keep("CPU"),
        Drop("REPLACED"),
        Drop("CRASHED"),
    ];
    session.out.rows(&columns, rows.collect(), "no pools: the node that answers runs without the role `worker`")
}

fn row(pool: &Value, workers: &[Value], history: &[Value]) -> Vec<String> {
    let name = field(pool, "name");
    let is_ours = |item: &&Value| item["pool"] == name.as_str();
    let sum = |key: &str| workers.iter().filter(is_ours).filter_map(|worker| worker[key].as_u64()).sum::<u64>();
    let cpu: f64 = workers.iter().filter(is_ours).filter_map(|worker| worker["cpu_percent"].as_f64()).sum();
    // A child that is replaced leaves the list; what it did is in the history of its end.
    let ended = history.iter().filter(is_ours).filter(|event| event["event"] == "exited");
    let (crashed, replaced): (Vec<&Value>, Vec<&Value>) = ended.partition(|event| event["reason"] == "crashed");
    let done_before: u64 = crashed.iter().chain(&replaced).filter_map(|event| event["tasks_done"].as_u64()).sum();
    vec![
        name.clone(),
        field(pool, "queues"),
        format!("{} of {}", field(pool, "ready"), field(pool, "workers")),
        format!("{} of {}", field(pool, "active"), field(pool, "ready_slots")),
        (sum("tasks_done") + done_before).to_string(),
        format!("{} MB", sum("rss_kb") / 1024),
        format!("{cpu:.0} %"),
        replaced.len().to_string(),
        crashed.len().to_string(),
    ]
}
