//! Waits for a task to end by asking for it again and again.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::client::Answer;
use super::progress::Progress;
use super::render::{field, shorten};
use super::{Error, Session};
use crate::domain::task::TaskStatus;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long the service may be away (a restart) before the wait is given up. The task itself is not harmed by it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The task as it ended. A retry that is still to come is no end.
pub(super) async fn to_the_end(session: &Session, submitted: Answer) -> Result<Answer, Error> {
    let id = field(&submitted.value, "id");
    let mut answer = submitted;
    let mut said = String::new();
    let mut pause = FIRST_PAUSE;
    let mut last_answered = Instant::now();
    let mut progress = Progress::spinner();
    while !is_final(&answer.value) {
        let state = describe(&answer.value);
        if state != said {
            progress.say(&session.out, &format!("task {id}: {state}"));
            said = state;
            pause = FIRST_PAUSE;
        }
        progress.show(&format!("task {id}: {said}"));
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        match session.client.get(&["tasks", &id]).send().await {
            Ok(newer) => {
                answer = newer;
                last_answered = Instant::now();
            }
            Err(error) if error.is_transient() && last_answered.elapsed() < PATIENCE => {
                log::debug!("still waiting for task {id}: {error}");
            }
            Err(error) => {
                progress.say(
                    &session.out,
                    &format!("task {id} goes on without us; `automagik-spark tasks view {id}` shows it"),
                );
                return Err(error);
            }
        }
    }
    Ok(answer)
}

/// Whether a task that has ended ended well.
pub(super) fn verdict(task: &Value) -> Result<(), Error> {
    let status = field(task, "status");
    if status == TaskStatus::Completed.as_str() || !is_final(task) {
        return Ok(());
    }
    let id = field(task, "id");
    Err(Error::Failed(match field(task, "error") {
        error if error.is_empty() => format!("task {id} ended as {status}"),
        error => format!("task {id} ended as {status}: {}", shorten(&error, 500)),
    }))
}

fn is_final(task: &Value) -> bool {
    let status = field(task, "status");
    TaskStatus::ALL.into_iter().any(|known| known.is_final() && known.as_str() == status)
}

fn describe(task: &Value) -> String {
    match (field(task, "status"), field(task, "tries")) {
        (status, tries) if status == "running" && !tries.is_empty() => format!("running, attempt {tries}"),
        (status, _) if status == "retrying" => match field(task, "error") {
            error if error.is_empty() => status,
            error => format!("retrying after: {}", shorten(&error, 200)),
        },
        (status, _) => status,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_completed_is_success() {
        assert!(verdict(&json!({"id": "1", "status": "completed"})).is_ok());
        for status in ["failed", "cancelled"] {
            let error = verdict(&json!({"id": "1", "status": status, "error": "no flow"})).expect_err(status);
            assert_eq!(error.exit_code(), 1);
            assert!(error.to_string().contains("no flow"), "{error}");
        }
    }

    #[test]
    fn waiting_goes_on_over_retries() {
        for status in ["pending", "running", "retrying"] {
            assert!(!is_final(&json!({ "status": status })), "{status}");
        }
    }
}
