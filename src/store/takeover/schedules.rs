//! Schedules that no statement of ours has written: their rules in our grammar, their input where beat looks for it, their next occurrence.

use chrono_tz::Tz;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::report::{PausedSchedule, TakenOver};
use super::{Parameter, Step};
use crate::domain::ids::ScheduleId;
use crate::domain::schedule::ScheduleStatus;
use crate::domain::takeover::{Adopted, Former, adopt, input, schedule_status};
use crate::store::Error;

const SCHEDULES: &str = "
    SELECT s.id, s.schedule_type, s.schedule_expr, s.status, s.next_run_at, s.created_at,
           (SELECT max(t.created_at) FROM tasks t WHERE t.schedule_id = s.id) AS last_run_at,
           s.input_value::text AS input_value, s.params::text AS params, s.input_data,
           to_jsonb(s) ->> 'workflow_params' AS workflow_params
      FROM schedules s WHERE NOT s.is_ours ORDER BY s.id FOR UPDATE";

const ADOPT: &str = "
    WITH former AS (SELECT * FROM schedules WHERE id = $3),
    adopted AS (
        UPDATE schedules s
           SET schedule_type = $4, schedule_expr = $5, status = $6, status_reason = $7, timezone = $8, next_run_at = $9,
               last_run_at = coalesce($10, s.last_run_at), input_value = $11::json, is_ours = true
          FROM former f WHERE s.id = f.id
    )
    INSERT INTO takeover_changes (takeover_id, entity, entity_id, field, former, reason)
    SELECT $1, 'schedule', f.id, was.field, was.former, coalesce($7, was.reason)
      FROM former f, LATERAL (VALUES
          ('schedule_type', f.schedule_type, $4, 'another spelling'),
          ('schedule_expr', f.schedule_expr, $5, 'the same times, as they are written here'),
          ('status', f.status, $6, 'another spelling'),
          ('next_run_at', f.next_run_at::text, $9::timestamptz::text, 'worked out anew from its last task')
      ) AS was (field, former, now, reason)
     WHERE was.former IS DISTINCT FROM was.now";

const NOTE_MISSED: &str = "
    INSERT INTO schedule_skips (schedule_id, scheduled_for, reason, created_at)
    VALUES ($3, $4, 'missed', $2)
    ON CONFLICT (schedule_id, scheduled_for) DO NOTHING";

pub(super) async fn take_over(step: &Step<'_>, timezone: Tz, report: &mut TakenOver) -> Result<(), Error> {
    let (mut active, mut rewritten, mut over) = (0, 0, 0);
    for row in step.transaction.query_typed(SCHEDULES, &[]).await? {
        let (id, former) = read(&row)?;
        let adopted = adopt(&former, timezone, step.now);
        write(step, id, &row, &former, &adopted).await?;
        let was_active = schedule_status(&former.status).is_none_or(|status| status == ScheduleStatus::Active);
        active += u64::from(adopted.status == ScheduleStatus::Active);
        rewritten += u64::from(adopted.expr != former.expr);
        over += u64::from(adopted.missed.is_some());
        if let (true, ScheduleStatus::Paused, Some(reason)) = (was_active, adopted.status, adopted.reason) {
            report.paused.push(PausedSchedule { id: ScheduleId(id), expr: former.expr, reason });
        }
    }
    report.note("schedules that go on", active);
    report.note("expressions rewritten so that they mean the same here", rewritten);
    report.note("one-time schedules whose time passed long ago, completed without a run", over);
    Ok(())
}

fn read(row: &Row) -> Result<(Uuid, Former), Error> {
    let former = Former {
        kind: row.try_get("schedule_type")?,
        expr: row.try_get("schedule_expr")?,
        status: row.try_get("status")?,
        next_run_at: row.try_get("next_run_at")?,
        created_at: row.try_get("created_at")?,
        last_run_at: row.try_get("last_run_at")?,
    };
    Ok((row.try_get("id")?, former))
}

async fn write(step: &Step<'_>, id: Uuid, row: &Row, former: &Former, adopted: &Adopted) -> Result<(), Error> {
    let text = |column| row.try_get::<_, Option<&str>>(column);
    let input = match text("input_value")? {
        Some(ours) => Some(ours.to_owned()),
        None => input(text("params")?, text("input_data")?, text("workflow_params")?),
    };
    let parameters: [Parameter<'_>; 9] = [
        (&id, Type::UUID),
        (&adopted.kind, Type::TEXT),
        (&adopted.expr, Type::TEXT),
        (&adopted.status.as_str(), Type::TEXT),
        (&adopted.reason, Type::TEXT),
        (&adopted.timezone.name(), Type::TEXT),
        (&adopted.next_run_at, Type::TIMESTAMPTZ),
        (&former.last_run_at, Type::TIMESTAMPTZ),
        (&input, Type::TEXT),
    ];
    step.change(ADOPT, &parameters).await?;
    if let Some(missed) = &adopted.missed {
        step.change(NOTE_MISSED, &[(&id, Type::UUID), (missed, Type::TIMESTAMPTZ)]).await?;
    }
    Ok(())
}
