//! What takeovers changed, to be looked up.

use super::Change;
use crate::store::{Error, Store};
use tokio_postgres::types::Type;

const CHANGES: &str = "SELECT entity, entity_id, field, former, reason FROM takeover_changes \
     ORDER BY takeover_id, entity, entity_id, field OFFSET $1 LIMIT $2";

impl Store {
    /// The values that takeovers changed, kind by kind, and how many there are in all.
    ///
    /// # Errors
    /// The database can't be reached, or is not upgraded yet.
    pub async fn takeover_changes(&self, offset: i64, limit: i64) -> Result<(Vec<Change>, i64), Error> {
        self.run(move |connection| async move {
            let total = connection.query_typed_one("SELECT count(*) FROM takeover_changes", &[]).await?.try_get(0)?;
            let rows = connection.query_typed(CHANGES, &[(&offset, Type::INT8), (&limit, Type::INT8)]).await?;
            let read = |row: &tokio_postgres::Row| {
                Ok(Change {
                    entity: row.try_get(0)?,
                    id: row.try_get(1)?,
                    field: row.try_get(2)?,
                    former: row.try_get(3)?,
                    reason: row.try_get(4)?,
                })
            };
            Ok((rows.iter().map(read).collect::<Result<_, Error>>()?, total))
        })
        .await
    }
}
