//! Pools and queues that are changed while they work. As in `lifecycle`, what is asserted rests on the source's own count.

mod endpoints;
mod order;
mod pause;
mod reload;
mod scale;

use std::fs;
use std::process::Command;
use std::time::Duration;

use automagik_spark::dev::Signal;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::node::{SOON, TestNode};
use crate::harness::stage::Stage;
use crate::harness::until;

impl TestNode {
    async fn pool(&self) -> Value {
        self.get("/api/v1/pools").await["items"][0].clone()
    }

    /// Asks for another size; answers status and body.
    async fn patch_pool(&self, size: &Value) -> (u16, Value) {
        let answer =
            self.try_ask(Method::PATCH, "/api/v1/pools/celery", Some(size)).await.expect("the service answers");
        (answer.status, answer.body)
    }

    async fn resize(&self, size: Value) -> Value {
        let (status, body) = self.patch_pool(&size).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Waits until the pool has so many ready executors and nothing else.
    async fn until_pool_has(&self, ready: u64) -> Value {
        until(&format!("{ready} executors are ready and no others there"), SOON, async || {
            let pool = self.pool().await;
            let is_settled = pool["ready"] == ready && pool["starting"] == 0 && pool["draining"] == 0;
            is_settled.then_some(pool)
        })
        .await
    }

    async fn queue(&self, name: &str) -> Value {
        let queues = self.get("/api/v1/queues").await;
        let found = queues["items"].as_array().expect("a list").iter().find(|queue| queue["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {queues}")).clone()
    }

    /// Has it reload its configuration and waits until it says so.
    async fn reload(&self, saying: &str) {
        let before = self.log().matches(saying).count();
        self.signal(Signal::HUP);
        until(saying, SOON, async || (self.log().matches(saying).count() > before).then_some(())).await;
    }

    async fn act_on_queue(&self, name: &str, action: &str) -> Value {
        self.post(&format!("/api/v1/queues/{name}/{action}"), &json!({})).await
    }

    /// A figure of `/metrics`; 0 where it is not there.
    async fn figure(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await;
        let line = text.as_str().expect("text").lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        line.unwrap_or(0.0)
    }
}

/// `serve` whose pools are what `spark.toml` says, and no flag says anything else.
fn serve_by_file(stage: &Stage) -> Command {
    let given = stage.serve(&[]);
    let mut command = Command::new(given.get_program());
    command.env_clear().current_dir(stage.directory()).stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::null());
    command.envs(given.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut arguments = given.get_args();
    while let Some(argument) = arguments.next() {
        if ["--queues", "--workers", "--threads"].iter().any(|flag| argument == *flag) {
            arguments.next();
        } else {
            command.arg(argument);
        }
    }
    command
}

fn write_configuration(stage: &Stage, text: &str) {
    fs::write(stage.directory().join("spark.toml"), text).expect("writable");
}

async fn started_by_file(stage: &Stage) -> TestNode {
    let node = TestNode::launch(serve_by_file(stage), &stage.servers.database_url).await;
    node.until_children_are_ready().await;
    node
}

/// Every attempt there was came to its end in a child, but for those that were given back before the source was asked.
async fn assert_no_attempt_was_lost(stage: &Stage) {
    let other =
        "SELECT count(*) FROM task_attempts WHERE status <> 'completed' AND code IS DISTINCT FROM 'not_started'";
    assert_eq!(stage.count(other).await, 0);
    let limit = Duration::from_secs(5);
    until("nothing is left running", limit, async || {
        (stage.count("SELECT count(*) FROM tasks WHERE status = 'running'").await == 0).then_some(())
    })
    .await;
}
