//! What a new schedule is made of: flags, and questions for what they leave open.

use std::io::{BufRead, Write};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::prompt::{self, Prompt};
use super::render::field;
use super::{Error, Session, resolve, submit};

/// When a schedule makes tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Type {
    /// Every so often: 30s, 5m, 2h, 1d
    Interval,
    /// By the calendar: minute hour day month weekday
    Cron,
    /// Once
    OneTime,
}

impl Type {
    const ALL: [Self; 3] = [Self::Interval, Self::Cron, Self::OneTime];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Interval => "interval",
            Self::Cron => "cron",
            Self::OneTime => "one-time",
        }
    }

    fn explained(self) -> &'static str {
        match self {
            Self::Interval => "interval: every so often, like 30s, 5m, 2h or 1d",
            Self::Cron => "cron: by the calendar, like '0 8 * * 1-5' (weekdays at 8) or @daily",
            Self::OneTime => "one-time: once, now or like 2026-12-24 18:00",
        }
    }

    fn question(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Interval => ("How often", Some("1h")),
            Self::Cron => ("Cron expression", Some("0 8 * * *")),
            Self::OneTime => ("When", Some("now")),
        }
    }
}

/// A new schedule.
#[derive(Args, Debug)]
pub(super) struct CreateArgs {
    /// What to run: the workflow's id, a beginning of it, or its name
    #[arg(short, long, visible_alias = "workflow-id")]
    workflow: Option<String>,
    /// How it goes by the clock
    #[arg(short = 't', long = "type", visible_alias = "schedule-type", value_enum, value_name = "TYPE")]
    kind: Option<Type>,
    /// When: 30m, '0 8 * * 1-5', now, 2026-12-24T18:00
    #[arg(short, long, visible_aliases = ["expression", "schedule-expr"], value_name = "EXPRESSION")]
    expr: Option<String>,
    /// What its tasks are given, passed on exactly; `-` reads it from stdin
    #[arg(short, long, visible_aliases = ["input-value", "input-data"], value_name = "TEXT", allow_hyphen_values = true)]
    input: Option<String>,
    /// The timezone the expression is read in, like Europe/Berlin
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// What to do about runs missed while Spark was down: skip, last or all
    #[arg(long, value_name = "POLICY")]
    missed_policy: Option<String>,
    /// What to do while the last run still goes on: allow, skip or queue-one
    #[arg(long, value_name = "POLICY")]
    overlap_policy: Option<String>,
    /// Start up to so many seconds later, by chance
    #[arg(long, value_name = "SECONDS")]
    jitter_s: Option<u32>,
    /// A missed occurrence older than so many seconds is not made up for
    #[arg(long, value_name = "SECONDS")]
    expires_s: Option<u32>,
    /// The queue its tasks wait in
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// 0 to 9; 9 goes first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,
}

/// The request's body. Asks for what is missing if somebody is there to answer, and else says what is missing.
pub(super) async fn complete(session: &Session, mut args: CreateArgs) -> Result<Value, Error> {
    let missing = missing(&args);
    if !missing.is_empty() {
        if !prompt::is_possible() {
            return Err(Error::Usage(format!("missing: {}; `schedules create --help` tells more", missing.join(", "))));
        }
        if args.workflow.is_none() {
            args.workflow = Some(ask_workflow(session).await?);
        }
        ask(&mut prompt::terminal(), &mut args)?;
    }
    if let Some(given) = &args.input {
        args.input = Some(submit::read_input(given)?);
    }
    let workflow =
        resolve::id(&session.client, &resolve::WORKFLOW, args.workflow.as_deref().unwrap_or_default()).await?;
    Ok(body(workflow, args))
}

fn missing(args: &CreateArgs) -> Vec<&'static str> {
    let flags =
        [("--workflow", args.workflow.is_none()), ("--type", args.kind.is_none()), ("--expr", args.expr.is_none())];
    flags.into_iter().filter(|(_, is_missing)| *is_missing).map(|(flag, _)| flag).collect()
}

async fn ask_workflow(session: &Session) -> Result<String, Error> {
    let (workflows, _) = resolve::all(&session.client, "workflows", 1).await?;
    if workflows.is_empty() {
        return Err(Error::Failed("there is no workflow yet; `automagik-spark workflows sync` brings one".to_owned()));
    }
    let options: Vec<String> =
        workflows.iter().map(|item| format!("{} ({})", field(item, "name"), field(item, "source"))).collect();
    let chosen = prompt::terminal().choice("Which workflow", &options)?;
    Ok(field(&workflows[chosen], "id"))
}

fn ask<R: BufRead, W: Write>(prompt: &mut Prompt<R, W>, args: &mut CreateArgs) -> Result<(), Error> {
    let kind = match args.kind {
        Some(kind) => kind,
        None => Type::ALL[prompt.choice("What type", &Type::ALL.map(|kind| kind.explained().to_owned()))?],
    };
    args.kind = Some(kind);
    if args.expr.is_none() {
        let (question, default) = kind.question();
        args.expr = Some(prompt.text(question, default)?);
    }
    if args.input.is_none() {
        let input = prompt.text("Input for its tasks (empty: the service's default)", Some(""))?;
        args.input = (!input.is_empty()).then_some(input);
    }
    Ok(())
}

fn body(workflow: String, args: CreateArgs) -> Value {
    let fields = [
        ("workflow_id", Some(Value::from(workflow))),
        ("schedule_type", args.kind.map(|kind| kind.as_str().into())),
        ("schedule_expr", args.expr.map(Value::from)),
        ("input_value", args.input.map(Value::from)),
        ("timezone", args.timezone.map(Value::from)),
        ("missed_policy", args.missed_policy.map(Value::from)),
        ("overlap_policy", args.overlap_policy.map(Value::from)),
        ("jitter_s", args.jitter_s.map(Value::from)),
        ("expires_s", args.expires_s.map(Value::from)),
        ("queue", args.queue.map(Value::from)),
        ("priority", args.priority.map(Value::from)),
    ];
    let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(given.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::super::prompt::tests::scripted;
    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: CreateArgs,
    }

    fn typed(line: &str) -> CreateArgs {
        let line = Line::try_parse_from(std::iter::once("x").chain(line.split_whitespace()));
        line.map(|line| line.args).expect("valid")
    }

    #[test]
    fn only_what_is_open_is_asked() {
        let mut args = typed("--workflow w --type cron");
        assert_eq!(missing(&args), ["--expr"]);
        ask(&mut scripted("*/5 * * * *\nHi there\n"), &mut args).expect("answered");
        assert_eq!(
            body("w".to_owned(), args),
            json!({"workflow_id": "w", "schedule_type": "cron", "schedule_expr": "*/5 * * * *", "input_value": "Hi there"})
        );
    }

    #[test]
    fn a_type_is_chosen_by_its_number_and_defaults_are_taken() {
        let mut args = typed("--workflow w");
        ask(&mut scripted("3\n\n\n"), &mut args).expect("answered");
        assert_eq!(
            body("w".to_owned(), args),
            json!({"workflow_id": "w", "schedule_type": "one-time", "schedule_expr": "now"})
        );
    }

    #[test]
    fn nothing_is_asked_that_was_given() {
        let args = typed("--workflow w --type interval --expr 5m --queue low_priority --jitter-s 3");
        assert!(missing(&args).is_empty());
        let body = body("w".to_owned(), args);
        assert_eq!((&body["queue"], &body["jitter_s"]), (&json!("low_priority"), &json!(3)));
    }
}
