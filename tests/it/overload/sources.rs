//! Sources that misbehave: what each way of it comes to, for all four kinds, while a flow runs and while a source is
//! managed. None of it keeps a caller for longer than its limits, or takes more memory than an answer may have.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use automagik_spark::domain::adapter::Adapters;
use automagik_spark::domain::outcome::{FailureClass, Outcome};
use automagik_spark::domain::source::{Endpoint, Secret, SourceKind, Trust};
use automagik_spark::simulate::FLOW_ID;
use automagik_spark::sources::{Error, HttpClient, HttpOptions, WorkflowSource, connect};
use rustix::net::sockopt::set_socket_linger;

use crate::langflow::request;
use crate::langflow::scripted::http;

/// Longest answer that is taken.
const ANSWER_MAX: usize = 1_000_000;
/// The limit of management calls and of connecting.
const LIMIT: Duration = Duration::from_millis(400);
/// What one connection may be given before the test calls it endless.
const ENDLESS: usize = 1 << 30;

/// A kind of source and a flow of it.
const KINDS: [(SourceKind, Option<&str>, &str); 4] = [
    (SourceKind::Langflow, None, FLOW_ID),
    (SourceKind::AutomagikHive, None, "agent:echo-agent"),
    (SourceKind::AutomagikAgents, None, "simple"),
    (SourceKind::Http, Some("rest"), "flow"),
];

/// How a server misbehaves once it has a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Takes the request and says nothing.
    Hangs,
    /// Does not even shake hands over TLS.
    HangsBeforeTls,
    /// Breaks the connection off.
    Resets,
    /// Ends the connection without a word.
    Closes,
    /// Answers byte by byte, for ever.
    Trickles,
    /// Says that a gigabyte follows.
    AnnouncesAGigabyte,
    /// Sends a gigabyte without having said so.
    SendsAGigabyte,
    /// Sends headers without end.
    SendsEndlessHeaders,
    /// Sends what is no HTTP.
    SpeaksNoHttp,
    /// Answers half of what it said it would.
    StopsHalfway,
    /// Answers what is no JSON, and says it is.
    BrokenJson,
    /// Answers a page.
    Page,
    /// Answers nothing at all.
    Nothing,
    /// Sends everybody to where they are.
    SendsInCircles,
    /// Has had enough for now.
    TooMany,
}

/// What a run comes to: class, code, whether it may have run. Nothing where only the caller's limit ends it.
type Ending = Option<(FailureClass, &'static str, bool)>;

const ALL: [(Way, Ending); 15] = [
    (Way::Hangs, None),
    (Way::HangsBeforeTls, Some((FailureClass::Transient, "source_unreachable", false))),
    (Way::Resets, Some((FailureClass::Transient, "source_reset", true))),
    (Way::Closes, Some((FailureClass::Transient, "source_reset", true))),
    (Way::Trickles, None),
    (Way::AnnouncesAGigabyte, Some((FailureClass::Permanent, "answer_too_large", false))),
    (Way::SendsAGigabyte, Some((FailureClass::Permanent, "answer_too_large", false))),
    (Way::SendsEndlessHeaders, Some((FailureClass::Transient, "source_reset", true))),
    (Way::SpeaksNoHttp, Some((FailureClass::Transient, "source_reset", true))),
    (Way::StopsHalfway, Some((FailureClass::Transient, "source_reset", true))),
    (Way::BrokenJson, Some((FailureClass::Permanent, "unusable_answer", false))),
    (Way::Page, Some((FailureClass::Permanent, "unusable_answer", false))),
    (Way::Nothing, Some((FailureClass::Permanent, "unusable_answer", false))),
    (Way::SendsInCircles, Some((FailureClass::Permanent, "source_redirect", false))),
    (Way::TooMany, Some((FailureClass::Transient, "source_http_429", false))),
];

/// A server that misbehaves in one way.
struct Rude {
    url: String,
    /// Bytes that its clients took.
    sent: Arc<AtomicUsize>,
}

impl Rude {
    fn start(way: Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let scheme = if way == Way::HangsBeforeTls { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = sent.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let counted = counted.clone();
                // Each ends when its client leaves.
                std::thread::spawn(move || misbehave(way, stream.unwrap(), &counted));
            }
        });
        Self { url, sent }
    }

    fn source(&self, kind: SourceKind, adapter: Option<&str>) -> Box<dyn WorkflowSource> {
        let options = HttpOptions { max_answer_bytes: ANSWER_MAX, connect_timeout: LIMIT, request_timeout: LIMIT };
        let adapter = adapter.map(str::to_owned);
        let endpoint = Endpoint {
            kind,
            url: self.url.clone(),
            api_key: Secret::new("hush-hush"),
            adapter,
            trust: Trust::default(),
        };
        connect(endpoint, HttpClient::new(options).unwrap(), &Adapters::default()).unwrap()
    }
}

fn misbehave(way: Way, mut stream: TcpStream, sent: &AtomicUsize) {
    let give = |stream: &mut TcpStream, bytes: &[u8]| {
        let taken = stream.write_all(bytes).is_ok();
        sent.fetch_add(bytes.len(), Ordering::Relaxed);
        taken
    };
    if way == Way::HangsBeforeTls {
        return wait_until_gone(stream);
    }
    if stream.read(&mut [0; 65_536]).is_err() {
        return;
    }
    match way {
        Way::Hangs | Way::HangsBeforeTls => wait_until_gone(stream),
        Way::Resets => set_socket_linger(&stream, Some(Duration::ZERO)).unwrap(),
        Way::Closes => {}
        Way::Trickles => {
            let mut taken = give(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n");
            while taken {
                taken = give(&mut stream, b" ");
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
        Way::AnnouncesAGigabyte | Way::SendsAGigabyte => {
            let said = if way == Way::SendsAGigabyte { "connection: close" } else { "content-length: 1073741824" };
            let mut taken = give(&mut stream, format!("HTTP/1.1 200 OK\r\n{said}\r\n\r\n").as_bytes());
            while taken && sent.load(Ordering::Relaxed) < ENDLESS {
                taken = give(&mut stream, &[b' '; 65_536]);
            }
        }
        Way::SendsEndlessHeaders => {
            let mut taken = give(&mut stream, b"HTTP/1.1 200 OK\r\n");
            while taken && sent.load(Ordering::Relaxed) < ENDLESS {
                taken = give(&mut stream, &b"x-more: and more\r\n".repeat(1000));
            }
        }
        Way::SpeaksNoHttp => {
            give(&mut stream, b"220 mail.example ESMTP\r\n");
        }
        Way::StopsHalfway => {
            give(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"outputs\":[");
        }
        Way::BrokenJson => {
            give(&mut stream, &http("200 OK", "content-type: application/json\r\n", "{\"outputs\": [}"));
        }
        Way::Page => {
            give(&mut stream, &http("200 OK", "content-type: text/html\r\n", "<html>Sign in</html>"));
        }
        Way::Nothing => {
            give(&mut stream, &http("200 OK", "content-type: application/json\r\n", ""));
        }
        Way::SendsInCircles => {
            give(&mut stream, &http("307 Temporary Redirect", "location: ?again\r\n", ""));
        }
        Way::TooMany => {
            give(&mut stream, &http("429 Too Many Requests", "retry-after: 7\r\n", r#"{"detail":"slow down"}"#));
        }
    }
}

fn wait_until_gone(mut stream: TcpStream) {
    while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_as_the_way_its_source_misbehaves_whatever_its_kind() {
    for (way, wanted) in ALL {
        for (kind, adapter, flow) in KINDS {
            let server = Rude::start(way);
            let source = server.source(kind, adapter);
            let run = request(flow, "x");
            let started = Instant::now();
            let ended = match wanted {
                // What takes no time of its own must not need any; what has no end is ended by its caller.
                Some(_) => Some(source.run(&run).await),
                None => tokio::time::timeout(LIMIT, source.run(&run)).await.ok(),
            };
            let got = match &ended {
                Some(Outcome::Failed(failure)) => Some((failure.class, failure.code.as_str(), failure.outcome_unknown)),
                None => None,
                other => panic!("{kind}, {way:?}: {other:?}"),
            };
            assert_eq!(got, wanted, "{kind}, {way:?}: {ended:?}");
            if let Some(Outcome::Failed(failure)) = ended {
                assert!(!failure.message.contains("hush") && failure.message.len() < 1000, "{failure:?}");
                let wait = (way == Way::TooMany).then_some(Duration::from_secs(7));
                assert_eq!(failure.retry_after, wait, "{kind}, {way:?}");
            }
            assert!(started.elapsed() < Duration::from_secs(10), "{kind}, {way:?}");
            assert_little_was_taken(&server, &format!("{kind}, {way:?}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_misbehaves_is_not_taken_for_one_whatever_its_kind() {
    for (way, _) in ALL {
        for (kind, adapter, flow) in KINDS {
            let server = Rude::start(way);
            let source = server.source(kind, adapter);
            let errors = [source.validate().await.err(), source.list().await.err(), source.get(flow).await.err()];
            for error in errors {
                let error = error.unwrap_or_else(|| panic!("{kind}, {way:?}: it was taken for one"));
                let text = error.to_string();
                assert!(!text.contains("hush") && text.len() < 1000, "{kind}, {way:?}: {text}");
                let may_pass = matches!(
                    way,
                    Way::Hangs
                        | Way::HangsBeforeTls
                        | Way::Resets
                        | Way::Closes
                        | Way::Trickles
                        | Way::SendsEndlessHeaders
                        | Way::SpeaksNoHttp
                        | Way::StopsHalfway
                        | Way::TooMany
                );
                assert_eq!(error.is_transient(), may_pass, "{kind}, {way:?}: {error:?}");
                let in_time = !matches!(way, Way::Hangs | Way::Trickles) || text.contains("in time");
                assert!(in_time, "{kind}, {way:?}: {text}");
                assert_eq!(matches!(error, Error::Url(_)), way == Way::SendsInCircles, "{kind}, {way:?}: {error:?}");
            }
            assert_little_was_taken(&server, &format!("{kind}, {way:?}"));
        }
    }
}

/// What stands in sockets, and three answers at their limit.
#[track_caller]
fn assert_little_was_taken(server: &Rude, case: &str) {
    let sent = server.sent.load(Ordering::Relaxed);
    assert!(sent < 50 * ANSWER_MAX, "{case}: {sent} bytes were taken");
}
