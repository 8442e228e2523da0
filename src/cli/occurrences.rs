//! `schedules occurrences`: what became of the times of a schedule.

use clap::Args;
use serde_json::Value;

use super::render::{field, relative, short_task_ids, shorten, time};
use super::table::Column::{Drop, Keep, Shrink};
use super::{Error, Session, resolve};
use crate::domain::clock::now;

/// Which occurrences to list.
#[derive(Args, Debug)]
pub(super) struct OccurrencesArgs {
    /// The schedule's id or a beginning of it
    schedule: String,
    /// Only those that came to this: made, skipped, missed or expired
    #[arg(short, long)]
    status: Option<String>,
    /// Only those due after this time, for example 2026-11-24T08:00:00Z
    #[arg(long, value_name = "TIME")]
    after: Option<String>,
    /// Only those due before this time
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// How many
    #[arg(short = 'n', long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// How many to pass over
    #[arg(long)]
    offset: Option<u64>,
}

pub(super) async fn run(session: &Session, args: OccurrencesArgs) -> Result<(), Error> {
    let id = resolve::id(&session.client, &resolve::SCHEDULE, &args.schedule).await?;
    let request = session
        .client
        .get(&["schedules", &id, "occurrences"])
        .query("status", args.status)
        .query("after", args.after)
        .query("before", args.before)
        .query("limit", Some(args.limit))
        .query("offset", args.offset);
    let answer = request.send().await?;
    if session.out.is_json() {
        return session.out.json(&answer);
    }
    let now = now();
    let made = |item: &&Value| item["task_id"].is_string();
    let ids: Vec<String> = answer.items().iter().filter(made).map(|item| field(item, "task_id")).collect();
    let mut short = short_task_ids(&ids).into_iter();
    let rows = answer.items().iter().map(|item| {
        let task = if made(&item) { short.next().unwrap_or_default() } else { String::new() };
        vec![
            field(item, "scheduled_for"),
            relative(time(item, "scheduled_for"), now),
            field(item, "status"),
            task,
            field(item, "task_status"),
            shorten(&reason(item), 100),
        ]
    });
    let columns = [Keep("DUE"), Drop("WHEN"), Keep("STATUS"), Keep("TASK"), Keep("TASK STATUS"), Shrink("REASON")];
    session.out.rows(&columns, rows.collect(), "no occurrences")?;
    session.out.page_hint(&answer);
    Ok(())
}

/// The reason, and how many others it holds for.
fn reason(item: &Value) -> String {
    match (field(item, "detail"), item["earlier"].as_u64().unwrap_or(0)) {
        (detail, 0) => detail,
        (detail, earlier) => format!("and {earlier} before it: {detail}"),
    }
}
