//! Bodies of requests, as a fuzz target can have them: whatever is sent is taken or refused with a reason, never with a 500.

use actix_web::ResponseError;
use chrono::SubsecRound;
use serde::de::DeserializeOwned;

use super::body::Body;
use super::bulk::TaskSelection;
use super::error::Error;
use super::key::KeyRequest;
use super::pool::PoolPatch;
use super::preview::PreviewRequest;
use super::remote::SyncRequest;
use super::run;
use super::schedule_body::{self, ScheduleBody};
use super::source_body::{self, NewSource, SourcePatch};
use super::state::ApiOptions;
use crate::domain::clock;
use crate::domain::ids::WorkflowId;

/// Bodies of requests, read as every operation that takes one would.
pub fn bodies(data: &[u8]) {
    let body = Body::from(data.to_vec());
    let options = ApiOptions::default();
    // What PostgreSQL keeps of a time.
    let now = clock::now().trunc_subsecs(6);
    let _ = taken(run::read_any(&body, &options));
    if let Some(schedule) = read::<ScheduleBody>(&body) {
        let _ = taken(schedule.complete());
        let blank = schedule_body::blank(WorkflowId::generate(), &options);
        let draft = taken(schedule.over(blank, None));
        let settled = draft.and_then(|draft| taken(schedule_body::settle(draft, None, now)));
        assert!(settled.is_none_or(|draft| draft.next_run_at.is_none_or(|next| next >= now)), "due in the past");
    }
    if let Some(source) = read::<NewSource>(&body)
        && let Some(url) = taken(source_body::checked_url(&source.url))
    {
        let name = source_body::name_of(&url);
        assert!(!name.is_empty() && taken(source_body::checked_name(&name)).is_some(), "{url} has no name");
    }
    let _ = read::<SourcePatch>(&body);
    let _ = read::<KeyRequest>(&body);
    let _ = read::<PoolPatch>(&body);
    let _ = read::<PreviewRequest>(&body);
    let _ = read::<Option<SyncRequest>>(&body);
    let _ = read::<TaskSelection>(&body);
}

fn read<T: DeserializeOwned>(body: &Body) -> Option<T> {
    taken(body.json())
}

/// What is taken; a refusal must be the client's to mend.
fn taken<T>(read: Result<T, Error>) -> Option<T> {
    read.inspect_err(|error| {
        let answer = error.error_response();
        assert!(answer.status().is_client_error(), "{error:?}");
    })
    .ok()
}
