//! Deliveries: what is sent to whom, what came of it, and which node sends it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::notice::tell;
use super::{Error, Store};
use crate::domain::clock;
use crate::domain::ids::NotificationId;
use crate::domain::notification::{Fate, TEST};
use crate::domain::source::Secret;

/// How long a sender may take. After that it is taken for dead, and another one sends.
pub const LEASE: Duration = Duration::from_secs(60);
/// How long deliveries are kept.
pub const DELIVERY_LIFETIME: Duration = Duration::from_secs(30 * 86_400);

const COLUMNS: &str = "id, event, body, status, tries, next_try_at, last_status, last_error, created_at, ended_at";

/// Of each of some notifications the deliveries that are due. One is taken by one node: its row is locked while its time
/// is moved on by the lease.
const TAKE: &str = "
    WITH due AS MATERIALIZED (
        SELECT n.id, n.is_active, n.url, n.encrypted_secret FROM notifications n CROSS JOIN LATERAL (
            SELECT d.next_try_at FROM notification_deliveries d
             WHERE d.notification_id = n.id AND d.next_try_at <= $1 AND (n.is_active OR d.event = $2)
             ORDER BY d.next_try_at LIMIT 1) AS oldest
         WHERE n.id <> ALL ($3) ORDER BY oldest.next_try_at LIMIT $4
    ), taken AS MATERIALIZED (
        SELECT x.id, n.url, n.encrypted_secret FROM due n CROSS JOIN LATERAL (
            SELECT d.id FROM notification_deliveries d
             WHERE d.notification_id = n.id AND d.next_try_at <= $1 AND (n.is_active OR d.event = $2)
             ORDER BY d.next_try_at LIMIT $5 FOR UPDATE SKIP LOCKED) AS x
    )
    UPDATE notification_deliveries d SET tries = d.tries + 1, next_try_at = $6
      FROM taken t WHERE d.id = t.id
    RETURNING d.id, d.notification_id, d.event, d.body, d.tries, t.url, t.encrypted_secret";

/// The number of the try is its fencing token: a sender that took too long changes nothing any more.
const SETTLE: &str = "
    UPDATE notification_deliveries
       SET status = $3, next_try_at = $4, last_status = $5, last_error = $6, ended_at = $7
     WHERE id = $1 AND tries = $2 AND status = 'pending'";

/// A delivery to send now.
#[derive(Clone, Debug)]
pub struct DueDelivery {
    /// The same for every try.
    pub id: Uuid,
    /// Whose.
    pub notification: NotificationId,
    /// What it tells of.
    pub event: String,
    /// What is sent.
    pub body: String,
    /// Which try this is, from 1.
    pub tries: i32,
    /// Where to.
    pub url: String,
    sealed_secret: String,
}

/// What came of a try.
#[derive(Clone, Debug)]
pub struct Tried {
    /// What becomes of the delivery.
    pub fate: Fate,
    /// The status that was answered.
    pub status: Option<u16>,
    /// Why it did not arrive.
    pub error: Option<String>,
}

/// A delivery as the log shows it.
#[derive(Clone, Debug)]
pub struct DeliveryRecord {
    /// Its id, the `webhook-id`.
    pub id: Uuid,
    /// What it tells of.
    pub event: String,
    /// What is sent, JSON.
    pub body: String,
    /// `pending`, `delivered` or `given_up`.
    pub status: String,
    /// How often it was tried.
    pub tries: i32,
    /// When it is tried next; none once it has ended.
    pub next_try_at: Option<DateTime<Utc>>,
    /// The status that the last try was answered with.
    pub last_status: Option<i16>,
    /// Why the last try failed.
    pub last_error: Option<String>,
    /// When there was something to tell.
    pub created_at: DateTime<Utc>,
    /// When it was delivered or given up.
    pub ended_at: Option<DateTime<Utc>>,
}

impl DeliveryRecord {
    fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.try_get(0)?,
            event: row.try_get(1)?,
            body: row.try_get(2)?,
            status: row.try_get(3)?,
            tries: row.try_get(4)?,
            next_try_at: row.try_get(5)?,
            last_status: row.try_get(6)?,
            last_error: row.try_get(7)?,
            created_at: row.try_get(8)?,
            ended_at: row.try_get(9)?,
        })
    }
}

impl Store {
    /// Takes deliveries that are due: of at most so many notifications, but for the busy ones, and so many of each.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn take_deliveries(
        &self,
        busy: Vec<NotificationId>,
        notifications: usize,
        of_each: i64,
    ) -> Result<Vec<DueDelivery>, Error> {
        let now = clock::now();
        self.run(move |connection| async move {
            let busy: Vec<Uuid> = busy.into_iter().map(|id| id.0).collect();
            let (notifications, lease_ends) = (i64::try_from(notifications).unwrap_or(i64::MAX), now + LEASE);
            let params: [_; 6] = [
                (&now as _, Type::TIMESTAMPTZ),
                (&TEST as _, Type::TEXT),
                (&busy as _, Type::UUID_ARRAY),
                (&notifications as _, Type::INT8),
                (&of_each as _, Type::INT8),
                (&lease_ends as _, Type::TIMESTAMPTZ),
            ];
            let rows = connection.query_typed(TAKE, &params).await?;
            let read = |row: &Row| {
                Ok(DueDelivery {
                    id: row.try_get(0)?,
                    notification: NotificationId(row.try_get(1)?),
                    event: row.try_get(2)?,
                    body: row.try_get(3)?,
                    tries: row.try_get(4)?,
                    url: row.try_get(5)?,
                    sealed_secret: row.try_get(6)?,
                })
            };
            rows.iter().map(read).collect()
        })
        .await
    }

    /// The secret that a delivery is signed with.
    ///
    /// # Errors
    /// It was sealed with another encryption key.
    pub fn delivery_secret(&self, delivery: &DueDelivery) -> Result<Secret, Error> {
        self.vault.decrypt(&delivery.sealed_secret)
    }

    /// Notes what came of a try, unless another one has begun meanwhile.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn settle_delivery(&self, id: Uuid, tries: i32, tried: Tried) -> Result<(), Error> {
        let now = clock::now();
        self.run(move |connection| async move {
            let (status, next_try_at, ended_at) = match tried.fate {
                Fate::Delivered => ("delivered", None, Some(now)),
                Fate::TryAgain(wait) => ("pending", Some(now + wait), None),
                Fate::GivenUp => ("given_up", None, Some(now)),
            };
            let answered = tried.status.and_then(|status| i16::try_from(status).ok());
            let params: [_; 7] = [
                (&id as _, Type::UUID),
                (&tries as _, Type::INT4),
                (&status as _, Type::TEXT),
                (&next_try_at as _, Type::TIMESTAMPTZ),
                (&answered as _, Type::INT2),
                (&tried.error as _, Type::TEXT),
                (&ended_at as _, Type::TIMESTAMPTZ),
            ];
            connection.execute_typed(SETTLE, &params).await?;
            Ok(())
        })
        .await
    }

    /// Writes down a message to try a receiver with. None where there is no such notification.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn add_test_delivery(&self, id: NotificationId) -> Result<Option<DeliveryRecord>, Error> {
        let now = clock::now();
        self.run(move |connection| async move {
            let told = tell(
                "SELECT id AS notification_id, $2 AS event, $3::timestamptz AS at,
                        json_build_object('notification_id', id, 'notification_name', name) AS data
                   FROM notifications WHERE id = $1",
            );
            let sql = format!("{told} RETURNING {COLUMNS}");
            let params: [_; 3] = [(&id.0 as _, Type::UUID), (&TEST as _, Type::TEXT), (&now as _, Type::TIMESTAMPTZ)];
            let row = connection.query_typed_opt(&sql, &params).await?;
            row.as_ref().map(DeliveryRecord::from_row).transpose()
        })
        .await
    }

    /// The deliveries of a notification, newest first, and how many there are in all; all in one status if one is given.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn deliveries(
        &self,
        id: NotificationId,
        status: Option<String>,
        offset: i64,
        limit: i64,
    ) -> Result<(Vec<DeliveryRecord>, i64), Error> {
        self.run(move |connection| async move {
            let conditions = "notification_id = $1 AND ($2::text IS NULL OR status = $2)";
            let count = format!("SELECT count(*) FROM notification_deliveries WHERE {conditions}");
            let of_one = [(&id.0 as _, Type::UUID), (&status as _, Type::TEXT)];
            let total = connection.query_typed_one(&count, &of_one).await?.try_get(0)?;
            let sql = format!(
                "SELECT {COLUMNS} FROM notification_deliveries WHERE {conditions}
                  ORDER BY created_at DESC, id DESC LIMIT $3 OFFSET $4"
            );
            let params: [_; 4] = [
                (&id.0 as _, Type::UUID),
                (&status as _, Type::TEXT),
                (&limit as _, Type::INT8),
                (&offset as _, Type::INT8),
            ];
            let rows = connection.query_typed(&sql, &params).await?;
            Ok((rows.iter().map(DeliveryRecord::from_row).collect::<Result<_, _>>()?, total))
        })
        .await
    }
}
