//! `worker`: the processes that run tasks.

mod journal;
mod log_file;
mod log_line;
mod logs;
mod own_file;
mod pager;
mod pid_file;
mod place;
mod start;
mod stop;

use clap::Subcommand;
use serde_json::Value;

use super::connection::Remote;
use super::inspect;
use super::output::Output;
use super::render::{field, first_field, relative, time};
use super::scale::{self, ScaleArgs};
use super::table::Column::{Drop, Keep, Shrink};
use super::{Error, Session, with_service};
use crate::domain::clock::now;

/// What to do with workers.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    #[command(flatten)]
    Here(Here),
    /// Every worker with its pool, load and memory
    Status,
    /// What runs, what waits, what comes later, and how the pools are doing
    #[command(subcommand)]
    Inspect(inspect::Command),
    /// Give a pool of the node that answers another size while it runs
    Scale(ScaleArgs),
}

/// What is done on this machine, without asking the service.
#[derive(Debug, Subcommand)]
pub(super) enum Here {
    /// Run tasks here, and nothing else of the service
    Start(Box<start::StartArgs>),
    /// Stop what `start --daemon` started; it finishes what runs
    Stop(stop::StopArgs),
    /// What the worker or the service logged on this machine
    Logs(logs::LogsArgs),
}

impl Here {
    fn run(self, out: &Output, debug: bool, remote: &Remote) -> Result<(), Error> {
        if remote.url.is_some() {
            let message =
                "`worker start`, `stop` and `logs` work on this machine; --url is for commands that ask a service";
            return Err(Error::Usage(message.to_owned()));
        }
        match self {
            Self::Start(args) => start::run(out, *args, debug),
            Self::Stop(args) => stop::run(out, &args),
            Self::Logs(args) => logs::run(&args),
        }
    }
}

impl Command {
    /// Whether it becomes a service, which says by its configuration what it logs.
    pub(super) fn is_service(&self) -> bool {
        matches!(self, Self::Here(Here::Start(_)))
    }

    /// Whether this process is what `worker start --daemon` started.
    pub(super) fn is_daemon(&self) -> bool {
        matches!(self, Self::Here(Here::Start(args)) if args.is_daemon())
    }
}

pub(super) fn run(out: Output, remote: &Remote, debug: bool, command: Command) -> Result<(), Error> {
    match command {
        Command::Here(here) => here.run(&out, debug, remote),
        Command::Status => with_service(remote, out, async |session| status(&session).await),
        Command::Inspect(command) => with_service(remote, out, async |session| inspect::run(&session, command).await),
        Command::Scale(args) => with_service(remote, out, async |session| scale::run(&session, args).await),
    }
}

async fn status(session: &Session) -> Result<(), Error> {
    let answer = session.client.get(&["workers"]).send().await?;
    if session.out.is_json() {
        return session.out.json(&answer);
    }
    let now = now();
    let rows = answer.items().iter().map(|worker| {
        vec![
            first_field(worker, &["id", "executor_id", "executor"]),
            field(worker, "pool"),
            field(worker, "state"),
            field(worker, "pid"),
            field(worker, "queues"),
            active(worker),
            first_field(worker, &["tasks_done", "tasks"]),
            memory(worker),
            cpu(worker),
            relative(time(worker, "started_at"), now),
            first_field(worker, &["last_recycle_reason", "last_recycle"]),
        ]
    });
    let columns = [
        Keep("ID"),
        Keep("POOL"),
        Keep("STATE"),
        Keep("PID"),
        Shrink("QUEUES"),
        Keep("ACTIVE"),
        Drop("DONE"),
        Drop("MEMORY"),
        Drop("CPU"),
        Drop("STARTED"),
        Drop("LAST RECYCLED"),
    ];
    session.out.rows(&columns, rows.collect(), "no workers: the node that answers runs without the role `worker`")
}

/// How many attempts run, whether they are counted or listed.
fn active(worker: &Value) -> String {
    match worker.get("active_attempts") {
        Some(Value::Array(attempts)) => attempts.len().to_string(),
        _ => first_field(worker, &["active_attempts", "active"]),
    }
}

fn memory(worker: &Value) -> String {
    let kb = worker["rss_kb"].as_u64().or_else(|| worker["rss_bytes"].as_u64().map(|bytes| bytes / 1024));
    kb.map(|kb| format!("{} MB", kb / 1024)).unwrap_or_default()
}

fn cpu(worker: &Value) -> String {
    let percent = worker["cpu_percent"].as_f64().or_else(|| worker["cpu"].as_f64());
    percent.map(|percent| format!("{percent:.0} %")).unwrap_or_default()
}
