//! `keys`: who may use the API.

use chrono::TimeDelta;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::render::{field, relative, short_ids, time};
use super::table::Column::{Drop, Keep, Shrink};
use super::{Error, Session, resolve};
use crate::domain::access::Scope;
use crate::domain::clock::now;
use crate::domain::schedule::parse_interval;

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key; it is printed this once
    Create(CreateArgs),
    /// Newest first
    List(ListArgs),
    /// Take a key's access away
    Revoke(KeyArgs),
}

/// A key to make.
#[derive(Args, Debug)]
pub(super) struct CreateArgs {
    /// What to call it: letters, digits, `_`, `-` and `.`
    name: String,
    /// What it may do: `read`, `run` (also run workflows, cancel and retry tasks) or `admin` (everything)
    #[arg(long)]
    scope: Scope,
    /// How long it is good for: 12h, 90d. Without this it has no end
    #[arg(long, value_name = "TIME", value_parser = parse_interval)]
    expires: Option<TimeDelta>,
}

/// Which keys to list.
#[derive(Args, Debug)]
pub(super) struct ListArgs {
    /// The revoked ones, too
    #[arg(long)]
    revoked: bool,
    /// How many
    #[arg(short = 'n', long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// How many to pass over
    #[arg(long)]
    offset: Option<u64>,
}

#[derive(Args, Debug)]
pub(super) struct KeyArgs {
    /// The key's name, its id or a beginning of that
    key: String,
}

pub(super) async fn run(session: &Session, command: Command) -> Result<(), Error> {
    match command {
        Command::Create(args) => create(session, args).await,
        Command::List(args) => list(session, args).await,
        Command::Revoke(args) => {
            let id = resolve::id(&session.client, &resolve::KEY, &args.key).await?;
            let answer = session.client.delete(&["keys", &id]).send().await?;
            let name = field(&answer.value, "name");
            session.out.done(&answer, &format!("key {name} is revoked; other nodes refuse it within seconds"))
        }
    }
}

/// The key goes to stdout and nothing else does, so that a script can take it from there.
async fn create(session: &Session, args: CreateArgs) -> Result<(), Error> {
    let expires_at = args.expires.map(|lifetime| now() + lifetime);
    let body = json!({ "name": args.name, "scope": args.scope, "expires_at": expires_at });
    let answer = session.client.post(&["keys"]).json(&body).send().await?;
    if session.out.is_json() {
        return session.out.json(&answer);
    }
    let (name, scope) = (field(&answer.value, "name"), field(&answer.value, "scope"));
    session.out.say(&format!("key {name} with the scope {scope}; keep it, it is shown this once:"));
    session.out.text(&field(&answer.value, "key"))
}

async fn list(session: &Session, args: ListArgs) -> Result<(), Error> {
    let answer = session
        .client
        .get(&["keys"])
        .query("revoked", args.revoked.then_some(true))
        .query("limit", Some(args.limit))
        .query("offset", args.offset)
        .send()
        .await?;
    if session.out.is_json() {
        return session.out.json(&answer);
    }
    let ids = short_ids(&answer.items().iter().map(|key| field(key, "id")).collect::<Vec<_>>());
    let now = now();
    let when = |key: &Value, name: &str| relative(time(key, name), now);
    let rows = answer.items().iter().zip(ids).map(|(key, id)| {
        vec![
            id,
            field(key, "name"),
            field(key, "scope"),
            field(key, "status"),
            field(key, "prefix"),
            when(key, "last_used_at"),
            when(key, "expires_at"),
            when(key, "created_at"),
            field(key, "created_by"),
        ]
    });
    let columns = [
        Keep("ID"),
        Shrink("NAME"),
        Keep("SCOPE"),
        Keep("STATUS"),
        Keep("BEGINS WITH"),
        Drop("LAST USED"),
        Drop("EXPIRES"),
        Drop("CREATED"),
        Drop("CREATED BY"),
    ];
    session.out.rows(&columns, rows.collect(), "no keys; only what is configured opens the API")?;
    session.out.page_hint(&answer);
    Ok(())
}
