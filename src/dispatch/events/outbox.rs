//! What other nodes are told, and how it is read there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::{Event, GapReason};
use crate::domain::clock;
use crate::domain::ids::NodeId;
use crate::mailbox::Mailbox;
use crate::store::batch::Batcher;

/// Events that may wait while Redis is slow; what comes on top is lost, and said to be.
const WAITING: usize = 10_000;

/// A message from node to node.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Message {
    pub(super) node: NodeId,
    pub(super) events: Vec<Event>,
    /// When it was told; an older version does not say.
    #[serde(default)]
    pub(super) sent_at: Option<DateTime<Utc>>,
}

impl Message {
    fn of(node: NodeId, events: Vec<Event>) -> Self {
        Self { node, events, sent_at: Some(clock::now()) }
    }

    /// Whether it took longer than `limit` until it was heard.
    pub(super) fn is_late(&self, now: DateTime<Utc>, limit: Duration) -> bool {
        self.sent_at.is_some_and(|sent| (now - sent).to_std().is_ok_and(|age| age > limit))
    }
}

/// Publishes in batches: what comes while one is under way makes the next.
pub(super) struct Outbox {
    batches: Batcher<Event, ()>,
    has_lost: Arc<AtomicBool>,
}

impl Outbox {
    pub(super) fn start(node: NodeId, mailbox: Mailbox, max_batch: usize, runtime: &Handle) -> Self {
        let has_lost = Arc::new(AtomicBool::new(false));
        let lost = has_lost.clone();
        let batches = Batcher::spawn(runtime, WAITING, max_batch, move |mut events: Vec<Event>| {
            let (mailbox, lost) = (mailbox.clone(), lost.clone());
            async move {
                let count = events.len();
                if lost.swap(false, Ordering::Relaxed) {
                    events.insert(0, Event::Gap { reason: GapReason::Unheard });
                }
                let message = serde_json::to_string(&Message::of(node, events)).expect("plain values are JSON");
                if let Err(error) = mailbox.publish(message).await {
                    log::debug!("other nodes can't be told what happens here: {error}");
                    lost.store(true, Ordering::Relaxed);
                }
                vec![(); count]
            }
        });
        Self { batches, has_lost }
    }

    /// Tells other nodes, soon.
    pub(super) fn send(&self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            if self.batches.push(event).is_err() {
                self.has_lost.store(true, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_message_is_read_back_and_a_kind_of_the_future_is_not_taken_for_another() {
        let node = NodeId::generate();
        let written = serde_json::to_string(&Message::of(node, vec![Event::Gap { reason: GapReason::Unheard }]));
        let read: Message = serde_json::from_str(&written.expect("JSON")).expect("read back");
        let sent = read.sent_at.expect("this version says when");
        let (limit, moment) = (Duration::from_secs(15), TimeDelta::seconds(1));
        // The other node's clock may be a little ahead of this one's.
        assert!(!read.is_late(sent - moment, limit) && !read.is_late(sent + moment * 15, limit));
        assert!(read.is_late(sent + moment * 16, limit));
        assert_eq!((read.node, read.events), (node, vec![Event::Gap { reason: GapReason::Unheard }]));
        let older: Message = serde_json::from_str(&format!(r#"{{"node":"{node}","events":[]}}"#)).expect("read");
        assert!(!older.is_late(sent + moment * 16, limit));
        let newer = format!(r#"{{"node":"{node}","events":[{{"kind":"schedule","id":1}}]}}"#);
        assert!(serde_json::from_str::<Message>(&newer).is_err());
    }
}
