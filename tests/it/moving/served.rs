//! The service on a database that it took over itself.

use reqwest::Method;
use serde_json::json;

use super::{ENCRYPTION_KEY, NEWEST, SOURCE_KEY, id, stage};
use crate::harness::node::SOON;
use crate::harness::until;

#[tokio::test]
async fn the_service_runs_what_the_python_service_had_scheduled() {
    for version in [NEWEST, "models", "d2f7d449b382"] {
        let stage = stage(version).await;
        let mut node = stage.node(&[("encryption_key", ENCRYPTION_KEY), ("timezone", "America/Sao_Paulo")]).await;
        assert!(node.log().contains("takeover: found a database of the Python service"), "{}", node.log());
        let made = "SELECT count(*) FROM tasks WHERE schedule_id = 'c0000000-0000-4000-8000-000000000001'
                       AND scheduled_for IS NOT NULL AND status = 'completed' AND result = 'EVERY MINUTE'";
        until("the due schedule has run, with its input and its key", SOON, async || {
            (stage.count(made).await > 0).then_some(())
        })
        .await;
        // What was pending and what was running an hour ago runs; the other workflow's source is not there.
        node.until_task_is(&id('d', 3), "completed").await;
        let again = node.until_task_is(&id('d', 5), "completed").await;
        assert_eq!(again["tries"], 2);
        let attempts = node.attempts(&id('d', 5)).await;
        assert_eq!(
            (&attempts[0]["status"], &attempts[0]["outcome_unknown"]),
            (&json!("lost"), &json!(true)),
            "{attempts:?}"
        );
        for number in [4, 6, 8] {
            assert_eq!(node.task(&id('d', number)).await["status"], "failed", "not run after all that time");
        }
        until("nothing waits any more", SOON, async || {
            let waiting = "SELECT count(*) FROM tasks WHERE status IN ('pending', 'running') AND pending_at <= now()";
            (stage.count(waiting).await == 0).then_some(())
        })
        .await;

        // The old rows are shown, in the shapes of the new ones.
        let cron = node.get(&format!("/api/v1/schedules/{}", id('c', 2))).await;
        assert_eq!((&cron["timezone"], &cron["input_value"]), (&json!("America/Sao_Paulo"), &json!("first Monday")));
        let paused = node.get(&format!("/api/v1/schedules/{}", id('c', 3))).await;
        assert!(paused["status_reason"].as_str().is_some_and(|reason| reason.contains("five fields")), "{paused}");
        let agents = node.task(&id('d', 12)).await;
        assert_eq!(agents["output_data"], json!({"result": "agent's answer", "session_id": "x"}));
        assert_eq!(agents["result"], "agent's answer");
        assert_eq!(node.get("/api/v1/tasks?limit=100").await["total"], stage.count("SELECT count(*) FROM tasks").await);
        let twice = node.get(&format!("/api/v1/workflows/{}", automagik_spark::simulate::TEXT_FLOW_ID)).await;
        assert!(twice["id"].is_string(), "the flow's id names one of the two");

        // A sync updates it in place, and what the old constraints held fast can be deleted.
        let sync = format!("/api/v1/workflows/sync/{}", automagik_spark::simulate::TEXT_FLOW_ID);
        let synced = node.post(&sync, &json!({"source_url": stage.source.url()})).await;
        assert_eq!(synced["id"], twice["id"]);
        for path in [
            format!("/api/v1/tasks/{}", id('d', 5)),
            format!("/api/v1/schedules/{}", id('c', 1)),
            format!("/api/v1/workflows/{}", id('b', 2)),
            format!("/api/v1/sources/{}", id('a', 1)),
        ] {
            node.try_ask(Method::DELETE, &path, None).await.expect("an answer").ok();
        }
        node.stop(SOON).await;
        assert!(!node.log().contains(SOURCE_KEY));
    }
}
