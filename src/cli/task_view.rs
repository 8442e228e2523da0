//! How tasks are shown.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::client::Answer;
use super::render::{clean_lines, duration, field, full_time, input, relative, short_task_ids, shorten, text, time};
use super::table::Column::{self, Drop, Keep, Shrink};
use super::{Error, Session, resolve};
use crate::domain::clock::now;

const COLUMNS: [Column; 8] = [
    Keep("ID"),
    Shrink("WORKFLOW"),
    Keep("STATUS"),
    Drop("TRIES"),
    Drop("QUEUE"),
    Drop("CREATED"),
    Drop("DURATION"),
    Shrink("ERROR"),
];
const ATTEMPT_COLUMNS: [Column; 6] =
    [Keep("#"), Keep("STATUS"), Drop("STARTED"), Drop("DURATION"), Keep("CODE"), Shrink("ERROR")];
const ERROR_LIMIT: usize = 60;
/// Names come from the list of workflows; more pages than this are not worth the wait.
const NAME_PAGES: usize = 5;

/// A page of tasks.
pub(super) async fn list(session: &Session, answer: &Answer) -> Result<(), Error> {
    if session.out.is_json() {
        return session.out.json(answer);
    }
    let tasks = answer.items();
    let names = if tasks.is_empty() { HashMap::new() } else { workflow_names(session).await? };
    let ids = short_task_ids(&tasks.iter().map(|task| field(task, "id")).collect::<Vec<_>>());
    let now = now();
    let rows = ids.into_iter().zip(tasks).map(|(id, task)| row(id, task, &names, now)).collect();
    session.out.rows(&COLUMNS, rows, "no tasks")?;
    session.out.page_hint(answer);
    Ok(())
}

/// One task in a line, with its whole id.
pub(super) async fn one(session: &Session, answer: &Answer) -> Result<(), Error> {
    if session.out.is_json() {
        return session.out.json(answer);
    }
    let task = &answer.value;
    let names = workflow_names(session).await?;
    session.out.rows(&COLUMNS, vec![row(field(task, "id"), task, &names, now())], "no task")
}

/// Everything about one task, with its attempts where the service keeps them.
pub(super) async fn whole(session: &Session, answer: &Answer) -> Result<(), Error> {
    if session.out.is_json() {
        return session.out.json(answer);
    }
    let task = &answer.value;
    let now = now();
    let names = workflow_names(session).await?;
    session.out.fields(&[
        ("id", field(task, "id")),
        ("workflow", format!("{} ({})", name_of(task, &names), field(task, "workflow_id"))),
        ("schedule", field(task, "schedule_id")),
        ("status", field(task, "status")),
        ("tries", field(task, "tries")),
        ("max retries", field(task, "max_retries")),
        ("next retry", full_time(task, "next_retry_at", now)),
        ("queue", field(task, "queue")),
        ("priority", field(task, "priority")),
        ("created", full_time(task, "created_at", now)),
        ("started", full_time(task, "started_at", now)),
        ("finished", full_time(task, "finished_at", now)),
        ("duration", duration(task, now)),
    ])?;
    section(session, "INPUT", &input(&task["input_data"]))?;
    section(session, "RESULT", &result(task))?;
    section(session, "ERROR", &field(task, "error"))?;
    attempts(session, &field(task, "id"), now).await
}

/// The names of workflows by id. What can't be had is shown by its id: a name is no reason to fail.
pub(super) async fn workflow_names(session: &Session) -> Result<HashMap<String, String>, Error> {
    match resolve::all(&session.client, "workflows", NAME_PAGES).await {
        Ok((workflows, _)) => Ok(workflows.iter().map(|item| (field(item, "id"), field(item, "name"))).collect()),
        Err(error @ Error::Refused { .. }) => {
            log::debug!("the workflows' names can't be had: {error}");
            Ok(HashMap::new())
        }
        Err(error) => Err(error),
    }
}

/// The name of the workflow an item belongs to, or the beginning of its id.
pub(super) fn name_of(item: &Value, names: &HashMap<String, String>) -> String {
    let id = field(item, "workflow_id");
    names.get(&id).map_or_else(|| id.chars().take(8).collect(), |name| shorten(name, 40))
}

fn row(id: String, task: &Value, names: &HashMap<String, String>, now: DateTime<Utc>) -> Vec<String> {
    vec![
        id,
        name_of(task, names),
        field(task, "status"),
        field(task, "tries"),
        field(task, "queue"),
        relative(time(task, "created_at"), now),
        duration(task, now),
        shorten(&field(task, "error"), ERROR_LIMIT),
    ]
}

/// The answer's text; where there is none, the answer.
fn result(task: &Value) -> String {
    let result = field(task, "result");
    if result.is_empty() { text(&task["output_data"]) } else { result }
}

fn section(session: &Session, title: &str, body: &str) -> Result<(), Error> {
    if body.is_empty() {
        return Ok(());
    }
    session.out.text(&format!("\n{title}\n{}", clean_lines(body)))
}

async fn attempts(session: &Session, id: &str, now: DateTime<Utc>) -> Result<(), Error> {
    let answer = match session.client.get(&["tasks", id, "attempts"]).send().await {
        Ok(answer) if !answer.items().is_empty() => answer,
        Ok(_) => return Ok(()),
        Err(Error::Refused { status: 404 | 405, .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    let rows = answer.items().iter().map(|attempt| {
        vec![
            field(attempt, "attempt"),
            field(attempt, "status"),
            relative(time(attempt, "started_at"), now),
            duration(attempt, now),
            field(attempt, "code"),
            shorten(&field(attempt, "error"), ERROR_LIMIT),
        ]
    });
    session.out.text("\nATTEMPTS")?;
    session.out.rows(&ATTEMPT_COLUMNS, rows.collect(), "no attempts")
}
