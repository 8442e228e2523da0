//! What a database holds before anything is changed in it.

use tokio_postgres::Transaction;

use crate::domain::takeover::{Catalog, Misfit, Origin, origin};
use crate::store::Error;

const COLUMNS: &str = "
    SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL)
      FROM pg_class c
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid)
       AND c.relnamespace <> 'pg_catalog'::regnamespace";

/// Others that are connected to the same database, this program's own nodes aside.
const CONNECTED: &str = "
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
       AND application_name <> 'automagik-spark'";

/// Whose tables a database holds, in which none of our migrations ran.
///
/// # Errors
/// They can't be taken over, or the database can't be reached.
pub(in crate::store) async fn origin_of(transaction: &Transaction<'_>) -> Result<Origin, Error> {
    let mut catalog = Catalog::new();
    for row in transaction.query_typed(COLUMNS, &[]).await? {
        let (table, column, kind): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        catalog.entry(table).or_default().insert(column, kind);
    }
    match origin(&catalog) {
        Origin::Misfit(misfit) => Err(Error::Misfit(in_words(&misfit))),
        fitting => Ok(fitting),
    }
}

/// How many other programs are connected to the database. Of connections that may not be seen nothing is known.
pub(in crate::store) async fn connected_elsewhere(transaction: &Transaction<'_>) -> Result<i64, Error> {
    Ok(transaction.query_typed_one(CONNECTED, &[]).await?.try_get(0)?)
}

fn in_words(misfit: &Misfit) -> String {
    let faults = misfit.faults.join(", ");
    if misfit.is_python {
        format!(
            "it was made by a Python service whose schema is too old ({faults}); bring it to a schema of 0.2 or newer \
             with that project's own `alembic upgrade head`, or start with an empty database; nothing was changed"
        )
    } else {
        format!(
            "it has tables with the names of Spark's that are not Spark's ({faults}); give Spark a database or a schema \
             of its own; nothing was changed"
        )
    }
}
