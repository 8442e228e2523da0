//! Queues that are paused: nothing is claimed from them, on any node. The claim itself looks here.

use std::collections::BTreeSet;

use tokio_postgres::types::Type;

use super::{Error, Store};
use crate::domain::clock;
use crate::domain::queue::QueueName;

/// Queues that may be paused at one time: each claim looks through their names.
const MOST: i64 = 1_000;

/// What became of a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paused {
    /// The queue is paused.
    Done,
    /// As many others as may be are.
    TooMany,
}

impl Store {
    /// Pauses a queue: a claim that begins after this gets nothing from it. One that is paused stays so.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn pause_queue(&self, queue: QueueName) -> Result<Paused, Error> {
        let now = clock::now();
        self.run(move |connection| async move {
            let sql = "WITH room AS (SELECT count(*) < $3 OR bool_or(name = $1) AS is_there FROM paused_queues),
                     paused AS (INSERT INTO paused_queues (name, paused_at) SELECT $1, $2 FROM room WHERE is_there
                                ON CONFLICT DO NOTHING)
                SELECT is_there FROM room";
            let parameters: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)] =
                &[(&queue.as_str(), Type::TEXT), (&now, Type::TIMESTAMPTZ), (&MOST, Type::INT8)];
            let rows = connection.query_typed(sql, parameters).await?;
            let is_paused = rows.first().is_some_and(|row| row.get(0));
            Ok(if is_paused { Paused::Done } else { Paused::TooMany })
        })
        .await
    }

    /// Lets tasks of a queue be claimed again.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn resume_queue(&self, queue: QueueName) -> Result<(), Error> {
        self.run(move |connection| async move {
            let sql = "DELETE FROM paused_queues WHERE name = $1";
            connection.execute_typed(sql, &[(&queue.as_str(), Type::TEXT)]).await?;
            Ok(())
        })
        .await
    }

    /// The queues that are paused.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn paused_queues(&self) -> Result<BTreeSet<QueueName>, Error> {
        self.run(|connection| async move {
            let rows = connection.query_typed("SELECT name FROM paused_queues", &[]).await?;
            Ok(rows.iter().filter_map(|row| QueueName::new(row.get::<_, String>(0)).ok()).collect())
        })
        .await
    }
}
