//! Sessions of the dashboard that were ended before their time. One that was not has no row: it is in its cookie.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use super::pool::Connection;
use super::{Error, Store};
use crate::domain::clock;
use crate::domain::session::SessionId;

/// Most sessions of one key that are remembered as ended, until they would have been over: every node has them in memory.
/// Who has a key can begin and end sessions without number, and must not take the room of other keys with them.
pub const ENDED_MAX: i64 = 1_000;

/// Those that are over before their time has come is what is kept, so the others go first. One that is there already is
/// written again, so that a row is what says that the session is ended, also where two end it at once.
const END: &str = "
    WITH past AS (DELETE FROM ended_sessions WHERE ends_at <= $3 AND id <> $1)
    INSERT INTO ended_sessions (id, ends_at)
    SELECT $1, $2
     WHERE (SELECT count(*) FROM ended_sessions WHERE id BETWEEN $4 AND $5 AND ends_at > $3) < $6
        OR EXISTS (SELECT FROM ended_sessions WHERE id = $1)
        ON CONFLICT (id) DO UPDATE SET ends_at = excluded.ends_at";

impl Store {
    /// Ends a session that would last until then. Whether it is ended now, by this call or before; if not, [`ENDED_MAX`]
    /// of its key are, and it goes on.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn end_session(&self, id: SessionId, ends_at: DateTime<Utc>) -> Result<bool, Error> {
        let (now, (first, last)) = (clock::now(), id.of_the_same_owner().into_inner());
        self.run(move |connection| async move {
            let params = [
                (&id.0 as _, Type::UUID),
                (&ends_at as _, Type::TIMESTAMPTZ),
                (&now as _, Type::TIMESTAMPTZ),
                (&first.0 as _, Type::UUID),
                (&last.0 as _, Type::UUID),
                (&ENDED_MAX as _, Type::INT8),
            ];
            Ok(connection.execute_typed(END, &params).await? == 1)
        })
        .await
    }
}

/// The sessions that count no more, though their time has not come.
pub(super) async fn ended(connection: &Connection, now: DateTime<Utc>) -> Result<HashSet<SessionId>, Error> {
    let sql = "SELECT id FROM ended_sessions WHERE ends_at > $1";
    let rows = connection.query_typed(sql, &[(&now, Type::TIMESTAMPTZ)]).await?;
    rows.iter().map(|row| Ok(SessionId(row.try_get(0)?))).collect()
}
