//! `queues` and `worker scale`.

use insta::assert_snapshot;
use serde_json::json;

use super::script::Script;
use super::{ask, page, run};

#[test]
fn queues_are_listed_paused_and_resumed() {
    let script = Script::start();
    let queue = |name: &str, paused: bool| {
        json!({"name": name, "depth": 12, "limited": 5, "delayed": 1, "oldest_age_s": 3.512, "running": 8, "rate_per_min": 240,
            "paused": paused, "paused_at": null, "pools": ["celery"]})
    };
    script.on("GET /api/v1/queues", 200, &page(&[queue("celery", false), queue("direct", true)]));
    assert_snapshot!(ask(&script, &["queues", "list"]).ok().stdout, @r"
    QUEUE   STATE   WAITING  OLDEST  RUNNING  LIMITED  DELAYED  DONE/MIN  POOLS
    celery  active  12       4 s     8        5        1        240       celery
    direct  paused  12       4 s     8        5        1        240       celery
    ");
    script.on("POST /api/v1/queues/celery/pause", 200, &queue("celery", true));
    let paused = ask(&script, &["queues", "pause", "celery"]).ok();
    assert_eq!(
        (paused.stdout.as_str(), paused.stderr.as_str()),
        ("", "queue celery is paused: 12 waiting, 8 running\n")
    );
    script.on("POST /api/v1/queues/celery/resume", 200, &queue("celery", false));
    assert_eq!(ask(&script, &["-o", "json", "queues", "resume", "celery"]).ok().json()["paused"], false);
    // A name of any kind is one part of the path; the service judges it.
    let refused = json!({"detail": [{"loc": ["path", "queue"], "msg": "a queue's name has", "type": "value_error"}]});
    script.on("POST /api/v1/queues/a%2Fb/pause", 422, &refused);
    ask(&script, &["queues", "pause", "a/b"]).failed_with(1, &["a queue's name has"]);
}

#[test]
fn a_pool_is_scaled() {
    let script = Script::start();
    let pool = |kept: bool| {
        json!({"name": "celery", "workers": 5, "threads": 8, "ready": 2, "starting": 3, "draining": 0,
            "kept_on_restart": kept})
    };
    script.on("PATCH /api/v1/pools/celery", 200, &pool(false));
    let scaled = ask(&script, &["worker", "scale", "celery", "5", "--threads", "8"]).ok();
    assert_eq!(script.asked()[0].body, json!({"workers": 5, "threads": 8}));
    assert!(scaled.stderr.starts_with(
        "pool celery is to have 5 workers of 8 threads: 2 ready, 3 starting, 0 finishing what they run\n"
    ));
    assert!(scaled.stderr.contains("spark.toml"), "{}", scaled.stderr);
    script.on("PATCH /api/v1/pools/celery", 200, &pool(true));
    let scaled = ask(&script, &["worker", "scale", "celery", "5"]).ok();
    assert_eq!(script.asked()[1].body, json!({"workers": 5}));
    assert!(!scaled.stderr.contains("spark.toml"), "{}", scaled.stderr);
    script.on("PATCH /api/v1/pools/nope", 404, &json!({"detail": "Pool not found", "code": "not_found"}));
    ask(&script, &["worker", "scale", "nope", "5"]).failed_with(1, &["Pool not found"]);
    run(&["worker", "scale", "celery", "many"]).failed_with(2, &["many"]);
}
