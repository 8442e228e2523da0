//! An HTTP server on loopback that keeps every request that it gets, and answers as a test says.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request, and what it was answered with.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) answer: String,
}

impl Got {
    /// A header; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        header(&self.head, name)
    }
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
}

/// What the server and its connections share.
#[derive(Default)]
struct Shared {
    got: Mutex<Vec<Got>>,
    answers: Mutex<VecDeque<String>>,
}

/// The server. It ends when this is dropped.
pub(crate) struct Inbox {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Inbox {
    /// Listens on a free port, and answers with this status unless it is told otherwise.
    pub(crate) async fn start(otherwise: &'static str) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), otherwise).await
    }

    pub(crate) async fn at(address: SocketAddr, otherwise: &'static str) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::<Shared>::default();
        let serving = tokio::spawn({
            let shared = shared.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, shared.clone(), otherwise));
                }
            }
        });
        Self { address, shared, serving }
    }

    /// Answers the next request so: a status, or a status and a body with `|` between. `hang` is no answer at all.
    pub(crate) fn plan(&self, answer: &str) {
        self.shared.answers.lock().unwrap().push_back(answer.to_owned());
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.shared.got.lock().unwrap().clone()
    }
}

/// One request a connection is enough, but a client may send more.
async fn serve(mut stream: TcpStream, shared: Arc<Shared>, otherwise: &'static str) {
    let mut bytes = Vec::new();
    loop {
        let Some((head, body)) = take(&mut bytes) else {
            let mut piece = [0; 4096];
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => return,
                Ok(read) => bytes.extend_from_slice(&piece[..read]),
            }
            continue;
        };
        let answer = shared.answers.lock().unwrap().pop_front().unwrap_or_else(|| otherwise.to_owned());
        shared.got.lock().unwrap().push(Got { head, body, answer: answer.clone() });
        if answer == "hang" {
            // Until the client gives up.
            while stream.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
            return;
        }
        if stream.write_all(response(&answer).as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A redirect leads to where nobody is to follow.
fn response(answer: &str) -> String {
    let (status, body) = answer.split_once('|').unwrap_or((answer, ""));
    if status.starts_with("204") {
        return format!("HTTP/1.1 {status}\r\n\r\n");
    }
    format!("HTTP/1.1 {status}\r\nlocation: /elsewhere\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Takes a whole request out of what was read.
fn take(bytes: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(bytes[..head_end].to_vec()).expect("a head is text");
    let end = head_end + header(&head, "content-length").parse::<usize>().expect("a length");
    if bytes.len() < end {
        return None;
    }
    let body = bytes[head_end..end].to_vec();
    bytes.drain(..end);
    Some((head, body))
}
