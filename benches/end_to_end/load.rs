//! A load that costs little itself: requests made once, sent over kept connections.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Error = Box<dyn std::error::Error>;

/// A request to submit a task.
pub(crate) fn submit_request(address: &str, key: &str, workflow: &str) -> Vec<u8> {
    let body = r#"{"input_data":"Load test"}"#;
    format!(
        "POST /api/v1/workflows/{workflow}/run HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends the request `count` times over one connection, each after the answer to the one before.
pub(crate) async fn send(address: &str, request: &[u8], count: usize) -> Result<(), Error> {
    let mut connection = Connection::open(address).await?;
    for _ in 0..count {
        connection.ask(request).await?;
    }
    Ok(())
}

/// A kept connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: &str) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 16 * 1024] })
    }

    /// Sends a request and waits for its answer, which must be a good one.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<(), Error> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        while !is_complete(&self.buffer[..filled])? {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                return Err("the service closed the connection".into());
            }
            filled += read;
        }
        Ok(())
    }
}

fn is_complete(answer: &[u8]) -> Result<bool, Error> {
    let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(false) };
    let text = std::str::from_utf8(&answer[..head])?;
    if !text.starts_with("HTTP/1.1 200") {
        return Err(format!("a submit was refused: {text} {}", String::from_utf8_lossy(&answer[head..])).into());
    }
    let length = text.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    Ok(length.is_some_and(|length: usize| answer.len() >= head + 4 + length))
}

/// What a path answers, head and all.
pub(crate) async fn get(address: &str, path: &str) -> Result<String, Error> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
