//! Pages of rows that may hold large values.

use std::pin::pin;

use futures_util::TryStreamExt;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::{Connection, Error};

/// Most bytes of a page: some megabytes a row in pages of the usual length. It is held three times until it is sent.
const PAGE_BYTES: usize = 128 * 1024 * 1024;

/// Reads a page. One row alone is read however large it is.
///
/// # Errors
/// The statement failed, or the page is larger than may be held in memory.
pub(super) async fn read<T>(
    connection: &Connection,
    sql: &str,
    params: Vec<(&(dyn ToSql + Sync), Type)>,
    read: impl Fn(&Row) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let mut rows = pin!(connection.query_typed_raw(sql, params).await?);
    let (mut page, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        bytes += row.raw_size_bytes();
        if bytes > PAGE_BYTES && !page.is_empty() {
            return Err(Error::PageTooLarge { most_mb: PAGE_BYTES >> 20, rows: page.len() });
        }
        page.push(read(&row)?);
    }
    Ok(page)
}
