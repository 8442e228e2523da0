//! `audit`: who changed what.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::render::{field, relative, text, time};
use super::table::Column::{Drop, Keep, Shrink};
use super::{Error, Session};
use crate::domain::clock::now;

/// What to do with the audit trail.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Newest first
    List(ListArgs),
}

/// Which changes to list.
#[derive(Args, Debug)]
pub(super) struct ListArgs {
    /// Only by this key (its name), or by `configured key`
    #[arg(long)]
    actor: Option<String>,
    /// Only this action, for example `source.create`
    #[arg(long)]
    action: Option<String>,
    /// Only of this kind of thing: source, workflow, schedule, task, key
    #[arg(long = "type", value_name = "TYPE")]
    entity_type: Option<String>,
    /// Only of the thing with this id
    #[arg(long = "entity", value_name = "ID")]
    entity_id: Option<String>,
    /// Only from this time on, for example 2026-11-24T08:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// How many
    #[arg(short = 'n', long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// How many to pass over
    #[arg(long)]
    offset: Option<u64>,
}

pub(super) async fn run(session: &Session, command: Command) -> Result<(), Error> {
    let Command::List(args) = command;
    let answer = session
        .client
        .get(&["audit"])
        .query("actor", args.actor)
        .query("action", args.action)
        .query("entity_type", args.entity_type)
        .query("entity_id", args.entity_id)
        .query("since", args.since)
        .query("until", args.until)
        .query("limit", Some(args.limit))
        .query("offset", args.offset)
        .send()
        .await?;
    if session.out.is_json() {
        return session.out.json(&answer);
    }
    let now = now();
    let rows = answer.items().iter().map(|row| {
        vec![
            relative(time(row, "at"), now),
            field(row, "actor"),
            field(row, "action"),
            ended(row["status"].as_u64()),
            // Whole: it is what --entity takes.
            field(row, "entity_id"),
            field(row, "remote"),
            what(&row["summary"]),
        ]
    });
    let columns =
        [Keep("AT"), Shrink("ACTOR"), Keep("ACTION"), Keep("ENDED"), Keep("ENTITY"), Drop("FROM"), Shrink("WHAT")];
    session.out.rows(&columns, rows.collect(), "nothing was changed")?;
    session.out.page_hint(&answer);
    Ok(())
}

/// How a change ended.
fn ended(status: Option<u64>) -> String {
    match status {
        None => "unknown".to_owned(),
        Some(200..300) => "ok".to_owned(),
        Some(status) => format!("broke off ({status})"),
    }
}

/// A summary in a line: `name=flow url=http://h (api_key)`. What was asked for comes first.
fn what(summary: &Value) -> String {
    let mut words = Vec::new();
    let (asked, told): (Vec<_>, Vec<_>) =
        summary.as_object().into_iter().flatten().partition(|(name, _)| ["changed", "filter"].contains(&name.as_str()));
    for (name, value) in asked.into_iter().chain(told) {
        match value {
            Value::Object(fields) => words.extend(fields.iter().map(|(name, value)| format!("{name}={}", text(value)))),
            Value::Array(names) => words.push(format!("({})", names.iter().map(text).collect::<Vec<_>>().join(", "))),
            value => words.push(format!("{name}={}", text(value))),
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_end_that_nobody_noted_is_unknown() {
        let told = [None, Some(201), Some(503)].map(ended);
        assert_eq!(told, ["unknown", "ok", "broke off (503)"]);
    }

    #[test]
    fn a_summary_fits_a_line() {
        let summary = json!({"status": "active", "changed": {"name": "flow", "priority": 3}, "not_shown": ["api_key"]});
        assert_eq!(what(&summary), "name=flow priority=3 status=active (api_key)");
        assert_eq!(what(&Value::Null), "");
    }
}
