//! What other nodes are told, and how it is read there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::{Event, GapReason};
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
                let message = serde_json::to_string(&Message { node, events }).expect("plain values are JSON");
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
    use super::*;

    #[test]
    fn a_message_is_read_back_and_a_kind_of_the_future_is_not_taken_for_another() {
        let node = NodeId::generate();
        let written = serde_json::to_string(&Message { node, events: vec![Event::Gap { reason: GapReason::Unheard }] });
        let read: Message = serde_json::from_str(&written.expect("JSON")).expect("read back");
        assert_eq!((read.node, read.events), (node, vec![Event::Gap { reason: GapReason::Unheard }]));
        let newer = format!(r#"{{"node":"{node}","events":[{{"kind":"schedule","id":1}}]}}"#);
        assert!(serde_json::from_str::<Message>(&newer).is_err());
    }
}
