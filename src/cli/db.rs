//! `db`: the database's schema, on the machine that can reach it. These commands do not talk to the service.

use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::environment::Environment;
use super::output::Output;
use super::{Error, block_on, prompt};
use crate::domain::source::Secret;
use crate::store::{PoolOptions, migrate};

const URL_VARIABLE: &str = "AUTOMAGIK_SPARK_DATABASE_URL";

/// What to do with the database.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Bring the schema up to date; also that of a Python Spark
    #[command(alias = "init")]
    Upgrade(DatabaseArgs),
    /// The schema's version, and the one this program needs
    Current(DatabaseArgs),
    /// Remove every source, workflow, schedule and task
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
        Command::Upgrade(args) => {
            let applied = block_on(async { Ok(migrate::upgrade(&options(&args)?).await?) })?;
            if applied.is_empty() {
                out.say("the schema is up to date");
            }
            if out.is_json() {
                return out.text(&format!("{:#}", serde_json::json!({ "applied": applied })));
            }
            applied.iter().try_for_each(|migration| out.text(migration))
        }
        Command::Current(args) => {
            let (current, needed) = block_on(async { Ok(migrate::current(&options(&args)?).await?) })?;
            if out.is_json() {
                return out.text(&format!("{:#}", serde_json::json!({ "current": current, "needed": needed })));
            }
            let current = current.map_or_else(|| "none".to_owned(), |version| version.to_string());
            out.fields(&[("current", current), ("needed", needed.to_string())])
        }
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

fn clear(out: &Output, args: &ClearArgs) -> Result<(), Error> {
    let options = options(&args.database)?;
    let shown = shown(&options.url);
    if !args.yes {
        if !prompt::is_possible() {
            return Err(Error::Usage(format!("this would empty {shown}; say --yes if that is meant")));
        }
        let question = format!("Remove every source, workflow, schedule and task from {shown}?");
        if !prompt::terminal().is_confirmed(&question)? {
            return Err(Error::Failed("nothing was removed".to_owned()));
        }
    }
    block_on(async { Ok(migrate::clear(&options).await?) })?;
    out.say(&format!("{shown} is empty"));
    Ok(())
}

/// Where the database is. The one place to change when the configuration says it.
fn options(args: &DatabaseArgs) -> Result<PoolOptions, Error> {
    let url = match &args.database_url {
        Some(url) => url.clone(),
        None => Environment::read(Path::new("."))?
            .get(URL_VARIABLE)
            .map(Secret::new)
            .ok_or_else(|| Error::Usage(format!("no database is given; say --database-url or set {URL_VARIABLE}")))?,
    };
    Ok(PoolOptions {
        url,
        max_size: 1,
        acquire_timeout: Duration::from_secs(10),
        recycle: Duration::from_secs(3600),
        pre_ping: false,
    })
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
