//! `tasks watch`: what happens to tasks, as it happens.

use std::time::Duration;

use chrono::Local;
use clap::Args;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::event_stream::{Event, EventStream};
use super::render::{field, shorten, time};
use super::{Error, Session, follow, resolve};

/// Pause before a stream that broke off is opened again.
const PAUSE: Duration = Duration::from_secs(2);
/// How long the service may be away (a restart) before watching is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to watch.
#[derive(Args, Debug)]
pub(super) struct WatchArgs {
    /// One task, until it has ended: its id or a beginning of it. All tasks where none is given
    #[arg(conflicts_with_all = ["workflow", "schedule", "queue", "status"])]
    task: Option<String>,
    /// Only of this workflow: its id, a beginning of it, or its name
    #[arg(long)]
    workflow: Option<String>,
    /// Only of this schedule: its id or a beginning of it
    #[arg(long)]
    schedule: Option<String>,
    /// Only of this queue
    #[arg(long)]
    queue: Option<String>,
    /// Only what enters this state
    #[arg(short, long)]
    status: Option<String>,
}

pub(super) async fn run(session: &Session, args: WatchArgs) -> Result<(), Error> {
    let client = &session.client;
    let id = async |kind, typed: Option<&String>| match typed {
        Some(typed) => resolve::id(client, kind, typed).await.map(Some),
        None => Ok(None),
    };
    let task = id(&resolve::TASK, args.task.as_ref()).await?;
    let workflow = id(&resolve::WORKFLOW, args.workflow.as_ref()).await?;
    let schedule = id(&resolve::SCHEDULE, args.schedule.as_ref()).await?;
    let path: Vec<&str> = task.as_deref().map_or(vec!["events"], |id| vec!["tasks", id, "events"]);
    let open = async |last_id: Option<&str>| {
        let request = client.get(&path).query("workflow_id", workflow.as_ref()).query("schedule_id", schedule.as_ref());
        let request = request.query("queue", args.queue.as_ref()).query("status", args.status.as_ref());
        request.header("last-event-id", last_id).open().await
    };
    let mut stream = open(None).await?;
    let mut last_id: Option<String> = None;
    loop {
        let why = match listen(session, &mut stream, task.is_some()).await {
            Ok(Heard::End(task)) => return follow::verdict(&task),
            Ok(Heard::Break) => "the service ended the stream".to_owned(),
            Err(error) if error.is_transient() => error.to_string(),
            Err(error) => return Err(error),
        };
        session.out.say(&format!("{why}; connecting again"));
        last_id = stream.last_id().map(str::to_owned).or(last_id);
        let broke_at = Instant::now();
        stream = loop {
            sleep(PAUSE).await;
            match open(last_id.as_deref()).await {
                Ok(stream) => break stream,
                Err(error) if error.is_transient() && broke_at.elapsed() < PATIENCE => {
                    log::debug!("not yet: {error}");
                }
                Err(error) => return Err(error),
            }
        };
    }
}

/// How listening came to its end.
enum Heard {
    /// With the task's.
    End(Value),
    /// The stream ended before.
    Break,
}

async fn listen(session: &Session, stream: &mut EventStream, is_of_task: bool) -> Result<Heard, Error> {
    while let Some(Event { name, data }) = stream.next().await? {
        match name.as_str() {
            "task" => {
                let line = if session.out.is_json() { data.to_string() } else { line(&data) };
                session.out.text(&line)?;
                if is_of_task && let Some(task) = data.get("task") {
                    return Ok(Heard::End(task.clone()));
                }
            }
            "deleted" => return Err(Error::Failed("the task was deleted".to_owned())),
            "gap" => session.out.say(&format!("something is missing here: {}", field(&data, "detail"))),
            // Also `shutdown`, after which the stream ends.
            _ => log::debug!("{name}: {data}"),
        }
    }
    Ok(Heard::Break)
}

fn line(data: &Value) -> String {
    let at = time(data, "at").map(|at| at.with_timezone(&Local).format("%H:%M:%S%.3f").to_string());
    let (id, status, attempt) = (field(data, "id"), field(data, "status"), field(data, "attempt"));
    let mut line = format!("{}  {id}  {status:<9}", at.unwrap_or_default());
    if attempt != "0" {
        line.push_str(&format!("  attempt {attempt}"));
    }
    let error = field(data, "error");
    if !error.is_empty() {
        line.push_str(&format!("  {}", shorten(&error, 200)));
    }
    shorten(line.trim_end(), 400)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_says_what_happened_to_which_task() {
        let data = |status: &str, attempt: i32, error: Value| json!({"id": "0192f3a1", "status": status, "attempt": attempt, "at": "2026-01-02T03:04:05Z", "error": error});
        assert!(line(&data("pending", 0, Value::Null)).ends_with("  0192f3a1  pending"));
        let failed = line(&data("failed", 4, json!("refused\u{1b}[31m")));
        assert!(failed.ends_with("  0192f3a1  failed     attempt 4  refused\u{fffd}[31m"), "{failed}");
    }
}
