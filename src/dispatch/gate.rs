//! Gates: limits of sources and workflows, and circuit breakers. PostgreSQL holds them and decides who passes
//! (`store/admit.rs`); here is who asks, and when.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

use super::{Dispatch, DispatchOptions};
use crate::domain::circuit::{CircuitOptions, CircuitState, Signal};
use crate::domain::clock;
use crate::domain::ids::{SourceId, TaskId};
use crate::domain::queue::QueueName;
use crate::store::admit::Admitted;
use crate::store::batch::Batcher;
use crate::store::gate::{CircuitChange, SourceSignal};
use crate::store::outcome::AttemptEnd;
use crate::store::{self, Store};

/// Signals that may wait for the database. More are not heard: others will tell the same.
const SIGNALS_WAITING: usize = 10_000;
/// How far a mailbox is looked through for more tasks of the kind that had to wait, so that a thousand of them don't
/// have to be popped a few at a time before anything else is.
const LOOK_AHEAD: isize = 500;

/// Completes when a failure is noted, or can't be.
pub(super) type Noted = oneshot::Receiver<()>;

/// What this node knows of gates.
pub(super) struct Gates {
    signals: Batcher<SourceSignal, ()>,
    known: Arc<Known>,
}

struct Known {
    /// When a circuit opens.
    options: Mutex<CircuitOptions>,
    /// Rings when there may be room for a parked task.
    bell: Notify,
    /// Sources of which a good end is worth telling.
    troubled: Mutex<Troubled>,
}

#[derive(Default)]
struct Troubled {
    sources: HashSet<SourceId>,
    /// How often failures were heard of: what was read of all sources before the last of them is older.
    heard: u64,
}

impl Known {
    fn troubled(&self) -> MutexGuard<'_, Troubled> {
        // Nothing of it is ever half changed.
        self.troubled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear_of(&self, failing: impl Iterator<Item = SourceId>) {
        let mut troubled = self.troubled();
        troubled.sources.extend(failing);
        troubled.heard += 1;
    }

    fn options(&self) -> MutexGuard<'_, CircuitOptions> {
        // Values that are replaced whole.
        self.options.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gates {
    pub(super) fn start(store: Store, options: &DispatchOptions, runtime: &Handle) -> Self {
        let known =
            Arc::new(Known { options: Mutex::new(options.circuit), bell: Notify::new(), troubled: Mutex::default() });
        let signals = Batcher::spawn(runtime, SIGNALS_WAITING, options.max_batch, {
            let known = known.clone();
            move |signals: Vec<SourceSignal>| {
                let (store, known) = (store.clone(), known.clone());
                async move {
                    let count = signals.len();
                    learn(&store, &known, signals).await;
                    vec![(); count]
                }
            }
        });
        Self { signals, known }
    }

    /// Hears how an attempt ended whose end is stored. Where that tells of a source that fails: what completes once it is
    /// noted.
    pub(super) fn hear(&self, end: &AttemptEnd) -> Option<Noted> {
        let attempt = &end.attempt;
        if attempt.is_gated {
            self.known.bell.notify_one();
        }
        let (source, signal) = (attempt.source?, end.signal.as_ref()?);
        let is_up = *signal == Signal::Up;
        // Almost every attempt of every source ends here.
        if is_up && !self.known.troubled().sources.contains(&source) {
            return None;
        }
        let told = SourceSignal { source, signal: signal.clone(), attempt: (attempt.task, attempt.number) };
        let noted = self.signals.push(told).inspect_err(|_| log::debug!("how source {source} is was not noted"));
        noted.ok().filter(|_| !is_up)
    }
}

/// A signal that is lost is lost: a source that is down fails again, and a probe without an end is followed by another.
async fn learn(store: &Store, known: &Known, signals: Vec<SourceSignal>) {
    let bad = signals.iter().filter(|told| told.signal != Signal::Up).map(|told| told.source);
    known.hear_of(bad);
    let options = *known.options();
    match store.learn(signals, options).await {
        Ok(changes) => {
            for change in changes {
                if change.after == Default::default() {
                    known.troubled().sources.remove(&change.source);
                }
                report(&change);
            }
            known.bell.notify_one();
        }
        Err(error) => log::debug!("how sources are can't be noted now: {error}"),
    }
}

/// One line when a source is left alone and one when it is called again, by the node that found out.
fn report(change: &CircuitChange) {
    let (before, after, name) = (change.before.state, change.after.state, &change.name);
    match (before, after) {
        (CircuitState::Closed, CircuitState::Open) => log::warn!(
            "source {name} is left alone until {}: {}",
            change.after.until.unwrap_or_default().format("%FT%TZ"),
            change.after.reason.as_deref().unwrap_or_default()
        ),
        (CircuitState::Open | CircuitState::HalfOpen, CircuitState::Closed) => {
            log::info!("source {name} is called again");
        }
        _ => {}
    }
}

impl Dispatch {
    /// Claims those tasks that may pass their gates, and parks the others, with those of their kind that wait behind them.
    pub(super) async fn admit(&self, left: Vec<TaskId>) -> Result<Admitted, store::Error> {
        let store = &self.inner.store;
        let admitted = store.admit(left, Vec::new(), self.inner.node, clock::now()).await?;
        if admitted.parked.is_empty() {
            return Ok(admitted);
        }
        let queues: BTreeSet<&QueueName> = admitted.parked.iter().map(|(queue, _)| queue).collect();
        for queue in queues {
            match self.inner.mailbox.first(queue.clone(), LOOK_AHEAD).await {
                Ok(ahead) => self.park_ahead(ahead).await,
                Err(error) => log::debug!("queue {queue} can't be looked through now: {error}"),
            }
        }
        // When there is room again is for the doorkeeper to find out.
        self.inner.gates.known.bell.notify_one();
        Ok(admitted)
    }

    /// Tasks that stay in their mailbox are popped and refused, which takes longer and does no harm. So a failure here is
    /// no reason to give up what was claimed just now.
    async fn park_ahead(&self, ahead: Vec<TaskId>) {
        if ahead.is_empty() {
            return;
        }
        let admitted = match self.inner.store.admit(Vec::new(), ahead, self.inner.node, clock::now()).await {
            Ok(admitted) => admitted,
            Err(error) => return log::debug!("tasks can't be parked before they are popped now: {error}"),
        };
        if let Err(error) = self.inner.mailbox.withdraw(admitted.parked).await {
            log::debug!("parked tasks can't be taken out of their mailbox now: {error}");
        }
        self.feed(admitted.called);
    }

    /// Has parked tasks try again for which there is room now. Answers in how long there will be room by time alone.
    ///
    /// # Errors
    /// The database is away.
    pub async fn call_parked(&self) -> Result<Option<Duration>, store::Error> {
        let called = self.inner.store.call_parked().await?;
        self.feed(called.called);
        Ok(called.again_in)
    }

    /// Looks which sources have failed lately: another node may have seen it.
    ///
    /// # Errors
    /// The database is away; what was known stays known.
    pub async fn refresh_troubled(&self) -> Result<(), store::Error> {
        let known = &self.inner.gates.known;
        let before = known.troubled().heard;
        let read = self.inner.store.troubled_sources().await?;
        let mut troubled = known.troubled();
        if troubled.heard == before {
            troubled.sources.clear();
        }
        troubled.sources.extend(read);
        Ok(())
    }

    /// From now on circuits open so. One that is open waits for as long as it was told.
    pub fn set_circuit(&self, options: CircuitOptions) {
        *self.inner.gates.known.options() = options;
    }

    /// Completes when there may be room for a parked task.
    pub async fn gate_rung(&self) {
        self.inner.gates.known.bell.notified().await;
    }

    /// Tells that there may be room for a parked task.
    pub fn ring_gate(&self) {
        self.inner.gates.known.bell.notify_one();
    }

    /// Has a source called again at once, whatever is known of it.
    ///
    /// # Errors
    /// The database is away.
    pub async fn resume_source(&self, source: SourceId) -> Result<(), store::Error> {
        if let Some(change) = self.inner.store.close_circuit(source).await? {
            report(&change);
        }
        self.ring_gate();
        Ok(())
    }
}
