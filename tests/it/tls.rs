//! Sources behind TLS: whose certificates are believed, what is said of others, and what an operator can do about it.

mod front;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use automagik_spark::domain::adapter::Adapters;
use automagik_spark::domain::source::{Endpoint, Secret, SourceKind, Trust};
use automagik_spark::simulate::{self, FLOW_ID, SimulateOptions};
use automagik_spark::sources::{Error, HttpClient, HttpOptions, WorkflowSource, connect};
use reqwest::Method;
use serde_json::json;

use crate::harness::node::{SOON, TestNode};
use crate::harness::stage::Stage;
use crate::harness::until;
use crate::langflow::{completed, request, simulated};
use front::{Authority, Front, self_made};

const KEY: &str = "sk-the-right-key";

fn source(url: &str, trust: Trust, http: &HttpClient) -> Box<dyn WorkflowSource> {
    let (kind, api_key) = (SourceKind::Langflow, Secret::new(KEY));
    let endpoint = Endpoint { kind, url: url.to_owned(), api_key, adapter: None, trust };
    connect(endpoint, http.clone(), &Adapters::default()).unwrap()
}

fn client() -> HttpClient {
    HttpClient::new(HttpOptions { connect_timeout: Duration::from_secs(1), ..HttpOptions::default() }).unwrap()
}

async fn refused(url: &str, trust: Trust) -> String {
    let refusal = source(url, trust, &client()).validate().await.expect_err("it is not believed");
    assert_eq!(refusal.code(), "source_certificate", "{refusal}");
    assert!(!refusal.is_transient(), "trying again makes no certificate better");
    refusal.to_string()
}

#[tokio::test]
async fn a_server_is_believed_by_the_authority_that_its_source_names_and_by_no_other() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let upstream = simulated();
    let front = Front::start(&upstream.url(), ours.certify(&["localhost"])).await;
    let http = client();
    // One client serves sources that are trusted in different ways.
    let trusted = source(&front.url("localhost"), Trust::Only(ours.pem().into()), &http);
    assert_eq!(completed(&*trusted, request(FLOW_ID, "x")).await.text, "X");
    let both = format!("{}{}", theirs.pem(), ours.pem());
    assert!(source(&front.url("localhost"), Trust::Only(both.into()), &http).validate().await.is_ok());

    for trust in [Trust::Machine, Trust::Only(theirs.pem().into())] {
        let text = refused(&front.url("localhost"), trust.clone()).await;
        assert!(text.contains("signed by nobody whom Spark trusts") && text.contains("tls_ca"), "{text}");
        let outcome = source(&front.url("localhost"), trust, &http).run(&request(FLOW_ID, "x")).await;
        let told = format!("{outcome:?}");
        assert!(told.contains("Permanent") && told.contains("source_certificate"), "{told}");
        assert!(told.contains("outcome_unknown: false"), "nothing was sent: {told}");
    }
}

#[tokio::test]
async fn a_certificate_must_be_for_the_host_and_in_its_time_also_where_its_authority_is_trusted() {
    let authority = Authority::new();
    let upstream = simulated();
    let trust = || Trust::Only(authority.pem().into());

    let elsewhere = Front::start(&upstream.url(), authority.certify(&["flows.example.com"])).await;
    let text = refused(&elsewhere.url("localhost"), trust()).await;
    assert!(text.contains("flows.example.com") && text.contains("the url says localhost"), "{text}");

    let expired = Front::start(&upstream.url(), authority.certify_until(&["localhost"], (2020, 2, 3))).await;
    let text = refused(&expired.url("localhost"), trust()).await;
    assert!(text.contains("expired on 2020-02-03"), "{text}");

    let early = Front::start(&upstream.url(), authority.certify_from(&["localhost"], (2999, 1, 1))).await;
    let text = refused(&early.url("localhost"), trust()).await;
    assert!(text.contains("not valid before 2999-01-01") && text.contains("clocks"), "{text}");

    let address = Front::start(&upstream.url(), authority.certify(&["127.0.0.1"])).await;
    assert!(source(&address.url("127.0.0.1"), trust(), &client()).validate().await.is_ok());
}

#[tokio::test]
async fn a_certificate_that_the_server_made_itself_is_believed_where_it_is_named_and_its_host_is_right() {
    let upstream = simulated();
    // As most tools make them, marked as an authority's, and as they should be.
    for marked in [true, false] {
        let certificate = self_made(&["localhost"], marked, (2999, 1, 1));
        let front = Front::start(&upstream.url(), certificate.clone()).await;
        let trust = || Trust::Only(certificate.pem.as_str().into());
        assert!(refused(&front.url("localhost"), Trust::Machine).await.contains("tls_ca"));
        let named = source(&front.url("localhost"), trust(), &client()).validate().await;
        assert!(named.is_ok(), "marked as an authority's: {marked}: {named:?}");
        let text = refused(&front.url("127.0.0.1"), trust()).await;
        assert!(text.contains("the url says 127.0.0.1"), "{text}");

        // Another one of the same name is not the same one.
        let other = Front::start(&upstream.url(), self_made(&["localhost"], marked, (2999, 1, 1))).await;
        refused(&other.url("localhost"), trust()).await;

        let old = self_made(&["localhost"], marked, (2020, 2, 3));
        let front = Front::start(&upstream.url(), old.clone()).await;
        let text = refused(&front.url("localhost"), Trust::Only(old.pem.into())).await;
        assert!(text.contains("expired on 2020-02-03"), "{text}");
    }
}

#[tokio::test]
async fn any_certificate_is_believed_where_a_source_says_so() {
    let upstream = simulated();
    let old = self_made(&["flows.example.com"], true, (2020, 2, 3));
    let front = Front::start(&upstream.url(), old).await;
    let unchecked = source(&front.url("localhost"), Trust::Unchecked, &client());
    assert_eq!(completed(&*unchecked, request(FLOW_ID, "x")).await.text, "X");
}

#[tokio::test]
async fn a_server_that_takes_the_connection_and_never_shakes_hands_is_given_up_in_time() {
    // The kernel takes connections; nobody reads.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let started = Instant::now();
    let refusal = source(&url, Trust::Machine, &client()).validate().await.expect_err("nobody speaks there");
    assert!(matches!(refusal, Error::Unreachable(_)), "{refusal:?}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_gives_a_source_its_authority_or_switches_the_check_off_and_is_warned() {
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[]).await;
    let upstream =
        simulate::start(SimulateOptions { api_key: Secret::new(KEY), ..SimulateOptions::default() }).unwrap();
    let authority = Authority::new();
    let front = Front::start(&upstream.url(), authority.certify(&["localhost"])).await;
    let url = front.url("localhost");

    let plain = json!({"source_type": "langflow", "url": url, "api_key": KEY});
    let refusal = node.try_ask(Method::POST, "/api/v1/sources", Some(&plain)).await.unwrap();
    assert_eq!((refusal.status, &refusal.body["code"]), (400, &json!("source_certificate")), "{refusal:?}");
    assert!(refusal.body["detail"].as_str().unwrap().contains("tls_ca"), "{refusal:?}");
    for wrong in ["/etc/ssl/ca.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
        let body = json!({"source_type": "langflow", "url": url, "api_key": KEY, "tls_ca": wrong});
        let refusal = node.try_ask(Method::POST, "/api/v1/sources", Some(&body)).await.unwrap();
        assert_eq!((refusal.status, &refusal.body["detail"][0]["loc"][1]), (422, &json!("tls_ca")), "{refusal:?}");
    }

    let trusted = json!({"source_type": "langflow", "url": url, "api_key": KEY, "tls_ca": authority.pem()});
    let source = node.try_ask(Method::POST, "/api/v1/sources", Some(&trusted)).await.unwrap().ok();
    assert_eq!((&source["tls_verify"], source["tls_ca"].as_str()), (&json!(true), Some(authority.pem())));
    assert!(!node.log().contains("tls_verify"), "nothing to warn of yet");
    run(&node, "by its authority").await;

    let path = format!("/api/v1/sources/{}", source["id"].as_str().unwrap());
    let without = node.try_ask(Method::PATCH, &path, Some(&json!({"tls_ca": ""}))).await.unwrap();
    assert_eq!((without.status, &without.body["code"]), (400, &json!("source_certificate")), "{without:?}");
    let unchecked = json!({"tls_ca": "", "tls_verify": false});
    let unchecked = node.try_ask(Method::PATCH, &path, Some(&unchecked)).await.unwrap().ok();
    assert_eq!((&unchecked["tls_verify"], &unchecked["tls_ca"]), (&json!(false), &json!(null)));
    run(&node, "unchecked").await;
    let warnings = node.log().lines().filter(|line| line.contains("WARN") && line.contains("tls_verify")).count();
    assert!(warnings >= 2, "the service says what was changed, and whom it believes:\n{}", node.log());
}

/// What broke: a certificate that had expired failed every waiting task of its source, one after another.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_believed_any_more_spares_the_tasks_that_wait_until_somebody_mends_it() {
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[]).await;
    let upstream =
        simulate::start(SimulateOptions { api_key: Secret::new(KEY), ..SimulateOptions::default() }).unwrap();
    let (authority, former) = (Authority::new(), Authority::new());
    let front = Front::start(&upstream.url(), authority.certify(&["localhost"])).await;
    let body =
        json!({"source_type": "langflow", "url": front.url("localhost"), "api_key": KEY, "tls_ca": authority.pem()});
    let source = node.post("/api/v1/sources", &body).await;
    let path = format!("/api/v1/sources/{}", source["id"].as_str().unwrap());
    let workflow = node.post(&format!("/api/v1/workflows/sync/{FLOW_ID}"), &json!({})).await;
    stage.rows("UPDATE workflow_sources SET tls_ca = $1", &[&former.pem()]).await;
    let tasks = node.run_many(workflow["id"].as_str().unwrap(), 40).await;
    until("it is left alone", SOON, async || (node.get(&path).await["circuit"]["state"] == "open").then_some(())).await;
    until("those under way have ended", SOON, async || (stage.count(RUNNING).await == 0).then_some(())).await;
    let circuit = node.get(&path).await["circuit"].clone();
    assert!(circuit["reason"].as_str().unwrap().contains("certificate"), "{circuit}");
    let mended = json!({"tls_ca": authority.pem()});
    let mended = node.try_ask(Method::PATCH, &path, Some(&mended)).await.unwrap().ok();
    assert_eq!(mended["circuit"]["state"], "closed", "it has just answered: {mended}");
    until("nothing waits", SOON, async || (stage.count(UNFINISHED).await == 0).then_some(())).await;
    let statuses = stage.statuses().await;
    // So many slots, four failures more that do not open it yet, and perhaps a probe.
    assert!(statuses["failed"] <= 13 && statuses["completed"] >= 27, "{statuses:?} of {}", tasks.len());
}

const RUNNING: &str = "SELECT count(*) FROM tasks WHERE status = 'running'";
const UNFINISHED: &str = "SELECT count(*) FROM tasks WHERE status NOT IN ('completed', 'failed')";

/// A run through a child process.
async fn run(node: &TestNode, input: &str) {
    let synced = node.try_ask(Method::POST, &format!("/api/v1/workflows/sync/{FLOW_ID}"), None).await.unwrap().ok();
    let path = format!("/api/v1/workflows/{}/run?wait=30", synced["id"].as_str().unwrap());
    let task = node.try_ask(Method::POST, &path, Some(&json!(input))).await.unwrap().ok();
    assert_eq!(task["status"], "completed", "{task}");
}
