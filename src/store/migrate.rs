//! Bringing the schema up to date.

use chrono_tz::Tz;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::error::{Error, error_chain};
use super::pool::{PoolOptions, parse_url};
use super::takeover::{self, TakenOver};
use crate::domain::takeover::Origin;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Session lock under which one of several nodes that start at once migrates.
const MIGRATION_LOCK: i64 = 0x5350_4152_4b4d_4947;

/// How long a migration waits for a table that another program uses. Programs that leave transactions open (the Python
/// service does) would otherwise keep it waiting for ever, and everybody else behind it.
const LOCK_LIMIT: &str = "SET lock_timeout = '5s'";

/// The third migration once made an index that a database of the Python service may not bear; the sixth makes it now. A
/// database that took the former text is where it should be, and the sixth exchanges the index.
const FORMER_V3: &str =
    "UPDATE refinery_schema_history SET checksum = $1 WHERE version = 3 AND checksum = '12919157187412761607'";

/// Every table of ours but the history of migrations. One statement empties them, so their order does not matter.
const CLEAR: &str = "TRUNCATE TABLE workflow_sources, workflows, workflow_components, schedules, tasks, task_logs, \
                     workers, task_attempts, nodes, schedule_skips, idempotency_keys, takeovers, takeover_changes, api_keys, \
                     audit, paused_queues, statistic_ends, statistics, notifications, notification_deliveries, \
                     notification_states";

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
/// Several nodes may call it at once: one migrates, the others wait and find nothing to do. Uses a connection of its
/// own, and needs a direct one or PgBouncer in session mode only if something is missing.
///
/// # Errors
/// The database can't be reached or holds tables that can't be made ours, or a migration failed (what it did is rolled
/// back).
pub async fn upgrade(options: &PoolOptions, timezone: Tz) -> Result<Upgraded, Error> {
    let mut client = connect(options).await?;
    if !is_behind(&client).await? && !takeover::is_pending(&client).await? {
        return Ok(Upgraded::default());
    }
    client.query_typed("SELECT pg_advisory_lock($1)", &[(&MIGRATION_LOCK, Type::INT8)]).await?;
    let upgraded = upgrade_locked(&mut client, timezone).await;
    // The lock ends with the connection too; unlocking serves a pooler that keeps the session.
    client.query_typed("SELECT pg_advisory_unlock($1)", &[(&MIGRATION_LOCK, Type::INT8)]).await?;
    upgraded
}

async fn upgrade_locked(client: &mut Client, timezone: Tz) -> Result<Upgraded, Error> {
    let mut upgraded = Upgraded::default();
    if applied_version(client).await?.is_none() && takeover::origin_of(client).await? == Origin::Python {
        let others = takeover::connected_elsewhere(client).await?;
        if others > 0 {
            upgraded.warnings.push(format!(
                "{others} other connections to the database are open; if one is the Python service's, stop it now: two \
                 services must not work on one database"
            ));
        }
    }
    client.batch_execute(LOCK_LIMIT).await?;
    let runner = embedded::migrations::runner();
    if applied_version(client).await?.is_some()
        && let Some(third) = runner.get_migrations().iter().find(|migration| migration.version() == 3)
    {
        client.execute_typed(FORMER_V3, &[(&third.checksum().to_string(), Type::TEXT)]).await?;
    }
    let report = runner.run_async(client).await.map_err(migration_error)?;
    upgraded.applied = report.applied_migrations().iter().map(ToString::to_string).collect();
    if takeover::is_pending(client).await? {
        upgraded.taken_over = Some(takeover::take_over(client, timezone).await?);
    }
    client.batch_execute("RESET lock_timeout").await?;
    Ok(upgraded)
}

fn migration_error(error: refinery::Error) -> Error {
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(inner) = cause {
        let code = inner.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::code);
        if code == Some(&SqlState::LOCK_NOT_AVAILABLE) {
            let message = "another program uses the tables and did not let go of them within 5 s; stop it (a Python \
                           service: API, worker and beat), then try again; the step was rolled back";
            return Error::Migration(message.to_owned());
        }
        cause = inner.source();
    }
    Error::Migration(error_chain(&error))
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

async fn applied_version(client: &Client) -> Result<Option<i64>, Error> {
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
    let (client, connection) = config.connect(tls).await.map_err(|error| Error::Unreachable(error_chain(&error)))?;
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
