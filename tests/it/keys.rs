//! Keys of the API and the audit trail: who may do what, and who did.

mod away;
mod begun;
mod commands;
mod nodes;
mod scopes;
mod stored;
mod trail;

use serde_json::{Value, json};

use crate::api::client::{Answer, TestApi};

/// A request with a key.
async fn ask(api: &TestApi, key: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
    let headers = [("X-API-Key", key), ("Content-Type", "application/json")];
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    api.raw(method, path, &headers, body.as_bytes()).await
}

/// Makes a key; what was answered.
pub(crate) async fn make(api: &TestApi, name: &str, scope: &str) -> Value {
    api.post("/api/v1/keys", json!({"name": name, "scope": scope})).await.expect(201)
}

/// The key itself.
pub(crate) fn text(made: &Value) -> String {
    made["key"].as_str().expect("a key").to_owned()
}

/// A key of the right shape that is nobody's.
const NOBODYS: &str = "spk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
