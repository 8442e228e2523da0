//! The commands, against a service.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::node::TestNode;
use crate::harness::stage::{API_KEY, Stage};

/// Runs a command with a key; stdout, stderr and whether it succeeded.
async fn spark(node: &TestNode, key: &str, args: &[&str]) -> (String, String, bool) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_automagik-spark"));
    command.env_clear().env("AUTOMAGIK_SPARK_API_KEY", key).current_dir("/").stdin(Stdio::null());
    command.args(["--url", node.url()]).args(args);
    let run = tokio::task::spawn_blocking(move || command.output().expect("started"));
    let Output { status, stdout, stderr } = run.await.expect("run");
    (String::from_utf8(stdout).expect("UTF-8"), String::from_utf8(stderr).expect("UTF-8"), status.success())
}

#[tokio::test]
async fn keys_are_made_listed_and_revoked_and_the_trail_tells_it() {
    let stage = Stage::new(Duration::ZERO).await;
    let node = TestNode::launch(stage.serve(&[("node.roles", "api")]), &stage.servers.database_url).await;
    let (key, said, done) =
        spark(&node, API_KEY, &["keys", "create", "ci", "--scope", "run", "--expires", "90d"]).await;
    assert!(done && said.contains("shown this once") && !said.contains(key.trim()), "{said}");
    let key = key.trim_end();
    assert!(key.starts_with("spk_") && key.len() == 47, "nothing but the key: {key}");
    let (made, _, _) = spark(&node, API_KEY, &["-o", "json", "keys", "create", "look", "--scope", "read"]).await;
    let made: Value = serde_json::from_str(&made).expect("JSON");
    assert_eq!((&made["scope"], &made["expires_at"]), (&json!("read"), &Value::Null));

    let (list, _, _) = spark(&node, API_KEY, &["keys", "list"]).await;
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 3, "{list}");
    assert!(
        lines[2].contains(&key[..12]) && lines[2].contains("active") && lines[2].contains("configured key"),
        "{list}"
    );
    assert!(!list.contains(&key[12..]));

    assert!(spark(&node, key, &["tasks", "list"]).await.2);
    let (_, said, done) = spark(&node, key, &["keys", "list"]).await;
    assert!(!done && said.contains("of the scope admin"), "{said}");
    let (_, said, done) = spark(&node, API_KEY, &["keys", "revoke", "ci"]).await;
    assert!(done && said.contains("key ci is revoked"), "{said}");
    let (_, said, done) = spark(&node, key, &["tasks", "list"]).await;
    assert!(!done && said.contains("Invalid API key"), "{said}");
    let (_, said, done) = spark(&node, API_KEY, &["keys", "revoke", "ci"]).await;
    assert!(!done && said.contains("no key is `ci`"), "{said}");
    let (all, _, _) = spark(&node, API_KEY, &["keys", "list", "--revoked"]).await;
    assert!(all.lines().nth(2).is_some_and(|line| line.contains("revoked")), "{all}");

    let (trail, _, _) = spark(&node, API_KEY, &["audit", "list", "--type", "key"]).await;
    let actions: Vec<&str> =
        trail.lines().skip(1).filter_map(|line| line.split("  ").find(|w| w.contains("key."))).collect();
    assert_eq!(
        actions.iter().map(|action| action.trim()).collect::<Vec<_>>(),
        ["key.revoke", "key.create", "key.create"],
        "{trail}"
    );
    assert!(trail.contains("name=ci") && trail.contains("scope=run") && !trail.contains(&key[12..]), "{trail}");
    for wrong in [
        &["keys", "create", "x"][..],
        &["keys", "create", "x", "--scope", "root"],
        &["keys", "create", "x", "--scope", "run", "--expires", "soon"],
    ] {
        assert!(!spark(&node, API_KEY, wrong).await.2, "{wrong:?}");
    }
}

#[tokio::test]
async fn a_key_is_found_by_its_name_or_a_beginning_of_its_id_among_many() {
    let stage = Stage::new(Duration::ZERO).await;
    let node = TestNode::launch(stage.serve(&[("node.roles", "api")]), &stage.servers.database_url).await;
    let mut ids = Vec::new();
    // A page of what a command looks at has five.
    for number in 1..=12 {
        let made = node.post("/api/v1/keys", &json!({"name": format!("key-{number}"), "scope": "read"})).await;
        ids.push(made["id"].as_str().expect("an id").to_owned());
    }
    for (typed, name) in [("key-1", "key-1"), (ids[2].as_str(), "key-3")] {
        let (_, said, done) = spark(&node, API_KEY, &["keys", "revoke", typed]).await;
        assert!(done && said.contains(&format!("key {name} is revoked")), "{typed}: {said}");
    }
    // Its first characters are a time; all but the last tell it from the others.
    let (_, said, done) = spark(&node, API_KEY, &["keys", "revoke", &ids[1][..35]]).await;
    assert!(done && said.contains("key key-2 is revoked"), "{said}");
    let left = node.get("/api/v1/keys?named=key-12").await;
    assert_eq!((&left["total"], &left["items"][0]["name"]), (&json!(1), &json!("key-12")));
    let revoked = node.get(&format!("/api/v1/keys?revoked=true&id_prefix={}", &ids[0][..35])).await;
    assert_eq!((&revoked["total"], &revoked["items"][0]["name"]), (&json!(1), &json!("key-1")));
    assert_eq!(node.get("/api/v1/keys?named=key-1").await["total"], 0);
}
