//! What ended, added up: written by the statements that end tasks and attempts (`tally.rs`), folded here, read here.
//! None of it looks at a task, so it costs the same however many there are, and outlives them.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::{Error, Store};
use crate::domain::ids::{SourceId, WorkflowId};
use crate::domain::statistics::{Figure, LADDER, beginning};

/// Lock of a transaction under which one node at a time adds up: two would wait for one another's rows.
const LOCK: i64 = 0x5350_4152_4b53_5441;
/// Rows that one statement folds.
const FOLD_BATCH: i64 = 10_000;

/// The bucket of a time in milliseconds: the distribution of the domain has [`PER_DOUBLING`] for each doubling.
///
/// [`PER_DOUBLING`]: crate::domain::distribution::PER_DOUBLING
const BUCKET: &str = "floor(4 * ln(greatest(ms, 1)) / ln(2::float8))::int2";

/// The figures of ends, by the minute. What took less than no time, by clocks that differ, took none.
fn figures_of(ends: &str) -> String {
    format!(
        "SELECT to_timestamp(floor(date_part('epoch', finished_at) / 60) * 60) AS at, workflow_id, queue, figure, outcome,
                {BUCKET} AS bucket, count(*) AS n, sum(greatest(ms, 0)) AS ms
           FROM {ends} CROSS JOIN LATERAL (VALUES
               ('attempt', attempt, date_part('epoch', finished_at - started_at) * 1000),
               ('wait', CASE WHEN waiting_since IS NOT NULL THEN 'started' END,
                date_part('epoch', started_at - waiting_since) * 1000),
               ('task', task, 0)) AS one (figure, outcome, ms)
          WHERE outcome IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6"
    )
}

static FOLD: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
    WITH turn AS MATERIALIZED (SELECT pg_try_advisory_xact_lock($1) AS is_ours),
    taken AS (
        DELETE FROM statistic_ends
         WHERE ctid = ANY (ARRAY(SELECT e.ctid FROM statistic_ends e, turn WHERE is_ours LIMIT $2))
        RETURNING finished_at, workflow_id, queue, attempt, task, started_at, waiting_since
    ), folded AS (
        INSERT INTO statistics AS s (minutes, at, workflow_id, queue, figure, outcome, bucket, n, ms, source_id)
        SELECT 1, f.*, (SELECT workflow_source_id FROM workflows w WHERE w.id = f.workflow_id) FROM ({}) AS f
        ON CONFLICT (minutes, at, workflow_id, queue, figure, outcome, bucket)
        DO UPDATE SET n = s.n + excluded.n, ms = s.ms + excluded.ms
    )
    SELECT count(*) FROM taken",
        figures_of("taken")
    )
});

/// One coarser row's worth of time: the oldest that is old enough.
const COARSEN: &str = "
    WITH turn AS MATERIALIZED (SELECT pg_try_advisory_xact_lock($1) AS is_ours),
    oldest AS MATERIALIZED (
        SELECT to_timestamp(floor(date_part('epoch', s.at) / ($3::int * 60)) * ($3::int * 60)) AS at
          FROM statistics s, turn WHERE is_ours AND s.minutes = $2 AND s.at < $4 ORDER BY s.at LIMIT 1
    ), taken AS (
        DELETE FROM statistics s USING oldest o
         WHERE s.minutes = $2 AND s.at >= o.at AND s.at < o.at + make_interval(mins => $3::int)
        RETURNING o.at, s.workflow_id, s.queue, s.figure, s.outcome, s.bucket, s.n, s.ms, s.source_id
    ), coarser AS (
        INSERT INTO statistics AS s (minutes, at, workflow_id, queue, figure, outcome, bucket, n, ms, source_id)
        SELECT $3::int, at, workflow_id, queue, figure, outcome, bucket, sum(n), sum(ms), (array_agg(source_id))[1]
          FROM taken GROUP BY at, workflow_id, queue, figure, outcome, bucket
        ON CONFLICT (minutes, at, workflow_id, queue, figure, outcome, bucket)
        DO UPDATE SET n = s.n + excluded.n, ms = s.ms + excluded.ms
    )
    SELECT count(*) FROM taken";

/// All figures from a time on. What is not folded yet is in it, so nothing that was stored is missing, and nothing is in it
/// twice: one statement sees either the ends or what became of them.
static SINCE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
    SELECT at, workflow_id, queue, figure, outcome, bucket, n, ms, source_id FROM statistics
     WHERE minutes = ANY ($1) AND at >= $2
    UNION ALL
    SELECT f.*, (SELECT workflow_source_id FROM workflows w WHERE w.id = f.workflow_id)
      FROM ({}) AS f WHERE f.at >= $2",
        figures_of("statistic_ends")
    )
});

const FILTER: &str = "($3::text IS NULL OR queue = $3) AND ($4::uuid IS NULL OR workflow_id = $4)
    AND ($5::uuid IS NULL OR source_id = $5)";

/// Which figures; what is `None` does not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatisticsFilter {
    /// Of this queue.
    pub queue: Option<String>,
    /// Of this workflow.
    pub workflow: Option<WorkflowId>,
    /// Of the workflows of this source.
    pub source: Option<SourceId>,
}

/// What figures are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Their queue.
    Queue,
    /// Their workflow.
    Workflow,
    /// Their source.
    Source,
}

/// A row of figures.
#[derive(Clone, Debug)]
pub struct StatisticsRow<K> {
    /// Which point or group they belong to.
    pub key: K,
    /// What is counted.
    pub figure: Figure,
    /// How it ended.
    pub outcome: String,
    /// How long it took.
    pub bucket: i16,
    /// How many.
    pub count: u64,
    /// How long they took together, in milliseconds.
    pub sum_ms: f64,
}

/// A group of figures.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// The queue's name or the id of the workflow or source; empty where its source is not known.
    pub key: String,
    /// What it is called, if it still exists and has a name.
    pub name: Option<String>,
}

impl Store {
    /// Figures from a time on, in points of so many minutes. One that is not on a border of such points is taken to the
    /// one before.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn statistics(
        &self,
        since: DateTime<Utc>,
        minutes: i64,
        filter: StatisticsFilter,
    ) -> Result<Vec<StatisticsRow<DateTime<Utc>>>, Error> {
        let sql = format!(
            "SELECT to_timestamp(floor(date_part('epoch', at) / $6) * $6), figure, outcome, bucket, sum(n)::int8, sum(ms)
               FROM ({}) AS s WHERE {FILTER} GROUP BY 1, 2, 3, 4",
            *SINCE
        );
        let seconds = (minutes * 60) as f64;
        self.figures(sql, since, filter, Some(seconds), |row| Ok(row.try_get(0)?)).await
    }

    /// Figures from a time on, in groups.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn grouped_statistics(
        &self,
        since: DateTime<Utc>,
        group: Group,
        filter: StatisticsFilter,
    ) -> Result<Vec<StatisticsRow<GroupKey>>, Error> {
        let (column, name) = match group {
            Group::Queue => ("queue", "NULL::text"),
            Group::Workflow => ("workflow_id", "(SELECT name FROM workflows w WHERE w.id = key)"),
            Group::Source => ("source_id", "(SELECT name FROM workflow_sources s WHERE s.id = key)"),
        };
        let sql = format!(
            "SELECT coalesce(key::text, ''), figure, outcome, bucket, n, ms, {name}
               FROM (SELECT {column} AS key, figure, outcome, bucket, sum(n)::int8 AS n, sum(ms) AS ms
                       FROM ({}) AS s WHERE {FILTER} GROUP BY 1, 2, 3, 4) AS grouped",
            *SINCE
        );
        self.figures(sql, since, filter, None, |row| Ok(GroupKey { key: row.try_get(0)?, name: row.try_get(6)? })).await
    }

    async fn figures<K: Send + 'static>(
        &self,
        sql: String,
        since: DateTime<Utc>,
        filter: StatisticsFilter,
        seconds: Option<f64>,
        key: impl Fn(&Row) -> Result<K, Error> + Send + 'static,
    ) -> Result<Vec<StatisticsRow<K>>, Error> {
        self.run(move |connection| async move {
            let rungs = LADDER.map(|(minutes, _)| minutes).to_vec();
            let (workflow, source) = (filter.workflow.map(|id| id.0), filter.source.map(|id| id.0));
            let mut params: Vec<(&(dyn ToSql + Sync), Type)> = vec![
                (&rungs, Type::INT2_ARRAY),
                (&since, Type::TIMESTAMPTZ),
                (&filter.queue, Type::TEXT),
                (&workflow, Type::UUID),
                (&source, Type::UUID),
            ];
            params.extend(seconds.as_ref().map(|seconds| (seconds as &(dyn ToSql + Sync), Type::FLOAT8)));
            let rows = connection.query_typed(&sql, &params).await?;
            rows.iter().filter_map(|row| read(row, &key).transpose()).collect()
        })
        .await
    }

    /// Adds up a batch of what ended lately. Returns how many rows were taken; none where another node is at it.
    ///
    /// # Errors
    /// The statement failed, and nothing was done.
    pub async fn fold_statistics(&self) -> Result<i64, Error> {
        self.run(move |connection| async move {
            let row = connection.query_typed_one(&FOLD, &[(&LOCK, Type::INT8), (&FOLD_BATCH, Type::INT8)]).await?;
            Ok(row.try_get(0)?)
        })
        .await
    }

    /// Adds figures that are old enough up to coarser ones, one coarser point of the oldest for each rung of the ladder.
    /// Returns how many rows were taken: none where there is nothing left to do or another node is at it.
    ///
    /// # Errors
    /// A statement failed; what others did stays.
    pub async fn coarsen_statistics(&self, now: DateTime<Utc>) -> Result<i64, Error> {
        self.run(move |connection| async move {
            let mut taken = 0;
            for pair in LADDER.windows(2) {
                let [(fine, Some(kept)), (coarse, _)] = pair else { continue };
                let coarse = i32::from(*coarse);
                // Only whole points: what comes late of one is added to it.
                let before = beginning(now - *kept, coarse.into());
                let params: [(&(dyn ToSql + Sync), Type); 4] =
                    [(&LOCK, Type::INT8), (fine, Type::INT2), (&coarse, Type::INT4), (&before, Type::TIMESTAMPTZ)];
                let row = connection.query_typed_one(COARSEN, &params).await?;
                taken += row.try_get::<_, i64>(0)?;
            }
            Ok(taken)
        })
        .await
    }
}

fn read<K>(row: &Row, key: impl Fn(&Row) -> Result<K, Error>) -> Result<Option<StatisticsRow<K>>, Error> {
    // A figure that a newer version counts is not ours to show.
    let Some(figure) = Figure::from_stored(row.try_get(1)?) else { return Ok(None) };
    Ok(Some(StatisticsRow {
        key: key(row)?,
        figure,
        outcome: row.try_get(2)?,
        bucket: row.try_get(3)?,
        count: row.try_get::<_, i64>(4)?.try_into().unwrap_or(0),
        sum_ms: row.try_get(5)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::distribution::PER_DOUBLING;

    #[test]
    fn the_statement_and_the_domain_have_the_same_buckets() {
        assert!(BUCKET.starts_with(&format!("floor({PER_DOUBLING} * ln(")));
    }
}
