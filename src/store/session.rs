//! Sessions of the dashboard that were ended before their time. One that was not has no row: it is in its cookie.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::pool::Connection;
use super::{Error, Store};
use crate::domain::clock;

/// Most sessions that are remembered as ended: every node has them in memory. Only who has a key can end one.
const MOST: i64 = 10_000;

/// Those that are over before their time has come is what is kept, so the others go first.
const END: &str = "
    WITH past AS (DELETE FROM ended_sessions WHERE ends_at <= $3)
    INSERT INTO ended_sessions (id, ends_at)
    SELECT $1, $2 WHERE (SELECT count(*) FROM ended_sessions WHERE ends_at > $3) < $4
        ON CONFLICT DO NOTHING";

impl Store {
    /// Ends a session that would last until then. False: it was ended before, or there are too many.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn end_session(&self, id: Uuid, ends_at: DateTime<Utc>) -> Result<bool, Error> {
        let now = clock::now();
        self.run(move |connection| async move {
            let params = [
                (&id as _, Type::UUID),
                (&ends_at as _, Type::TIMESTAMPTZ),
                (&now as _, Type::TIMESTAMPTZ),
                (&MOST as _, Type::INT8),
            ];
            Ok(connection.execute_typed(END, &params).await? == 1)
        })
        .await
    }
}

/// The sessions that count no more, though their time has not come.
pub(super) async fn ended(connection: &Connection, now: DateTime<Utc>) -> Result<HashSet<Uuid>, Error> {
    let sql = "SELECT id FROM ended_sessions WHERE ends_at > $1";
    let rows = connection.query_typed(sql, &[(&now, Type::TIMESTAMPTZ)]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
