//! Keys of the API: their hashes, never the keys.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;

use super::{Error, Store, pool, session};
use crate::domain::access::{KeyHash, KeyName, Scope};
use crate::domain::clock;
use crate::domain::id_prefix::IdPrefix;
use crate::domain::ids::KeyId;
use crate::domain::session::SessionId;

/// Most keys that are not revoked: every node holds them in memory.
pub const KEYS_MAX: i64 = 1_000;

const COLUMNS: &str = "id, name, prefix, scope, created_by, created_at, expires_at, revoked_at, last_used_at";

/// How much later than the last noted use another one is noted.
const NOTED_AFTER: &str = "interval '1 minute'";

/// A key to store.
#[derive(Clone, Debug)]
pub struct KeyDraft {
    /// What it is called.
    pub name: KeyName,
    /// Its visible beginning.
    pub prefix: String,
    /// Its hash.
    pub hash: KeyHash,
    /// What it may do.
    pub scope: Scope,
    /// Who made it.
    pub created_by: String,
    /// When it ends; none is never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A stored key, as it may be shown.
#[derive(Clone, Debug)]
pub struct KeyRecord {
    /// Its id.
    pub id: KeyId,
    /// What it is called.
    pub name: String,
    /// Its visible beginning.
    pub prefix: String,
    /// What it may do.
    pub scope: Scope,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends or ended; none is never.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// Which keys; what is `None` does not narrow.
#[derive(Clone, Debug, Default)]
pub struct KeyFilter {
    /// The revoked ones, too.
    pub revoked_too: bool,
    /// Called exactly so.
    pub named: Option<String>,
    /// Whose id begins so.
    pub id_prefix: Option<IdPrefix>,
}

/// What a request with a key is checked against.
#[derive(Clone, Debug)]
pub struct LiveKey {
    /// Its id.
    pub id: KeyId,
    /// What it is called.
    pub name: String,
    /// Its hash.
    pub hash: KeyHash,
    /// What it may do.
    pub scope: Scope,
    /// When it ends; none is never.
    pub expires_at: Option<DateTime<Utc>>,
    /// The last noted use.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// All that requests are checked against.
#[derive(Clone, Debug, Default)]
pub struct LiveKeys {
    /// Every key that opens the API.
    pub keys: Vec<LiveKey>,
    /// Whether any key, live or not, was ever stored.
    pub any: bool,
    /// The sessions that were ended before their time.
    pub ended_sessions: HashSet<SessionId>,
}

/// What came of adding a key.
#[derive(Debug)]
pub enum Added {
    /// It is stored.
    Done(KeyRecord),
    /// Another key that is not revoked has the name.
    NameTaken,
    /// There are [`KEYS_MAX`] keys.
    Full,
}

/// What came of revoking a key.
#[derive(Debug)]
pub enum Revoked {
    /// It is revoked from now on.
    Done(KeyRecord),
    /// It was revoked before.
    Already,
    /// It is the last admin's key that does not end.
    LastAdmin,
    /// There is no such key.
    Unknown,
}

impl Store {
    /// Stores a key.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn add_key(&self, draft: KeyDraft) -> Result<Added, Error> {
        let (id, now) = (KeyId::generate(), clock::now());
        let added = self
            .run(move |mut connection| async move {
                let transaction = pool::begin(&mut connection).await?;
                lock(&transaction).await?;
                let sql = format!(
                    "INSERT INTO api_keys (id, name, prefix, hash, scope, created_by, created_at, expires_at)
                     SELECT $1, $2, $3, $4, $5, $6, $7, $8
                      WHERE (SELECT count(*) FROM api_keys WHERE revoked_at IS NULL) < {KEYS_MAX}
                     RETURNING {COLUMNS}"
                );
                let (name, hash, scope) = (draft.name.as_str(), draft.hash.0.as_slice(), draft.scope.as_str());
                let params: [_; 8] = [
                    (&id.0 as _, Type::UUID),
                    (&name as _, Type::TEXT),
                    (&draft.prefix as _, Type::TEXT),
                    (&hash as _, Type::BYTEA),
                    (&scope as _, Type::TEXT),
                    (&draft.created_by as _, Type::TEXT),
                    (&now as _, Type::TIMESTAMPTZ),
                    (&draft.expires_at as _, Type::TIMESTAMPTZ),
                ];
                let row = transaction.query_typed_opt(&sql, &params).await?;
                let added = row.as_ref().map(KeyRecord::from_row).transpose()?;
                transaction.commit().await?;
                Ok(added)
            })
            .await;
        match added {
            Ok(Some(key)) => Ok(Added::Done(key)),
            Ok(None) => Ok(Added::Full),
            Err(error) if error.is_duplicate("api_keys_name") => Ok(Added::NameTaken),
            Err(error) => Err(error),
        }
    }

    /// Keys, newest first, and how many there are in all.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn keys(&self, filter: KeyFilter, offset: i64, limit: i64) -> Result<(Vec<KeyRecord>, i64), Error> {
        self.run(move |connection| async move {
            let conditions = "($1 OR revoked_at IS NULL) AND ($2::text IS NULL OR name = $2)
                AND ($3::uuid IS NULL OR id BETWEEN $3 AND $4)";
            let (first, last) = filter.id_prefix.map(|prefix| (prefix.first, prefix.last)).unzip();
            let mut params: Vec<(&(dyn ToSql + Sync), Type)> = vec![
                (&filter.revoked_too, Type::BOOL),
                (&filter.named, Type::TEXT),
                (&first, Type::UUID),
                (&last, Type::UUID),
            ];
            let count = format!("SELECT count(*) FROM api_keys WHERE {conditions}");
            let total = connection.query_typed_one(&count, &params).await?.try_get(0)?;
            let sql = format!(
                "SELECT {COLUMNS} FROM api_keys WHERE {conditions}
                  ORDER BY created_at DESC, id DESC LIMIT $5 OFFSET $6"
            );
            params.extend([(&limit as &(dyn ToSql + Sync), Type::INT8), (&offset, Type::INT8)]);
            let rows = connection.query_typed(&sql, &params).await?;
            Ok((rows.iter().map(KeyRecord::from_row).collect::<Result<_, _>>()?, total))
        })
        .await
    }

    /// Revokes a key. Its row stays, so that the audit trail can be read. With `keeps_admin` an admin's key is revoked
    /// only while another one is there that never ends.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn revoke_key(&self, id: KeyId, keeps_admin: bool) -> Result<Revoked, Error> {
        let now = clock::now();
        self.run(move |mut connection| async move {
            let transaction = pool::begin(&mut connection).await?;
            lock(&transaction).await?;
            let sql = format!(
                "UPDATE api_keys SET revoked_at = $2
                  WHERE id = $1 AND revoked_at IS NULL
                    AND (NOT $3 OR scope <> 'admin' OR expires_at <= $2 OR EXISTS (
                        SELECT FROM api_keys AS other WHERE other.id <> $1 AND other.scope = 'admin'
                           AND other.revoked_at IS NULL AND other.expires_at IS NULL))
                 RETURNING {COLUMNS}"
            );
            let params: [_; 3] =
                [(&id.0 as _, Type::UUID), (&now as _, Type::TIMESTAMPTZ), (&keeps_admin as _, Type::BOOL)];
            if let Some(row) = transaction.query_typed_opt(&sql, &params).await? {
                let revoked = KeyRecord::from_row(&row)?;
                transaction.commit().await?;
                return Ok(Revoked::Done(revoked));
            }
            let sql = "SELECT revoked_at IS NOT NULL FROM api_keys WHERE id = $1";
            let row = transaction.query_typed_opt(sql, &[(&id.0, Type::UUID)]).await?;
            Ok(match row.map(|row| row.try_get(0)).transpose()? {
                None => Revoked::Unknown,
                Some(true) => Revoked::Already,
                Some(false) => Revoked::LastAdmin,
            })
        })
        .await
    }

    /// All that requests are checked against now.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn live_keys(&self) -> Result<LiveKeys, Error> {
        let now = clock::now();
        self.run(move |connection| async move {
            let sql = "SELECT id, name, hash, scope, expires_at, last_used_at FROM api_keys
                        WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)";
            let rows = connection.query_typed(sql, &[(&now, Type::TIMESTAMPTZ)]).await?;
            let any = if rows.is_empty() {
                let any = connection.query_typed_one("SELECT EXISTS (SELECT 1 FROM api_keys)", &[]).await?;
                any.try_get(0)?
            } else {
                true
            };
            let keys = rows.iter().map(LiveKey::from_row).collect::<Result<_, _>>()?;
            Ok(LiveKeys { keys, any, ended_sessions: session::ended(&connection, now).await? })
        })
        .await
    }

    /// Notes when keys were last used. What another node noted less than a minute before stays.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn note_key_uses(&self, uses: Vec<(KeyId, DateTime<Utc>)>) -> Result<(), Error> {
        self.run(move |connection| async move {
            let (ids, times): (Vec<Uuid>, Vec<DateTime<Utc>>) = uses.into_iter().map(|(id, at)| (id.0, at)).unzip();
            let sql = format!(
                "UPDATE api_keys k SET last_used_at = u.at
                   FROM unnest($1::uuid[], $2::timestamptz[]) AS u (id, at)
                  WHERE k.id = u.id AND (k.last_used_at IS NULL OR k.last_used_at <= u.at - {NOTED_AFTER})"
            );
            let params: [_; 2] = [(&ids as _, Type::UUID_ARRAY), (&times as _, Type::TIMESTAMPTZ_ARRAY)];
            connection.execute_typed(&sql, &params).await?;
            Ok(())
        })
        .await
    }
}

impl KeyRecord {
    fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: KeyId(row.try_get(0)?),
            name: row.try_get(1)?,
            prefix: row.try_get(2)?,
            scope: read_scope(row.try_get(3)?)?,
            created_by: row.try_get(4)?,
            created_at: row.try_get(5)?,
            expires_at: row.try_get(6)?,
            revoked_at: row.try_get(7)?,
            last_used_at: row.try_get(8)?,
        })
    }
}

impl LiveKey {
    fn from_row(row: &Row) -> Result<Self, Error> {
        let hash: &[u8] = row.try_get(2)?;
        Ok(Self {
            id: KeyId(row.try_get(0)?),
            name: row.try_get(1)?,
            hash: KeyHash(hash.try_into().map_err(|_| Error::Unreadable("the hash of a key".to_owned()))?),
            scope: read_scope(row.try_get(3)?)?,
            expires_at: row.try_get(4)?,
            last_used_at: row.try_get(5)?,
        })
    }
}

/// One change of keys at a time: what is counted stays so until the change is made. Reading goes on.
async fn lock(transaction: &Transaction<'_>) -> Result<(), Error> {
    transaction.batch_execute("LOCK TABLE api_keys IN SHARE ROW EXCLUSIVE MODE").await?;
    Ok(())
}

fn read_scope(text: &str) -> Result<Scope, Error> {
    text.parse().map_err(|error| Error::Unreadable(format!("{error}")))
}
