//! How PostgreSQL and the pool of connections are doing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use super::{Error, Store};
use crate::domain::clock;
use crate::domain::histogram::Observed;

/// Upper bounds for the time that PostgreSQL takes, in seconds: around the limits of 100 and 500 ms.
pub(super) const QUERY_BOUNDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// This node's connections to PostgreSQL, at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolFigures {
    /// Connections that something uses.
    pub in_use: u32,
    /// Connections that wait for something to do.
    pub idle: u32,
    /// Most connections there may be (`database.pool_size` and `database.max_overflow`).
    pub max: u32,
    /// Calls that wait for a connection.
    pub waiting: u64,
    /// Calls so far that had to wait for a connection.
    pub waited: u64,
    /// Calls so far that waited in vain for a connection.
    pub timed_out: u64,
}

/// What PostgreSQL says of itself and of what is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFigures {
    /// The database's name.
    pub database: String,
    /// Connections to this database, whoever has them. Behind a PgBouncer: the bouncer's.
    pub database_connections: u64,
    /// Connections to all databases of the server.
    pub connections: u64,
    /// Most connections that the server accepts (its `max_connections`).
    pub max_connections: u64,
    /// Nodes whose lease holds.
    pub nodes_alive: u64,
    /// Nodes whose lease ran out. Their rows are forgotten some minutes later.
    pub nodes_dead: u64,
    /// When the schedule was due that has been due for longest; nothing where none is.
    pub due_since: Option<DateTime<Utc>>,
}

const SERVER: &str = "
    SELECT current_database()::text,
           (SELECT coalesce(sum(numbackends) FILTER (WHERE datname = current_database()), 0)::bigint
              FROM pg_stat_database),
           (SELECT coalesce(sum(numbackends), 0)::bigint FROM pg_stat_database),
           current_setting('max_connections')::bigint,
           (SELECT count(*) FROM nodes WHERE lease_until > $1),
           (SELECT count(*) FROM nodes WHERE lease_until <= $1),
           (SELECT min(greatest(next_run_at, timestamptz '1970-01-01 00:00Z'))
              FROM schedules WHERE status = 'active' AND next_run_at <= $1)";

/// Needs no table: it is asked before there is one, too.
const CONNECTIONS: &str = "
    SELECT current_setting('max_connections')::bigint, (SELECT coalesce(sum(numbackends), 0)::bigint FROM pg_stat_database)";

impl Store {
    /// Most connections that the server accepts, and how many there are.
    ///
    /// # Errors
    /// PostgreSQL can't be reached or refuses.
    pub async fn connections(&self) -> Result<(u64, u64), Error> {
        self.run(|connection| async move {
            let rows = connection.query_typed(CONNECTIONS, &[]).await?;
            let row = rows.first().ok_or_else(|| Error::Unreadable("no figures of the server".to_owned()))?;
            let count = |column: usize| row.try_get::<_, i64>(column).map(|count| u64::try_from(count).unwrap_or(0));
            Ok((count(0)?, count(1)?))
        })
        .await
    }

    /// The pool's connections. No IO.
    pub fn pool_figures(&self) -> PoolFigures {
        let state = self.pool.state();
        PoolFigures {
            in_use: state.connections.saturating_sub(state.idle_connections),
            idle: state.idle_connections,
            max: self.max_connections,
            waiting: state.statistics.pending_gets(),
            waited: state.statistics.get_waited,
            timed_out: state.statistics.get_timed_out,
        }
    }

    /// How long PostgreSQL took for what it was asked: one statement, or the few of a transaction, without the wait for
    /// a connection. No IO.
    pub fn query_times(&self) -> Observed {
        self.query_times.read()
    }

    /// How long the oldest call has taken that has not ended; nothing where none is under way. No IO.
    pub fn oldest_query(&self) -> Option<Duration> {
        self.under_way.oldest().map(|began| began.elapsed())
    }

    /// What PostgreSQL says of itself, in one round trip.
    ///
    /// # Errors
    /// PostgreSQL can't be reached or refuses.
    pub async fn server_figures(&self) -> Result<ServerFigures, Error> {
        let now = clock::now();
        self.run(move |connection| async move {
            let rows = connection.query_typed(SERVER, &[(&now, Type::TIMESTAMPTZ)]).await?;
            let row = rows.first().ok_or_else(|| Error::Unreadable("no figures of the server".to_owned()))?;
            let count = |column: usize| row.try_get::<_, i64>(column).map(|count| u64::try_from(count).unwrap_or(0));
            Ok(ServerFigures {
                database: row.try_get(0)?,
                database_connections: count(1)?,
                connections: count(2)?,
                max_connections: count(3)?,
                nodes_alive: count(4)?,
                nodes_dead: count(5)?,
                due_since: row.try_get(6)?,
            })
        })
        .await
    }
}
