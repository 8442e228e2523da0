//! Bringing the schema up to date.

use std::time::Duration;

use chrono_tz::Tz;
use refinery::Migration;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, GenericClient, IsolationLevel, Transaction};

use super::error::{Error, error_chain};
use super::pool::{PoolOptions, parse_url};
use super::takeover::{self, TakenOver};
use crate::domain::clock;
use crate::domain::takeover::Origin;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Lock under which one of several nodes that start at once takes a step. It belongs to the step's transaction, so the two
/// end together however they end, and PgBouncer in transaction mode keeps them on one connection.
const MIGRATION_LOCK: i64 = 0x5350_4152_4b4d_4947;

/// How long a step waits for a table that another program uses: programs that leave transactions open (the Python service
/// does) would otherwise keep it waiting for ever, and everybody else behind it. And how long PostgreSQL waits for the next
/// statement of a step, so that a node that vanished lets go of the lock.
const LIMITS: &str = "SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '60s'";

/// The history of migrations, in the form that refinery gave it.
const MAKE_HISTORY: &str = "CREATE TABLE IF NOT EXISTS refinery_schema_history (
    version int4 PRIMARY KEY, name varchar(255), applied_on varchar(255), checksum varchar(255))";
const HISTORY: &str = "SELECT version, name, checksum FROM refinery_schema_history ORDER BY version";
const ENTER: &str = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) VALUES ($1, $2, $3, $4)";

/// The third migration once made an index that a database of the Python service may not bear; the sixth makes it now. A
/// database that took the former text is where it should be, and the sixth exchanges the index.
const FORMER_V3: (i32, &str) = (3, "12919157187412761607");

/// Every table of ours but the history of migrations. One statement empties them, so their order does not matter.
const CLEAR: &str = "TRUNCATE TABLE workflow_sources, workflows, workflow_components, schedules, tasks, task_logs, \
                     workers, task_attempts, nodes, schedule_skips, idempotency_keys, takeovers, takeover_changes, api_keys, \
                     audit, paused_queues, gates, statistic_ends, statistics, notifications, \
                     notification_deliveries, notification_states, ended_sessions";

/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// What an upgrade did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upgraded {
    /// The migrations that were applied.
    pub applied: Vec<String>,
    /// Rows of a Python service that were taken over.
    pub taken_over: Option<TakenOver>,
    /// What is not wrong but should be known.
    pub warnings: Vec<String>,
}

/// Applies what is missing, and takes over the rows of a Python service (`timezone` is that of its cron schedules).
/// Several nodes may call it at once: each step is taken by one of them, and the others find it done. Every step is a
/// transaction of its own: a crash leaves the steps before it, and nothing of it.
///
/// # Errors
/// The database can't be reached or holds tables that can't be made ours, or a migration failed (what it did is rolled
/// back).
pub async fn upgrade(options: &PoolOptions, timezone: Tz) -> Result<Upgraded, Error> {
    let mut client = connect(options).await?;
    let is_current = async { Ok(!is_behind(&client).await? && !takeover::is_pending(&client).await?) };
    if tokio::time::timeout(options.statement_timeout, is_current).await.unwrap_or(Err(Error::Unanswered))? {
        return Ok(Upgraded::default());
    }
    let mut upgraded = Upgraded::default();
    while take_step(&mut client, timezone, &mut upgraded).await? {}
    Ok(upgraded)
}

/// Applies the next migration or, after the last, takes over what waits for it. Whether there was anything to do.
async fn take_step(client: &mut Client, timezone: Tz, upgraded: &mut Upgraded) -> Result<bool, Error> {
    let transaction = begin(client).await?;
    let applied = applied_version(&transaction).await?;
    if applied.is_none() {
        upgraded.warnings.extend(look_before_the_first(&transaction).await?);
        transaction.batch_execute(MAKE_HISTORY).await?;
    }
    let runner = embedded::migrations::runner();
    if let Some(migration) = next(runner.get_migrations(), &history(&transaction).await?)? {
        apply(&transaction, migration).await?;
        upgraded.applied.push(migration.to_string());
    } else if takeover::is_pending(&transaction).await? {
        upgraded.taken_over = Some(takeover::take_over(&transaction, timezone).await?);
    } else {
        return Ok(false);
    }
    transaction.commit().await?;
    Ok(true)
}

/// Begins a step: waits for its turn, and sees what those before it did.
async fn begin(client: &mut Client) -> Result<Transaction<'_>, Error> {
    // Whatever the database's default is: with a snapshot from before the wait the step would be taken twice.
    let transaction = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start().await?;
    transaction.query_typed("SELECT pg_advisory_xact_lock($1)", &[(&MIGRATION_LOCK, Type::INT8)]).await?;
    transaction.batch_execute(LIMITS).await?;
    Ok(transaction)
}

/// Whether the tables that are there can be made ours. What should be known before they are.
async fn look_before_the_first(transaction: &Transaction<'_>) -> Result<Option<String>, Error> {
    if takeover::origin_of(transaction).await? != Origin::Python {
        return Ok(None);
    }
    let others = takeover::connected_elsewhere(transaction).await?;
    Ok((others > 0).then(|| {
        format!(
            "{others} other connections to the database are open; if one is the Python service's, stop it now: two \
             services must not work on one database"
        )
    }))
}

async fn apply(transaction: &Transaction<'_>, migration: &Migration) -> Result<(), Error> {
    let sql = migration.sql().expect("an embedded migration has its text");
    transaction.batch_execute(sql).await.map_err(|error| migration_error(migration, error))?;
    let (at, checksum) = (clock::now().to_rfc3339(), migration.checksum().to_string());
    let row = [
        (&migration.version() as &(dyn ToSql + Sync), Type::INT4),
        (&migration.name(), Type::TEXT),
        (&at, Type::TEXT),
        (&checksum, Type::TEXT),
    ];
    transaction.execute_typed(ENTER, &row).await?;
    Ok(())
}

fn migration_error(migration: &Migration, error: tokio_postgres::Error) -> Error {
    if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
        let why = "another program uses the tables and did not let go of them within 5 s; stop it (a Python service: API, \
                   worker and beat), then try again; the step was rolled back";
        return Error::Migration(why.to_owned());
    }
    let why = format!("{migration}: {}; the step was rolled back", error_chain(&error));
    match Error::from(error) {
        // The server went away: not the migration's fault.
        passing if passing.is_transient() => passing,
        _ => Error::Migration(why),
    }
}

/// A migration that was applied.
#[derive(Clone, Debug)]
struct Applied {
    version: i32,
    name: String,
    checksum: String,
}

impl Applied {
    fn is(&self, migration: &Migration) -> bool {
        let is_text = migration.checksum().to_string() == self.checksum;
        self.name == migration.name() && (is_text || (self.version, self.checksum.as_str()) == FORMER_V3)
    }
}

async fn history(transaction: &Transaction<'_>) -> Result<Vec<Applied>, Error> {
    let rows = transaction.query_typed(HISTORY, &[]).await?;
    let read = |row: &tokio_postgres::Row| -> Result<Applied, Error> {
        Ok(Applied { version: row.try_get(0)?, name: row.try_get(1)?, checksum: row.try_get(2)? })
    };
    rows.iter().map(read).collect()
}

/// The first migration that is missing in a history, which must be the beginning of ours.
fn next<'a>(ours: &'a [Migration], history: &[Applied]) -> Result<Option<&'a Migration>, Error> {
    for applied in history {
        let version = applied.version;
        let Some(migration) = ours.iter().find(|migration| migration.version() == version) else {
            let why =
                format!("the database has had V{version}, which this version of Spark does not know: use a newer one");
            return Err(Error::Migration(why));
        };
        if !applied.is(migration) {
            let why = format!(
                "the database has had another V{version} ({}) than {migration}; nothing was changed",
                applied.name
            );
            return Err(Error::Migration(why));
        }
    }
    let is_missing = |migration: &&Migration| history.iter().all(|applied| applied.version != migration.version());
    let missing = ours.iter().filter(is_missing).min_by_key(|migration| migration.version());
    match (missing, history.last()) {
        (Some(early), Some(last)) if early.version() < last.version => {
            let why = format!("the database has had V{} but not {early}; nothing was changed", last.version);
            Err(Error::Migration(why))
        }
        _ => Ok(missing),
    }
}

/// Empties every table of ours.
///
/// # Errors
/// The database can't be reached, or has no tables yet.
pub async fn clear(options: &PoolOptions) -> Result<(), Error> {
    connect(options).await?.execute_typed(CLEAR, &[]).await?;
    Ok(())
}

/// The version of the schema, and the one this program needs; `None` before the first migration.
///
/// # Errors
/// The database can't be reached.
pub async fn current(options: &PoolOptions) -> Result<(Option<i64>, i64), Error> {
    let client = connect(options).await?;
    Ok((applied_version(&client).await?, newest_version()))
}

async fn is_behind(client: &Client) -> Result<bool, Error> {
    Ok(applied_version(client).await?.is_none_or(|version| version < newest_version()))
}

fn newest_version() -> i64 {
    let migrations = embedded::migrations::runner();
    migrations.get_migrations().iter().map(|migration| i64::from(migration.version())).max().unwrap_or(0)
}

async fn applied_version(client: &(impl GenericClient + Sync)) -> Result<Option<i64>, Error> {
    let exists = client
        .query_typed("SELECT to_regclass('refinery_schema_history') IS NOT NULL", &[])
        .await?
        .first()
        .is_some_and(|row| row.get(0));
    if !exists {
        return Ok(None);
    }
    let rows = client.query_typed("SELECT max(version)::bigint FROM refinery_schema_history", &[]).await?;
    Ok(rows.first().and_then(|row| row.get(0)))
}

async fn connect(options: &PoolOptions) -> Result<Client, Error> {
    let config = parse_url(options.url.expose())?;
    let tls = super::pool::tls()?;
    // A server that is frozen accepts and then says nothing.
    let connected = tokio::time::timeout(CONNECT_LIMIT, config.connect(tls)).await.map_err(|_| Error::Away)?;
    let (client, connection) = connected.map_err(|error| Error::Unreachable(error_chain(&error)))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            log::debug!("the migration's connection ended: {}", error_chain(&error));
        }
    });
    Ok(client)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn migration(name: &str) -> Migration {
        Migration::unapplied(name, name).expect("a name of a migration")
    }

    fn applied(migrations: &[Migration]) -> Vec<Applied> {
        let of = |one: &Migration| Applied {
            version: one.version(),
            name: one.name().to_owned(),
            checksum: one.checksum().to_string(),
        };
        migrations.iter().map(of).collect()
    }

    #[test]
    fn migrations_are_applied_in_the_order_of_their_numbers() {
        // As a directory lists them.
        let ours = ["V1__a", "V10__j", "V2__b"].map(migration);
        let in_order = ["V1__a", "V2__b", "V10__j"].map(migration);
        for done in 0..in_order.len() {
            let found = next(&ours, &applied(&in_order[..done])).expect("its history is ours");
            assert_eq!(found, Some(&in_order[done]));
        }
        assert_eq!(next(&ours, &applied(&in_order)).expect("its history is ours"), None);
    }

    #[test]
    fn a_history_that_is_not_ours_is_refused() {
        let ours = ["V1__a", "V2__b"].map(migration);
        let refused = |history: &[Applied]| next(&ours, history).expect_err("not ours").to_string();
        assert!(refused(&applied(&["V1__a", "V2__b", "V3__c"].map(migration))).contains("V3, which this version"));
        assert!(refused(&applied(&[migration("V1__other")])).contains("another V1 (other) than V1__a"));
        assert!(refused(&applied(&[migration("V2__b")])).contains("V2 but not V1__a"));
        let edited = Applied { checksum: "1".to_owned(), ..applied(&ours).swap_remove(0) };
        assert!(refused(&[edited]).contains("another V1"));
    }

    #[test]
    fn the_former_text_of_the_third_is_known() {
        let ours = embedded::migrations::runner();
        let mut history = applied(&{
            let mut first = ours.get_migrations().clone();
            first.sort();
            first.truncate(4);
            first
        });
        FORMER_V3.1.clone_into(&mut history[2].checksum);
        let found = next(ours.get_migrations(), &history).expect("it is ours");
        assert_eq!(found.map(Migration::version), Some(5));
    }

    /// A table that a migration makes and `clear` forgets would keep rows of what is gone.
    #[test]
    fn clear_knows_every_table_of_the_migrations() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let mut tables = Vec::new();
        for file in std::fs::read_dir(directory).expect("migrations").map(|file| file.expect("a file").path()) {
            let text = std::fs::read_to_string(file).expect("readable");
            for line in text.lines().filter_map(|line| line.trim_start().strip_prefix("CREATE TABLE ")) {
                let name = line.trim_start_matches("IF NOT EXISTS ").split([' ', '(']).next().unwrap_or_default();
                tables.push(name.to_owned());
            }
        }
        assert!(tables.len() >= 12, "{tables:?}");
        let cleared: Vec<&str> = CLEAR.trim_start_matches("TRUNCATE TABLE ").split(", ").map(str::trim).collect();
        for table in tables {
            assert!(cleared.contains(&table.as_str()), "{table}");
        }
    }
}
