//! Taking over the rows of a Python service, once the migrations have made its tables ours.
//!
//! One transaction (a step of the upgrade, under its lock) for each row of `takeovers` that is not finished: a crash in the
//! middle leaves everything as it was, and the next start begins anew. What is decided by looking at a row is decided in [`crate::domain::takeover`].

mod changes;
mod inspect;
mod report;
mod schedules;
mod tasks;
mod times;
mod workflows;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{GenericClient, Transaction};

use super::Error;
use crate::domain::clock;

pub(super) use inspect::{connected_elsewhere, origin_of};
pub use report::{Change, PausedSchedule, TakenOver};

const PENDING: &str =
    "SELECT id, schema_version FROM takeovers WHERE finished_at IS NULL ORDER BY id LIMIT 1 FOR UPDATE";
const FINISH: &str = "UPDATE takeovers SET finished_at = $2 WHERE id = $1 AND finished_at IS NULL";
/// A schedule that no statement of ours has written is the Python service's, which has worked on the database since.
const IS_PENDING: &str = "SELECT EXISTS (SELECT FROM takeovers WHERE finished_at IS NULL)
                              OR EXISTS (SELECT FROM schedules WHERE NOT is_ours)";
const AGAIN: &str = "INSERT INTO takeovers (schema_version)
    SELECT 'as taken over before' WHERE NOT EXISTS (SELECT FROM takeovers WHERE finished_at IS NULL)";
/// Only the migration that finds a Python service's tables leaves a takeover to be done. Whatever else comes to be taken
/// over is in a database that is ours: it may hold tasks of ours that wait for a time of theirs.
const IS_FIRST: &str = "SELECT EXISTS (SELECT FROM takeovers WHERE finished_at IS NULL)";

/// What every step needs.
struct Step<'a> {
    transaction: &'a Transaction<'a>,
    /// The row of `takeovers`.
    id: i64,
    now: DateTime<Utc>,
    /// Whether nothing in the database is ours yet.
    is_first: bool,
}

type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

impl Step<'_> {
    /// Runs a statement whose first parameters are the takeover and the time, and that returns a row a change.
    async fn change(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<u64, Error> {
        let mut all: Vec<Parameter<'_>> = vec![(&self.id, Type::INT8), (&self.now, Type::TIMESTAMPTZ)];
        all.extend(parameters.iter().cloned());
        Ok(self.transaction.execute_typed(sql, &all).await?)
    }
}

/// Whether rows wait to be taken over. False before the migration that can tell.
pub(super) async fn is_pending(client: &(impl GenericClient + Sync)) -> Result<bool, Error> {
    if client.query_typed_one("SELECT to_regclass('takeovers') IS NULL", &[]).await?.try_get(0)? {
        return Ok(false);
    }
    Ok(client.query_typed_one(IS_PENDING, &[]).await?.try_get(0)?)
}

/// Takes over what waits for it. `timezone` is that of the Python service's cron schedules.
pub(super) async fn take_over(transaction: &Transaction<'_>, timezone: Tz) -> Result<TakenOver, Error> {
    let is_first = transaction.query_typed_one(IS_FIRST, &[]).await?.try_get(0)?;
    transaction.execute_typed(AGAIN, &[]).await?;
    let row = transaction.query_typed_one(PENDING, &[]).await?;
    let (id, version): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
    let step = Step { transaction, id, now: clock::now(), is_first };
    let mut taken = TakenOver { version, rows: report::count_rows(transaction).await?, ..TakenOver::default() };
    times::fill(&step, &mut taken).await?;
    workflows::link(&step, &mut taken).await?;
    tasks::take_over(&step, &mut taken).await?;
    schedules::take_over(&step, timezone, &mut taken).await?;
    transaction.execute_typed(FINISH, &[(&id, Type::INT8), (&step.now, Type::TIMESTAMPTZ)]).await?;
    Ok(taken)
}
