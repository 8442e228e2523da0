//! Limits and circuit breakers of sources. What is asserted of limits rests on the source's own count.

mod bounds;
mod circuit;
mod settings;

use automagik_spark::simulate::{FLOW_ID, Simulated};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::node::TestNode;

impl TestNode {
    /// The flow of a further source. Answers its workflow's id and its own.
    async fn workflow_of(&self, source: &Simulated, settings: &Value) -> (String, String) {
        let mut body = json!({"source_type": "langflow", "url": source.url(), "api_key": "any"});
        body.as_object_mut().expect("an object").extend(settings.as_object().expect("an object").clone());
        let added = self.post("/api/v1/sources", &body).await;
        let sync = format!("/api/v1/workflows/sync/{FLOW_ID}");
        let workflow = self.post(&sync, &json!({"source_url": source.url()})).await;
        (workflow["id"].as_str().expect("an id").to_owned(), added["id"].as_str().expect("an id").to_owned())
    }

    async fn patch(&self, path: &str, body: &Value) -> Value {
        self.try_ask(Method::PATCH, path, Some(body)).await.expect("the service answers").ok()
    }

    async fn circuit(&self, source: &str) -> Value {
        self.get(&format!("/api/v1/sources/{source}")).await["circuit"].clone()
    }
}
