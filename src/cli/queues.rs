//! `queues`: what waits, and stopping and starting its flow.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::render::{clean, field};
use super::table::Column::{Drop, Keep, Shrink};
use super::{Error, Session};

/// What to do with queues.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Every queue with what waits and runs
    List,
    /// Start nothing from a queue, on any node; what runs goes on, and tasks are accepted and wait
    Pause(QueueArgs),
    /// Start tasks of a queue again
    Resume(QueueArgs),
}

#[derive(Args, Debug)]
pub(super) struct QueueArgs {
    /// The queue's name; for `pause`, tasks need not be there yet
    queue: String,
}

pub(super) async fn run(session: &Session, command: Command) -> Result<(), Error> {
    match command {
        Command::List => list(session).await,
        Command::Pause(QueueArgs { queue }) => {
            let answer = session.client.post(&["queues", &queue, "pause"]).send().await?;
            let words = format!("queue {queue} is paused: {}", waiting(&answer.value));
            session.out.done(&answer, &words)
        }
        Command::Resume(QueueArgs { queue }) => {
            let answer = session.client.post(&["queues", &queue, "resume"]).send().await?;
            session.out.done(&answer, &format!("queue {queue} goes on: {}", waiting(&answer.value)))
        }
    }
}

fn waiting(queue: &Value) -> String {
    format!("{} waiting, {} running", field(queue, "depth"), field(queue, "running"))
}

async fn list(session: &Session) -> Result<(), Error> {
    let answer = session.client.get(&["queues"]).send().await?;
    if session.out.is_json() {
        return session.out.json(&answer);
    }
    let rows = answer.items().iter().map(|queue| {
        vec![
            field(queue, "name"),
            if queue["paused"] == true { "paused" } else { "active" }.to_owned(),
            field(queue, "depth"),
            queue["oldest_age_s"].as_f64().map(|age| format!("{age:.0} s")).unwrap_or_default(),
            field(queue, "running"),
            field(queue, "limited"),
            field(queue, "delayed"),
            field(queue, "rate_per_min"),
            clean(&field(queue, "pools")),
        ]
    });
    let columns = [
        Keep("QUEUE"),
        Keep("STATE"),
        Keep("WAITING"),
        Keep("OLDEST"),
        Keep("RUNNING"),
        Drop("LIMITED"),
        Drop("DELAYED"),
        Drop("DONE/MIN"),
        Shrink("POOLS"),
    ];
    session.out.rows(&columns, rows.collect(), "no queues; no pool serves any, and nothing waits")
}
