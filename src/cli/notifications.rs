//! `notifications`: who is told of what happens.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::Answer;
use super::connection::secret;
use super::render::{field, relative, short_ids, time};
use super::table::Column::{Drop, Keep, Shrink};
use super::{Error, Session, resolve, submit};
use crate::domain::clock::now;
use crate::domain::notification::NotificationEvent;
use crate::domain::source::Secret;

/// How long `test` waits for what comes of the delivery: the service looks every second, and waits 10 s for an answer.
const TEST_LIMIT: Duration = Duration::from_secs(20);
/// Time between two looks at it.
const TEST_EVERY: Duration = Duration::from_millis(300);

/// What to do with notifications.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Newest first
    List(ListArgs),
    /// Post messages about events to an address
    Add(AddArgs),
    /// Change what is given
    Update(UpdateArgs),
    /// Remove a notification with its log
    Delete(OneArgs),
    /// Send a message now, and say what came of it
    Test(OneArgs),
    /// What was sent, and what came of it
    Deliveries(DeliveriesArgs),
}

#[derive(Args, Debug)]
pub(super) struct ListArgs {
    /// How many to pass over
    #[arg(long)]
    offset: Option<u64>,
}

/// What may be said of a new notification and of one that is there.
#[derive(Args, Debug)]
struct Settings {
    /// Of this workflow alone: its id, a beginning of it or its name
    #[arg(short, long)]
    workflow: Option<String>,
    /// Sign with this secret (`whsec_` and base64); `-` reads it from stdin
    #[arg(long, value_name = "SECRET", value_parser = secret)]
    secret: Option<Secret>,
    /// Of queue.over: watch this queue alone
    #[arg(short, long)]
    queue: Option<String>,
    /// Of queue.over: so many waiting tasks are too many
    #[arg(long, value_name = "TASKS")]
    queue_depth: Option<u32>,
    /// Of queue.over: seconds of waiting that are too many
    #[arg(long, value_name = "SECONDS")]
    queue_age: Option<u32>,
    /// active or inactive
    #[arg(short, long)]
    status: Option<String>,
}

/// A new notification. `--url` of the service goes before `notifications`.
#[derive(Args, Debug)]
pub(super) struct AddArgs {
    /// What to call it
    name: String,
    /// Where to post messages
    target: String,
    /// What to tell of: task.failed, schedule.missed, schedule.late, source.down, queue.over
    #[arg(short, long = "event", value_name = "EVENT", required = true, value_delimiter = ',')]
    events: Vec<NotificationEvent>,
    #[command(flatten)]
    settings: Settings,
}

/// What to change.
#[derive(Args, Debug)]
pub(super) struct UpdateArgs {
    /// The notification: its name, its id or a beginning of that
    notification: String,
    /// Its new name
    #[arg(short, long)]
    name: Option<String>,
    /// Where to post messages from now on
    #[arg(short, long)]
    target: Option<String>,
    /// What to tell of from now on
    #[arg(short, long = "event", value_name = "EVENT", value_delimiter = ',')]
    events: Vec<NotificationEvent>,
    /// Of all workflows again
    #[arg(long, conflicts_with = "workflow")]
    all_workflows: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Args, Debug)]
pub(super) struct OneArgs {
    /// The notification: its name, its id or a beginning of that
    notification: String,
}

/// Which deliveries to list.
#[derive(Args, Debug)]
pub(super) struct DeliveriesArgs {
    /// The notification: its name, its id or a beginning of that
    notification: String,
    /// Only those pending, delivered or given_up
    #[arg(short, long)]
    status: Option<String>,
    /// How many
    #[arg(short = 'n', long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// How many to pass over
    #[arg(long)]
    offset: Option<u64>,
}

pub(super) async fn run(session: &Session, command: Command) -> Result<(), Error> {
    match command {
        Command::List(args) => {
            let page = session.client.get(&["notifications"]).query("limit", Some(100));
            let answer = page.query("offset", args.offset).send().await?;
            show(session, &answer, false)?;
            session.out.page_hint(&answer);
            Ok(())
        }
        Command::Add(args) => add(session, args).await,
        Command::Update(args) => update(session, args).await,
        Command::Delete(args) => {
            let id = resolve::id(&session.client, &resolve::NOTIFICATION, &args.notification).await?;
            let answer = session.client.delete(&["notifications", &id]).send().await?;
            session.out.done(&answer, &format!("notification {} is deleted", args.notification))
        }
        Command::Test(args) => test(session, args).await,
        Command::Deliveries(args) => deliveries(session, args).await,
    }
}

async fn add(session: &Session, args: AddArgs) -> Result<(), Error> {
    let mut body = args.settings.body(session).await?;
    body.extend([
        ("name".to_owned(), json!(args.name)),
        ("url".to_owned(), json!(args.target)),
        ("events".to_owned(), json!(args.events)),
    ]);
    let answer = session.client.post(&["notifications"]).json(&body.into()).send().await?;
    if session.out.is_json() {
        return session.out.json(&answer);
    }
    // The secret goes to stdout and nothing else does, so that a script can take it from there.
    let made = field(&answer.value, "secret");
    let id = field(&answer.value, "id");
    if made.is_empty() {
        session.out.say(&format!("notification {} is made: {id}", args.name));
        return Ok(());
    }
    session.out.say(&format!("notification {} is made: {id}", args.name));
    session.out.say("messages are signed with this secret; keep it, it is shown this once:");
    session.out.text(&made)
}

async fn update(session: &Session, args: UpdateArgs) -> Result<(), Error> {
    let mut body = args.settings.body(session).await?;
    body.extend(args.name.map(|name| ("name".to_owned(), json!(name))));
    body.extend(args.target.map(|url| ("url".to_owned(), json!(url))));
    if !args.events.is_empty() {
        body.insert("events".to_owned(), json!(args.events));
    }
    if args.all_workflows {
        body.insert("workflow_id".to_owned(), Value::Null);
    }
    if body.is_empty() {
        let message = "nothing to change is given; `automagik-spark notifications update --help` says what can be";
        return Err(Error::Usage(message.to_owned()));
    }
    let id = resolve::id(&session.client, &resolve::NOTIFICATION, &args.notification).await?;
    show(session, &session.client.patch(&["notifications", &id]).json(&body.into()).send().await?, true)
}

impl Settings {
    async fn body(self, session: &Session) -> Result<Map<String, Value>, Error> {
        let mut body = Map::new();
        if let Some(workflow) = self.workflow {
            let id = resolve::id(&session.client, &resolve::WORKFLOW, &workflow).await?;
            body.insert("workflow_id".to_owned(), json!(id));
        }
        if let Some(secret) = self.secret {
            body.insert("secret".to_owned(), json!(submit::read_input(secret.expose())?));
        }
        body.extend(self.queue.map(|queue| ("queue".to_owned(), json!(queue))));
        body.extend(self.queue_depth.map(|depth| ("queue_depth".to_owned(), json!(depth))));
        body.extend(self.queue_age.map(|age| ("queue_age_s".to_owned(), json!(age))));
        body.extend(self.status.map(|status| ("status".to_owned(), json!(status))));
        Ok(body)
    }
}

/// Sends a message and waits for what comes of it: the one thing that somebody who tests wants to know.
async fn test(session: &Session, args: OneArgs) -> Result<(), Error> {
    let id = resolve::id(&session.client, &resolve::NOTIFICATION, &args.notification).await?;
    let mut sent = session.client.post(&["notifications", &id, "test"]).send().await?;
    let delivery = field(&sent.value, "id");
    let outcome = async {
        loop {
            tokio::time::sleep(TEST_EVERY).await;
            let page =
                session.client.get(&["notifications", &id, "deliveries"]).query("limit", Some(100)).send().await?;
            let is_it = |item: &&Value| field(item, "id") == delivery && field(item, "status") != "pending";
            if let Some(ended) = page.items().iter().find(is_it) {
                return Ok::<Value, Error>(ended.clone());
            }
        }
    };
    let ended = tokio::time::timeout(TEST_LIMIT, outcome).await.map_err(|_| {
        let limit = TEST_LIMIT.as_secs();
        Error::Failed(format!("nothing was heard of the delivery within {limit} s; is a node running that sends?"))
    })??;
    if field(&ended, "status") != "delivered" {
        return Err(Error::Failed(format!("the message did not arrive: {}", field(&ended, "last_error"))));
    }
    let words = format!("the message arrived; the receiver answered {}", field(&ended, "last_status"));
    sent.text = ended.to_string();
    session.out.done(&sent, &words)
}

async fn deliveries(session: &Session, args: DeliveriesArgs) -> Result<(), Error> {
    let id = resolve::id(&session.client, &resolve::NOTIFICATION, &args.notification).await?;
    let page = session.client.get(&["notifications", &id, "deliveries"]).query("status", args.status);
    let answer = page.query("limit", Some(args.limit)).query("offset", args.offset).send().await?;
    if session.out.is_json() {
        return session.out.json(&answer);
    }
    let now = now();
    let rows = answer.items().iter().map(|delivery| {
        vec![
            field(delivery, "id"),
            field(delivery, "event"),
            field(delivery, "status"),
            field(delivery, "tries"),
            field(delivery, "last_status"),
            relative(time(delivery, "created_at"), now),
            relative(time(delivery, "next_try_at"), now),
            field(delivery, "last_error"),
        ]
    });
    let columns = [
        Keep("ID"),
        Keep("EVENT"),
        Keep("STATUS"),
        Keep("TRIES"),
        Drop("ANSWERED"),
        Keep("CREATED"),
        Drop("NEXT TRY"),
        Shrink("ERROR"),
    ];
    session.out.rows(&columns, rows.collect(), "nothing has been sent")?;
    session.out.page_hint(&answer);
    Ok(())
}

fn show(session: &Session, answer: &Answer, is_one: bool) -> Result<(), Error> {
    if session.out.is_json() {
        return session.out.json(answer);
    }
    let items = if is_one { std::slice::from_ref(&answer.value) } else { answer.items() };
    let mut ids: Vec<String> = items.iter().map(|item| field(item, "id")).collect();
    if !is_one {
        ids = short_ids(&ids);
    }
    let rows = ids.into_iter().zip(items).map(|(id, item)| {
        let events = item["events"].as_array().into_iter().flatten().filter_map(Value::as_str);
        vec![
            id,
            field(item, "name"),
            events.collect::<Vec<_>>().join(", "),
            field(item, "url"),
            field(item, "status"),
            field(item, "waiting"),
            field(item, "workflow_id"),
        ]
    });
    let columns = [
        Keep("ID"),
        Shrink("NAME"),
        Shrink("EVENTS"),
        Shrink("URL"),
        Keep("STATUS"),
        Keep("WAITING"),
        Drop("WORKFLOW"),
    ];
    session.out.rows(&columns, rows.collect(), "no notifications; `automagik-spark notifications add` adds one")
}
