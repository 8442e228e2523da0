//! One attempt, from its frame to its outcome.

use crate::child::frames::RunAttempt;
use crate::domain::adapter::Adapters;
use crate::domain::clock;
use crate::domain::outcome::{Failure, Outcome};
use crate::domain::retry::SOFT_TIME_LIMIT;
use crate::domain::trace::Period;
use crate::fault::{self, Point};
use crate::sources::{self, HttpClient, RunRequest};

/// What came of an attempt, and when its source was called if that is to be told.
pub(super) struct Ran {
    pub(super) outcome: Outcome,
    pub(super) call: Option<Period>,
}

/// Runs an attempt within its soft limit.
pub(super) async fn run(attempt: RunAttempt, mut http: HttpClient, adapters: Adapters) -> Ran {
    let is_traced = attempt.traceparent.is_some();
    if let Some(traceparent) = &attempt.traceparent {
        http = http.within(traceparent);
    }
    let began = is_traced.then(clock::now);
    let outcome = call(attempt, http, &adapters).await;
    Ran { outcome, call: began.map(|began| Period { began, ended: clock::now() }) }
}

async fn call(attempt: RunAttempt, http: HttpClient, adapters: &Adapters) -> Outcome {
    let limit = attempt.soft_limit;
    let source = match sources::connect(attempt.endpoint, http, adapters) {
        Ok(source) => source,
        Err(error) => return Outcome::Failed(Failure::permanent(error.code(), error.to_string())),
    };
    let request = RunRequest {
        task_id: attempt.key.task.to_string(),
        flow_id: attempt.flow_id,
        input: attempt.input,
        session_id: attempt.session_id,
        input_component: attempt.input_component,
        output_component: attempt.output_component,
    };
    fault::pass(Point::BeforeCall);
    match tokio::time::timeout(limit, source.run(&request)).await {
        Ok(outcome) => {
            fault::pass(Point::AfterSourceAnswer);
            outcome
        }
        Err(_) => Outcome::Failed(
            Failure::transient(
                SOFT_TIME_LIMIT,
                format!(
                    "The source did not answer within {} s (soft_time_limit_s). It may still finish the run; raise the \
                     limit if the flow needs longer.",
                    limit.as_secs_f64()
                ),
            )
            .outcome_unknown(),
        ),
    }
}
