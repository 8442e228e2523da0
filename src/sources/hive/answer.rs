//! What Hive's answer to a run means. The status of HTTP does not tell: a run that failed is answered with 200 too.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::outcome::{Answer, Failure};
use crate::sources::reply::{Fields, failed, shown, unusable};

/// Code of a run that somebody called off at the source.
const FLOW_CANCELLED: &str = "flow_cancelled";
/// Code of a run that waits at the source for a person.
const FLOW_PAUSED: &str = "flow_paused";
/// Code of a run that goes on at the source.
const FLOW_UNFINISHED: &str = "flow_unfinished";
/// How deep steps are looked for in steps. No workflow is built so deep; an answer that is meant to harm may be.
const MAX_DEPTH: usize = 32;

/// A step of a workflow. Steps that ran side by side are a list in the list.
#[derive(Deserialize)]
struct Step<'a> {
    step_name: Option<String>,
    success: Option<bool>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    /// What a loop, condition or group of steps holds.
    #[serde(borrow)]
    steps: Option<Vec<&'a RawValue>>,
}

/// The answer in a body, or why there is none.
pub(super) fn read(body: &[u8]) -> Result<Answer, Failure> {
    let fields = Fields::of(body)?;
    let result = result(&fields);
    let Some(status) = fields.text("status").or_else(|| result.map(|_| "COMPLETED".to_owned())) else {
        return Err(unusable("it has neither content nor status", body).into());
    };
    match status.to_ascii_uppercase().as_str() {
        "COMPLETED" => {}
        // agno 1 never sets another state on an agent or team that is asked for its whole answer. Later versions do, and
        // repeat the input besides.
        "RUNNING" if result.is_some() && fields.get("input").is_none() => {}
        "ERROR" => return Err(failed(&result.map(shown).unwrap_or_default())),
        "CANCELLED" => {
            let message = "the run was cancelled at the source; retry the task to run it again";
            return Err(Failure::permanent(FLOW_CANCELLED, message));
        }
        // Another attempt would come to wait at the same place, and what was done until there would be done twice.
        "PAUSED" => {
            let message = format!(
                "{} waits at the source for a person (PAUSED), which Spark can't stand in for; continue or cancel it there",
                run_name(&fields)
            );
            return Err(Failure::permanent(FLOW_PAUSED, message).outcome_unknown());
        }
        "PENDING" | "RUNNING" => {
            let message = format!(
                "the source answered before {} was over ({status}), though it was asked to wait for its end",
                run_name(&fields)
            );
            return Err(Failure::transient(FLOW_UNFINISHED, message).outcome_unknown());
        }
        _ => return Err(unusable(&format!("its status {status} is unknown"), body).into()),
    }
    if let Some(why) = fields.get("step_results").and_then(|steps| failed_steps(steps, MAX_DEPTH)) {
        return Err(failed(&why));
    }
    fields.completed("content", result).map_err(|_| unusable("it can't be passed on", body).into())
}

/// The result: `content`, or where agno 1 has it.
fn result<'a>(fields: &Fields<'a>) -> Option<&'a RawValue> {
    let coordinated = || Fields::of(fields.get("coordinator_response")?.get().as_bytes()).ok()?.get("content");
    fields.get("content").or_else(coordinated).or_else(|| fields.get("final_output"))
}

fn run_name(fields: &Fields<'_>) -> String {
    fields.text("run_id").map_or_else(|| "the run".to_owned(), |id| format!("run {id}"))
}

/// The steps that failed and why, if any did. Later steps run all the same, and the workflow is COMPLETED (agno 3).
fn failed_steps(steps: &RawValue, depth: usize) -> Option<String> {
    let steps: Vec<&RawValue> = serde_json::from_str(steps.get()).ok()?;
    joined(steps.into_iter().filter_map(|step| failed_step(step, depth)))
}

fn failed_step(step: &RawValue, depth: usize) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    if step.get().starts_with('[') {
        return failed_steps(step, depth);
    }
    let step: Step<'_> = serde_json::from_str(step.get()).ok()?;
    if step.success != Some(false) {
        return None;
    }
    // A group of steps says that it failed, the step inside it says why.
    let inside = || joined(step.steps.iter().flatten().filter_map(|step| failed_step(step, depth)));
    let why = step.error.map(shown).or_else(inside).unwrap_or_else(|| "no reason is given".to_owned());
    Some(format!("step {}: {why}", step.step_name.as_deref().unwrap_or("without a name")))
}

fn joined(texts: impl Iterator<Item = String>) -> Option<String> {
    let texts: Vec<String> = texts.collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::outcome::FailureClass;

    macro_rules! recorded {
        ($name:literal) => {
            include_bytes!(concat!("../../../tests/fixtures/hive/", $name, ".json")).as_slice()
        };
    }

    fn refused(body: &[u8]) -> Failure {
        read(body).expect_err("a failure")
    }

    #[test]
    fn recorded_answers_are_read() {
        let cases = [
            (recorded!("agno2_agent"), "HELLO", "messages"),
            (recorded!("agno2_team"), "HELLO", "member_responses"),
            (recorded!("agno2_workflow"), "HELLO!", "step_results"),
            (recorded!("agno2_workflow_json"), r#"{"echo":"HELLO","n":1}"#, "step_results"),
            (recorded!("agno3_agent"), "HELLO", "metrics"),
            (recorded!("agno3_team"), "HELLO", "member_responses"),
            (recorded!("agno3_workflow"), "HELLO!", "step_results"),
            (recorded!("agno3_workflow_json"), r#"{"echo":"HELLO","n":1}"#, "step_results"),
        ];
        for (body, text, kept) in cases {
            let answer = read(body).expect("an answer");
            assert_eq!(answer.text, text);
            let output: Value = serde_json::from_str(answer.output.get()).expect("JSON");
            assert_eq!((&output["session_id"], &output["status"]), (&json!("task-1"), &json!("COMPLETED")));
            assert!(output["run_id"].is_string() && output["content"].is_null() && !output[kept].is_null(), "{output}");
        }
    }

    #[test]
    fn recorded_failures_are_told_from_answers() {
        let cases = [
            (recorded!("agno2_workflow_failed"), "the flow failed: Workflow execution failed: boom"),
            (recorded!("agno3_agent_failed"), "the flow failed: boom"),
            (recorded!("agno3_team_failed"), "the flow failed: boom"),
            (recorded!("agno3_workflow_failed"), "the flow failed: step upper: boom"),
        ];
        for (body, message) in cases {
            let failure = refused(body);
            assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Transient, "flow_failed"));
            assert_eq!((failure.message.as_str(), failure.outcome_unknown), (message, false));
        }
    }

    #[test]
    fn a_run_that_is_not_over_is_no_result() {
        let cases = [
            ("PENDING", FailureClass::Transient, "flow_unfinished", true),
            ("RUNNING", FailureClass::Transient, "flow_unfinished", true),
            ("PAUSED", FailureClass::Permanent, "flow_paused", true),
            ("CANCELLED", FailureClass::Permanent, "flow_cancelled", false),
            ("REGENERATED", FailureClass::Permanent, "unusable_answer", false),
        ];
        for (status, class, code, unknown) in cases {
            let body = json!({"run_id": "r-1", "status": status, "content": "so far", "input": "x"}).to_string();
            let failure = refused(body.as_bytes());
            assert_eq!((failure.class, failure.code.as_str(), failure.outcome_unknown), (class, code, unknown));
        }
        assert!(refused(br#"{"run_id":"r-1","status":"PENDING"}"#).message.contains("run r-1 was over (PENDING)"));
        assert!(refused(br#"{"status":"RUNNING"}"#).outcome_unknown);
        assert!(refused(br#"{"status":"ERROR"}"#).message.ends_with("(nothing more)"));
    }

    #[test]
    fn agno_1_has_its_results_elsewhere() {
        let cases = [
            (r#"{"status":"completed","coordinator_response":{"content":"T"},"member_responses":[]}"#, "T"),
            (r#"{"status":"completed","final_output":"W","steps_completed":2}"#, "W"),
            (r#"{"status":"completed","final_output":{"a":1}}"#, r#"{"a":1}"#),
            (r#"{"status":"RUNNING","content":"A","content_type":"str"}"#, "A"),
            (r#"{"content":"without a status"}"#, "without a status"),
            (r#"{"status":"completed","content":null}"#, ""),
        ];
        for (body, text) in cases {
            let answer = read(body.as_bytes()).expect("an answer");
            assert_eq!(answer.text, text);
            let output: Value = serde_json::from_str(answer.output.get()).expect("JSON");
            assert_eq!(output["status"], "COMPLETED");
        }
    }

    #[test]
    fn failed_steps_are_found_where_they_are() {
        let step = |name: &str, error: Value| json!({"step_name": name, "success": false, "error": error});
        let good = json!({"step_name": "good", "success": true, "error": null});
        let group =
            json!({"step_name": "group", "success": false, "error": null, "steps": [good, step("in", json!("x"))]});
        let cases = [
            (json!([good, [good, step("side", json!("y"))]]), "step side: y"),
            (json!([group]), "step group: step in: x"),
            (json!([step("a", json!("1")), step("b", json!({"k": 2}))]), r#"step a: 1; step b: {"k":2}"#),
            (json!([{"success": false}]), "step without a name: no reason is given"),
        ];
        for (steps, why) in cases {
            let body = json!({"status": "COMPLETED", "content": "x", "step_results": steps}).to_string();
            assert_eq!(refused(body.as_bytes()).message, format!("the flow failed: {why}"));
        }
        // A step that mended itself inside a loop counts by what the loop says.
        let mended = json!({"step_name": "loop", "success": true, "steps": [step("once", json!("x"))]});
        let body = json!({"status": "COMPLETED", "content": "x", "step_results": [mended, 7, null]}).to_string();
        assert!(read(body.as_bytes()).is_ok());
    }

    #[test]
    fn an_answer_of_endless_depth_harms_nobody() {
        let (open, close) = ("[".repeat(1_000_000), "]".repeat(1_000_000));
        let body = format!(r#"{{"status":"COMPLETED","content":"x","step_results":{open}{close}}}"#);
        assert_eq!(read(body.as_bytes()).expect("an answer").text, "x");
        let group = r#"{"success":false,"steps":["#;
        let (open, close) = (group.repeat(100_000), "]}".repeat(100_000));
        let body = format!(r#"{{"status":"COMPLETED","content":"x","step_results":[{open}{close}]}}"#);
        assert!(refused(body.as_bytes()).message.starts_with("the flow failed: step without a name"));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for body in ["{}", r#"{"detail":"x"}"#, "[1]", "data: {}", r#"{"status":"FINE","content":"x"}"#] {
            assert_eq!(refused(body.as_bytes()).code, "unusable_answer", "{body}");
        }
    }
}
