//! Bringing the schema up to date.

use tokio_postgres::types::Type;

use super::error::{Error, error_chain};
use super::pool::{PoolOptions, parse_url};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Session lock under which one of several nodes that start at once migrates.
const MIGRATION_LOCK: i64 = 0x5350_4152_4b4d_4947;

/// Every table of ours but the history of migrations. One statement empties them, so their order does not matter.
const CLEAR: &str = "TRUNCATE TABLE workflow_sources, workflows, workflow_components, schedules, tasks, task_logs, \
                     workers, task_attempts, nodes, schedule_skips, idempotency_keys, paused_queues";

/// Applies what is missing. Several nodes may call it at once: one migrates, the others wait and find nothing to do.
/// Uses a connection of its own, and needs a direct one or PgBouncer in session mode only if something is missing.
///
/// # Errors
/// The database can't be reached, or a migration failed (what it did is rolled back).
pub async fn upgrade(options: &PoolOptions) -> Result<Vec<String>, Error> {
    let mut client = connect(options).await?;
    if !is_behind(&client).await? {
        return Ok(Vec::new());
    }
    client.query_typed("SELECT pg_advisory_lock($1)", &[(&MIGRATION_LOCK, Type::INT8)]).await?;
    let report = embedded::migrations::runner().run_async(&mut client).await;
    // The lock ends with the connection too; unlocking serves a pooler that keeps the session.
    client.query_typed("SELECT pg_advisory_unlock($1)", &[(&MIGRATION_LOCK, Type::INT8)]).await?;
    let report = report.map_err(|error| Error::Migration(error_chain(&error)))?;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
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

async fn is_behind(client: &tokio_postgres::Client) -> Result<bool, Error> {
    Ok(applied_version(client).await?.is_none_or(|version| version < newest_version()))
}

fn newest_version() -> i64 {
    let migrations = embedded::migrations::runner();
    migrations.get_migrations().iter().map(|migration| i64::from(migration.version())).max().unwrap_or(0)
}

async fn applied_version(client: &tokio_postgres::Client) -> Result<Option<i64>, Error> {
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

async fn connect(options: &PoolOptions) -> Result<tokio_postgres::Client, Error> {
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
