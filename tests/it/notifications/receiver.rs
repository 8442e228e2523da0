//! Somebody who is told. Signatures are checked with an HMAC of its own, made of nothing but SHA-256, as RFC 2104 describes
//! it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::harness::inbox::{Got, Inbox};
use crate::harness::node::SOON;
use crate::harness::until;

/// A message that was received.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) timestamp: String,
    pub(crate) signature: String,
    pub(crate) text: String,
}

impl Message {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// Fails unless the message is signed with this secret.
    #[track_caller]
    pub(crate) fn assert_signed(&self, secret: &str) {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let signed = format!("{}.{}.{}", self.id, self.timestamp, self.text);
        assert_eq!(self.signature, format!("v1,{}", STANDARD.encode(hmac(&key, signed.as_bytes()))));
        let age = chrono::DateTime::from_timestamp(self.timestamp.parse().unwrap(), 0).unwrap();
        assert!((automagik_spark::domain::clock::now() - age).num_seconds().abs() < 60, "{}", self.timestamp);
    }
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    assert!(key.len() <= 64);
    let padded = |pad: u8| (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ pad).collect::<Vec<u8>>();
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}

/// The server.
pub(crate) struct Receiver(Inbox);

impl Receiver {
    pub(crate) async fn start() -> Self {
        Self(Inbox::start("204 No Content").await)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook?from=spark", self.0.address)
    }

    /// Answers the next message so; all others with 204. `hang` is no answer at all.
    pub(crate) fn plan(&self, answer: &str) {
        self.0.plan(answer);
    }

    pub(crate) fn got(&self) -> Vec<Message> {
        self.0.got().into_iter().map(Message::from).collect()
    }

    /// Waits for so many messages; there must not be more.
    pub(crate) async fn until_got(&self, count: usize) -> Vec<Message> {
        let got = until(&format!("{count} messages"), SOON, async || {
            let got = self.got();
            (got.len() >= count).then_some(got)
        })
        .await;
        assert_eq!(got.len(), count, "{got:?}");
        got
    }
}

impl From<Got> for Message {
    fn from(got: Got) -> Self {
        assert!(got.head.starts_with("POST /hook?from=spark HTTP/1.1"), "{}", got.head);
        assert_eq!(got.header("content-type"), "application/json");
        let header = |name| got.header(name).to_owned();
        let (id, timestamp, signature) =
            (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
        Self { id, timestamp, signature, text: String::from_utf8(got.body).unwrap() }
    }
}
