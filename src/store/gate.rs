//! Gates: limits of sources and workflows, and what is known of the health of sources. See `admit.rs` for who passes.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;

use super::{Error, Store, pool};
use crate::domain::circuit::{Circuit, CircuitOptions, Signal};
use crate::domain::ids::{SourceId, TaskId};
use crate::domain::limit::Limits;

/// Whether tasks have to pass a gate one by one; a row may also just count failures.
pub(super) const IS_BARRED: &str =
    "(gates.max_concurrency IS NOT NULL OR gates.rate IS NOT NULL OR gates.circuit <> 'closed')";

/// A row that says nothing is no row.
const FORGET_EMPTY: &str = "DELETE FROM gates WHERE id = ANY ($1) AND max_concurrency IS NULL AND rate IS NULL
    AND circuit = 'closed' AND failures = 0";

const SET_LIMITS: &str = "INSERT INTO gates (id, max_concurrency, rate) VALUES ($1, $2, $3)
    ON CONFLICT (id) DO UPDATE SET max_concurrency = excluded.max_concurrency, rate = excluded.rate,
        next_start_at = CASE WHEN gates.rate = excluded.rate THEN gates.next_start_at END";

/// The gate of a source or workflow, as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateRecord {
    /// What is limited.
    pub limits: Limits,
    /// The circuit.
    pub circuit: Circuit,
}

/// The row as JSON gives it.
#[derive(Deserialize)]
struct Shown {
    max_concurrency: Option<u32>,
    rate: Option<String>,
    #[serde(flatten)]
    circuit: Circuit,
}

/// A column that [`GateRecord::from_column`] reads: the gate of the row whose id is `id`.
pub(super) fn column(id: &str) -> String {
    format!("(SELECT to_json(gates)::text FROM gates WHERE gates.id = {id}) AS gate")
}

impl GateRecord {
    pub(super) fn from_column(row: &Row) -> Result<Self, Error> {
        let Some(text) = row.try_get::<_, Option<&str>>("gate")? else { return Ok(Self::default()) };
        let shown: Shown =
            serde_json::from_str(text).map_err(|error| Error::Unreadable(format!("a row of gates: {error}")))?;
        let limits = Limits { max_concurrency: shown.max_concurrency, rate: read_rate(shown.rate.as_deref()) };
        Ok(Self { limits, circuit: shown.circuit })
    }
}

/// What an attempt's end says of a source.
#[derive(Clone, Debug)]
pub struct SourceSignal {
    /// The source.
    pub source: SourceId,
    /// What it says.
    pub signal: Signal,
    /// The attempt.
    pub attempt: (TaskId, i32),
}

/// A circuit that changed.
#[derive(Clone, Debug)]
pub struct CircuitChange {
    /// The source.
    pub source: SourceId,
    /// Its name, or its url where it has none.
    pub name: String,
    /// How it was.
    pub before: Circuit,
    /// How it is.
    pub after: Circuit,
}

impl Store {
    /// Learns from the ends of attempts how their sources are. Returns the circuits that are not as they were.
    ///
    /// # Errors
    /// The database can't be reached; then nothing was learnt.
    pub async fn learn(
        &self,
        signals: Vec<SourceSignal>,
        options: CircuitOptions,
    ) -> Result<Vec<CircuitChange>, Error> {
        self.run(move |mut connection| async move {
            let transaction = pool::begin(&mut connection).await?;
            let bad: Vec<Uuid> =
                signals.iter().filter(|told| told.signal != Signal::Up).map(|told| told.source.0).collect();
            let make = "INSERT INTO gates (id) SELECT id FROM workflow_sources WHERE id = ANY ($1) ORDER BY id
                FOR KEY SHARE ON CONFLICT DO NOTHING";
            transaction.execute_typed(make, &[(&bad, Type::UUID_ARRAY)]).await?;
            let ids: Vec<Uuid> = signals.iter().map(|told| told.source.0).collect();
            let mut changes = Vec::new();
            for (mut change, probe) in lock_circuits(&transaction, &ids).await? {
                let now = clock_of(&transaction).await?;
                for told in signals.iter().filter(|told| told.source == change.source) {
                    let is_probe = probe == Some(told.attempt);
                    change.after = change.after.after(&told.signal, is_probe, now, &options);
                }
                if change.after != change.before {
                    write_circuit(&transaction, change.source, &change.after).await?;
                    changes.push(change);
                }
            }
            transaction.execute_typed(FORGET_EMPTY, &[(&ids, Type::UUID_ARRAY)]).await?;
            transaction.commit().await?;
            Ok(changes)
        })
        .await
    }

    /// Closes a source's circuit, whatever opened it. Returns how it was; `None` where it was closed and nothing had
    /// failed.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn close_circuit(&self, source: SourceId) -> Result<Option<CircuitChange>, Error> {
        self.run(move |mut connection| async move {
            let transaction = pool::begin(&mut connection).await?;
            let found = lock_circuits(&transaction, &[source.0]).await?.pop();
            if let Some((change, _)) = &found {
                write_circuit(&transaction, change.source, &Circuit::default()).await?;
                transaction.execute_typed(FORGET_EMPTY, &[(&vec![source.0], Type::UUID_ARRAY)]).await?;
            }
            transaction.commit().await?;
            Ok(found.map(|(change, _)| CircuitChange { after: Circuit::default(), ..change }))
        })
        .await
    }

    /// Sources that are left alone, with their names and circuits; no more than so many, those first that were found away
    /// most often.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn sources_away(&self, most: i64) -> Result<Vec<(String, Circuit)>, Error> {
        self.run(move |connection| async move {
            let sql = "SELECT coalesce(s.name, s.url) AS name, g.circuit, g.failures, g.openings, g.until, g.reason
                FROM gates g JOIN workflow_sources s ON s.id = g.id
                WHERE g.circuit <> 'closed' ORDER BY g.openings DESC, name LIMIT $1";
            let rows = connection.query_typed(sql, &[(&most, Type::INT8)]).await?;
            rows.iter().map(|row| Ok((row.try_get("name")?, read_circuit(row)?))).collect()
        })
        .await
    }

    /// Sources whose last attempt failed, or whose circuit is not closed.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn troubled_sources(&self) -> Result<Vec<SourceId>, Error> {
        self.run(|connection| async move {
            let rows =
                connection.query_typed("SELECT id FROM gates WHERE failures > 0 OR circuit <> 'closed'", &[]).await?;
            Ok(rows.iter().map(|row| SourceId(row.get(0))).collect())
        })
        .await
    }
}

/// Sets the limits of a source or workflow that the caller holds.
pub(super) async fn set_limits(transaction: &Transaction<'_>, id: Uuid, limits: Limits) -> Result<(), Error> {
    let most = limits.max_concurrency.and_then(|most| i32::try_from(most).ok());
    let rate = limits.rate.map(|rate| rate.to_string());
    let params: [(&(dyn ToSql + Sync), Type); 3] = [(&id, Type::UUID), (&most, Type::INT4), (&rate, Type::TEXT)];
    transaction.execute_typed(SET_LIMITS, &params).await?;
    transaction.execute_typed(FORGET_EMPTY, &[(&vec![id], Type::UUID_ARRAY)]).await?;
    Ok(())
}

/// Takes away the gates of what is being deleted. Before any task is locked: the admission locks in this order, too.
pub(super) async fn delete_gates(transaction: &Transaction<'_>, ids: &[Uuid]) -> Result<(), Error> {
    transaction.execute_typed("DELETE FROM gates WHERE id = ANY ($1)", &[(&ids, Type::UUID_ARRAY)]).await?;
    Ok(())
}

/// The time by the one clock that all nodes share.
pub(super) async fn clock_of(transaction: &Transaction<'_>) -> Result<DateTime<Utc>, Error> {
    Ok(transaction.query_typed_one("SELECT clock_timestamp()", &[]).await?.try_get(0)?)
}

pub(super) fn read_rate(text: Option<&str>) -> Option<crate::domain::limit::Rate> {
    text.and_then(|text| text.parse().ok())
}

pub(super) fn read_circuit(row: &Row) -> Result<Circuit, Error> {
    let state: String = row.try_get("circuit")?;
    let count = |column| row.try_get::<_, i32>(column).map(|n| u32::try_from(n).unwrap_or(0));
    Ok(Circuit {
        state: serde_json::from_value(state.into()).unwrap_or_default(),
        failures: count("failures")?,
        openings: count("openings")?,
        until: row.try_get("until")?,
        reason: row.try_get("reason")?,
    })
}

type Probe = Option<(TaskId, i32)>;

async fn lock_circuits(transaction: &Transaction<'_>, ids: &[Uuid]) -> Result<Vec<(CircuitChange, Probe)>, Error> {
    let sql =
        "SELECT g.id, coalesce(s.name, s.url) AS name, g.circuit, g.failures, g.openings, g.until, g.reason, g.probe,
               g.probe_attempt
        FROM gates g JOIN workflow_sources s ON s.id = g.id WHERE g.id = ANY ($1) ORDER BY g.id FOR UPDATE OF g";
    let rows = transaction.query_typed(sql, &[(&ids, Type::UUID_ARRAY)]).await?;
    let read = |row: &Row| {
        let before = read_circuit(row)?;
        let after = before.clone();
        let probe: Option<Uuid> = row.try_get("probe")?;
        let change = CircuitChange { source: SourceId(row.try_get("id")?), name: row.try_get("name")?, before, after };
        Ok((change, probe.map(TaskId).zip(row.try_get("probe_attempt")?)))
    };
    rows.iter().map(read).collect()
}

async fn write_circuit(transaction: &Transaction<'_>, source: SourceId, circuit: &Circuit) -> Result<(), Error> {
    let sql = "UPDATE gates SET circuit = $2, failures = $3, openings = $4, until = $5, reason = $6, probe = NULL,
               probe_attempt = NULL WHERE id = $1";
    let count = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    let reason = circuit.reason.as_ref().map(|reason| reason.replace('\0', "\u{FFFD}"));
    let params: [(&(dyn ToSql + Sync), Type); 6] = [
        (&source.0, Type::UUID),
        (&circuit.state.as_str(), Type::TEXT),
        (&count(circuit.failures), Type::INT4),
        (&count(circuit.openings), Type::INT4),
        (&circuit.until, Type::TIMESTAMPTZ),
        (&reason, Type::TEXT),
    ];
    transaction.execute_typed(sql, &params).await?;
    Ok(())
}
