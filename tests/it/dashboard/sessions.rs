//! How sessions end: by a logout, whatever others do, on every node, and with all that was opened by them.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::json;

use crate::harness::node::{SOON, TestNode, client_builder};
use crate::harness::stage::{API_KEY, Stage, connect};
use crate::harness::until;

const TASKS: &str = "/api/v1/tasks";
/// Rows of the ids of the first session's key.
const FILL: &str = "INSERT INTO ended_sessions
    SELECT (left(id::text, 13) || right(gen_random_uuid()::text, 23))::uuid, ends_at
      FROM ended_sessions, generate_series(1, 999)";

/// A browser without a cookie jar: it sends the cookie that a test gives it.
struct Browser(Client);

impl Browser {
    fn new() -> Self {
        Self(client_builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client"))
    }

    fn request(&self, node: &TestNode, method: Method, path: &str, cookie: &str) -> RequestBuilder {
        let request = self.0.request(method, format!("{}{path}", node.url()));
        request.header("Sec-Fetch-Site", "same-origin").header("Cookie", cookie)
    }

    /// The cookie of a new session.
    async fn login(&self, node: &TestNode, key: &str) -> String {
        let form = self.request(node, Method::POST, "/dashboard/login", "");
        let form = form.header("Content-Type", "application/x-www-form-urlencoded").body(format!("key={key}"));
        let answer = form.send().await.expect("it answers");
        answer.headers()["set-cookie"].to_str().expect("text").split(';').next().expect("a pair").to_owned()
    }

    async fn logout(&self, node: &TestNode, cookie: &str) -> Response {
        self.request(node, Method::POST, "/dashboard/logout", cookie).send().await.expect("it answers")
    }

    /// What a request of the API with the cookie is answered with.
    async fn status(&self, node: &TestNode, cookie: &str) -> u16 {
        self.request(node, Method::GET, TASKS, cookie).send().await.expect("it answers").status().as_u16()
    }
}

async fn serve(stage: &Stage) -> TestNode {
    TestNode::launch(stage.serve(&[("node.roles", "api")]), &stage.servers.database_url).await
}

/// What broke: after so many logouts of anybody, nobody's counted any more, and nobody was told.
#[tokio::test]
async fn a_logout_that_does_not_count_says_so_and_the_one_of_another_key_counts() {
    let stage = Stage::new(Duration::ZERO).await;
    let (node, browser) = (serve(&stage).await, Browser::new());
    let made = node.post("/api/v1/keys", &json!({"name": "busy", "scope": "read"})).await;
    let busy = made["key"].as_str().expect("a key");
    let first = browser.login(&node, busy).await;
    assert_eq!(browser.logout(&node, &first).await.status(), 303);
    stage.rows(FILL, &[]).await;
    assert_eq!(stage.count("SELECT count(*) FROM ended_sessions").await, 1_000);

    let another = browser.login(&node, busy).await;
    let refused = browser.logout(&node, &another).await;
    assert_eq!(refused.status(), 503);
    assert!(!refused.headers().contains_key("set-cookie"), "the way to try again stays");
    let page = refused.text().await.expect("a page");
    assert!(page.contains("you are not logged out"), "{page}");
    let log = node.log();
    let told = log.lines().find(|line| line.contains("was not ended by its logout")).expect("a warning");
    assert!(told.contains("WARN") && told.contains("session of busy"), "{told}");
    assert_eq!(browser.status(&node, &another).await, 200);
    assert_eq!(browser.logout(&node, &first).await.status(), 303, "it is over, as was asked");

    let admins = browser.login(&node, API_KEY).await;
    assert_eq!(browser.logout(&node, &admins).await.status(), 303);
    let other = serve(&stage).await;
    for node in [&node, &other] {
        assert_eq!(browser.status(node, &admins).await, 401);
    }
    stage.rows("UPDATE ended_sessions SET ends_at = now() - interval '1 second'", &[]).await;
    assert_eq!(browser.logout(&node, &another).await.status(), 303, "those whose time is over make room");
    assert_eq!(stage.count("SELECT count(*) FROM ended_sessions").await, 1);
}

/// What broke: a session that was over was ended again and again, by whoever posted its cookie in a loop.
#[tokio::test]
async fn a_session_that_is_over_is_not_ended_again() {
    let stage = Stage::new(Duration::ZERO).await;
    let (node, browser) = (serve(&stage).await, Browser::new());
    let cookie = browser.login(&node, API_KEY).await;
    assert_eq!(browser.logout(&node, &cookie).await.status(), 303);
    let mut blocker = connect(&stage.servers.database_url).await;
    let lock = blocker.transaction().await.expect("it begins");
    lock.batch_execute("LOCK TABLE ended_sessions").await.expect("it is had");
    let again = tokio::time::timeout(SOON, browser.logout(&node, &cookie)).await.expect("it waits for nobody");
    assert_eq!(again.status(), 303);
}

/// What broke: with a configured key nothing had been read yet, and a copy of the cookie opened the API.
#[tokio::test]
async fn before_the_ended_sessions_were_read_no_session_counts() {
    let stage = Stage::new(Duration::ZERO).await;
    let (node, browser) = (serve(&stage).await, Browser::new());
    let (ended, open) = (browser.login(&node, API_KEY).await, browser.login(&node, API_KEY).await);
    assert_eq!(browser.logout(&node, &ended).await.status(), 303);
    let mut blocker = connect(&stage.servers.database_url).await;
    let lock = blocker.transaction().await.expect("it begins");
    lock.batch_execute("LOCK TABLE ended_sessions").await.expect("it is had");
    let restarted = serve(&stage).await;
    for cookie in [&ended, &open] {
        assert_eq!(browser.status(&restarted, cookie).await, 503);
    }
    assert_eq!(restarted.try_ask(Method::GET, TASKS, None).await.expect("it answers").status, 200, "keys do count");
    lock.rollback().await.expect("it ends");
    until("sessions count again", SOON, async || (browser.status(&restarted, &open).await == 200).then_some(())).await;
    assert_eq!(browser.status(&restarted, &ended).await, 401);
}

/// What broke: a stream outlived the logout of its session; one of a configured key lasted for ever.
#[tokio::test]
async fn a_stream_ends_with_its_session_on_every_node_and_another_goes_on() {
    let stage = Stage::new(Duration::ZERO).await;
    let ((one, other), browser) = (tokio::join!(serve(&stage), serve(&stage)), Browser::new());
    let workflow = one.workflow(&stage).await;
    let task = one.run(&workflow, &json!("waits: no worker runs")).await;
    let made = one.post("/api/v1/keys", &json!({"name": "stored", "scope": "read"})).await;
    for key in [API_KEY, made["key"].as_str().expect("a key")] {
        let (ended, kept) = (browser.login(&one, key).await, browser.login(&one, key).await);
        let open = async |node: &TestNode, path: &str, cookie: &str| {
            let stream = browser.request(node, Method::GET, path, cookie).send().await.expect("it answers");
            assert_eq!(stream.status(), 200);
            stream
        };
        let mut streams = Vec::new();
        for node in [&one, &other] {
            for path in ["/api/v1/events".to_owned(), format!("{TASKS}/{task}/events")] {
                streams.push(open(node, &path, &ended).await);
            }
        }
        let mut goes_on = open(&one, "/api/v1/events", &kept).await;
        assert_eq!(browser.logout(&one, &ended).await.status(), 303);
        for mut stream in streams {
            let end = async { while stream.chunk().await.expect("the connection holds").is_some() {} };
            tokio::time::timeout(SOON, end).await.expect("it ends");
        }
        let next = one.run(&workflow, &json!("is told")).await;
        let told = async {
            let mut text = String::new();
            while !text.contains(&next) {
                let piece = goes_on.chunk().await.expect("the connection holds").expect("it goes on");
                text.push_str(&String::from_utf8_lossy(&piece));
            }
        };
        tokio::time::timeout(SOON, told).await.expect("it is told");
    }
}
