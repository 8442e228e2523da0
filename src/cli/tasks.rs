//! `tasks`: runs of workflows.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::Answer;
use super::render::{clean, clean_lines, field, first_field};
use super::submit::SubmitArgs;
use super::watch::WatchArgs;
use super::{Error, Session, resolve, submit, task_view, watch};

/// What to do with tasks.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Newest first
    List(ListArgs),
    /// Everything about a task, with its attempts
    #[command(visible_alias = "show")]
    View(TaskArgs),
    /// Try a failed or cancelled task again
    Retry(TaskArgs),
    /// Run a workflow
    Create(SubmitArgs),
    /// Call a task off, also one that is running
    Cancel(TaskArgs),
    /// Remove a task and its history; one that is running is cancelled first
    Delete(TaskArgs),
    /// What was noted while a task ran
    Logs(TaskArgs),
    /// What happens to tasks, or to one until it has ended, a line each; `-o json` prints JSON lines
    Watch(WatchArgs),
}

#[derive(Args, Debug)]
pub(super) struct TaskArgs {
    /// The task's id or a beginning of it
    task: String,
}

/// Which tasks to list.
#[derive(Args, Debug)]
pub(super) struct ListArgs {
    /// Only of this workflow: its id, a beginning of it, or its name
    #[arg(long, visible_alias = "workflow", value_name = "WORKFLOW")]
    workflow_id: Option<String>,
    /// Only of this schedule: its id or a beginning of it
    #[arg(long, visible_alias = "schedule", value_name = "SCHEDULE")]
    schedule_id: Option<String>,
    /// Only of this source: its id, a beginning of it, its name or url
    #[arg(long, visible_alias = "source", value_name = "SOURCE")]
    source_id: Option<String>,
    /// Only in this state: pending, running, completed, failed, retrying or cancelled
    #[arg(short, long)]
    status: Option<String>,
    /// Only of this queue
    #[arg(long)]
    queue: Option<String>,
    /// Only made after this time, for example 2026-11-24T08:00:00Z
    #[arg(long, value_name = "TIME")]
    created_after: Option<String>,
    /// Only made before this time
    #[arg(long, value_name = "TIME")]
    created_before: Option<String>,
    /// Only with this text in them
    #[arg(short, long, value_name = "TEXT")]
    query: Option<String>,
    /// How many
    #[arg(short = 'n', long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// How many to pass over
    #[arg(long)]
    offset: Option<u64>,
    /// Also print what was noted while each of them ran
    #[arg(long)]
    show_logs: bool,
}

pub(super) async fn run(session: &Session, command: Command) -> Result<(), Error> {
    match command {
        Command::List(args) => list(session, args).await,
        Command::View(args) => {
            let id = args.id(session).await?;
            let answer = session.client.get(&["tasks", &id]).send().await?;
            task_view::whole(session, &answer).await
        }
        Command::Retry(args) => {
            let id = args.id(session).await?;
            let answer = session.client.post(&["tasks", &id, "retry"]).send().await?;
            task_view::one(session, &answer).await
        }
        Command::Create(args) => submit::run(session, args).await,
        Command::Cancel(args) => {
            let id = args.id(session).await?;
            let answer = session.client.post(&["tasks", &id, "cancel"]).send().await?;
            task_view::one(session, &answer).await
        }
        Command::Delete(args) => {
            let id = args.id(session).await?;
            let answer = session.client.delete(&["tasks", &id]).send().await?;
            session.out.done(&answer, &format!("task {id} is deleted"))
        }
        Command::Logs(args) => {
            let id = args.id(session).await?;
            let answer = session.client.get(&["tasks", &id, "logs"]).send().await?;
            logs(session, &answer)
        }
        Command::Watch(args) => watch::run(session, args).await,
    }
}

impl TaskArgs {
    async fn id(&self, session: &Session) -> Result<String, Error> {
        resolve::id(&session.client, &resolve::TASK, &self.task).await
    }
}

async fn list(session: &Session, args: ListArgs) -> Result<(), Error> {
    let client = &session.client;
    let mut ids = [None, None, None];
    let filters = [
        (&resolve::WORKFLOW, &args.workflow_id),
        (&resolve::SCHEDULE, &args.schedule_id),
        (&resolve::SOURCE, &args.source_id),
    ];
    for (id, (kind, typed)) in ids.iter_mut().zip(filters) {
        if let Some(typed) = typed {
            *id = Some(resolve::id(client, kind, typed).await?);
        }
    }
    let [workflow, schedule, source] = ids;
    let answer = client
        .get(&["tasks"])
        .query("workflow_id", workflow)
        .query("schedule_id", schedule)
        .query("source_id", source)
        .query("status", args.status)
        .query("queue", args.queue)
        .query("created_after", args.created_after)
        .query("created_before", args.created_before)
        .query("q", args.query)
        .query("limit", Some(args.limit))
        .query("offset", args.offset)
        .send()
        .await?;
    task_view::list(session, &answer).await?;
    if args.show_logs && !session.out.is_json() {
        for task in answer.items() {
            let id = field(task, "id");
            let notes = client.get(&["tasks", &id, "logs"]).send().await?;
            if !notes.items().is_empty() {
                session.out.text(&format!("\nLOGS {id}"))?;
                logs(session, &notes)?;
            }
        }
    }
    Ok(())
}

fn logs(session: &Session, answer: &Answer) -> Result<(), Error> {
    if session.out.is_json() {
        return session.out.json(answer);
    }
    if answer.items().is_empty() {
        session.out.say("no logs");
        return Ok(());
    }
    answer.items().iter().try_for_each(|entry| session.out.text(&log_line(entry)))
}

fn log_line(entry: &Value) -> String {
    let (time, level) = (first_field(entry, &["created_at", "timestamp", "time"]), field(entry, "level"));
    let message = clean_lines(&field(entry, "message"));
    let start = [time, level.to_uppercase()].into_iter().filter(|part| !part.is_empty()).map(|part| clean(&part));
    start.chain([message]).collect::<Vec<_>>().join(" ")
}
