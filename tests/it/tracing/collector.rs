//! A collector of traces, that is told by OTLP over HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::harness::inbox::{Got, Inbox};
use crate::harness::node::SOON;
use crate::harness::until;

const TAKEN: &str = "200 OK";

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

/// The server. What it refuses it does not keep: that was not told.
pub(super) struct Collector(Inbox);

impl Collector {
    pub(super) async fn start() -> Self {
        Self(Inbox::start(TAKEN).await)
    }

    pub(super) async fn at(address: SocketAddr) -> Self {
        Self(Inbox::at(address, TAKEN).await)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.0.address
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// Answers the next request with this status; all others with 200. `hang` is no answer at all.
    pub(super) fn plan(&self, answer: &str) {
        self.0.plan(answer);
    }

    fn taken(&self) -> Vec<Got> {
        self.0.got().into_iter().filter(|got| got.answer == TAKEN).collect()
    }

    pub(super) fn requests(&self) -> usize {
        self.taken().len()
    }

    /// The heads of all requests.
    pub(super) fn heads(&self) -> Vec<String> {
        self.taken().into_iter().map(|got| got.head).collect()
    }

    /// Whether any request holds a text anywhere.
    pub(super) fn holds(&self, text: &str) -> bool {
        let text = text.as_bytes();
        self.taken().iter().any(|got| got.body.windows(text.len()).any(|window| window == text))
    }

    /// The spans of a task's trace, by their time.
    pub(super) fn trace(&self, task: &str) -> Vec<Told> {
        let id = task.parse::<uuid::Uuid>().unwrap();
        let mut told = Vec::new();
        for got in self.taken() {
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
