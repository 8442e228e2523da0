//! The sources' keys, and the command line around a move.

use std::process::{Command, Output};

use super::{ENCRYPTION_KEY, NEWEST, id, stage};
use crate::harness::stage::Stage;

const NEW_KEY: &str = "a new key of thirty-two letters.";

fn db(stage: &Stage, key: Option<&str>, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_automagik-spark"));
    command.env_clear().current_dir(stage.directory()).arg("db").args(args);
    command.env("AUTOMAGIK_SPARK_DATABASE_URL", &stage.servers.service_url);
    command.env("STATE_DIRECTORY", stage.directory()).env("AUTOMAGIK_TIMEZONE", "Asia/Tokyo");
    if let Some(key) = key {
        command.env("AUTOMAGIK_SPARK_ENCRYPTION_KEY", key);
    }
    let Output { status, stdout, stderr } = command.output().expect("started");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code().expect("no signal"), text(stdout), text(stderr))
}

async fn sealed(stage: &Stage) -> Vec<String> {
    let rows = stage.rows("SELECT encrypted_api_key FROM workflow_sources ORDER BY id", &[]).await;
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn an_upgrade_says_what_it_found_and_which_keys_it_can_read() {
    let stage = stage(NEWEST).await;
    let before = sealed(&stage).await;
    let (code, stdout, stderr) = db(&stage, Some(ENCRYPTION_KEY), &["upgrade"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("applied V6__takeover") && stdout.contains("schema version 6e679733120"), "{stdout}");
    assert!(stderr.contains("which everybody knows: source 2 (http://127.0.0.1:18881)"), "{stderr}");
    assert!(stderr.contains("can't be decrypted") && stderr.contains("source 3"), "{stderr}");
    assert_eq!(sealed(&stage).await, before, "the Python service can still read them");
    let zone = "SELECT count(*) FROM schedules WHERE schedule_type = 'cron' AND timezone <> 'Asia/Tokyo'";
    assert_eq!(stage.count(zone).await, 0);

    let (code, stdout, _) = db(&stage, None, &["changes", "-n", "3"]);
    assert_eq!((code, stdout.lines().count()), (0, 4), "{stdout}");
    let (_, stdout, _) = db(&stage, None, &["changes", "-n", "1000"]);
    assert!(stdout.contains(&id('c', 3)) && stdout.contains("it has 6 instead of five fields"), "{stdout}");
    let (code, stdout, stderr) = db(&stage, None, &["upgrade"]);
    assert_eq!((code, stdout.as_str(), stderr.trim()), (0, "", "the schema is up to date"));
    assert!(!stage.directory().join("encryption.key").exists(), "looking makes no key");
}

#[tokio::test]
async fn keys_are_encrypted_anew_with_the_configured_key() {
    let stage = stage(NEWEST).await;
    let (code, _, stderr) = db(&stage, Some(NEW_KEY), &["upgrade"]);
    assert!(code == 0 && stderr.contains("source 1") && stderr.contains("db rekey --old-key"), "{stderr}");
    let (code, stdout, stderr) = db(&stage, Some(NEW_KEY), &["rekey", "--old-key", ENCRYPTION_KEY]);
    assert_eq!((code, stdout.trim()), (0, "2 of 3 secrets were encrypted anew"), "{stderr}");
    assert!(stderr.contains("source 3") && !stderr.contains("source 1"), "{stderr}");
    let after = sealed(&stage).await;
    let (_, stdout, _) = db(&stage, Some(NEW_KEY), &["rekey"]);
    assert_eq!(stdout.trim(), "0 of 3 secrets were encrypted anew");
    assert_eq!(sealed(&stage).await, after, "what is sealed with the key already is left alone");
    let (code, _, stderr) = db(&stage, Some(NEW_KEY), &["rekey", "--old-key", "nonsense"]);
    assert!(code == 2 && stderr.contains("no Fernet key") && !stderr.contains("nonsense"), "{stderr}");
}
