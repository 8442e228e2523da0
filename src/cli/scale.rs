//! `worker scale`: another size for a pool that runs.

use clap::Args;
use serde_json::json;

use super::render::field;
use super::{Error, Session};

/// Which pool, and how large.
#[derive(Args, Debug)]
pub(super) struct ScaleArgs {
    /// The pool's name
    pool: String,
    /// Child processes
    workers: u32,
    /// Tasks that each runs at the same time; as it is unless given
    #[arg(long)]
    threads: Option<u32>,
}

pub(super) async fn run(session: &Session, args: ScaleArgs) -> Result<(), Error> {
    let ScaleArgs { pool, workers, threads } = args;
    let body = match threads {
        Some(threads) => json!({"workers": workers, "threads": threads}),
        None => json!({"workers": workers}),
    };
    let answer = session.client.patch(&["pools", &pool]).json(&body).send().await?;
    let now = |name: &str| field(&answer.value, name);
    let words = format!(
        "pool {pool} is to have {} workers of {} threads: {} ready, {} starting, {} finishing what they run",
        now("workers"),
        now("threads"),
        now("ready"),
        now("starting"),
        now("draining")
    );
    session.out.done(&answer, &words)?;
    if !session.out.is_json() && answer.value["kept_on_restart"] == false {
        session.out.say("on this node only, and until it is restarted or reloaded: then it has what spark.toml says");
    }
    Ok(())
}
