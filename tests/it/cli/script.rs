//! A service that answers what a test wrote down, and remembers what it was asked.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `GET /api/v1/tasks?limit=50`
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

struct Planned {
    line: String,
    answer: String,
}

#[derive(Default)]
struct State {
    planned: Mutex<VecDeque<Planned>>,
    asked: Mutex<Vec<Asked>>,
}

/// The service. Its answers are used up: what is not asked for fails the test, and so does what was not planned.
pub(crate) struct Script {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

impl Script {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State::default());
        let thread = std::thread::spawn({
            let state = state.clone();
            move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    if serve(&stream, &state).is_none() {
                        break;
                    }
                }
            }
        });
        Self { address, state, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Plans an answer. `line` is the method and how the path begins; its query may follow.
    pub(crate) fn on(&self, line: &str, status: u16, body: &Value) -> &Self {
        self.on_raw(line, status, "content-type: application/json\r\n", &body.to_string())
    }

    pub(crate) fn on_raw(&self, line: &str, status: u16, headers: &str, body: &str) -> &Self {
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}");
        self.state.planned.lock().expect("lock").push_back(Planned { line: line.to_owned(), answer });
        self
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().expect("lock").clone()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // An empty connection ends the thread.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let left: Vec<String> =
            self.state.planned.lock().expect("lock").iter().map(|planned| planned.line.clone()).collect();
        if !std::thread::panicking() {
            assert!(left.is_empty(), "never asked for: {left:?}; asked: {:#?}", self.asked());
        }
    }
}

/// Answers one request; `None` for a connection without one.
fn serve(stream: &TcpStream, state: &State) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let first = read_line(&mut reader)?;
    let mut headers = Vec::new();
    while let Some(line) = read_line(&mut reader).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').expect("a header");
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, n)| n.parse().expect("n"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    let line = first.trim_end_matches(" HTTP/1.1").to_owned();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    state.asked.lock().expect("lock").push(Asked { line: line.clone(), headers, body });
    let answer = take(&mut state.planned.lock().expect("lock"), &line);
    let mut stream = stream;
    // A client that was killed does not read.
    let _ = stream.write_all(answer.as_bytes());
    Some(())
}

/// The first planned answer to this line: the same path, or the same path and query where the plan names one.
fn take(planned: &mut VecDeque<Planned>, line: &str) -> String {
    let path = line.split('?').next().unwrap_or_default();
    let fits = |plan: &Planned| if plan.line.contains('?') { plan.line == line } else { plan.line == path };
    match planned.iter().position(fits) {
        Some(at) => planned.remove(at).expect("it is there").answer,
        None => {
            let body = serde_json::json!({"detail": format!("not planned: {line}")}).to_string();
            format!("HTTP/1.1 501 X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
        }
    }
}

fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    match reader.read_line(&mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(line.trim_end().to_owned()),
    }
}
