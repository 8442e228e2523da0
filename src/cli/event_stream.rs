//! Reads an event stream of the service (`docs/API.md`).

use std::time::Duration;

use serde_json::Value;

use super::Error;

/// The service shows every 15 s that it lives; a stream that is silent for this long is broken.
const SILENCE: Duration = Duration::from_secs(45);

/// An event.
#[derive(Debug, PartialEq)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) data: Value,
}

/// An open stream.
pub(super) struct EventStream {
    response: reqwest::Response,
    reader: Reader,
}

impl EventStream {
    pub(super) fn new(response: reqwest::Response) -> Self {
        Self { response, reader: Reader::default() }
    }

    /// The next event; none once the service has ended the stream.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.reader.take() {
                return Ok(Some(event));
            }
            match tokio::time::timeout(SILENCE, self.response.chunk()).await {
                Ok(Ok(Some(bytes))) => self.reader.bytes.extend_from_slice(&bytes),
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(error)) => return Err(Error::Unavailable(format!("the stream broke: {error}"))),
                Err(_) => return Err(Error::Unavailable("the stream has fallen silent".to_owned())),
            }
        }
    }

    /// The id of what was heard last: a new stream goes on from there.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.reader.last_id.as_deref()
    }
}

/// What came and is no whole block yet.
#[derive(Debug, Default)]
struct Reader {
    bytes: Vec<u8>,
    last_id: Option<String>,
}

impl Reader {
    /// The next whole event. A block without data only moves the id on.
    fn take(&mut self) -> Option<Event> {
        while let Some(end) = self.bytes.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = self.bytes.drain(..end + 2).collect();
            let (mut name, mut data) = (String::new(), Vec::new());
            for line in String::from_utf8_lossy(&block).lines() {
                let (field, value) = line.split_once(':').unwrap_or((line, ""));
                let value = value.strip_prefix(' ').unwrap_or(value);
                match field {
                    "event" => value.clone_into(&mut name),
                    "id" => self.last_id = Some(value.to_owned()),
                    "data" => data.push(value.to_owned()),
                    _ => {}
                }
            }
            if !data.is_empty() {
                let data = data.join("\n");
                return Some(Event { name, data: serde_json::from_str(&data).unwrap_or(Value::String(data)) });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_read_from_whatever_pieces_they_come_in() {
        let text =
            "retry: 2000\n\n: alive\nid: n-1\n\nevent: task\nid: n-2\ndata: {\"a\":\ndata: \"ä\"}\n\nevent: gap\nda";
        let mut reader = Reader::default();
        let mut events = Vec::new();
        for byte in text.bytes() {
            reader.bytes.push(byte);
            events.extend(reader.take());
        }
        assert_eq!(events, [Event { name: "task".to_owned(), data: json!({"a": "ä"}) }]);
        assert_eq!(reader.last_id.as_deref(), Some("n-2"));
        assert_eq!(reader.bytes, b"event: gap\nda");
    }
}
