//! `workflows`: flows of sources that Spark knows.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::Answer;
use super::limits::{self, LimitArgs};
use super::progress::Progress;
use super::render::{field, relative, short_ids, shorten, time};
use super::submit::SubmitArgs;
use super::table::Column::{Drop, Keep, Shrink};
use super::{Error, Session, resolve, submit};
use crate::domain::clock::now;

/// What to do with workflows.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Newest first
    List(ListArgs),
    /// Bring flows of a source into Spark, or up to date; without FLOW_ID, list the flows that sources offer
    Sync(SyncArgs),
    /// Ask for a run, and print the task
    Run(SubmitArgs),
    /// Change what is given: limits, and what is done where the outcome of an attempt is unknown
    Update(UpdateArgs),
    /// Remove a workflow with its tasks and schedules
    Delete(DeleteArgs),
}

/// Which workflows to list.
#[derive(Args, Debug)]
pub(super) struct ListArgs {
    /// Only of this source: its url or name
    #[arg(long)]
    source: Option<String>,
    /// Only with this name
    #[arg(long)]
    name: Option<String>,
    /// Only of this folder
    #[arg(long)]
    folder: Option<String>,
    /// How many
    #[arg(short = 'n', long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// How many to pass over
    #[arg(long)]
    offset: Option<u64>,
}

/// Which flows to sync.
#[derive(Args, Debug)]
pub(super) struct SyncArgs {
    /// The flows' ids in their source
    #[arg(value_name = "FLOW_ID")]
    flow_ids: Vec<String>,
    /// Every flow that the source offers, or every source
    #[arg(long, conflicts_with = "flow_ids")]
    all: bool,
    /// The source: its url, its name, its id or a beginning of it; not needed while there is only one
    #[arg(long)]
    source: Option<String>,
    /// The component that takes the input; found by itself if not given
    #[arg(long, value_name = "ID", requires = "flow_ids")]
    input_component: Option<String>,
    /// The component whose answer is the result; found by itself if not given
    #[arg(long, value_name = "ID", requires = "flow_ids")]
    output_component: Option<String>,
    /// Which page of the offered flows to show
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    page: u32,
    /// How many flows a page has
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    page_size: u32,
}

/// What to change of a workflow.
#[derive(Args, Debug)]
pub(super) struct UpdateArgs {
    /// The workflow: its id, a beginning of it, or its name
    workflow: String,
    #[command(flatten)]
    limits: LimitArgs,
    /// Where it is unknown whether an attempt ran: retry, fail, or source for what its source's policy says
    #[arg(long, value_name = "POLICY", value_parser = ["retry", "fail", "source"])]
    unknown_policy: Option<String>,
}

/// Which workflow to delete.
#[derive(Args, Debug)]
pub(super) struct DeleteArgs {
    /// The workflow: its id, a beginning of it, or its name
    workflow: String,
}

pub(super) async fn run(session: &Session, command: Command) -> Result<(), Error> {
    match command {
        Command::List(args) => list(session, args).await,
        Command::Sync(args) if args.all || !args.flow_ids.is_empty() => sync(session, &args).await,
        Command::Sync(args) => remote_flows(session, args).await,
        Command::Run(args) => submit::run(session, args).await,
        Command::Update(args) => update(session, args).await,
        Command::Delete(args) => {
            let id = resolve::id(&session.client, &resolve::WORKFLOW, &args.workflow).await?;
            let answer = session.client.delete(&["workflows", &id]).send().await?;
            session.out.done(&answer, &format!("workflow {id} is deleted"))
        }
    }
}

async fn update(session: &Session, args: UpdateArgs) -> Result<(), Error> {
    let mut body = Map::new();
    args.limits.add_to(&mut body);
    if let Some(policy) = args.unknown_policy {
        body.insert("unknown_policy".to_owned(), Some(policy).filter(|policy| policy != "source").into());
    }
    if body.is_empty() {
        let message = "nothing to change is given; say --max-concurrency, --rate or --unknown-policy";
        return Err(Error::Usage(message.to_owned()));
    }
    let id = resolve::id(&session.client, &resolve::WORKFLOW, &args.workflow).await?;
    let answer = session.client.patch(&["workflows", &id]).json(&Value::Object(body)).send().await?;
    if session.out.is_json() { session.out.json(&answer) } else { show(session, &[answer.value], true) }
}

/// Brings the flows in one after another. One that can't be had does not keep the others away.
async fn sync(session: &Session, args: &SyncArgs) -> Result<(), Error> {
    let flows = wanted(session, args).await?;
    if let [(flow, source)] = flows.as_slice() {
        let answer = sync_one(session, args, flow, source).await?;
        return if session.out.is_json() { session.out.json(&answer) } else { show(session, &[answer.value], true) };
    }
    if args.input_component.is_some() || args.output_component.is_some() {
        return Err(Error::Usage("the components of one flow are not those of another; sync it by itself".to_owned()));
    }
    let (mut synced, mut failed) = (Vec::new(), 0);
    let mut progress = Progress::of(flows.len());
    for (flow, source) in &flows {
        progress.show(flow);
        match sync_one(session, args, flow, source).await {
            Ok(answer) => synced.push(answer),
            Err(error @ Error::Refused { .. }) => {
                failed += 1;
                progress.say(&session.out, &format!("flow {flow}: {error}"));
            }
            Err(error) => return Err(error),
        }
        progress.advance();
    }
    drop(progress);
    if session.out.is_json() {
        session.out.json_list(&synced)?;
    } else {
        show(session, &synced.into_iter().map(|answer| answer.value).collect::<Vec<_>>(), false)?;
    }
    if failed > 0 {
        return Err(Error::Failed(format!("{failed} of {} flows were not synced", flows.len())));
    }
    Ok(())
}

/// The flows to sync, each with the url of its source.
async fn wanted(session: &Session, args: &SyncArgs) -> Result<Vec<(String, String)>, Error> {
    if args.all {
        let answer = offered(session, args).await?;
        return Ok(answer
            .items()
            .iter()
            .map(|flow| (field(flow, "id"), field(&flow["origin"], "source_url")))
            .collect());
    }
    let source = source_url(session, args.source.as_deref()).await?;
    Ok(args.flow_ids.iter().map(|flow| (flow.clone(), source.clone())).collect())
}

async fn sync_one(session: &Session, args: &SyncArgs, flow: &str, source: &str) -> Result<Answer, Error> {
    let body = json!({
        "source_url": source, "input_component": args.input_component, "output_component": args.output_component,
    });
    session.client.post(&["workflows", "sync", flow]).json(&without_nulls(body)).send().await
}

/// What the source, or every source, offers. One that can't be asked is told.
async fn offered(session: &Session, args: &SyncArgs) -> Result<Answer, Error> {
    let source = match &args.source {
        Some(source) => Some(source_url(session, Some(source)).await?),
        None => None,
    };
    let request =
        session.client.get(&["workflows", "remote"]).query("simplified", Some(true)).query("source_url", source);
    let answer = request.send().await?;
    if let Some(warnings) = answer.header("warnings") {
        session.out.say(&format!("warning: {warnings}"));
    }
    Ok(answer)
}

async fn list(session: &Session, args: ListArgs) -> Result<(), Error> {
    let request = session
        .client
        .get(&["workflows"])
        .query("source", args.source)
        .query("name", args.name)
        .query("folder", args.folder)
        .query("limit", Some(args.limit))
        .query("offset", args.offset);
    let answer = request.send().await?;
    if session.out.is_json() {
        return session.out.json(&answer);
    }
    show(session, answer.items(), false)?;
    session.out.page_hint(&answer);
    Ok(())
}

async fn remote_flows(session: &Session, args: SyncArgs) -> Result<(), Error> {
    let answer = offered(session, &args).await?;
    if session.out.is_json() {
        return session.out.json(&answer);
    }
    let flows = answer.items();
    let size = usize::try_from(args.page_size).unwrap_or(usize::MAX);
    let passed = usize::try_from(args.page - 1).unwrap_or(usize::MAX).saturating_mul(size);
    let rows: Vec<Vec<String>> = flows.iter().skip(passed).take(size).map(flow_row).collect();
    let shown = rows.len();
    session.out.rows(
        &[Keep("FLOW ID"), Shrink("NAME"), Shrink("SOURCE"), Shrink("DESCRIPTION")],
        rows,
        "no flows here",
    )?;
    if shown < flows.len() {
        session.out.say(&format!("{shown} of {} flows shown; --page and --page-size show others", flows.len()));
    }
    if shown > 0 {
        session.out.say("`automagik-spark workflows sync FLOW_ID --source URL` brings one into Spark");
    }
    Ok(())
}

fn flow_row(flow: &Value) -> Vec<String> {
    vec![
        field(flow, "id"),
        shorten(&field(flow, "name"), 40),
        field(&flow["origin"], "source_url"),
        shorten(&field(flow, "description"), 60),
    ]
}

/// The url of the source that was typed. None typed is fine while there is only one.
async fn source_url(session: &Session, typed: Option<&str>) -> Result<String, Error> {
    match typed {
        Some(url) if url.contains("://") => Ok(url.to_owned()),
        Some(name) => resolve::item(&session.client, &resolve::SOURCE, name).await.map(|item| field(&item, "url")),
        None => {
            let (sources, _) = resolve::all(&session.client, "sources", 1).await?;
            match sources.as_slice() {
                [] => Err(Error::Failed("there is no source yet; `automagik-spark sources add` adds one".to_owned())),
                [only] => Ok(field(only, "url")),
                several => Err(Error::Usage(format!(
                    "there are {} sources; say with --source which one has the flow: {}",
                    several.len(),
                    several.iter().take(5).map(|source| field(source, "name")).collect::<Vec<_>>().join(", ")
                ))),
            }
        }
    }
}

/// In a table: one with its whole id, as it may be needed next.
fn show(session: &Session, workflows: &[Value], is_one: bool) -> Result<(), Error> {
    let mut ids: Vec<String> = workflows.iter().map(|workflow| field(workflow, "id")).collect();
    if !is_one {
        ids = short_ids(&ids);
    }
    let now = now();
    let rows = ids.into_iter().zip(workflows).map(|(id, workflow)| {
        vec![
            id,
            shorten(&field(workflow, "name"), 40),
            field(workflow, "latest_run"),
            counts(workflow),
            field(workflow, "source"),
            field(workflow, "folder_name"),
            limits::shown(workflow),
            relative(time(workflow, "updated_at"), now),
        ]
    });
    let columns = [
        Keep("ID"),
        Shrink("NAME"),
        Keep("LATEST RUN"),
        Drop("TASKS (FAILED)"),
        Shrink("SOURCE"),
        Drop("FOLDER"),
        Drop("LIMITS"),
        Drop("UPDATED"),
    ];
    session.out.rows(&columns, rows.collect(), "no workflows; `automagik-spark workflows sync` shows what there is")
}

fn counts(workflow: &Value) -> String {
    match (field(workflow, "task_count"), field(workflow, "failed_task_count")) {
        (tasks, _) if tasks.is_empty() => String::new(),
        (tasks, failed) => format!("{tasks} ({failed})"),
    }
}

fn without_nulls(mut body: Value) -> Value {
    if let Value::Object(fields) = &mut body {
        fields.retain(|_, value| !value.is_null());
    }
    body
}
