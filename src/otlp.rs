//! Spans as OTLP has them, the protocol of OpenTelemetry, in protobuf. The messages are those of `opentelemetry-proto`.
//! Pure: bytes out, bytes in; `sources::collector` sends them.

use chrono::{DateTime, Utc};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value as OtlpValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource as OtlpResource;
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind as OtlpKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as OtlpSpan, Status};
use prost::Message;

use crate::domain::trace::{Span, SpanKind, Value};

/// Flags of spans and links: the trace is told, and it is known whether the parent is of another process. That is so for
/// links to a caller's span only.
const TOLD: u32 = 0x1 | 0x100;
/// The span is of another process.
const REMOTE: u32 = 0x200;

/// Who tells of all the spans.
#[derive(Clone, Debug)]
pub struct Resource {
    /// `service.name`.
    pub service: String,
    /// `service.instance.id`: the node, new at every start.
    pub instance: String,
    /// `host.name`.
    pub host: String,
    /// `deployment.environment.name`.
    pub environment: String,
}

/// The request that exports spans.
pub fn request(resource: &Resource, spans: Vec<Span>) -> Vec<u8> {
    let attributes = [
        ("service.name", resource.service.as_str()),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", &resource.instance),
        ("host.name", &resource.host),
        ("deployment.environment.name", &resource.environment),
        ("telemetry.sdk.name", env!("CARGO_PKG_NAME")),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
    ];
    let attributes = attributes.map(|(key, value)| attribute(key, Value::Text(value.to_owned())));
    let scope = InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Default::default()
    };
    let scope_spans =
        ScopeSpans { scope: Some(scope), spans: spans.into_iter().map(span).collect(), ..Default::default() };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(OtlpResource { attributes: attributes.into(), ..Default::default() }),
            scope_spans: vec![scope_spans],
            ..Default::default()
        }],
    };
    request.encode_to_vec()
}

/// How many spans an answer to a request refuses, and why. A collector that answers something else took them all.
pub fn refused(answer: &[u8]) -> (u64, String) {
    let partial = ExportTraceServiceResponse::decode(answer).ok().and_then(|answer| answer.partial_success);
    partial.map_or((0, String::new()), |partial| {
        (u64::try_from(partial.rejected_spans).unwrap_or(0), partial.error_message)
    })
}

fn span(span: Span) -> OtlpSpan {
    let link = span.link.map(|link| Link {
        trace_id: link.trace.0.to_vec(),
        span_id: link.span.0.to_vec(),
        flags: 0x100 | u32::from(link.is_sampled) | if link.trace == span.trace { 0 } else { REMOTE },
        ..Default::default()
    });
    OtlpSpan {
        trace_id: span.trace.0.to_vec(),
        span_id: span.id.0.to_vec(),
        parent_span_id: span.parent.map_or_else(Vec::new, |parent| parent.0.to_vec()),
        flags: TOLD,
        name: span.name,
        kind: kind(span.kind) as i32,
        start_time_unix_nano: nanos(span.period.began),
        end_time_unix_nano: nanos(span.period.ended),
        attributes: span.attributes.into_iter().map(|(key, value)| attribute(key, value)).collect(),
        links: link.into_iter().collect(),
        status: span.is_error.then(|| Status { code: StatusCode::Error as i32, ..Default::default() }),
        ..Default::default()
    }
}

fn kind(kind: SpanKind) -> OtlpKind {
    match kind {
        SpanKind::Producer => OtlpKind::Producer,
        SpanKind::Consumer => OtlpKind::Consumer,
        SpanKind::Client => OtlpKind::Client,
        SpanKind::Internal => OtlpKind::Internal,
    }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = match value {
        Value::Text(text) => OtlpValue::StringValue(text),
        Value::Number(number) => OtlpValue::IntValue(number),
        Value::Flag(flag) => OtlpValue::BoolValue(flag),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

/// A time that no such number can hold is none that a span can have.
fn nanos(at: DateTime<Utc>) -> u64 {
    at.timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::trace::{Period, SpanContext, SpanId, TraceId};
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    #[test]
    fn a_span_is_written_with_all_that_it_has() {
        let at = |ms| DateTime::from_timestamp_millis(ms).expect("a time");
        let link = SpanContext { trace: TraceId([3; 16]), span: SpanId([4; 8]), is_sampled: false };
        let span = Span {
            trace: TraceId([1; 16]),
            id: SpanId([2; 8]),
            parent: Some(SpanId([5; 8])),
            link: Some(link),
            name: "process celery".to_owned(),
            kind: SpanKind::Consumer,
            period: Period { began: at(1), ended: at(2) },
            attributes: vec![("a", Value::Text("b".to_owned())), ("n", Value::Number(-1)), ("f", Value::Flag(true))],
            is_error: true,
        };
        let text = |text: &str| text.to_owned();
        let resource =
            Resource { service: text("spark"), instance: text("i"), host: text("h"), environment: text("test") };
        let bytes = request(&resource, vec![span]);
        let read = ExportTraceServiceRequest::decode(bytes.as_slice()).expect("a request");
        let of_all = &read.resource_spans[0];
        assert_eq!(
            of_all.resource.as_ref().expect("a resource").attributes[0],
            attribute("service.name", Value::Text(text("spark")))
        );
        let [span] = of_all.scope_spans[0].spans.as_slice() else { panic!("one span: {of_all:?}") };
        assert_eq!((&span.trace_id[..], &span.span_id[..]), (&[1; 16][..], &[2; 8][..]));
        assert_eq!((span.parent_span_id.as_slice(), span.kind), (&[5; 8][..], OtlpKind::Consumer as i32));
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (1_000_000, 2_000_000));
        assert_eq!(span.attributes.len(), 3);
        assert_eq!((span.links[0].span_id.as_slice(), span.links[0].flags), (&[4; 8][..], 0x300));
        assert_eq!(span.status.as_ref().map(|status| status.code), Some(StatusCode::Error as i32));
    }

    #[test]
    fn a_collector_may_refuse_a_part() {
        let partial = ExportTracePartialSuccess { rejected_spans: 3, error_message: "too old".to_owned() };
        let answer = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        assert_eq!(refused(&answer), (3, "too old".to_owned()));
        assert_eq!(refused(&[]), (0, String::new()));
        assert_eq!(refused(b"{}"), (0, String::new()));
    }
}
