//! What an operator finds on the pages: settings of sources and workflows, paused queues, memory, the audit trail.

use std::collections::BTreeSet;

use automagik_spark::dispatch::roster::{ExecutorView, PoolView};
use automagik_spark::domain::clock;
use automagik_spark::domain::ids::ExecutorId;
use automagik_spark::domain::queue::QueueName;
use automagik_spark::domain::recycle::RecycleLimits;
use serde_json::{Value, json};

use crate::api::client::{KEY, SOURCE_KEY, TestApi, id};
use crate::keys::{make, text};

/// A page as the holder of a key sees it.
async fn page_as(api: &TestApi, key: &str, path: &str) -> String {
    let answer = api.raw("GET", path, &[("X-API-Key", key)], b"").await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.text()
}

async fn page(api: &TestApi, path: &str) -> String {
    page_as(api, KEY, path).await
}

/// The form of a page that is sent to this path of the API, as its markup.
#[track_caller]
fn form<'a>(page: &'a str, method: &str, path: &str) -> &'a str {
    let start = page
        .find(&format!("<form class=\"card\" data-method=\"{method}\" data-path=\"{path}\""))
        .unwrap_or_else(|| panic!("{page}"));
    page[start..].split("</form>").next().unwrap()
}

/// The fields of a form that says no more of what it sends.
fn names(form: &str) -> BTreeSet<&str> {
    form.split(" name=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

/// The fields that a schema of the API has, with those of the schemas it is made of.
fn fields(document: &Value, schema: &Value) -> BTreeSet<String> {
    let own = schema["properties"].as_object().into_iter().flat_map(|fields| fields.keys().cloned());
    let parts = schema["allOf"].as_array().into_iter().flatten().chain(schema["$ref"].is_string().then_some(schema));
    let of_part = |part: &Value| match part["$ref"].as_str() {
        Some(path) => fields(document, document.pointer(path.trim_start_matches('#')).expect("a schema")),
        None => fields(document, part),
    };
    own.chain(parts.flat_map(of_part)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_a_form_is_one_of_the_api() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let source = id(&api.get("/api/v1/sources").await.expect(200)["items"][0]);
    let document = api.get("/api/v1/openapi.json").await.expect(200);
    let (source, workflow) = (format!("/sources/{source}"), format!("/workflows/{workflow}"));
    for (method, path, on, schema, left_out) in [
        ("POST", "/sources", "/sources", "NewSource", &[][..]),
        ("PATCH", &source, &source, "SourcePatch", &["status"][..]),
        ("PATCH", &workflow, &workflow, "WorkflowPatch", &[][..]),
    ] {
        let page = page(&api, &format!("/dashboard{on}")).await;
        let shown = names(form(&page, method, &format!("/api/v1{path}")));
        let known = fields(&document, &document["components"]["schemas"][schema]);
        let offered: BTreeSet<&str> =
            known.iter().map(String::as_str).filter(|field| !left_out.contains(field)).collect();
        assert_eq!(shown, offered, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_shows_its_settings_and_offers_them_to_those_who_may_change_them() {
    let api = TestApi::start().await;
    let body = json!({
        "source_type": "langflow", "url": api.source.url(), "api_key": SOURCE_KEY, "max_concurrency": 7, "rate": "30/m",
        "unknown_policy": "fail", "tls_verify": false, "name": "\"><b>",
    });
    let source = id(&api.post("/api/v1/sources", body).await.expect(201));
    let (path, target) = (format!("/dashboard/sources/{source}"), format!("/api/v1/sources/{source}"));
    let shown = page(&api, &path).await;
    let form = form(&shown, "PATCH", &target);
    for expected in [
        "name=\"max_concurrency\" min=\"1\" max=\"10000\" value=\"7\"",
        "name=\"rate\" value=\"30/m\"",
        "<option value=\"fail\" selected>",
        "<option value=\"langflow\" selected>",
        "value=\"&quot;&gt;&lt;b&gt;\"",
        "name=\"tls_verify\" data-as=\"boolean\"",
        "<details open>",
    ] {
        assert!(form.contains(expected), "{expected}: {form}");
    }
    assert!(!shown.contains(SOURCE_KEY), "its key is never shown");
    let changed = json!({"max_concurrency": null, "rate": null, "unknown_policy": "retry", "tls_verify": true});
    api.call("PATCH", &target, Some(changed)).await.expect(200);
    let reader = text(&make(&api, "reader", "read").await);
    let shown = page_as(&api, &reader, &path).await;
    assert!(!shown.contains("data-method=\"PATCH\""), "{shown}");
    for expected in ["<dt>Max. concurrency</dt><dd>no limit</dd>", "<dt>Rate</dt><dd>no limit</dd>", "<dd>retry</dd>"] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let shown = page(&api, &path).await;
    assert!(
        shown.contains("name=\"tls_verify\" checked data-as=\"boolean\"")
            && shown.contains("name=\"rate\" autocomplete")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_left_alone_says_why_and_until_when_and_is_called_again() {
    let api = TestApi::start().await;
    let source = id(&api.add_source().await);
    let circuit = async |state: &str, reason: &str| {
        api.execute(&format!(
            "INSERT INTO gates (id, circuit, failures, until, reason)
             VALUES ('{source}', '{state}', 5, now() + interval '10 min 30 s', '{reason}')
             ON CONFLICT (id) DO UPDATE SET circuit = excluded.circuit, reason = excluded.reason"
        ))
        .await
    };
    circuit("open", "it answered <502>").await;
    let (path, again) = (format!("/dashboard/sources/{source}"), "Call it again");
    let reader = text(&make(&api, "reader", "read").await);
    for (key, may) in [(KEY, true), (reader.as_str(), false)] {
        let shown = page_as(&api, key, &path).await;
        assert!(shown.contains("It is left alone, and its tasks wait: it answered &lt;502&gt;. The next try is due"));
        assert!(shown.contains("in 10 min") && shown.contains(again) == may, "{shown}");
    }
    let list = page(&api, "/dashboard/sources").await;
    assert!(list.contains("left alone") && list.contains("in 10 min"), "{list}");
    api.act(&format!("/api/v1/sources/{source}/resume")).await.expect(200);
    let shown = page(&api, &path).await;
    assert!(!shown.contains("left alone") && !shown.contains(again), "{shown}");
    circuit("half_open", "it was gone").await;
    let shown = page(&api, &path).await;
    assert!(shown.contains("being tried") && shown.contains("it was gone") && shown.contains(again), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_shows_its_settings_and_offers_them() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let (path, target) = (format!("/dashboard/workflows/{workflow}"), format!("/api/v1/workflows/{workflow}"));
    let shown = page(&api, &path).await;
    assert!(shown.contains("<dd>as its source</dd>"), "{shown}");
    assert!(form(&shown, "PATCH", &target).contains("<option value=\"\" selected>as its source</option>"), "{shown}");
    let changed = json!({"max_concurrency": 3, "rate": "2/s", "unknown_policy": "fail"});
    api.call("PATCH", &target, Some(changed)).await.expect(200);
    let shown = page(&api, &path).await;
    let form = form(&shown, "PATCH", &target);
    for expected in ["value=\"3\"", "value=\"2/s\"", "<option value=\"fail\" selected>"] {
        assert!(form.contains(expected), "{expected}: {form}");
    }
    // A change of one keeps the others.
    let kept = api.call("PATCH", &target, Some(json!({"rate": null}))).await.expect(200);
    assert_eq!((&kept["max_concurrency"], &kept["unknown_policy"]), (&json!(3), &json!("fail")));
    let runner = text(&make(&api, "runner", "run").await);
    let shown = page_as(&api, &runner, &path).await;
    assert!(
        !shown.contains("data-method=\"PATCH\"") && shown.contains("<dt>Max. concurrency</dt><dd>3</dd>"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_is_shown_as_paused_and_can_be_resumed() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    api.run(&workflow, "Hello").await;
    let (pause, resume) = ("/api/v1/queues/celery/pause", "/api/v1/queues/celery/resume");
    let shown = page(&api, "/dashboard").await;
    assert!(shown.contains(pause) && !shown.contains(resume) && !shown.contains(">paused<"), "{shown}");
    api.act(pause).await.expect(200);
    let shown = page(&api, "/dashboard").await;
    assert!(!shown.contains(pause) && shown.contains(resume) && shown.contains(">paused<"), "{shown}");
    let runner = text(&make(&api, "runner", "run").await);
    let shown = page_as(&api, &runner, "/dashboard").await;
    assert!(!shown.contains(resume) && shown.contains(">paused<"), "{shown}");
    api.act(resume).await.expect(200);
    assert!(page(&api, "/dashboard").await.contains(pause));
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_shown_by_the_ceiling_of_the_pool() {
    let api = TestApi::start().await;
    let executor = |id, rss_kb| ExecutorView {
        id: ExecutorId(id),
        pid: None,
        state: "ready",
        tasks_done: 0,
        active: 0,
        rss_kb,
        cpu_percent: None,
        started_at: clock::now(),
    };
    for (name, max_memory_per_child_kb) in [("large", 1_024_000), ("small", 102_400)] {
        api.dispatch.roster().publish(PoolView {
            name: name.to_owned(),
            queues: vec![QueueName::new(name).unwrap()],
            weights: None,
            workers: 2,
            threads: 1,
            configured: (2, 1),
            recycle: RecycleLimits { max_tasks_per_child: 100, max_memory_per_child_kb },
            failed: false,
            executors: vec![executor(1, Some(51_200)), executor(2, None)],
        });
    }
    let shown = page(&api, "/dashboard").await;
    for (ceiling, said) in [("1024000", "50 of 1000 MB"), ("102400", "50 of 100 MB")] {
        assert!(shown.contains(&format!("max=\"{ceiling}\"")) && shown.contains(said), "{said}: {shown}");
    }
    assert_eq!(shown.matches("<meter").count(), 2, "one that was not measured has no bar");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_searched_page_by_page_by_those_who_may() {
    let api = TestApi::start().await;
    let empty = page(&api, "/dashboard/audit").await;
    assert!(empty.contains("Nothing was changed yet") && empty.contains("None is stored"), "{empty}");
    let source = id(&api.add_source().await);
    let rename = json!({"name": "<i>flows</i>", "api_key": SOURCE_KEY});
    api.call("PATCH", &format!("/api/v1/sources/{source}"), Some(rename)).await.expect(200);
    let reader = text(&make(&api, "reader", "read").await);
    let chief = text(&make(&api, "chief", "admin").await);
    for _ in 0..26 {
        for what in ["pause", "resume"] {
            let path = format!("/api/v1/queues/nightly/{what}");
            assert_eq!(api.raw("POST", &path, &[("X-API-Key", &chief)], b"").await.status, 200);
        }
    }
    let first = page(&api, "/dashboard/audit").await;
    assert!(first.contains("56 changes") && first.contains("queue nightly") && !first.contains(&source), "{first}");
    let older = first.split("href=\"").find(|rest| rest.starts_with("/dashboard/audit?cursor=")).expect("a next page");
    let second = page(&api, older.split('"').next().unwrap()).await;
    assert!(second.contains(&format!("/dashboard/sources/{source}")) && second.contains("Newest"), "{second}");
    assert!(second.contains("&lt;i&gt;flows&lt;/i&gt;") && second.contains("name, api_key"), "{second}");
    for (shown, goes_on) in [(&first, true), (&second, false)] {
        assert!(!shown.contains(SOURCE_KEY) && !shown.contains(&chief));
        assert_eq!(shown.contains("rel=\"next\""), goes_on);
    }
    let filtered = page(&api, "/dashboard/audit?actor=chief&action=queue.pause").await;
    assert!(filtered.contains("26 changes") && filtered.contains("name=\"actor\" value=\"chief\""), "{filtered}");
    let wrong = page(&api, "/dashboard/audit?since=yesterday&actor=chief").await;
    assert!(wrong.contains("since must be a date-time") && wrong.contains("value=\"yesterday\""), "{wrong}");
    assert!(page(&api, "/dashboard/audit?actor=nobody").await.contains("No change fits"));

    let refused = api.raw("GET", "/dashboard/audit", &[("X-API-Key", &reader)], b"").await;
    assert!(refused.status == 403 && !refused.text().contains("chief"), "{}", refused.text());
    let link = "href=\"/dashboard/audit\"";
    assert!(first.contains(link) && !page_as(&api, &reader, "/dashboard").await.contains(link));
}
