//! The stored keys, as this node last read them, and the sessions that were ended.
//!
//! Every node holds all of them (there are at most [`KEYS_MAX`](crate::store::api_key::KEYS_MAX)) and reads them anew
//! every [`READ_EVERY`]. So a request costs a look into a map and no round trip, a key that another node revoked stops
//! working here within that time, and a flood of wrong keys neither fills a cache nor reaches the database more often
//! than [`PAUSE`] lets it.

mod state;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use state::{OUTAGE, State};

use super::session::Session;
use crate::domain::access::{KeyHash, Scope};
use crate::domain::clock;
use crate::domain::ids::KeyId;
use crate::domain::session::SessionId;
use crate::store::Store;

/// How often the keys are read.
const READ_EVERY: Duration = Duration::from_secs(2);
/// Least time between two reads, however many requests ask for one.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a request with an unknown key waits for the keys to be read anew.
const WAIT: Duration = Duration::from_secs(3);

/// The stored keys; cheap to clone.
#[derive(Clone)]
pub struct Keyring {
    shared: Arc<Shared>,
}

struct Shared {
    state: watch::Sender<State>,
    nudge: Arc<Notify>,
}

/// A key that opens the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) id: KeyId,
    pub(super) name: Arc<str>,
    pub(super) scope: Scope,
}

/// What the keys say of one that was sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is one of them.
    Holds(Holder),
    /// It is none of them.
    Unknown,
    /// Nobody can tell while the database is away.
    Untold,
}

impl Keyring {
    /// Starts to read the keys, on a runtime, for as long as a clone of this lives.
    pub fn start(store: Store, runtime: &Handle) -> Self {
        let nudge = Arc::new(Notify::new());
        let shared = Arc::new(Shared { state: watch::Sender::new(State::default()), nudge: nudge.clone() });
        runtime.spawn(read_on(Arc::downgrade(&shared), nudge, store));
        Self { shared }
    }

    /// Whether any key was ever stored; none where that can't be told. Once one was, keys are asked for, also after
    /// the last one was revoked: taking a key away must not open the API.
    pub(super) async fn asks_for_keys(&self) -> Option<bool> {
        let known = {
            let state = self.shared.state.borrow();
            state.counts(Instant::now()).then_some(state.any)
        };
        match known {
            Some(any) => Some(any),
            None => self.read_again().await.then(|| self.shared.state.borrow().any),
        }
    }

    /// Whose key this is. One that is not known may be newer than what was read, so the keys are read once more first.
    pub(super) async fn check(&self, hash: KeyHash) -> Verdict {
        if let Some(verdict) = self.look(hash) {
            return verdict;
        }
        if self.read_again().await { self.look(hash).unwrap_or(Verdict::Unknown) } else { Verdict::Untold }
    }

    /// Completes when what was good does not open this node any more: a stored key that was revoked, a session that was
    /// ended, or one of them whose time is over. That is looked for with every read, also with one that fails.
    pub(super) async fn gone(&self, key: Option<KeyId>, session: Option<Session>) {
        let mut state = self.shared.state.subscribe();
        // The sender lives as long as this does.
        drop(state.wait_for(|state| state.is_gone(key, session, clock::now())).await);
    }

    fn look(&self, hash: KeyHash) -> Option<Verdict> {
        let state = self.shared.state.borrow();
        let entry = state.keys.get(&hash).filter(|_| state.counts(Instant::now()))?;
        let now = clock::now();
        if entry.is_over(now) {
            return Some(Verdict::Unknown);
        }
        entry.used_at.store(now.timestamp_micros(), Ordering::Relaxed);
        Some(Verdict::Holds(Holder { id: entry.id, name: entry.name.clone(), scope: entry.scope }))
    }

    /// Waits for a read that begins from now on; whether it succeeded.
    async fn read_again(&self) -> bool {
        let asked_at = Instant::now();
        let mut state = self.shared.state.subscribe();
        self.shared.nudge.notify_one();
        let is_later = |at: Option<Instant>| at.is_some_and(|at| at >= asked_at);
        match timeout(WAIT, state.wait_for(|state| is_later(state.tried_at))).await {
            Ok(Ok(state)) => is_later(state.read_at),
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// From now on keys are asked for: one was stored.
    pub(super) fn key_was_added(&self) {
        self.shared.state.send_modify(|state| {
            state.any = true;
            state.epoch += 1;
        });
    }

    /// Whether a session was ended before its time; none where that can't be told. What was read too long ago does not
    /// tell that one goes on: it may have been ended on another node since.
    pub(super) async fn has_ended(&self, id: SessionId) -> Option<bool> {
        let known = self.shared.state.borrow().has_ended(id, Instant::now());
        match known {
            Some(has_ended) => Some(has_ended),
            None if self.read_again().await => self.shared.state.borrow().has_ended(id, Instant::now()),
            None => None,
        }
    }

    /// From now on a session does not count on this node. It would have lasted until then.
    pub(super) fn session_was_ended(&self, id: SessionId, ends_at: DateTime<Utc>) {
        self.shared.state.send_modify(|state| state.end(id, ends_at));
    }

    /// From now on a key does not open this node.
    pub(super) fn key_was_revoked(&self, id: KeyId) {
        self.shared.state.send_modify(|state| state.revoke(id));
    }
}

/// Reads the keys again and again, and notes what was used meanwhile. Ends soon after the last clone was dropped.
async fn read_on(shared: Weak<Shared>, nudge: Arc<Notify>, store: Store) {
    let mut is_away = false;
    loop {
        let began_at = Instant::now();
        let Some(epoch) = shared.upgrade().map(|shared| shared.state.borrow().epoch) else { return };
        let read = store.live_keys().await;
        let Some(shared) = shared.upgrade() else { return };
        if let Err(error) = &read
            && !is_away
        {
            log::warn!(
                "the stored API keys can't be read ({error}); those that are known go on working for {} minutes",
                OUTAGE.as_secs() / 60
            );
        }
        is_away = read.is_err();
        shared.state.send_modify(|state| {
            let counts = read.is_ok_and(|live| state.take(live, began_at, epoch));
            if counts || is_away {
                state.tried_at = Some(began_at);
            } else {
                // A key was added or revoked here meanwhile: whoever waits is told by the next read.
                nudge.notify_one();
            }
        });
        let mut uses = Vec::new();
        shared.state.send_if_modified(|state| {
            uses = state.uses_to_note();
            false
        });
        if !uses.is_empty() {
            // Somebody's lock on a row must not keep the keys from being read; the write goes on by itself.
            match timeout(WAIT, store.note_key_uses(uses)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => log::debug!("uses of API keys are not noted: {error}"),
                Err(_) => log::debug!("uses of API keys are not noted yet"),
            }
        }
        drop(shared);
        sleep_until(began_at + PAUSE).await;
        // Whether the time is up or somebody asks, the keys are read.
        let _ = timeout(READ_EVERY, nudge.notified()).await;
    }
}
