//! Notifications: whom to tell of what.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::{Error, Store};
use crate::domain::clock;
use crate::domain::id_prefix::IdPrefix;
use crate::domain::ids::{NotificationId, WorkflowId};
use crate::domain::notification::NotificationEvent;
use crate::domain::queue::QueueName;
use crate::domain::source::Secret;

/// Most notifications: each is looked at whenever there may be something to tell.
pub const NOTIFICATIONS_MAX: i64 = 100;

const COLUMNS: &str = "id, name, url, events, workflow_id, queue, queue_depth, queue_age_s, is_active, created_at, updated_at, \
     (SELECT count(*) FROM notification_deliveries d WHERE d.notification_id = notifications.id AND d.next_try_at IS NOT NULL)";

/// What a notification says: whom to tell of what.
#[derive(Clone, Debug)]
pub struct NotificationRule {
    /// What it is called.
    pub name: String,
    /// Where it is sent.
    pub url: String,
    /// What to tell of.
    pub events: Vec<NotificationEvent>,
    /// Only of this workflow.
    pub workflow: Option<WorkflowId>,
    /// Only of this queue, where it is about queues.
    pub queue: Option<QueueName>,
    /// So many waiting tasks are too many.
    pub queue_depth: Option<i32>,
    /// Waiting for so long is too long.
    pub queue_age_s: Option<i32>,
    /// Whether anything is told.
    pub active: bool,
}

/// A notification that is to be stored.
#[derive(Clone, Debug)]
pub struct NotificationDraft {
    /// What it says.
    pub rule: NotificationRule,
    /// What messages are signed with; `None` keeps the one it has.
    pub secret: Option<Secret>,
}

/// A notification as it is stored; its secret stays sealed.
#[derive(Clone, Debug)]
pub struct NotificationRecord {
    /// Its id.
    pub id: NotificationId,
    /// What it says.
    pub rule: NotificationRule,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// Deliveries that are still to be made.
    pub waiting: i64,
}

/// What came of storing a notification.
#[derive(Clone, Debug)]
pub enum Stored {
    /// It is stored.
    Done(Box<NotificationRecord>),
    /// Another one has the name.
    NameTaken,
    /// There are [`NOTIFICATIONS_MAX`] of them.
    Full,
    /// The one to change is gone.
    Unknown,
}

/// Which notifications; what is `None` does not narrow.
#[derive(Clone, Debug, Default)]
pub struct NotificationFilter {
    /// Called exactly so.
    pub named: Option<String>,
    /// Whose id begins so.
    pub id_prefix: Option<IdPrefix>,
}

impl NotificationRecord {
    fn from_row(row: &Row) -> Result<Self, Error> {
        let events: Vec<String> = row.try_get(3)?;
        let queue: Option<String> = row.try_get(5)?;
        Ok(Self {
            id: NotificationId(row.try_get(0)?),
            rule: NotificationRule {
                name: row.try_get(1)?,
                url: row.try_get(2)?,
                // One that a newer version tells of is not ours to show.
                events: events.iter().filter_map(|event| event.parse().ok()).collect(),
                workflow: row.try_get::<_, Option<_>>(4)?.map(WorkflowId),
                queue: queue.and_then(|name| QueueName::new(name).ok()),
                queue_depth: row.try_get(6)?,
                queue_age_s: row.try_get(7)?,
                active: row.try_get(8)?,
            },
            created_at: row.try_get(9)?,
            updated_at: row.try_get(10)?,
            waiting: row.try_get(11)?,
        })
    }
}

impl Store {
    /// Stores a new notification.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn add_notification(&self, draft: NotificationDraft) -> Result<Stored, Error> {
        let sql = format!(
            "INSERT INTO notifications (id, name, url, encrypted_secret, events, workflow_id, queue, queue_depth, queue_age_s,
                                        is_active, created_at, updated_at)
             SELECT $1, $2, $3, coalesce($4, ''), $5, $6, $7, $8, $9, $10, $11, $11
              WHERE (SELECT count(*) FROM notifications) < {NOTIFICATIONS_MAX}
             RETURNING {COLUMNS}"
        );
        self.write_notification(sql, NotificationId::generate(), draft, Stored::Full).await
    }

    /// Replaces what is said of a notification. Where that changes what is told of, what lasts is told of anew: it may be
    /// another thing now.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn update_notification(&self, id: NotificationId, draft: NotificationDraft) -> Result<Stored, Error> {
        let sql = format!(
            "WITH anew AS (
                DELETE FROM notification_states s USING notifications n
                 WHERE s.notification_id = $1 AND n.id = $1
                   AND (n.events, n.workflow_id, n.queue, n.queue_depth, n.queue_age_s, n.is_active)
                       IS DISTINCT FROM ($5, $6, $7, $8, $9, $10)
             )
             UPDATE notifications
                SET name = $2, url = $3, encrypted_secret = coalesce($4, encrypted_secret), events = $5, workflow_id = $6,
                    queue = $7, queue_depth = $8, queue_age_s = $9, is_active = $10, updated_at = $11
              WHERE id = $1 RETURNING {COLUMNS}"
        );
        self.write_notification(sql, id, draft, Stored::Unknown).await
    }

    async fn write_notification(
        &self,
        sql: String,
        id: NotificationId,
        draft: NotificationDraft,
        otherwise: Stored,
    ) -> Result<Stored, Error> {
        let NotificationDraft { rule, secret } = draft;
        let (now, sealed) = (clock::now(), secret.as_ref().map(|secret| self.vault.encrypt(secret)));
        let written = self
            .run(move |connection| async move {
                let events: Vec<&str> = rule.events.iter().map(|event| event.as_str()).collect();
                let (workflow, queue) = (rule.workflow.map(|id| id.0), rule.queue.as_ref().map(QueueName::as_str));
                let params: [_; 11] = [
                    (&id.0 as _, Type::UUID),
                    (&rule.name as _, Type::TEXT),
                    (&rule.url as _, Type::TEXT),
                    (&sealed as _, Type::TEXT),
                    (&events as _, Type::TEXT_ARRAY),
                    (&workflow as _, Type::UUID),
                    (&queue as _, Type::TEXT),
                    (&rule.queue_depth as _, Type::INT4),
                    (&rule.queue_age_s as _, Type::INT4),
                    (&rule.active as _, Type::BOOL),
                    (&now as _, Type::TIMESTAMPTZ),
                ];
                let row = connection.query_typed_opt(&sql, &params).await?;
                row.as_ref().map(NotificationRecord::from_row).transpose()
            })
            .await;
        match written {
            Ok(Some(stored)) => Ok(Stored::Done(Box::new(stored))),
            Ok(None) => Ok(otherwise),
            Err(error) if error.is_duplicate("notifications_name") => Ok(Stored::NameTaken),
            Err(error) => Err(error),
        }
    }

    /// One notification.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn notification(&self, id: NotificationId) -> Result<Option<NotificationRecord>, Error> {
        self.run(move |connection| async move {
            let sql = format!("SELECT {COLUMNS} FROM notifications WHERE id = $1");
            let row = connection.query_typed_opt(&sql, &[(&id.0, Type::UUID)]).await?;
            row.as_ref().map(NotificationRecord::from_row).transpose()
        })
        .await
    }

    /// Notifications, newest first, and how many there are in all.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn notifications(
        &self,
        filter: NotificationFilter,
        offset: i64,
        limit: i64,
    ) -> Result<(Vec<NotificationRecord>, i64), Error> {
        self.run(move |connection| async move {
            let conditions = "($1::text IS NULL OR name = $1) AND ($2::uuid IS NULL OR id BETWEEN $2 AND $3)";
            let (first, last) = filter.id_prefix.map(|prefix| (prefix.first, prefix.last)).unzip();
            let mut params: Vec<(&(dyn ToSql + Sync), Type)> =
                vec![(&filter.named, Type::TEXT), (&first, Type::UUID), (&last, Type::UUID)];
            let count = format!("SELECT count(*) FROM notifications WHERE {conditions}");
            let total = connection.query_typed_one(&count, &params).await?.try_get(0)?;
            let sql = format!(
                "SELECT {COLUMNS} FROM notifications WHERE {conditions}
                  ORDER BY created_at DESC, id DESC LIMIT $4 OFFSET $5"
            );
            params.extend([(&limit as &(dyn ToSql + Sync), Type::INT8), (&offset, Type::INT8)]);
            let rows = connection.query_typed(&sql, &params).await?;
            Ok((rows.iter().map(NotificationRecord::from_row).collect::<Result<_, _>>()?, total))
        })
        .await
    }

    /// Deletes a notification with its deliveries. Returns whether there was one.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn delete_notification(&self, id: NotificationId) -> Result<bool, Error> {
        self.run(move |connection| async move {
            let sql = "WITH log AS (DELETE FROM notification_deliveries WHERE notification_id = $1)
                       DELETE FROM notifications WHERE id = $1";
            Ok(connection.execute_typed(sql, &[(&id.0, Type::UUID)]).await? > 0)
        })
        .await
    }
}
