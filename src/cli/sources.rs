//! `sources`: servers that hold workflows.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::Answer;
use super::connection::{Remote, ServiceRemote, secret};
use super::limits::{self, LimitArgs};
use super::render::{field, relative, short_ids, time};
use super::run_agent::RunAgentArgs;
use super::table::Column::{Drop, Keep, Shrink};
use super::tls_args::TlsArgs;
use super::{Error, Session, resolve, run_agent, submit};
use crate::domain::clock::now;
use crate::domain::source::{Secret, SourceKind};

/// What to do with sources.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a server's workflows available; it is asked first whether it takes the key
    Add(AddArgs),
    /// Newest first
    List(ListArgs),
    /// Change what is given; a new url or key is tried first
    Update(UpdateArgs),
    /// Call a source again at once that is left alone after failures
    Resume(ResumeArgs),
    /// Remove a source with its workflows, schedules and tasks
    Delete(DeleteArgs),
    /// Run an agent of a source at once, and wait for its answer
    RunAgent(RunAgentArgs),
    /// What `add --type http --adapter` can name
    Adapters(AdaptersArgs),
}

/// A new source. `--url` and `--api-key` are the source's here; those of the service go before `sources`.
#[derive(Args, Debug)]
pub(super) struct AddArgs {
    /// What to call it; made from the host if not given
    #[arg(short, long)]
    name: Option<String>,
    /// What it is: langflow, automagik-hive, automagik-agents or http
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    kind: SourceKind,
    /// How it is spoken to, for type http; `sources adapters` lists them
    #[arg(short, long, value_name = "NAME")]
    adapter: Option<String>,
    /// The source's address
    #[arg(id = "source_url", short = 'u', long = "url", value_name = "URL")]
    url: String,
    /// The source's own key; `-` reads it from stdin, where no list of processes shows it
    #[arg(id = "source_key", short = 'k', long = "api-key", value_name = "KEY", value_parser = secret)]
    api_key: Option<Secret>,
    /// active or inactive
    #[arg(short, long)]
    status: Option<String>,
    /// Where it is unknown whether the source ran a flow: retry or fail
    #[arg(long, value_name = "POLICY", value_parser = ["retry", "fail"])]
    unknown_policy: Option<String>,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Which sources to list.
#[derive(Args, Debug)]
pub(super) struct ListArgs {
    /// Only active or inactive ones
    #[arg(short, long)]
    status: Option<String>,
    /// How many to pass over
    #[arg(long)]
    offset: Option<u64>,
    #[command(flatten)]
    remote: ServiceRemote,
}

/// What to change of a source. `--url` and `--api-key` are the source's here.
#[derive(Args, Debug)]
pub(super) struct UpdateArgs {
    /// The source: its id, a beginning of it, its name or its url
    source: String,
    /// Its new name
    #[arg(id = "new_name", short = 'n', long = "name", value_name = "NAME")]
    name: Option<String>,
    /// What it is from now on
    #[arg(id = "new_type", short = 't', long = "type", value_name = "TYPE")]
    kind: Option<SourceKind>,
    /// How it is spoken to from now on, for type http
    #[arg(id = "new_adapter", short = 'a', long = "adapter", value_name = "NAME")]
    adapter: Option<String>,
    /// Its new address
    #[arg(id = "source_url", short = 'u', long = "url", value_name = "URL")]
    url: Option<String>,
    /// Its new key; `-` reads it from stdin
    #[arg(id = "source_key", short = 'k', long = "api-key", value_name = "KEY", value_parser = secret)]
    api_key: Option<Secret>,
    /// active or inactive
    #[arg(id = "new_status", short = 's', long = "status", value_name = "STATUS")]
    status: Option<String>,
    /// Where it is unknown whether the source ran a flow: retry or fail
    #[arg(long, value_name = "POLICY", value_parser = ["retry", "fail"])]
    unknown_policy: Option<String>,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Which source to call again.
#[derive(Args, Debug)]
pub(super) struct ResumeArgs {
    /// The source: its id, a beginning of it, its name or its url
    source: String,
    #[command(flatten)]
    remote: ServiceRemote,
}

/// Which source to delete.
#[derive(Args, Debug)]
pub(super) struct DeleteArgs {
    /// The source: its id, a beginning of it, its name or its url
    source: String,
    /// Also when it has workflows, which go with it
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    remote: ServiceRemote,
}

/// Nothing but the service.
#[derive(Args, Debug)]
pub(super) struct AdaptersArgs {
    #[command(flatten)]
    remote: ServiceRemote,
}

impl Command {
    /// The service, if it was named after the command.
    pub(super) fn remote(&self) -> Remote {
        match self {
            Self::List(ListArgs { remote, .. })
            | Self::Resume(ResumeArgs { remote, .. })
            | Self::Delete(DeleteArgs { remote, .. })
            | Self::Adapters(AdaptersArgs { remote }) => remote.remote(),
            Self::RunAgent(args) => args.remote(),
            Self::Add(_) | Self::Update(_) => Remote::default(),
        }
    }
}

pub(super) async fn run(session: &Session, command: Command) -> Result<(), Error> {
    match command {
        Command::Add(args) => add(session, args).await,
        Command::List(args) => {
            let page = session.client.get(&["sources"]).query("status", args.status).query("limit", Some(100));
            let answer = page.query("offset", args.offset).send().await?;
            show(session, &answer, false)?;
            session.out.page_hint(&answer);
            Ok(())
        }
        Command::Update(args) => update(session, args).await,
        Command::Resume(args) => {
            let id = resolve::id(&session.client, &resolve::SOURCE, &args.source).await?;
            show(session, &session.client.post(&["sources", &id, "resume"]).send().await?, true)
        }
        Command::Delete(args) => delete(session, args).await,
        Command::RunAgent(args) => run_agent::run(session, args).await,
        Command::Adapters(_) => adapters(session).await,
    }
}

async fn add(session: &Session, args: AddArgs) -> Result<(), Error> {
    let key = read_key(args.api_key)?;
    let mut body = fields([
        ("source_type", Some(args.kind.as_str().to_owned())),
        ("adapter", args.adapter),
        ("url", Some(args.url.clone())),
        ("name", args.name),
        ("api_key", key),
        ("unknown_policy", args.unknown_policy),
    ]);
    args.tls.add_to(&mut body)?;
    args.limits.add_to(&mut body);
    let body = Value::Object(body);
    let mut answer = match session.client.post(&["sources"]).json(&body).send().await {
        // As the Python CLI does, so that a script that sets things up may run again.
        Err(Error::Refused { code: Some(code), .. }) if code == "source_duplicate" => {
            let id = resolve::id(&session.client, &resolve::SOURCE, &args.url).await?;
            let changed = session.client.patch(&["sources", &id]).json(&body).send().await?;
            session.out.say(&format!("there was a source {} already; it is changed", args.url));
            changed
        }
        answer => answer?,
    };
    // A new source is active; any other state is a change of it.
    if let Some(status) = args.status.filter(|status| *status != field(&answer.value, "status")) {
        let id = field(&answer.value, "id");
        answer = session.client.patch(&["sources", &id]).json(&json!({ "status": status })).send().await?;
    }
    show(session, &answer, true)
}

async fn update(session: &Session, args: UpdateArgs) -> Result<(), Error> {
    let mut body = fields([
        ("name", args.name),
        ("source_type", args.kind.map(|kind| kind.as_str().to_owned())),
        ("adapter", args.adapter),
        ("url", args.url),
        ("api_key", read_key(args.api_key)?),
        ("status", args.status),
        ("unknown_policy", args.unknown_policy),
    ]);
    args.tls.add_to(&mut body)?;
    args.limits.add_to(&mut body);
    if body.is_empty() {
        let message = "nothing to change is given; say --name, --type, --adapter, --url, --api-key, --tls-ca, \
                       --tls-verify, --status, --unknown-policy, --max-concurrency or --rate";
        return Err(Error::Usage(message.to_owned()));
    }
    let id = resolve::id(&session.client, &resolve::SOURCE, &args.source).await?;
    show(session, &session.client.patch(&["sources", &id]).json(&Value::Object(body)).send().await?, true)
}

async fn delete(session: &Session, args: DeleteArgs) -> Result<(), Error> {
    let source = resolve::item(&session.client, &resolve::SOURCE, &args.source).await?;
    let (id, url) = (field(&source, "id"), field(&source, "url"));
    if !args.force {
        let page =
            session.client.get(&["workflows"]).query("source", Some(&url)).query("limit", Some(1)).send().await?;
        if !page.items().is_empty() {
            let count = page.value.get("total").map_or_else(|| page.items().len().to_string(), Value::to_string);
            return Err(Error::Failed(format!(
                "source {url} has {count} workflow(s); they, their schedules and their tasks would go with it; say \
                 --force if that is meant"
            )));
        }
    }
    let answer = session.client.delete(&["sources", &id]).send().await?;
    session.out.done(&answer, &format!("source {id} ({url}) is deleted"))
}

async fn adapters(session: &Session) -> Result<(), Error> {
    let answer = session.client.get(&["adapters"]).send().await?;
    if session.out.is_json() {
        return session.out.json(&answer);
    }
    let row = |adapter: &Value| ["name", "description", "file"].map(|name| field(adapter, name)).to_vec();
    let columns = [Keep("NAME"), Shrink("DESCRIPTION"), Shrink("FILE")];
    session.out.rows(&columns, answer.items().iter().map(row).collect(), "no adapters")
}

fn show(session: &Session, answer: &Answer, is_one: bool) -> Result<(), Error> {
    if session.out.is_json() {
        return session.out.json(answer);
    }
    let sources = if is_one { std::slice::from_ref(&answer.value) } else { answer.items() };
    let mut ids: Vec<String> = sources.iter().map(|source| field(source, "id")).collect();
    if !is_one {
        ids = short_ids(&ids);
    }
    let now = now();
    let rows = ids.into_iter().zip(sources).map(|(id, source)| {
        vec![
            id,
            field(source, "name"),
            kind(source),
            field(source, "url"),
            status(source),
            limits::shown(source),
            version(&source["version_info"]),
            relative(time(source, "created_at"), now),
        ]
    });
    let columns = [
        Keep("ID"),
        Shrink("NAME"),
        Keep("TYPE"),
        Shrink("URL"),
        Keep("STATUS"),
        Drop("LIMITS"),
        Drop("VERSION"),
        Drop("CREATED"),
    ];
    session.out.rows(&columns, rows.collect(), "no sources; `automagik-spark sources add` adds one")?;
    for source in sources.iter().filter(|source| source["tls_verify"] == false) {
        session.out.say(&format!(
            "warning: {} is believed without a look at its certificate (tls_verify is false)",
            field(source, "url")
        ));
    }
    Ok(())
}

/// Its status, and whether it is left alone for now.
fn status(source: &Value) -> String {
    match (field(source, "status"), field(&source["circuit"], "state").as_str()) {
        (status, "" | "closed") => status,
        (status, _) => format!("{status} (left alone)"),
    }
}

/// What it is, with its adapter where it has one.
fn kind(source: &Value) -> String {
    match (field(source, "source_type"), field(source, "adapter")) {
        (kind, adapter) if adapter.is_empty() => kind,
        (kind, adapter) => format!("{kind} ({adapter})"),
    }
}

fn version(info: &Value) -> String {
    if info.is_object() { field(info, "version") } else { super::render::text(info) }
}

fn read_key(key: Option<Secret>) -> Result<Option<String>, Error> {
    key.map(|key| submit::read_input(key.expose())).transpose()
}

fn fields<const N: usize>(fields: [(&str, Option<String>); N]) -> Map<String, Value> {
    let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?))));
    given.collect()
}
