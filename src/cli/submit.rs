//! Asks for a run of a workflow: `workflows run` and `tasks create`.

use std::io::{self, IsTerminal, Read};

use clap::Args;
use serde_json::{Map, Value};

use super::client::Answer;
use super::{Error, Session, follow, resolve, task_view};

/// What to run, and how.
#[derive(Args, Debug)]
pub(super) struct SubmitArgs {
    /// The workflow: its id, a beginning of it, its name, or the flow's id in its source
    workflow: String,
    /// What the workflow is given, passed on exactly; `-` reads it from stdin
    #[arg(short, long, visible_alias = "input-data", value_name = "TEXT", allow_hyphen_values = true)]
    input: String,
    /// Wait for the end of the task; the exit code is 1 if it does not complete
    #[arg(short, long, visible_alias = "run")]
    wait: bool,
    /// How often a transient error is tried again
    #[arg(long, value_name = "N")]
    max_retries: Option<u32>,
    /// Tasks of one session share the source's chat history
    #[arg(long, value_name = "ID")]
    session_id: Option<String>,
    /// The queue to wait in
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// 0 to 9; 9 goes first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// Seconds one attempt may take
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    /// Seconds to wait before the first attempt
    #[arg(long, value_name = "SECONDS", conflicts_with = "run_at")]
    delay: Option<u32>,
    /// When to start, for example 2026-12-24T18:00:00Z
    #[arg(long, value_name = "TIME")]
    run_at: Option<String>,
    /// The same key within 24 hours gives the same task again instead of a new one
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

pub(super) async fn run(session: &Session, args: SubmitArgs) -> Result<(), Error> {
    let input = read_input(&args.input)?;
    let workflow = resolve::id(&session.client, &resolve::WORKFLOW, &args.workflow).await?;
    let submitted = session
        .client
        .post(&["workflows", &workflow, "run"])
        .header("idempotency-key", args.idempotency_key.as_deref())
        .json(&body(input, &args))
        .send()
        .await?;
    if args.wait { follow(session, submitted).await } else { task_view::one(session, &submitted).await }
}

/// Waits for the end of a task and shows all of it; an error unless it completed.
pub(super) async fn follow(session: &Session, submitted: Answer) -> Result<(), Error> {
    let ended = follow::to_the_end(session, submitted).await?;
    task_view::whole(session, &ended).await?;
    follow::verdict(&ended.value)
}

fn body(input: String, args: &SubmitArgs) -> Value {
    let mut body = Map::new();
    body.insert("input_data".to_owned(), input.into());
    let optional = [
        ("session_id", args.session_id.clone().map(Value::from)),
        ("queue", args.queue.clone().map(Value::from)),
        ("priority", args.priority.map(Value::from)),
        ("max_retries", args.max_retries.map(Value::from)),
        ("timeout", args.timeout.map(Value::from)),
        ("delay", args.delay.map(Value::from)),
        ("run_at", args.run_at.clone().map(Value::from)),
    ];
    body.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    body.into()
}

/// The text itself, or all of stdin. A last line end is the shell's, not the user's.
pub(super) fn read_input(given: &str) -> Result<String, Error> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    if io::stdin().is_terminal() {
        let _ = io::Write::write_all(&mut io::stderr(), b"input, ended by Ctrl-D:\n");
    }
    let mut text = String::new();
    io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Error::Usage(format!("stdin can't be read as input: {error}; it must be UTF-8 text")))?;
    Ok(text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line)).to_owned())
}
