//! `schedules`: rules that run workflows by the clock.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Answer;
use super::occurrences::OccurrencesArgs;
use super::render::{field, input, relative, short_ids, shorten, time};
use super::schedule_form::CreateArgs;
use super::schedule_preview::PreviewArgs;
use super::table::Column::{Drop, Keep, Shrink};
use super::{Error, Session, occurrences, resolve, schedule_form, schedule_preview, submit, task_view};
use crate::domain::clock::now;

/// What to do with schedules.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make one; on a terminal, what is not given is asked for
    Create(Box<CreateArgs>),
    /// Newest first
    List(ListArgs),
    /// Change one
    Update(UpdateArgs),
    /// The same as `update ID set-expression`
    #[command(alias = "set_expression")]
    SetExpression(SetExpressionArgs),
    /// The same as `update ID set-input`
    SetInput(SetInputArgs),
    /// Remove one; its tasks stay
    Delete(ScheduleArgs),
    /// What became of its times: made, skipped, missed or expired, the latest first
    Occurrences(OccurrencesArgs),
    /// The next runs of one, or of a rule before it is one, with changes of the clock
    Preview(PreviewArgs),
}

/// Which schedules to list.
#[derive(Args, Debug)]
pub(super) struct ListArgs {
    /// Only of this workflow: its id, a beginning of it, or its name
    #[arg(long, visible_alias = "workflow", value_name = "WORKFLOW")]
    workflow_id: Option<String>,
    /// Only in this state: active, paused or completed
    #[arg(short, long)]
    status: Option<String>,
    /// How many
    #[arg(short = 'n', long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// How many to pass over
    #[arg(long)]
    offset: Option<u64>,
}

#[derive(Args, Debug)]
pub(super) struct ScheduleArgs {
    /// The schedule's id or a beginning of it
    schedule: String,
}

/// Which schedule to change, and how.
#[derive(Args, Debug)]
#[command(subcommand_value_name = "pause|resume|stop|set-expression|set-input|delete")]
pub(super) struct UpdateArgs {
    #[command(flatten)]
    schedule: ScheduleArgs,
    #[command(subcommand)]
    change: Change,
}

#[derive(Debug, Subcommand)]
enum Change {
    /// Make no tasks until it is resumed
    Pause,
    /// Make tasks again
    Resume,
    /// The same as pause: a stopped schedule can be resumed too
    Stop,
    /// Give it another rule of the same type
    SetExpression(Expression),
    /// Give its tasks another input
    SetInput(InputText),
    /// Remove it; its tasks stay
    Delete,
}

#[derive(Args, Debug)]
pub(super) struct SetExpressionArgs {
    #[command(flatten)]
    schedule: ScheduleArgs,
    #[command(flatten)]
    expression: Expression,
}

#[derive(Args, Debug)]
pub(super) struct SetInputArgs {
    #[command(flatten)]
    schedule: ScheduleArgs,
    #[command(flatten)]
    input: InputText,
}

#[derive(Args, Debug)]
struct Expression {
    /// For example '0 8 * * 1-5', 30m, or 2026-12-24T18:00
    expression: String,
}

#[derive(Args, Debug)]
struct InputText {
    /// Passed on exactly; `-` reads it from stdin
    #[arg(allow_hyphen_values = true)]
    input: String,
}

pub(super) async fn run(session: &Session, command: Command) -> Result<(), Error> {
    let (schedule, change) = match command {
        Command::Create(args) => return create(session, *args).await,
        Command::List(args) => return list(session, args).await,
        Command::Occurrences(args) => return occurrences::run(session, args).await,
        Command::Update(args) => (args.schedule, args.change),
        Command::SetExpression(args) => (args.schedule, Change::SetExpression(args.expression)),
        Command::SetInput(args) => (args.schedule, Change::SetInput(args.input)),
        Command::Delete(schedule) => (schedule, Change::Delete),
        Command::Preview(args) => return schedule_preview::run(session, args).await,
    };
    apply(session, &schedule.schedule, change).await
}

async fn create(session: &Session, args: CreateArgs) -> Result<(), Error> {
    let body = schedule_form::complete(session, args).await?;
    show(session, &session.client.post(&["schedules"]).json(&body).send().await?, true).await
}

async fn list(session: &Session, args: ListArgs) -> Result<(), Error> {
    let workflow = match &args.workflow_id {
        Some(typed) => Some(resolve::id(&session.client, &resolve::WORKFLOW, typed).await?),
        None => None,
    };
    let request = session
        .client
        .get(&["schedules"])
        .query("workflow_id", workflow)
        .query("status", args.status)
        .query("limit", Some(args.limit))
        .query("offset", args.offset);
    let answer = request.send().await?;
    show(session, &answer, false).await?;
    session.out.page_hint(&answer);
    Ok(())
}

async fn apply(session: &Session, typed: &str, change: Change) -> Result<(), Error> {
    let id = resolve::id(&session.client, &resolve::SCHEDULE, typed).await?;
    let client = &session.client;
    let answer = match change {
        Change::Pause | Change::Stop => client.post(&["schedules", &id, "disable"]).send().await?,
        Change::Resume => client.post(&["schedules", &id, "enable"]).send().await?,
        Change::SetExpression(Expression { expression }) => {
            client.patch(&["schedules", &id]).json(&json!({"schedule_expr": expression})).send().await?
        }
        Change::SetInput(InputText { input }) => {
            let input = submit::read_input(&input)?;
            client.patch(&["schedules", &id]).json(&json!({"input_value": input})).send().await?
        }
        Change::Delete => {
            let answer = client.delete(&["schedules", &id]).send().await?;
            return session.out.done(&answer, &format!("schedule {id} is deleted"));
        }
    };
    show(session, &answer, true).await
}

async fn show(session: &Session, answer: &Answer, is_one: bool) -> Result<(), Error> {
    if session.out.is_json() {
        return session.out.json(answer);
    }
    let schedules = if is_one { std::slice::from_ref(&answer.value) } else { answer.items() };
    let names = if schedules.is_empty() { Default::default() } else { task_view::workflow_names(session).await? };
    let mut ids: Vec<String> = schedules.iter().map(|schedule| field(schedule, "id")).collect();
    if !is_one {
        ids = short_ids(&ids);
    }
    let now = now();
    let rows = ids.into_iter().zip(schedules).map(|(id, schedule)| {
        vec![
            id,
            task_view::name_of(schedule, &names),
            field(schedule, "schedule_type"),
            rule(schedule),
            field(schedule, "status"),
            relative(time(schedule, "next_run_at"), now),
            relative(time(schedule, "last_run_at"), now),
            shorten(&input(&schedule["input_value"]), 30),
        ]
    });
    let columns = [
        Keep("ID"),
        Shrink("WORKFLOW"),
        Drop("TYPE"),
        Shrink("RULE"),
        Keep("STATUS"),
        Keep("NEXT RUN"),
        Drop("LAST RUN"),
        Drop("INPUT"),
    ];
    session.out.rows(&columns, rows.collect(), "no schedules; `automagik-spark schedules create` makes one")?;
    // Nobody paused these, so somebody should know why they are.
    for schedule in schedules.iter().filter(|schedule| schedule["status_reason"].is_string()) {
        let [id, status, reason] = ["id", "status", "status_reason"].map(|name| field(schedule, name));
        session.out.say(&format!("{id} is {status}: {reason}"));
    }
    Ok(())
}

/// The expression, with the timezone it is read in where that is not UTC.
fn rule(schedule: &Value) -> String {
    let (rule, zone) = (field(schedule, "schedule_expr"), field(schedule, "timezone"));
    if zone.is_empty() || zone == "UTC" { rule } else { format!("{rule} {zone}") }
}
