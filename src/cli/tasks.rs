//! `tasks`: runs of workflows.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::bulk::{Action, BulkArgs};
use super::client::Answer;
use super::render::{clean, clean_lines, field, first_field};
use super::submit::SubmitArgs;
use super::task_filter::FilterArgs;
use super::watch::WatchArgs;
use super::{Error, Session, bulk, json_text, resolve, submit, task_view, watch};

/// What to do with tasks.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Newest first
    List(ListArgs),
    /// Everything about a task, with its attempts
    #[command(visible_alias = "show")]
    View(TaskArgs),
    /// Try a failed or cancelled task again, or all that a filter fits
    Retry(BulkArgs),
    /// Run a workflow
    Create(SubmitArgs),
    /// Call a task off, also one that is running, or all that a filter fits
    Cancel(BulkArgs),
    /// Remove a task and its history, or all that a filter fits; what is running is cancelled first
    Delete(BulkArgs),
    /// What happened to a task, in words
    Logs(LogArgs),
    /// What happens to tasks, or to one until it has ended, a line each; `-o json` prints JSON lines
    Watch(WatchArgs),
}

#[derive(Args, Debug)]
pub(super) struct TaskArgs {
    /// The task's id or a beginning of it
    task: String,
}

/// Which lines of a task's log.
#[derive(Args, Debug)]
pub(super) struct LogArgs {
    #[command(flatten)]
    task: TaskArgs,
    /// Only lines as grave as this or more: debug, info, warning or error
    #[arg(short, long)]
    level: Option<String>,
    /// How many
    #[arg(short = 'n', long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// How many to pass over
    #[arg(long)]
    offset: Option<u64>,
}

/// Which tasks to list.
#[derive(Args, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// How many
    #[arg(short = 'n', long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// How many to pass over
    #[arg(long)]
    offset: Option<u64>,
    /// Also print what was noted while each of them ran; with `-o json` each task has its log under `logs`
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
        Command::Retry(args) => change(session, Action::Retry, args).await,
        Command::Create(args) => submit::run(session, args).await,
        Command::Cancel(args) => change(session, Action::Cancel, args).await,
        Command::Delete(args) => change(session, Action::Delete, args).await,
        Command::Logs(args) => {
            let id = args.task.id(session).await?;
            let request = session.client.get(&["tasks", &id, "logs"]);
            let request = request.query("level", args.level).query("limit", Some(args.limit));
            let answer = request.query("offset", args.offset).send().await?;
            logs(session, &answer)?;
            session.out.page_hint(&answer);
            Ok(())
        }
        Command::Watch(args) => watch::run(session, args).await,
    }
}

/// Changes the one task that is named, or all that are meant.
async fn change(session: &Session, action: Action, args: BulkArgs) -> Result<(), Error> {
    let Some(typed) = args.one()? else { return bulk::run(session, action, args).await };
    let id = resolve::id(&session.client, &resolve::TASK, typed).await?;
    if action == Action::Delete {
        let answer = session.client.delete(&["tasks", &id]).send().await?;
        return session.out.done(&answer, &format!("task {id} is deleted"));
    }
    let answer = session.client.post(&["tasks", &id, action.word()]).send().await?;
    task_view::one(session, &answer).await
}

impl TaskArgs {
    async fn id(&self, session: &Session) -> Result<String, Error> {
        resolve::id(&session.client, &resolve::TASK, &self.task).await
    }
}

async fn list(session: &Session, args: ListArgs) -> Result<(), Error> {
    let client = &session.client;
    let mut request = client.get(&["tasks"]);
    for (name, value) in args.filter.parameters(session).await? {
        request = request.query(name, Some(value));
    }
    let answer = request.query("limit", Some(args.limit)).query("offset", args.offset).send().await?;
    let ids = answer.items().iter().filter(|_| args.show_logs).map(|task| field(task, "id"));
    if args.show_logs && session.out.is_json() {
        let mut notes = Vec::new();
        for id in ids {
            notes.push(client.get(&["tasks", &id, "logs"]).send().await?);
        }
        return session.out.text(&json_text::indent(&with_logs(&answer, &notes)?));
    }
    task_view::list(session, &answer).await?;
    for id in ids {
        let notes = client.get(&["tasks", &id, "logs"]).send().await?;
        if !notes.items().is_empty() {
            session.out.text(&format!("\nLOGS {id}"))?;
            logs(session, &notes)?;
        }
    }
    Ok(())
}

/// The page with each task's log in it, as the service gave it, under `logs`. All else stays the text that came.
fn with_logs(page: &Answer, notes: &[Answer]) -> Result<String, Error> {
    type Fields = BTreeMap<String, Box<RawValue>>;
    let added = || -> serde_json::Result<String> {
        let mut fields: Fields = serde_json::from_str(&page.text)?;
        let mut tasks: Vec<Fields> = serde_json::from_str(fields.get("items").map_or("[]", |items| items.get()))?;
        for (task, notes) in tasks.iter_mut().zip(notes) {
            task.insert("logs".to_owned(), RawValue::from_string(notes.text.clone())?);
        }
        fields.insert("items".to_owned(), to_raw_value(&tasks)?);
        serde_json::to_string(&fields)
    };
    added().map_err(|error| Error::Internal(format!("logs can't be put into the list: {error}")))
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
