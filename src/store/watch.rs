//! What lasts and is told of when it changes: a queue over its threshold, a source that can't be reached, a schedule that
//! is late. `notification_states` has a row while something is the case. Each look is one statement that changes rows
//! and writes the deliveries; two nodes that look at once meet at the rows' key, and one of them tells.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use super::notice::{listeners, tell, time};
use super::{Error, Store};
use crate::domain::notification::NotificationEvent;

/// How long after its time a schedule that has not fired is late.
const LATE_AFTER: &str = "interval '60 seconds'";
/// So many attempts in a row that don't reach a source mean that it is down, and so far back one looks for them.
const UNREACHED: u32 = 3;
const UNREACHED_WITHIN: &str = "interval '10 minutes'";
/// Most of such attempts that one look reads.
const UNREACHED_READ: u32 = 5_000;
/// The codes of such attempts, as the index has them.
const UNREACHED_CODES: &str =
    "('source_unreachable', 'source_reset', 'source_http_502', 'source_http_503', 'source_http_504')";

/// What lasts, in SQL.
struct Watched {
    event: NotificationEvent,
    /// Common table expressions, of which the last one is called `seen`: `notification_id`, `subject`, `data`.
    seen: String,
    /// Which of the rows `v` of `seen` begin a state.
    begins: &'static str,
    /// Which states `s` of notifications `n` are over.
    is_over: String,
}

impl Watched {
    /// Parameter 1 is the time.
    fn statement(&self) -> Option<String> {
        let (event, recovery) = (self.event, self.event.recovery()?);
        let told = tell(&format!(
            "SELECT notification_id, '{event}' AS event, $1::timestamptz AS at, data FROM begun
             UNION ALL
             SELECT notification_id, '{recovery}', $1, data || jsonb_build_object('since', {since}) FROM ended",
            since = time("since"),
        ));
        Some(format!(
            "WITH listeners AS MATERIALIZED ({listeners}), {seen},
             begun AS (
                INSERT INTO notification_states (notification_id, event, subject, since, data)
                SELECT notification_id, '{event}', subject, $1, data FROM seen v WHERE {begins} ORDER BY 1, 3
                ON CONFLICT DO NOTHING
                RETURNING notification_id, data
             ), ended AS (
                DELETE FROM notification_states s USING listeners n
                 WHERE s.notification_id = n.id AND s.event = '{event}' AND {is_over}
                RETURNING s.notification_id, s.data, s.since
             )
             {told}",
            listeners = listeners(event.as_str()),
            seen = self.seen,
            begins = self.begins,
            is_over = self.is_over,
        ))
    }
}

static WATCHED: LazyLock<Vec<String>> =
    LazyLock::new(|| [queues(), sources(), schedules()].iter().filter_map(Watched::statement).collect());

/// A queue is over when a threshold is reached, and no more below three quarters of each: so one that stays about its
/// threshold does not tell all the time.
fn queues() -> Watched {
    Watched {
        event: NotificationEvent::QueueOver,
        seen: "waiting AS MATERIALIZED (
                SELECT queue, workflow_id, count(*) AS depth, min(pending_at) AS oldest FROM tasks
                 WHERE status = 'pending' AND pending_at <= $1 AND EXISTS (SELECT FROM listeners)
                 GROUP BY queue, workflow_id
             ), counted AS (
                SELECT n.id AS notification_id, w.queue AS subject, sum(w.depth)::int8 AS depth,
                       round(extract(epoch FROM $1 - min(w.oldest))::numeric, 3) AS age_s,
                       n.queue_depth, n.queue_age_s, n.workflow_id
                  FROM listeners n JOIN waiting w ON (n.queue IS NULL OR n.queue = w.queue)
                   AND (n.workflow_id IS NULL OR n.workflow_id = w.workflow_id)
                 GROUP BY n.id, w.queue, n.queue_depth, n.queue_age_s, n.workflow_id
             ), seen AS MATERIALIZED (
                SELECT *, jsonb_build_object('queue', subject, 'workflow_id', workflow_id, 'depth', depth,
                    'oldest_age_s', age_s, 'queue_depth', queue_depth, 'queue_age_s', queue_age_s) AS data FROM counted
             )"
        .to_owned(),
        begins: "(depth >= queue_depth OR age_s >= queue_age_s)",
        is_over: "NOT EXISTS (SELECT FROM seen v WHERE v.notification_id = s.notification_id AND v.subject = s.subject
                   AND (v.depth * 4 >= v.queue_depth::int8 * 3 OR v.age_s * 4 >= v.queue_age_s::int8 * 3))"
            .to_owned(),
    }
}

/// A source is down when the newest attempts did not reach it and none completed since, and no more once one completes.
/// Told from what ended, so that it needs nobody to ask the source. What is added up already is known by the minute: of
/// the minute in which the row of failures began, any success counts against it.
fn sources() -> Watched {
    let completed = |folded: &str, fresh: &str, source: &str| {
        format!(
            "(EXISTS (SELECT FROM statistics x WHERE x.minutes = 1 AND x.at {folded} AND x.source_id::text = {source}
                         AND x.figure = 'attempt' AND x.outcome = 'completed')
              OR EXISTS (SELECT FROM statistic_ends e JOIN workflows w ON w.id = e.workflow_id
                          WHERE e.attempt = 'completed' AND e.finished_at > {fresh}
                            AND w.workflow_source_id::text = {source}))"
        )
    };
    let since_third = completed(">= date_trunc('minute', f.third)", "f.third", "f.source_id::text");
    let since_down = completed("> s.since", "s.since", "s.subject");
    Watched {
        event: NotificationEvent::SourceDown,
        seen: format!(
            "unreached AS MATERIALIZED (
                SELECT task_id, finished_at, error FROM task_attempts
                 WHERE code IN {UNREACHED_CODES} AND finished_at > $1 - {UNREACHED_WITHIN}
                   AND EXISTS (SELECT FROM listeners)
                 ORDER BY finished_at DESC LIMIT {UNREACHED_READ}
             ), failing AS (
                SELECT w.workflow_source_id AS source_id, (array_agg(u.finished_at ORDER BY u.finished_at DESC))[{UNREACHED}] AS third,
                       (array_agg(left(u.error, 2000) ORDER BY u.finished_at DESC))[1] AS error
                  FROM unreached u JOIN tasks t ON t.id = u.task_id JOIN workflows w ON w.id = t.workflow_id
                 WHERE w.workflow_source_id IS NOT NULL
                 GROUP BY w.workflow_source_id HAVING count(*) >= {UNREACHED}
             ), seen AS MATERIALIZED (
                SELECT n.id AS notification_id, f.source_id::text AS subject,
                       jsonb_build_object('source_id', f.source_id, 'source_name', o.name, 'error', f.error) AS data
                  FROM failing f JOIN workflow_sources o ON o.id = f.source_id
                  JOIN listeners n ON n.workflow_id IS NULL OR EXISTS (SELECT FROM workflows w
                        WHERE w.id = n.workflow_id AND w.workflow_source_id = f.source_id)
                 WHERE NOT {since_third}
             )"
        ),
        begins: "true",
        is_over: format!(
            "({since_down} OR NOT EXISTS (SELECT FROM workflow_sources o WHERE o.id::text = s.subject))"
        ),
    }
}

/// A schedule is late when its time has come and nobody has fired it: no node runs beat, or beat can't.
fn schedules() -> Watched {
    let next_run_at = time("c.next_run_at");
    Watched {
        event: NotificationEvent::ScheduleLate,
        seen: format!(
            "seen AS MATERIALIZED (
                SELECT n.id AS notification_id, c.id::text AS subject,
                       jsonb_build_object('schedule_id', c.id, 'workflow_id', c.workflow_id,
                           'workflow_name', (SELECT w.name FROM workflows w WHERE w.id = c.workflow_id),
                           'next_run_at', {next_run_at}) AS data
                  FROM schedules c JOIN listeners n ON n.workflow_id IS NULL OR n.workflow_id = c.workflow_id
                 WHERE c.status = 'active' AND c.next_run_at <= $1 - {LATE_AFTER}
             )"
        ),
        begins: "true",
        is_over:
            "NOT EXISTS (SELECT FROM seen v WHERE v.notification_id = s.notification_id AND v.subject = s.subject)"
                .to_owned(),
    }
}

impl Store {
    /// Looks what lasts, and writes down what is to be told of what changed. Returns how many deliveries that makes.
    ///
    /// # Errors
    /// A statement failed; what others did stays.
    pub async fn watch(&self, now: DateTime<Utc>) -> Result<u64, Error> {
        self.run(move |connection| async move {
            let mut told = 0;
            for statement in WATCHED.iter() {
                told += connection.execute_typed(statement, &[(&now, Type::TIMESTAMPTZ)]).await?;
            }
            Ok(told)
        })
        .await
    }
}
