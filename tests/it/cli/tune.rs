//! `tune`, against real servers and without any.

use serde_json::{Value, json};

use super::{Ended, program};
use crate::harness::servers::TestServers;

fn tune(arguments: &[&str], servers: Option<&TestServers>) -> Ended {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = program(directory.path());
    let (database, redis) = match servers {
        Some(servers) => (servers.service_url.as_str(), servers.redis_url.as_str()),
        None => ("postgresql://u:s3cret@127.0.0.1:1/x", "redis://127.0.0.1:1"),
    };
    command.env("AUTOMAGIK_SPARK_DATABASE_URL", database).env("AUTOMAGIK_SPARK_REDIS_URL", redis);
    Ended::from(command.arg("tune").args(arguments).output().expect("it runs"))
}

fn finding<'a>(answer: &'a Value, what: &str) -> &'a Value {
    let findings = answer["findings"].as_array().expect("a list");
    findings.iter().find(|one| one["what"] == what).unwrap_or_else(|| panic!("no {what} in {answer}"))
}

#[tokio::test]
async fn what_the_servers_have_is_compared_with_what_the_profile_needs() {
    let servers = TestServers::start().await;
    let answer = tune(&["--profile", "medium", "-o", "json"], Some(&servers)).ok().json();
    assert_eq!(answer["guide"], json!({"pool_size": 37, "max_connections": 55}), "the guide's own example");
    assert_eq!(answer["spark"]["connections"], 62);
    assert!(
        finding(&answer, "PostgreSQL connections")["words"].as_str().expect("words").contains("in use"),
        "{answer}"
    );
    let redis = finding(&answer, "Redis memory");
    assert_eq!(redis["fits"], false);
    assert!(redis["words"].as_str().expect("words").contains("set maxmemory 2048mb"), "{redis}");
    assert_eq!(answer["not_asked"], json!([]));

    let client = redis::Client::open(servers.redis_url.as_str()).expect("a url");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
    let limit = redis::cmd("CONFIG").arg(&["SET", "maxmemory", "2gb", "maxmemory-policy", "allkeys-lru"]).clone();
    let _: () = limit.query_async(&mut connection).await.expect("Redis takes it");
    let answer = tune(&["--profile", "medium", "-o", "json"], Some(&servers)).ok().json();
    assert_eq!(finding(&answer, "Redis memory")["fits"], true);
    let policy = finding(&answer, "Redis policy");
    assert!(policy["fits"] == false && policy["words"].as_str().expect("words").contains("noeviction"), "{policy}");
    let text = tune(&["--profile", "medium", "--nodes", "2"], Some(&servers)).ok().stdout;
    for told in
        ["max_connections = 140", "pool_mode = transaction", "maxmemory 2048mb", "children hold none", "2 node(s)"]
    {
        assert!(text.contains(told), "{told} is missing in\n{text}");
    }
}

#[test]
fn servers_that_do_not_answer_are_named_and_the_rest_is_told() {
    let ended = tune(&["-o", "json"], None).ok();
    let answer = ended.json();
    let silent = answer["not_asked"].as_array().expect("a list");
    assert_eq!(silent.len(), 2, "{answer}");
    assert!(!ended.stdout.contains("s3cret") && !ended.stderr.contains("s3cret"));
    assert_eq!(finding(&answer, "machine's memory")["fits"], true);
    let offline = tune(&["--offline"], None).ok();
    assert!(!offline.stdout.contains("FOUND") && offline.stderr.is_empty(), "{}{}", offline.stdout, offline.stderr);
    tune(&["--profile", "huge"], None).failed_with(2, &["huge"]);
    tune(&["--nodes", "0"], None).failed_with(2, &["--nodes"]);
}
