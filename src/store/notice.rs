//! The parts of statements that write down what is to be told, with the change itself: so nothing is told that did not
//! happen, nothing that happened is forgotten, and nothing is told twice, whatever is lost in between.

/// Deliveries of one notification that may wait; what more there is to tell is not told. A receiver that is away while
/// all tasks fail must not fill the database.
const WAITING_MAX: u32 = 10_000;

/// Those who are to be told of an event, a text.
pub(super) fn listeners(event: &str) -> String {
    format!(
        "SELECT n.id, n.workflow_id, n.queue, n.queue_depth, n.queue_age_s FROM notifications n
          WHERE n.is_active AND '{event}' = ANY (n.events)
            AND (SELECT count(*) FROM (SELECT FROM notification_deliveries d
                  WHERE d.notification_id = n.id AND d.next_try_at IS NOT NULL LIMIT {WAITING_MAX}) AS waiting) < {WAITING_MAX}"
    )
}

/// Writes a delivery for each row of a query that has the columns `notification_id`, `event`, `at` and `data`. What is
/// sent is made here and stays as it is, so that every try sends the same.
pub(super) fn tell(rows: &str) -> String {
    let timestamp = time("at");
    format!(
        "INSERT INTO notification_deliveries (id, notification_id, event, body, created_at, next_try_at)
         SELECT gen_random_uuid(), notification_id, event,
                json_build_object('type', event, 'timestamp', {timestamp}, 'data', data)::text, at, at
           FROM ({rows}) AS told"
    )
}

/// A time as JSON of ours has it, whatever the session's time zone.
pub(super) fn time(column: &str) -> String {
    format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')")
}

/// Tells of tasks that failed for good. `moved` has a row for each attempt that ended.
pub(super) fn tell_failed(moved: &str) -> String {
    let finished_at = time("m.finished_at");
    let listeners = listeners("task.failed");
    tell(&format!(
        "WITH listeners AS MATERIALIZED ({listeners})
         SELECT n.id AS notification_id, 'task.failed' AS event, m.finished_at AS at,
                json_build_object('task_id', m.id, 'workflow_id', m.workflow_id,
                    'workflow_name', (SELECT w.name FROM workflows w WHERE w.id = m.workflow_id),
                    'schedule_id', m.schedule_id, 'queue', m.queue, 'attempts', m.attempt, 'code', m.code,
                    'error', left(m.attempt_error, 2000), 'failed_at', {finished_at}) AS data
           FROM {moved} m JOIN listeners n ON n.workflow_id IS NULL OR n.workflow_id = m.workflow_id
          WHERE m.status = 'failed'"
    ))
}

/// Tells of occurrences that were missed. `noted` has the notes on those that made no task.
pub(super) fn tell_missed(noted: &str, at: &str) -> String {
    let scheduled_for = time("m.scheduled_for");
    let listeners = listeners("schedule.missed");
    tell(&format!(
        "WITH listeners AS MATERIALIZED ({listeners})
         SELECT n.id AS notification_id, 'schedule.missed' AS event, {at} AS at,
                json_build_object('schedule_id', m.schedule_id, 'workflow_id', s.workflow_id,
                    'workflow_name', (SELECT w.name FROM workflows w WHERE w.id = s.workflow_id),
                    'scheduled_for', {scheduled_for}, 'earlier', m.earlier) AS data
           FROM {noted} m JOIN schedules s ON s.id = m.schedule_id
           JOIN listeners n ON n.workflow_id IS NULL OR n.workflow_id = s.workflow_id
          WHERE m.reason = 'missed'"
    ))
}
