//! The use cases that HTTP, beat, supervisors and the janitor share: how a task enters, is claimed, ends, and is found
//! again when something was lost.

pub mod backlog;
pub mod bulk;
pub mod change;
pub mod claim;
mod diagnosis;
mod error;
pub mod events;
mod feed;
pub mod figures;
pub mod gate;
pub mod health;
mod in_flight;
pub mod lease;
pub mod pause;
pub mod rate;
mod reconcile;
mod record;
mod remove;
pub mod resize;
pub mod roster;
pub mod stats;
mod submit;
pub mod traces;

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{Notify, broadcast};

use crate::domain::circuit::CircuitOptions;
use crate::domain::ids::{NodeId, TaskId};
use crate::domain::retry::RetryOptions;
use crate::domain::task::PendingTask;
use crate::mailbox::Mailbox;
use crate::store::Store;
use crate::store::batch::Batcher;
use crate::store::outcome::AttemptEnd;

pub use error::Error;
pub use in_flight::InFlight;

use backlog::{Backlog, BacklogLimits};
use events::{EventOptions, Events};
use figures::Figures;
use gate::Gates;
use health::Health;
use lease::Lease;
use pause::Pauses;
use rate::Rates;
use resize::Orders;
use roster::Roster;
use stats::Stats;
use traces::Traces;

/// Aborts that may wait for a supervisor; one that is overrun finds out by reconciling.
const ABORTS_WAITING: usize = 4_096;

/// Most bytes of inputs or answers in one statement. Far below what a message to PostgreSQL may hold (1 GB), and little
/// to hold in memory twice.
const STATEMENT_BYTES: usize = 32 * 1024 * 1024;

/// Limits of the use cases.
#[derive(Clone, Debug)]
pub struct DispatchOptions {
    /// Submitted tasks that may wait for their batch; more are refused.
    pub submits_waiting: usize,
    /// How much may wait.
    pub backlog: BacklogLimits,
    /// Most rows of one statement.
    pub max_batch: usize,
    /// When sources are left alone.
    pub circuit: CircuitOptions,
    /// Trying again.
    pub retry: RetryOptions,
    /// Children that this machine has memory for.
    pub children_limit: usize,
    /// Telling what happens.
    pub events: EventOptions,
}

/// An attempt that no longer counts. It names the attempt too: by the time it arrives, the task may run the next one.
#[derive(Clone, Copy, Debug)]
pub struct Abort {
    /// The task.
    pub task: TaskId,
    /// The newest attempt that no longer counts.
    pub up_to_attempt: i32,
}

/// The facade: cheap to clone.
#[derive(Clone)]
pub struct Dispatch {
    inner: Arc<Inner>,
    submits: Batcher<submit::Submission, Result<(), Error>>,
    feeds: Batcher<PendingTask, ()>,
    ends: Batcher<AttemptEnd, ()>,
}

struct Inner {
    node: NodeId,
    store: Store,
    mailbox: Mailbox,
    retry: RetryOptions,
    backlog: Arc<Backlog>,
    in_flight: InFlight,
    roster: Roster,
    health: Health,
    figures: Figures,
    lease: Lease,
    stats: Stats,
    rates: Rates,
    pauses: Pauses,
    gates: Gates,
    orders: Orders,
    children_limit: usize,
    beat: Notify,
    aborts: broadcast::Sender<Abort>,
    events: Arc<Events>,
    traces: Traces,
    runtime: Handle,
}

impl Dispatch {
    /// Starts the batchers on the shared runtime.
    pub fn start(
        node: NodeId,
        store: Store,
        mailbox: Mailbox,
        traces: Traces,
        options: &DispatchOptions,
        runtime: &Handle,
    ) -> Self {
        let (max_batch, limits) = (options.max_batch, options.events);
        let events = Events::start(node, store.clone(), mailbox.clone(), limits, max_batch, runtime);
        let gates = Gates::start(store.clone(), options, runtime);
        let inner = Arc::new(Inner {
            node,
            store,
            mailbox,
            retry: options.retry.clone(),
            backlog: Arc::new(Backlog::new(options.backlog)),
            in_flight: InFlight::default(),
            roster: Roster::default(),
            health: Health::default(),
            figures: Figures::default(),
            lease: Lease::default(),
            stats: Stats::default(),
            rates: Rates::default(),
            pauses: Pauses::default(),
            gates,
            orders: Orders::default(),
            children_limit: options.children_limit,
            beat: Notify::new(),
            aborts: broadcast::channel(ABORTS_WAITING).0,
            events,
            traces,
            runtime: runtime.clone(),
        });
        backlog::start(&inner, runtime);
        let feeds = feed::start(&inner, options, runtime);
        let submits = submit::start(&inner, feeds.clone(), options, runtime);
        let ends = record::start(&inner, feeds.clone(), options, runtime);
        Self { inner, submits, feeds, ends }
    }

    /// Asks for a running task of this node to be stopped; its row has been moved already. Best effort: what is missed
    /// here is found by reconciling.
    pub fn abort(&self, task: TaskId, up_to_attempt: i32) {
        // Nobody listens on a node without executors.
        drop(self.inner.aborts.send(Abort { task, up_to_attempt }));
    }

    /// What [`Dispatch::abort`] asks for from now on.
    pub fn aborts(&self) -> broadcast::Receiver<Abort> {
        self.inner.aborts.subscribe()
    }

    /// Tells beat that something may be due earlier than it thinks.
    pub fn wake_beat(&self) {
        self.inner.beat.notify_one();
    }

    /// Completes when beat is to look again.
    pub async fn beat_woken(&self) {
        self.inner.beat.notified().await;
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.inner.node
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The mailboxes.
    pub fn mailbox(&self) -> &Mailbox {
        &self.inner.mailbox
    }

    /// The executors of this node.
    pub fn roster(&self) -> &Roster {
        &self.inner.roster
    }

    /// What the monitor saw last.
    pub fn health(&self) -> &Health {
        &self.inner.health
    }

    /// What was last measured.
    pub fn figures(&self) -> &Figures {
        &self.inner.figures
    }

    /// This node's lease.
    pub fn lease(&self) -> &Lease {
        &self.inner.lease
    }

    /// How much was done in how many batches.
    pub fn stats(&self) -> &Stats {
        &self.inner.stats
    }

    /// How much ended within the last minute.
    pub fn rates(&self) -> &Rates {
        &self.inner.rates
    }

    /// What is told while somebody listens.
    pub fn events(&self) -> &Arc<Events> {
        &self.inner.events
    }

    /// What is told of tasks for their traces.
    pub fn traces(&self) -> &Traces {
        &self.inner.traces
    }

    /// The attempts that this node has begun and not yet stored the end of.
    pub fn in_flight(&self) -> &InFlight {
        &self.inner.in_flight
    }
}
