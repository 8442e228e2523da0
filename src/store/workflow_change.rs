//! What is set of a workflow by hand; a sync leaves it alone.

use tokio_postgres::types::Type;

use super::gate::{self, GateRecord};
use super::{Error, Store, pool};
use crate::domain::ids::WorkflowId;
use crate::domain::limit::Limits;
use crate::domain::workflow::UnknownPolicy;

/// All that can be set.
#[derive(Clone, Copy, Debug)]
pub struct WorkflowDraft {
    /// What to do where it is unknown whether the source ran it; none: what the source says.
    pub unknown_policy: Option<UnknownPolicy>,
    /// What its tasks are limited to.
    pub limits: Limits,
}

impl Store {
    /// What is set of a workflow. None where there is no such workflow.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn workflow_settings(&self, id: WorkflowId) -> Result<Option<WorkflowDraft>, Error> {
        self.run(move |connection| async move {
            let gate = gate::column("w.id");
            let sql = format!("SELECT w.unknown_policy, {gate} FROM workflows w WHERE w.id = $1");
            let Some(row) = connection.query_typed_opt(&sql, &[(&id.0, Type::UUID)]).await? else { return Ok(None) };
            let unknown_policy = row.try_get::<_, Option<&str>>(0)?.map(UnknownPolicy::from_stored);
            Ok(Some(WorkflowDraft { unknown_policy, limits: GateRecord::from_column(&row)?.limits }))
        })
        .await
    }

    /// Sets what can be set of a workflow. False where there is no such workflow.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn update_workflow(&self, id: WorkflowId, draft: WorkflowDraft) -> Result<bool, Error> {
        self.run(move |mut connection| async move {
            let transaction = pool::begin(&mut connection).await?;
            let sql = "UPDATE workflows SET unknown_policy = $2 WHERE id = $1";
            let policy = draft.unknown_policy.map(UnknownPolicy::as_str);
            if transaction.execute_typed(sql, &[(&id.0, Type::UUID), (&policy, Type::TEXT)]).await? == 0 {
                return Ok(false);
            }
            gate::set_limits(&transaction, id.0, draft.limits).await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }
}
