//! `db rekey`: whatever is sealed, or nothing.

use std::process::{Command, Output};

use serde_json::json;

use super::scene::{ENCRYPTION_KEY, SOURCE_KEY, WEBHOOK_SECRET};
use crate::harness::node::TestNode;
use crate::harness::stage::{Stage, connect};
use crate::notifications::receiver::Receiver;

const NEW_KEY: &str = "another key of thirty-two letter";

fn rekey(stage: &Stage, old_key: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_automagik-spark"));
    command.env_clear().current_dir(stage.directory()).args(["db", "rekey", "--old-key", old_key]);
    command.env("AUTOMAGIK_SPARK_DATABASE_URL", &stage.servers.service_url);
    command.env("AUTOMAGIK_SPARK_ENCRYPTION_KEY", NEW_KEY);
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

async fn node(stage: &Stage, key: &str) -> TestNode {
    let mut command = stage.serve(&[]);
    command.env("AUTOMAGIK_SPARK_ENCRYPTION_KEY", key);
    let node = TestNode::launch(command, &stage.servers.database_url).await;
    node.until_children_are_ready().await;
    node
}

async fn sealed(stage: &Stage) -> Vec<String> {
    let sql = "SELECT encrypted_api_key FROM workflow_sources UNION ALL SELECT encrypted_secret FROM notifications";
    stage.rows(sql, &[]).await.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_new_encryption_key_seals_everything_or_nothing_and_messages_are_signed_as_before() {
    let stage = Box::pin(Stage::new(std::time::Duration::ZERO)).await;
    let receiver = Receiver::start().await;
    let mut former = node(&stage, ENCRYPTION_KEY).await;
    let source = json!({ "source_type": "langflow", "url": stage.source.url(), "api_key": SOURCE_KEY });
    former.post("/api/v1/sources", &source).await;
    let told = json!({ "name": "on-call", "url": receiver.url(), "events": ["task.failed"], "secret": WEBHOOK_SECRET });
    let told = former.post("/api/v1/notifications", &told).await;
    former.stop(crate::harness::node::SOON).await;
    let before = sealed(&stage).await;
    assert_eq!(before.len(), 2);

    // The wrong former key opens nothing, and says what stays unreadable.
    let (code, stdout, stderr) = rekey(&stage, "a wrong key with thirty-two char");
    assert_eq!((code, stdout.trim()), (0, "0 of 2 secrets were encrypted anew"), "{stderr}");
    assert!(stderr.contains("secrets of notifications") && stderr.contains("on-call"), "{stderr}");
    assert_eq!(sealed(&stage).await, before);

    // What fails in the middle changes nothing.
    let client = connect(&stage.servers.database_url).await;
    let fail = "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$;
                CREATE TRIGGER fail BEFORE UPDATE ON notifications FOR EACH ROW EXECUTE FUNCTION fail()";
    client.batch_execute(fail).await.unwrap();
    let (code, _, stderr) = rekey(&stage, ENCRYPTION_KEY);
    assert!(code != 0 && stderr.contains("not now") && !stderr.contains(ENCRYPTION_KEY), "{code} {stderr}");
    assert_eq!(sealed(&stage).await, before, "the source's key is as it was, too");

    client.batch_execute("DROP TRIGGER fail ON notifications").await.unwrap();
    let (code, stdout, stderr) = rekey(&stage, ENCRYPTION_KEY);
    assert_eq!((code, stdout.trim(), stderr.trim()), (0, "2 of 2 secrets were encrypted anew", ""));
    let after = sealed(&stage).await;
    assert!(after.iter().zip(&before).all(|(after, before)| after != before));
    assert_eq!(rekey(&stage, ENCRYPTION_KEY).1.trim(), "0 of 2 secrets were encrypted anew", "it may be repeated");

    let mut now = node(&stage, NEW_KEY).await;
    assert!(!now.log().contains("can't be decrypted"), "{}", now.log());
    now.post(&format!("/api/v1/notifications/{}/test", told["id"].as_str().unwrap()), &json!({})).await;
    receiver.until_got(1).await[0].assert_signed(WEBHOOK_SECRET);
    now.stop(crate::harness::node::SOON).await;
}
