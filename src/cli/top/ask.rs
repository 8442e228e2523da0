//! Asks the service for all that `top` shows.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::super::client::{Client, Request};
use super::super::{Error, Session, task_view};
use super::reading::{Page, Statistics, Task};
use super::state::Answers;

/// How long an answer is waited for: one that hangs must not hold the others back for long.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most running tasks that are listed, the newest of them.
const RUNNING: u32 = 50;
/// Most sources, a page of them.
const SOURCES: u32 = 100;
/// Tasks count as submitted this much later than they were made: what is being stored at the moment is not missed.
const LAG: TimeDelta = TimeDelta::seconds(1);
/// Beyond any page: only how many there are is wanted, and no task may bring its input and output along.
const NO_ITEMS: u32 = 1_000_000_000;

/// One round of questions, all at once. `since` is when the statistics were asked for before.
pub(super) async fn ask(session: &Session, since: Option<DateTime<Utc>>, wants_names: bool) -> Answers {
    let client = &session.client;
    let running = client.get(&["tasks"]).query("status", Some("running")).query("limit", Some(RUNNING));
    let (health, workers, queues, running, sources, checks, statistics, names) = tokio::join!(
        get(client.get_health()),
        get(client.get(&["workers"])),
        get(client.get(&["queues"])),
        get(running),
        get(client.get(&["sources"]).query("limit", Some(SOURCES))),
        get(client.get(&["diagnosis"])),
        statistics(client, since),
        async {
            if !wants_names {
                return None;
            }
            timeout(PATIENCE, task_view::workflow_names(session)).await.ok()?.ok()
        },
    );
    Answers { health, workers, queues, running, sources, checks, statistics, names }
}

async fn statistics(client: &Client, since: Option<DateTime<Utc>>) -> Result<(Statistics, u64), Error> {
    let statistics: Statistics = get(client.get(&["stats"]).query("window", Some("hour"))).await?;
    let Some(since) = since else { return Ok((statistics, 0)) };
    let time = |at: DateTime<Utc>| Some((at - LAG).to_rfc3339_opts(SecondsFormat::Micros, true));
    let made = client.get(&["tasks"]).query("created_after", time(since));
    let made = made.query("created_before", time(statistics.until)).query("limit", Some(1));
    let made: Page<Task> = get(made.query("offset", Some(NO_ITEMS))).await?;
    Ok((statistics, made.total))
}

async fn get<T: DeserializeOwned>(request: Request<'_>) -> Result<T, Error> {
    let answer = timeout(PATIENCE, request.send()).await;
    let answer = answer.map_err(|_| Error::Unavailable(format!("no answer within {} s", PATIENCE.as_secs())))??;
    serde_json::from_value(answer.value)
        .map_err(|error| Error::Failed(format!("the answer is not what this version of the program expects: {error}")))
}
