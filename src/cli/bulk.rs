//! `tasks retry|cancel|delete --all`: many tasks at once, a part of them with each request.

use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Map, Value, json};

use super::prompt;
use super::render::field;
use super::task_filter::FilterArgs;
use super::{Error, Session};

/// Tasks of one request: few enough to be answered at once, so that there is progress to show.
const PART: usize = 2000;

/// What to do with tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Run them again.
    Retry,
    /// Call them off.
    Cancel,
    /// Remove them.
    Delete,
}

/// Which task or tasks to change.
#[derive(Args, Debug)]
pub(super) struct BulkArgs {
    /// The task's id or a beginning of it
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    task: Option<String>,
    /// All tasks that the filters fit; without a filter every task
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: FilterArgs,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Action {
    /// The name of the service's path.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
            Self::Delete => "delete",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Retry => "retried",
            Self::Cancel => "cancelled",
            Self::Delete => "deleted",
        }
    }
}

impl BulkArgs {
    /// The one task that is named, unless all are meant.
    pub(super) fn one(&self) -> Result<Option<&str>, Error> {
        match &self.task {
            Some(_) if self.yes || !self.filter.words().is_empty() => {
                Err(Error::Usage("filters and --yes go with --all; a task is named by its id alone".to_owned()))
            }
            task => Ok(task.as_deref()),
        }
    }
}

/// How many there were so far.
#[derive(Default)]
struct Tally {
    matched: u64,
    changed: u64,
    skipped: u64,
}

/// Changes all tasks that are meant, once whoever sits at the terminal has said yes.
pub(super) async fn run(session: &Session, action: Action, args: BulkArgs) -> Result<(), Error> {
    let filter = args.filter.parameters(session).await?;
    let mut request = session.client.get(&["tasks"]).query("limit", Some(1));
    for (name, value) in &filter {
        request = request.query(name, Some(value));
    }
    let total = request.send().await?.value["total"].as_u64().unwrap_or(0);
    if !args.yes && total > 0 {
        confirm(action, total, &args.filter.words())?;
    }
    let mut body: Map<String, Value> =
        filter.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    body.insert("all".to_owned(), true.into());
    body.insert("limit".to_owned(), PART.into());
    let mut tally = Tally::default();
    if total > 0 {
        let changed = change(session, action, body, total, &mut tally).await;
        if changed.is_err() && tally.changed > 0 {
            session.out.say(&format!("{} tasks are {} before this:", tally.changed, action.done()));
        }
        changed?;
    }
    report(session, action, &tally)
}

/// Goes on until the service says that there are no more. On a terminal a bar shows how far it is.
async fn change(
    session: &Session,
    action: Action,
    mut body: Map<String, Value>,
    total: u64,
    tally: &mut Tally,
) -> Result<(), Error> {
    let bar = ProgressBar::new(total);
    loop {
        let request = session.client.post(&["tasks", action.word()]).json(&Value::Object(body.clone()));
        let answer = request.send().await?;
        let count = |name: &str| answer.value[name].as_u64().unwrap_or(0);
        tally.matched += count("matched");
        tally.changed += count("changed");
        tally.skipped += count("skipped");
        bar.set_position(tally.matched);
        if !answer.has_more() {
            bar.finish_and_clear();
            return Ok(());
        }
        body.insert("cursor".to_owned(), field(&answer.value, "next_cursor").into());
    }
}

fn confirm(action: Action, total: u64, filter: &str) -> Result<(), Error> {
    let word = action.word();
    if !prompt::is_possible() {
        return Err(Error::Usage(format!("{total} tasks would be looked at; say --yes to {word} them")));
    }
    let which = if filter.is_empty() { "every task there is".to_owned() } else { filter.to_owned() };
    let question = format!("{word} {total} task(s) ({which})?");
    if prompt::terminal().is_confirmed(&question)? { Ok(()) } else { Err(Error::Failed("nothing was done".to_owned())) }
}

fn report(session: &Session, action: Action, tally: &Tally) -> Result<(), Error> {
    let Tally { matched, changed, skipped } = *tally;
    if session.out.is_json() {
        return session.out.text(&json!({"matched": matched, "changed": changed, "skipped": skipped}).to_string());
    }
    let others =
        if skipped > 0 { format!(", {skipped} were in a state that does not allow it") } else { String::new() };
    session.out.say(&format!("{changed} of {matched} tasks are {}{others}", action.done()));
    Ok(())
}
