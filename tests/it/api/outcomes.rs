//! How the ends of attempts are stored.

use std::sync::Arc;
use std::time::Duration;

use automagik_spark::dispatch::claim::Job;
use automagik_spark::domain::outcome::{Answer, Failure, Outcome};
use serde_json::json;

use super::client::TestApi;

/// Claims a pending task as the only pool of this node would.
async fn claim(api: &TestApi, task: &str) -> Job {
    let pool: Arc<str> = "celery".into();
    let mut jobs = api.dispatch.claim(&pool, vec![task.parse().unwrap()]).await.unwrap();
    assert_eq!(jobs.len(), 1, "one task was claimed");
    jobs.remove(0)
}

async fn until_stored(api: &TestApi) {
    let stored = tokio::time::timeout(Duration::from_secs(10), api.dispatch.in_flight().wait_until_empty());
    stored.await.expect("the ends are stored");
}

fn answer(text: &str) -> Outcome {
    let output = serde_json::value::to_raw_value(&json!({ "text": text })).unwrap();
    Outcome::Completed(Answer { output, text: text.to_owned() })
}

/// What broke: PostgreSQL refuses U+0000, the end was dropped, and the flow was run again for ever.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_or_an_answer_with_a_nul_is_stored() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let (failed, completed) = (api.run(&workflow, "x").await, api.run(&workflow, "y").await);
    let failure = Failure::permanent("source_http_400", "a\0b");
    api.dispatch.record(claim(&api, &failed).await.claimed.attempt, Outcome::Failed(failure));
    api.dispatch.record(claim(&api, &completed).await.claimed.attempt, answer("c\0d"));
    until_stored(&api).await;
    let task = api.get(&format!("/api/v1/tasks/{failed}")).await.expect(200);
    assert_eq!((&task["status"], &task["error"]), (&json!("failed"), &json!("a\u{FFFD}b")));
    let task = api.get(&format!("/api/v1/tasks/{completed}")).await.expect(200);
    assert_eq!((&task["status"], &task["result"]), (&json!("completed"), &json!("c\u{FFFD}d")));
    assert_eq!(task["output_data"], json!({ "text": "c\0d" }), "what the source said, as it said it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_late_end_of_an_earlier_attempt_changes_nothing() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let task = api.run(&workflow, "x").await;
    let path = format!("/api/v1/tasks/{task}");
    let first = claim(&api, &task).await.claimed.attempt;
    api.act(&format!("{path}/cancel")).await.expect(200);
    api.act(&format!("{path}/retry")).await.expect(200);
    api.dispatch.record(first, answer("late"));
    until_stored(&api).await;
    assert_eq!(api.get(&path).await.expect(200)["status"], "pending");
    let second = claim(&api, &task).await.claimed.attempt;
    assert_eq!(second.number, 2);
    api.dispatch.record(second, answer("in time"));
    until_stored(&api).await;
    assert_eq!(api.get(&path).await.expect(200)["result"], "in time");
    let attempts = api.get(&format!("{path}/attempts")).await.expect(200);
    let statuses: Vec<_> = attempts["items"].as_array().unwrap().iter().map(|a| a["status"].clone()).collect();
    assert_eq!(statuses, [json!("cancelled"), json!("completed")]);
}

/// An answer may have 10 MB, a batch 500 of them, and a message to PostgreSQL one GB.
#[tokio::test(flavor = "multi_thread")]
async fn large_answers_that_end_together_are_stored_in_portions() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let text = "a".repeat(6 * 1024 * 1024);
    let mut tasks = Vec::new();
    for _ in 0..8 {
        tasks.push(api.run(&workflow, "x").await);
    }
    let mut attempts = Vec::new();
    for task in &tasks {
        attempts.push(claim(&api, task).await.claimed.attempt);
    }
    let (before, _) = api.dispatch.stats().outcome.read();
    attempts.into_iter().for_each(|attempt| api.dispatch.record(attempt, answer(&text)));
    until_stored(&api).await;
    let (after, _) = api.dispatch.stats().outcome.read();
    assert!(after - before >= 4, "12 MB each, 32 MB a statement");
    assert_eq!(api.count("tasks WHERE status = 'completed' AND length(result) = 6291456").await, 8);
}

/// PostgreSQL's JSON parser has a limit of depth; what a source says must fail its own task and no other.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_the_database_refuses_fails_its_task_and_no_other() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = serde_json::value::RawValue::from_string(deep).unwrap();
    let mut tasks = Vec::new();
    for _ in 0..5 {
        tasks.push(api.run(&workflow, "x").await);
    }
    let mut attempts = Vec::new();
    for task in &tasks {
        attempts.push(claim(&api, task).await.claimed.attempt);
    }
    let mut deep = Some(deep);
    for (number, attempt) in attempts.into_iter().enumerate() {
        let outcome = match number {
            2 => Outcome::Completed(Answer { output: deep.take().unwrap(), text: "deep".to_owned() }),
            _ => answer("flat"),
        };
        api.dispatch.record(attempt, outcome);
    }
    until_stored(&api).await;
    assert_eq!(api.count("tasks WHERE status = 'completed' AND result = 'flat'").await, 4);
    let task = api.get(&format!("/api/v1/tasks/{}", tasks[2])).await.expect(200);
    assert_eq!((&task["status"], &task["output_data"]), (&json!("failed"), &json!(null)));
    let attempt = &api.get(&format!("/api/v1/tasks/{}/attempts", tasks[2])).await.expect(200)["items"][0];
    assert_eq!((&attempt["code"], &attempt["outcome_unknown"]), (&json!("not_storable"), &json!(true)));
}
