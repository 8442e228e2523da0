//! Which tasks are meant: the flags that listing and changing many of them share.

use clap::Args;

use super::{Error, Session, resolve};

/// Which tasks; what is not given does not narrow.
#[derive(Args, Debug)]
pub(super) struct FilterArgs {
    /// Only of this workflow: its id, a beginning of it, or its name
    #[arg(long, visible_alias = "workflow", value_name = "WORKFLOW")]
    workflow_id: Option<String>,
    /// Only of this schedule: its id or a beginning of it
    #[arg(long, visible_alias = "schedule", value_name = "SCHEDULE")]
    schedule_id: Option<String>,
    /// Only of this source: its id, a beginning of it, its name or url
    #[arg(long, visible_alias = "source", value_name = "SOURCE")]
    source_id: Option<String>,
    /// Only in this state: pending, running, completed, failed, retrying or cancelled
    #[arg(short, long)]
    status: Option<String>,
    /// Only of this queue
    #[arg(long)]
    queue: Option<String>,
    /// Only made after this time, for example 2026-11-24T08:00:00Z
    #[arg(long, value_name = "TIME")]
    created_after: Option<String>,
    /// Only made before this time
    #[arg(long, value_name = "TIME")]
    created_before: Option<String>,
    /// Only with this text in them
    #[arg(short, long, value_name = "TEXT")]
    query: Option<String>,
}

impl FilterArgs {
    /// The filter as the service takes it: names and values, with whole ids.
    pub(super) async fn parameters(&self, session: &Session) -> Result<Vec<(&'static str, String)>, Error> {
        let mut parameters = Vec::new();
        for (name, kind, typed) in [
            ("workflow_id", &resolve::WORKFLOW, &self.workflow_id),
            ("schedule_id", &resolve::SCHEDULE, &self.schedule_id),
            ("source_id", &resolve::SOURCE, &self.source_id),
        ] {
            if let Some(typed) = typed {
                parameters.push((name, resolve::id(&session.client, kind, typed).await?));
            }
        }
        for (name, value) in [
            ("status", &self.status),
            ("queue", &self.queue),
            ("created_after", &self.created_after),
            ("created_before", &self.created_before),
            ("q", &self.query),
        ] {
            parameters.extend(value.clone().map(|value| (name, value)));
        }
        Ok(parameters)
    }

    /// The filter in the words it was given in, for a question; empty where there is none.
    pub(super) fn words(&self) -> String {
        let given = [
            ("workflow", &self.workflow_id),
            ("schedule", &self.schedule_id),
            ("source", &self.source_id),
            ("status", &self.status),
            ("queue", &self.queue),
            ("made after", &self.created_after),
            ("made before", &self.created_before),
            ("with the text", &self.query),
        ];
        let given = given.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?)));
        given.collect::<Vec<_>>().join(", ")
    }
}
