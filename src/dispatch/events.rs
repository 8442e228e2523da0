//! What is told of tasks while somebody listens: to streams of this node from memory, to other nodes over Redis.
//!
//! Nobody pays for it while nobody listens: a batch of the hot path then costs one look at two numbers. While streams
//! are open on this node alone, events stay in memory. While some are open elsewhere, which the monitor learns with its
//! ping, a batch of events costs one `PUBLISH`, on a connection that the hot path does not wait for.
//!
//! Two promises differ. Who watches one task never misses its end: PostgreSQL is asked too (`listen.rs`), so messages only
//! make it quicker. Who follows all tasks is told of a gap where something was missed.

mod journal;
mod listen;
mod outbox;
mod watched;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::domain::event::TaskEvent;
use crate::domain::ids::{NodeId, TaskId};
use crate::mailbox::{self, Mailbox};
use crate::store::Store;

use journal::{Journal, Reader};
use outbox::Outbox;
pub use watched::Sighting;
use watched::Watched;

/// Limits of streams.
#[derive(Clone, Copy, Debug)]
pub struct EventOptions {
    /// Most open streams.
    pub streams: usize,
    /// Events that are kept for streams that are slow or come back.
    pub kept: usize,
}

/// Something that is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Event {
    /// A task entered a state.
    Task(TaskEvent),
    /// Other things happened that can't be told any more.
    Gap {
        /// Why.
        reason: GapReason,
    },
}

/// Why something was missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GapReason {
    /// The reader was slower than events came, or was away for too long.
    Slow,
    /// Other nodes could not be heard, or not be understood.
    Unheard,
}

/// The events of a node.
pub struct Events {
    node: NodeId,
    store: Store,
    mailbox: Mailbox,
    runtime: Handle,
    journal: Journal,
    watched: Watched,
    audience: watch::Sender<Audience>,
    /// Whether other nodes listen, as far as is known.
    elsewhere: AtomicBool,
    outbox: Outbox,
    streams: Arc<Semaphore>,
    most_streams: usize,
    closing: CancellationToken,
}

/// Who listens on this node.
#[derive(Clone, Copy, Debug, Default)]
struct Audience {
    /// Streams and waiting requests.
    count: usize,
    /// Whether events are kept: while there is an audience, and some time longer.
    is_served: bool,
    /// Whether other nodes are heard; not known before the first try.
    hears_others: Option<bool>,
}

impl Events {
    pub(super) fn start(
        node: NodeId,
        store: Store,
        mailbox: Mailbox,
        options: EventOptions,
        max_batch: usize,
        runtime: &Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            node,
            store,
            outbox: Outbox::start(node, mailbox.clone(), max_batch, runtime),
            mailbox,
            runtime: runtime.clone(),
            journal: Journal::new(options.kept),
            watched: Watched::default(),
            audience: watch::Sender::default(),
            elsewhere: AtomicBool::new(false),
            streams: Arc::new(Semaphore::new(options.streams)),
            most_streams: options.streams,
            closing: CancellationToken::new(),
        })
    }

    /// Tells what happened to tasks, if anybody listens anywhere. To be called after the change is stored, and before
    /// anything is done that leads to the next one.
    pub(super) fn publish(&self, events: impl IntoIterator<Item = TaskEvent>) {
        let (here, elsewhere) = (self.audience.borrow().is_served, self.elsewhere.load(Ordering::Relaxed));
        if !here && !elsewhere {
            return;
        }
        let events: Vec<TaskEvent> = events.into_iter().collect();
        if elsewhere {
            self.outbox.send(events.iter().cloned().map(Event::Task));
        }
        if here {
            self.watched.see(&events);
            self.journal.add(events.into_iter().map(Event::Task));
        }
    }

    /// The same for changes of which only the ids are at hand: the tasks are looked up, if anybody listens.
    pub async fn publish_by_id(&self, tasks: Vec<TaskId>) {
        let is_wanted = self.audience.borrow().is_served || self.elsewhere.load(Ordering::Relaxed);
        if !is_wanted || tasks.is_empty() {
            return;
        }
        match self.store.task_events(tasks).await {
            Ok(events) => self.publish(events),
            Err(error) => {
                log::debug!("changes of tasks can't be told: {error}");
                self.miss();
            }
        }
    }

    /// Watches one task from now on. Read the task after this.
    pub fn watch(self: &Arc<Self>, task: TaskId) -> Watch {
        self.enter();
        Watch { task, sightings: self.watched.add(task), events: self.clone() }
    }

    /// Follows all tasks from now on, or from the event on after which another stream of this node broke off. Other nodes
    /// are heard when this returns, if they can be.
    pub async fn follow(self: &Arc<Self>, after: Option<&str>) -> Follow {
        self.enter();
        let mut reader = self.journal.reader();
        if let Some(after) = after {
            // What is no number of this node was given by another one, or by a former life of this one. No event has the
            // number 1, so that after 0 there is always a gap.
            let number = after.strip_prefix(&self.number_prefix()).and_then(|number| number.parse().ok());
            reader.read = number.unwrap_or(0);
        }
        let follow = Follow { reader, events: self.clone() };
        drop(self.audience.subscribe().wait_for(|audience| audience.hears_others.is_some()).await);
        follow
    }

    /// Room for one more stream; none if there is none.
    pub fn open_stream(&self) -> Option<OwnedSemaphorePermit> {
        self.streams.clone().try_acquire_owned().ok()
    }

    /// How many streams are open.
    pub fn streams(&self) -> usize {
        self.most_streams - self.streams.available_permits()
    }

    /// Most streams that may be open.
    pub fn most_streams(&self) -> usize {
        self.most_streams
    }

    /// Ends all streams: the service stops.
    pub fn close(&self) {
        self.closing.cancel();
    }

    /// Whether all streams are to end.
    pub fn is_closed(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Completes when all streams are to end.
    pub async fn closed(&self) {
        self.closing.cancelled().await;
    }

    /// Whether Redis answers, and what else that shows. Also learns whether other nodes listen: one that has only just
    /// begun to is told that it missed what happened here before.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn ping_redis(&self) -> Result<mailbox::Pong, mailbox::Error> {
        let hears = || self.audience.borrow().hears_others == Some(true);
        let heard_before = hears();
        let pong = self.mailbox.ping().await?;
        // In doubt a subscription counts as another node's: then one round tells what nobody hears.
        let own = u64::from(heard_before && hears());
        let is_wanted = pong.listeners > own;
        let was_wanted = self.elsewhere.swap(is_wanted, Ordering::Relaxed);
        // After the switch: what happened before it is what the gap stands for.
        if is_wanted && !was_wanted {
            self.outbox.send([Event::Gap { reason: GapReason::Unheard }]);
        }
        Ok(pong)
    }

    fn number_prefix(&self) -> String {
        format!("{}-", self.node.0.simple())
    }

    /// Tells everybody that something was missed.
    fn miss(&self) {
        let gap = Event::Gap { reason: GapReason::Unheard };
        if self.elsewhere.load(Ordering::Relaxed) {
            self.outbox.send([gap.clone()]);
        }
        self.journal.add([gap]);
    }
}

/// One watched task.
pub struct Watch {
    task: TaskId,
    sightings: watch::Receiver<Sighting>,
    events: Arc<Events>,
}

impl Watch {
    /// The newest that is seen of the task, once there is something new.
    pub async fn next(&mut self) -> Sighting {
        // The sender is kept as long as the task is watched.
        drop(self.sightings.changed().await);
        self.sightings.borrow_and_update().clone()
    }

    /// Completes when the task may have ended.
    pub async fn end(&mut self) {
        while !self.next().await.is_end() {}
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.events.watched.leave(self.task);
        self.events.leave();
    }
}

/// A reader of everything that is told.
pub struct Follow {
    reader: Reader,
    events: Arc<Events>,
}

impl Follow {
    /// Completes when there is something to read.
    pub async fn ready(&mut self) {
        self.reader.ready().await;
    }

    /// What came since, at most so many events with their numbers. A single gap where some of it is lost: the next are
    /// newer.
    pub fn read(&mut self, limit: usize) -> Vec<(u64, Arc<Event>)> {
        self.events.journal.read(&mut self.reader, limit).unwrap_or_else(|| {
            let gap = Event::Gap { reason: GapReason::Slow };
            vec![(self.reader.read, Arc::new(gap))]
        })
    }

    /// The number of the event that was read last.
    pub fn number(&self) -> u64 {
        self.reader.read
    }

    /// The name of a number beyond this node: a stream that broke off after this event goes on from here.
    pub fn place(&self, number: u64) -> String {
        format!("{}{number}", self.events.number_prefix())
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.events.leave();
    }
}
