//! Which tasks: the one filter of lists and of changes of many tasks.

use chrono::{DateTime, Utc};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::domain::clock;
use crate::domain::id_prefix::IdPrefix;
use crate::domain::ids::{ScheduleId, SourceId, TaskId, WorkflowId};
use crate::domain::task::TaskStatus;

/// Which tasks; what is `None` does not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Of a workflow.
    pub workflow_id: Option<WorkflowId>,
    /// Of a schedule.
    pub schedule_id: Option<ScheduleId>,
    /// Of the workflows of a source.
    pub source_id: Option<SourceId>,
    /// In a status.
    pub status: Option<TaskStatus>,
    /// In a queue.
    pub queue: Option<String>,
    /// Asked for then or later.
    pub created_after: Option<DateTime<Utc>>,
    /// Asked for before.
    pub created_before: Option<DateTime<Utc>>,
    /// Whose id, input, result or error contains a text, in either case of letters.
    pub text: Option<String>,
    /// Whose id begins so.
    pub id_prefix: Option<IdPrefix>,
    /// Only pending ones: those that are to start later, or those that may start.
    pub delayed: Option<bool>,
    /// Only these.
    pub ids: Option<Vec<TaskId>>,
}

impl TaskFilter {
    /// Whether it fits every task.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Parameters 1 to [`PARAMETERS`] are the filter. With parameters of an unnamed statement the planner knows the values,
/// so that the conditions that do not narrow cost nothing and the others use their indexes.
pub(super) const CONDITIONS: &str = "($1::uuid IS NULL OR t.workflow_id = $1) AND ($2::uuid IS NULL OR t.schedule_id = $2) \
     AND ($3::uuid IS NULL OR t.workflow_id IN (SELECT id FROM workflows WHERE workflow_source_id = $3)) \
     AND ($4::text IS NULL OR t.status = $4) AND ($5::text IS NULL OR t.queue = $5) \
     AND ($6::timestamptz IS NULL OR t.created_at >= $6) AND ($7::timestamptz IS NULL OR t.created_at < $7) \
     AND ($8::text IS NULL OR position(lower($8) IN \
          lower(concat_ws(' ', t.id::text, t.input_data::text, t.result, t.error))) > 0) \
     AND ($9::uuid IS NULL OR t.id BETWEEN $9 AND $10) AND ($11::uuid[] IS NULL OR t.id = ANY ($11)) \
     AND ($12::bool IS NULL OR $12 AND t.status = 'pending' AND t.pending_at > $13::timestamptz \
          OR NOT $12 AND t.status = 'pending' AND t.pending_at <= $13)";

/// How many parameters the filter has.
pub(super) const PARAMETERS: usize = 13;

/// A filter in the form its parameters have.
pub(super) struct Bound {
    workflow_id: Option<Uuid>,
    schedule_id: Option<Uuid>,
    source_id: Option<Uuid>,
    status: Option<&'static str>,
    queue: Option<String>,
    created_after: Option<DateTime<Utc>>,
    created_before: Option<DateTime<Utc>>,
    text: Option<String>,
    first: Option<Uuid>,
    last: Option<Uuid>,
    ids: Option<Vec<Uuid>>,
    delayed: Option<bool>,
    now: DateTime<Utc>,
}

impl Bound {
    pub(super) fn new(filter: TaskFilter) -> Self {
        Self {
            workflow_id: filter.workflow_id.map(|id| id.0),
            schedule_id: filter.schedule_id.map(|id| id.0),
            source_id: filter.source_id.map(|id| id.0),
            status: filter.status.map(TaskStatus::as_str),
            queue: filter.queue,
            created_after: filter.created_after,
            created_before: filter.created_before,
            text: filter.text,
            first: filter.id_prefix.map(|prefix| prefix.first),
            last: filter.id_prefix.map(|prefix| prefix.last),
            ids: filter.ids.map(|ids| ids.into_iter().map(|id| id.0).collect()),
            delayed: filter.delayed,
            now: clock::now(),
        }
    }

    pub(super) fn params(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        vec![
            (&self.workflow_id, Type::UUID),
            (&self.schedule_id, Type::UUID),
            (&self.source_id, Type::UUID),
            (&self.status, Type::TEXT),
            (&self.queue, Type::TEXT),
            (&self.created_after, Type::TIMESTAMPTZ),
            (&self.created_before, Type::TIMESTAMPTZ),
            (&self.text, Type::TEXT),
            (&self.first, Type::UUID),
            (&self.last, Type::UUID),
            (&self.ids, Type::UUID_ARRAY),
            (&self.delayed, Type::BOOL),
            (&self.now, Type::TIMESTAMPTZ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_named_once_at_least_and_given() {
        let bound = Bound::new(TaskFilter::default());
        assert_eq!(bound.params().len(), PARAMETERS);
        for number in 1..=PARAMETERS {
            assert!(CONDITIONS.contains(&format!("${number}")), "{number}");
        }
        assert!(!CONDITIONS.contains(&format!("${}", PARAMETERS + 1)));
    }
}
