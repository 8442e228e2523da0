//! Somebody who is told: an HTTP server on loopback that keeps what it gets, and answers as a test says. It checks
//! signatures with an HMAC of its own, made of nothing but SHA-256, as RFC 2104 describes it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

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

/// The server. It ends when this is dropped.
pub(crate) struct Receiver {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Message>>>,
    answers: Arc<Mutex<VecDeque<String>>>,
    serving: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (got, answers) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<VecDeque<String>>>::default());
        let (kept, planned) = (got.clone(), answers.clone());
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, kept.clone(), planned.clone()));
            }
        });
        Self { address, got, answers, serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook?from=spark", self.address)
    }

    /// Answers the next message so; all others with 204. `hang` is no answer at all.
    pub(crate) fn plan(&self, answer: &str) {
        self.answers.lock().unwrap().push_back(answer.to_owned());
    }

    pub(crate) fn got(&self) -> Vec<Message> {
        self.got.lock().unwrap().clone()
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

/// One request a connection is enough, but a client may send more.
async fn serve(mut stream: TcpStream, got: Arc<Mutex<Vec<Message>>>, answers: Arc<Mutex<VecDeque<String>>>) {
    let mut bytes = Vec::new();
    loop {
        let Some(message) = take(&mut bytes) else {
            let mut piece = [0; 4096];
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => return,
                Ok(read) => bytes.extend_from_slice(&piece[..read]),
            }
            continue;
        };
        got.lock().unwrap().push(message);
        let answer = answers.lock().unwrap().pop_front().unwrap_or_else(|| "204 No Content".to_owned());
        if answer == "hang" {
            // Until the client gives up.
            while stream.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
            return;
        }
        let (status, body) = answer.split_once('|').unwrap_or((&answer, ""));
        let response = if status.starts_with("204") {
            format!("HTTP/1.1 {status}\r\n\r\n")
        } else {
            format!("HTTP/1.1 {status}\r\nlocation: /elsewhere\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        };
        if stream.write_all(response.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Takes a whole request out of what was read.
fn take(bytes: &mut Vec<u8>) -> Option<Message> {
    let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let header = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let found =
            lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next();
        found.unwrap_or_default()
    };
    let end = head_end + header("content-length").parse::<usize>().unwrap();
    if bytes.len() < end {
        return None;
    }
    assert!(head.starts_with("POST /hook?from=spark HTTP/1.1"), "{head}");
    assert_eq!(header("content-type"), "application/json");
    let text = String::from_utf8(bytes[head_end..end].to_vec()).unwrap();
    let message = Message {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
        text,
    };
    bytes.drain(..end);
    Some(message)
}
