//! A reader of event streams, as plain as the format.

use std::time::Duration;

use serde_json::Value;

use super::node::{SOON, http_client};

/// An event as it came.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

impl Told {
    /// What kind of event it is; of a task, the state.
    pub(crate) fn what(&self) -> &str {
        if self.name == "task" { self.data["status"].as_str().expect("a status") } else { &self.name }
    }
}

/// An open stream.
pub(crate) struct EventStream {
    pub(crate) response: reqwest::Response,
    text: String,
    /// The last id that came, with an event or without one.
    pub(crate) last_id: Option<String>,
    /// Comments that came.
    pub(crate) comments: Vec<String>,
}

impl EventStream {
    /// Opens a stream; the answer where it is none.
    pub(crate) async fn open(url: &str, key: &str, last_id: Option<&str>) -> Result<Self, reqwest::Response> {
        let mut request = http_client().get(url).header("X-API-Key", key);
        if let Some(id) = last_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = request.send().await.expect("the service answers");
        if response.status() != 200 {
            return Err(response);
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Ok(Self { response, text: String::new(), last_id: None, comments: Vec::new() })
    }

    /// The next event; none when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        self.next_within(SOON).await
    }

    pub(crate) async fn next_within(&mut self, limit: Duration) -> Option<Told> {
        let next = async {
            loop {
                if let Some(end) = self.text.find("\n\n") {
                    let block: String = self.text.drain(..end + 2).collect();
                    if let Some(told) = self.read(&block) {
                        return Some(told);
                    }
                } else {
                    let bytes = self.response.chunk().await.expect("the connection holds")?;
                    self.text.push_str(std::str::from_utf8(&bytes).expect("events are cut between characters"));
                }
            }
        };
        tokio::time::timeout(limit, next).await.unwrap_or_else(|_| panic!("no event within {limit:?}"))
    }

    /// The next one of a task; a test that does not provoke gaps may still see one when nodes begin to hear one another.
    pub(crate) async fn next_task(&mut self) -> Told {
        loop {
            let told = self.next().await.expect("the stream goes on");
            if told.name == "task" {
                return told;
            }
            assert_eq!(told.name, "gap");
        }
    }

    /// Everything that comes until the stream ends.
    pub(crate) async fn rest(&mut self) -> Vec<Told> {
        let mut all = Vec::new();
        while let Some(told) = self.next().await {
            all.push(told);
        }
        all
    }

    fn read(&mut self, block: &str) -> Option<Told> {
        let (mut told, mut data) = (Told::default(), Vec::new());
        for line in block.lines() {
            match line.split_once(':') {
                Some(("", comment)) => self.comments.push(comment.trim().to_owned()),
                Some(("event", name)) => told.name = name.trim().to_owned(),
                Some(("id", id)) => told.id = Some(id.trim().to_owned()),
                Some(("data", line)) => data.push(line),
                _ => {}
            }
        }
        self.last_id = told.id.clone().or(self.last_id.take());
        if data.is_empty() {
            return None;
        }
        told.data = serde_json::from_str(&data.join("\n")).expect("data is JSON");
        Some(told)
    }
}
