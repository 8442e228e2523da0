//! `db`: the database, on the machine that can reach it. These commands do not talk to the service.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use tokio::runtime::Handle;

use super::output::Output;
use super::table::Column::{Keep, Shrink};
use super::{Error, block_on, prompt, submit};
use crate::config::{Config, EncryptionKey, Flags, LoadOptions, canonical_key};
use crate::domain::source::Secret;
use crate::store::migrate::{self, Upgraded};
use crate::store::{PoolOptions, Store, Vault};

const URL_VARIABLE: &str = "AUTOMAGIK_SPARK_DATABASE_URL";

/// What to do with the database.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Bring the schema up to date; a Python service's database is taken over in place
    #[command(alias = "init")]
    Upgrade(DatabaseArgs),
    /// The schema's version, and the one this program needs
    Current(DatabaseArgs),
    /// What was changed when a Python service's database was taken over
    Changes(ChangesArgs),
    /// Encrypt the sources' API keys and the notifications' secrets anew, with the configured encryption key
    Rekey(RekeyArgs),
    /// Remove every source, workflow, schedule, task and stored API key, and the audit trail
    Clear(ClearArgs),
    /// Words of the Python CLI, each answered with what to do instead
    #[command(hide = true)]
    Migrate {
        #[arg(short, long)]
        message: Option<String>,
    },
    #[command(hide = true)]
    Downgrade,
}

/// Which database.
#[derive(Args, Debug)]
pub(super) struct DatabaseArgs {
    /// postgresql://user:password@host:5432/database [env: AUTOMAGIK_SPARK_DATABASE_URL]
    #[arg(long, value_name = "URL", value_parser = super::connection::secret)]
    database_url: Option<Secret>,
}

/// Which changes to show.
#[derive(Args, Debug)]
pub(super) struct ChangesArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// How many
    #[arg(short = 'n', long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// How many to pass over
    #[arg(long, default_value_t = 0)]
    offset: u32,
}

/// What the keys were encrypted with.
#[derive(Args, Debug)]
pub(super) struct RekeyArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// A former encryption key; `-` reads it from stdin, where no list of processes shows it. The key that the Python
    /// service uses when none is set is known
    #[arg(long, value_name = "KEY", value_parser = super::connection::secret)]
    old_key: Option<Secret>,
}

/// Which database to empty.
#[derive(Args, Debug)]
pub(super) struct ClearArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(super) fn run(out: &Output, command: Command) -> Result<(), Error> {
    match command {
        Command::Upgrade(args) => upgrade(out, &args),
        Command::Current(args) => {
            let options = options(&args)?;
            let (current, needed) = block_on(async { Ok(migrate::current(&options).await?) })?;
            if out.is_json() {
                return out.text(&format!("{:#}", json!({ "current": current, "needed": needed })));
            }
            let none = || "none; `db upgrade` makes the tables, or takes a Python service's over".to_owned();
            let current = current.map_or_else(none, |version| version.to_string());
            out.fields(&[("current", current), ("needed", needed.to_string())])
        }
        Command::Changes(args) => changes(out, &args),
        Command::Rekey(args) => rekey(out, args),
        Command::Clear(args) => clear(out, &args),
        Command::Migrate { message: _ } => {
            Err(Error::Usage("the migrations are part of this program; `db upgrade` applies them".to_owned()))
        }
        Command::Downgrade => Err(Error::Usage(
            "the schema only goes forward, and an older program works with a newer schema; to go back in time, restore \
             a backup"
                .to_owned(),
        )),
    }
}

fn upgrade(out: &Output, args: &DatabaseArgs) -> Result<(), Error> {
    let config = config()?;
    let options = options(args)?;
    let (upgraded, keys) = block_on(async {
        let upgraded = migrate::upgrade(&options, config.timezone).await?;
        let keys = match upgraded.taken_over {
            Some(_) => store(&options, vault_to_look(&config)?)?.sealed_keys().await?.warnings(),
            None => Vec::new(),
        };
        Ok((upgraded, keys))
    })?;
    let Upgraded { applied, taken_over, mut warnings } = upgraded;
    warnings.extend(keys);
    warnings.iter().for_each(|warning| out.say(&format!("warning: {warning}")));
    let lines = taken_over.as_ref().map(|taken| taken.lines()).unwrap_or_default();
    if out.is_json() {
        return out.text(&format!("{:#}", json!({ "applied": applied, "takeover": lines, "warnings": warnings })));
    }
    if applied.is_empty() && lines.is_empty() {
        out.say("the schema is up to date");
    }
    applied.iter().map(|migration| format!("applied {migration}")).chain(lines).try_for_each(|line| out.text(&line))
}

fn changes(out: &Output, args: &ChangesArgs) -> Result<(), Error> {
    let options = options(&args.database)?;
    let (offset, limit) = (i64::from(args.offset), i64::from(args.limit));
    let (changes, total) =
        block_on(async { Ok(store(&options, throwaway_vault()?)?.takeover_changes(offset, limit).await?) })?;
    if out.is_json() {
        let items: Vec<_> = changes
            .iter()
            .map(|change| {
                json!({ "entity": change.entity, "id": change.id, "field": change.field, "former": change.former,
                        "reason": change.reason })
            })
            .collect();
        return out.text(&format!("{:#}", json!({ "items": items, "total": total })));
    }
    let shown = offset + i64::try_from(changes.len()).unwrap_or(0);
    let rows = changes.into_iter().map(|change| {
        vec![change.entity, change.id.to_string(), change.field, change.former.unwrap_or_default(), change.reason]
    });
    let columns = [Keep("KIND"), Keep("ID"), Keep("COLUMN"), Shrink("WAS"), Shrink("REASON")];
    out.rows(&columns, rows.collect(), "no takeover has changed anything")?;
    if shown < total {
        out.say(&format!("{shown} of {total} shown; --offset {shown} shows more"));
    }
    Ok(())
}

fn rekey(out: &Output, args: RekeyArgs) -> Result<(), Error> {
    let config = config()?;
    let options = options(&args.database)?;
    let own = config.encryption_key.obtain().map_err(|error| Error::Usage(error.to_string()))?;
    let former = match args.old_key {
        Some(key) => {
            let key = submit::read_input(key.expose())?;
            let vault = canonical_key(&key).as_ref().and_then(Vault::new);
            let unusable =
                || Error::Usage("--old-key is no Fernet key: base64 of 32 bytes, or 32 characters".to_owned());
            vec![vault.ok_or_else(unusable)?]
        }
        None => Vec::new(),
    };
    let vault = Vault::new(&own).ok_or_else(|| Error::Usage("the encryption key is not a Fernet key".to_owned()))?;
    let keys = block_on(async {
        let (current, needed) = migrate::current(&options).await?;
        if current.is_none_or(|current| current < needed) {
            return Err(Error::Usage("the schema is older than this program; run `db upgrade` first".to_owned()));
        }
        Ok(store(&options, vault)?.reseal_keys(former).await?)
    })?;
    if out.is_json() {
        let answer = json!({
            "rekeyed": keys.resealed, "readable": keys.own, "unreadable": keys.foreign,
            "unreadable_notifications": keys.foreign_notifications,
        });
        return out.text(&format!("{:#}", answer));
    }
    keys.warnings().iter().for_each(|warning| out.say(&format!("warning: {warning}")));
    out.text(&format!("{} of {} secrets were encrypted anew", keys.resealed, keys.total()))
}

fn clear(out: &Output, args: &ClearArgs) -> Result<(), Error> {
    let options = options(&args.database)?;
    let shown = shown(&options.url);
    if !args.yes {
        if !prompt::is_possible() {
            return Err(Error::Usage(format!("this would empty {shown}; say --yes if that is meant")));
        }
        let question = format!(
            "Remove every source, workflow, schedule, task and stored API key, and the audit trail, from {shown}?"
        );
        if !prompt::terminal().is_confirmed(&question)? {
            return Err(Error::Failed("nothing was removed".to_owned()));
        }
    }
    block_on(async { Ok(migrate::clear(&options).await?) })?;
    out.say(&format!("{shown} is empty"));
    Ok(())
}

/// What the service would start with.
fn config() -> Result<Config, Error> {
    Config::load(&LoadOptions::from_process(None, Flags::default())).map_err(|errors| Error::Usage(errors.to_string()))
}

/// Where the database is. The default url is for a service: nobody's database is changed because nothing was said.
fn options(args: &DatabaseArgs) -> Result<PoolOptions, Error> {
    let url = match &args.database_url {
        Some(url) => url.clone(),
        None => {
            let config = config()?;
            let is_default = config.explain().iter().any(|key| key.key == "database.url" && key.origin == "default");
            if is_default {
                let message = format!("no database is given; say --database-url or set {URL_VARIABLE}");
                return Err(Error::Usage(message));
            }
            config.database.url
        }
    };
    Ok(PoolOptions {
        url,
        max_size: 1,
        acquire_timeout: Duration::from_secs(10),
        // Somebody watches it, and a large database may take its time.
        statement_timeout: Duration::from_secs(3600),
        recycle: Duration::from_secs(3600),
        pre_ping: false,
    })
}

fn store(options: &PoolOptions, vault: Vault) -> Result<Store, Error> {
    Ok(Store::open(options, vault, Handle::current())?)
}

/// The configured encryption key's, if there is one yet: looking makes none.
fn vault_to_look(config: &Config) -> Result<Vault, Error> {
    match &config.encryption_key {
        EncryptionKey::File(path) if !path.exists() => throwaway_vault(),
        key => {
            let key = key.obtain().map_err(|error| Error::Usage(error.to_string()))?;
            Vault::new(&key).ok_or_else(|| Error::Usage("the encryption key is not a Fernet key".to_owned()))
        }
    }
}

/// One that opens nothing but what everybody can.
fn throwaway_vault() -> Result<Vault, Error> {
    let key = Secret::new(fernet::Fernet::generate_key());
    Vault::new(&key).ok_or_else(|| Error::Internal("no encryption key can be made".to_owned()))
}

/// Host and database, without user and password.
fn shown(url: &Secret) -> String {
    match url::Url::parse(url.expose()) {
        Ok(url) => format!(
            "the database `{}` on {}:{}",
            url.path().trim_start_matches('/'),
            url.host_str().unwrap_or("localhost"),
            url.port().unwrap_or(5432)
        ),
        Err(_) => "the database".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let url = Secret::new("postgresql+asyncpg://spark:s3cret@db:6432/spark?ssl=require");
        assert_eq!(shown(&url), "the database `spark` on db:6432");
    }
}
