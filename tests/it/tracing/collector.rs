//! A collector of traces: an OTLP/HTTP server on loopback that keeps what it gets, and answers as a test says.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::harness::node::SOON;
use crate::harness::until;

/// A span with what is said of who told it.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) span: Span,
    pub(super) resource: BTreeMap<String, String>,
}

impl Told {
    /// An attribute, as text; empty where there is none.
    pub(super) fn get(&self, key: &str) -> String {
        texts(&self.span.attributes).remove(key).unwrap_or_default()
    }

    pub(super) fn is_error(&self) -> bool {
        self.span.status.as_ref().is_some_and(|status| status.code == 2)
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(flag) => flag.to_string(),
        other => panic!("no attribute of ours is {other:?}"),
    };
    let pair = |pair: &KeyValue| (pair.key.clone(), text(pair.value.as_ref().unwrap().value.as_ref().unwrap()));
    attributes.iter().map(pair).collect()
}

/// A request as it came.
struct Got {
    head: String,
    body: Vec<u8>,
}

/// The server. It ends when this is dropped.
pub(super) struct Collector {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    answers: Arc<Mutex<VecDeque<String>>>,
    serving: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Collector {
    pub(super) async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap()).await
    }

    pub(super) async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
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

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers the next request with this status; all others with 200. `hang` is no answer at all.
    pub(super) fn plan(&self, answer: &str) {
        self.answers.lock().unwrap().push_back(answer.to_owned());
    }

    pub(super) fn requests(&self) -> usize {
        self.got.lock().unwrap().len()
    }

    /// The heads of all requests.
    pub(super) fn heads(&self) -> Vec<String> {
        self.got.lock().unwrap().iter().map(|got| got.head.clone()).collect()
    }

    /// Whether any request holds a text anywhere.
    pub(super) fn holds(&self, text: &str) -> bool {
        let text = text.as_bytes();
        self.got.lock().unwrap().iter().any(|got| got.body.windows(text.len()).any(|window| window == text))
    }

    /// The spans of a task's trace, by their time.
    pub(super) fn trace(&self, task: &str) -> Vec<Told> {
        let id = task.parse::<uuid::Uuid>().unwrap();
        let mut told = Vec::new();
        for got in self.got.lock().unwrap().iter() {
            let request = ExportTraceServiceRequest::decode(got.body.as_slice()).expect("OTLP in protobuf");
            for of_one in request.resource_spans {
                let resource = texts(&of_one.resource.unwrap().attributes);
                let spans = of_one.scope_spans.into_iter().flat_map(|scope| scope.spans);
                let spans = spans.filter(|span| span.trace_id == id.as_bytes());
                told.extend(spans.map(|span| Told { span, resource: resource.clone() }));
            }
        }
        told.sort_by_key(|told| (told.span.start_time_unix_nano, std::cmp::Reverse(told.span.end_time_unix_nano)));
        told
    }

    /// Waits for so many spans of a task; there must not be more.
    pub(super) async fn until_told(&self, task: &str, count: usize) -> Vec<Told> {
        let told = until(&format!("{count} spans"), SOON, async || {
            let told = self.trace(task);
            (told.len() >= count).then_some(told)
        })
        .await;
        assert_eq!(told.len(), count, "{told:#?}");
        told
    }
}

async fn serve(mut stream: TcpStream, got: Arc<Mutex<Vec<Got>>>, answers: Arc<Mutex<VecDeque<String>>>) {
    let mut bytes = Vec::new();
    loop {
        let Some(request) = take(&mut bytes) else {
            let mut piece = [0; 4096];
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => return,
                Ok(read) => bytes.extend_from_slice(&piece[..read]),
            }
            continue;
        };
        let answer = answers.lock().unwrap().pop_front().unwrap_or_else(|| "200 OK".to_owned());
        if answer == "hang" {
            // Until the client gives up.
            while stream.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
            return;
        }
        // What is refused is not kept: it was not told.
        if answer.starts_with("200") {
            got.lock().unwrap().push(request);
        }
        let response = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
        if stream.write_all(response.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Takes a whole request out of what was read.
fn take(bytes: &mut Vec<u8>) -> Option<Got> {
    let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let end = head_end + length.parse::<usize>().unwrap();
    if bytes.len() < end {
        return None;
    }
    let body = bytes[head_end..end].to_vec();
    bytes.drain(..end);
    Some(Got { head, body })
}
