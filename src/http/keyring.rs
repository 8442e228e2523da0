//! The stored keys, as this node last read them, and the sessions that were ended.
//!
//! Every node holds all of them (there are at most [`KEYS_MAX`](crate::store::api_key::KEYS_MAX)) and reads them anew
//! every [`READ_EVERY`]. So a request costs a look into a map and no round trip, a key that another node revoked stops
//! working here within that time, and a flood of wrong keys neither fills a cache nor reaches the database more often
//! than [`PAUSE`] lets it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::domain::access::{KeyHash, Scope};
use crate::domain::clock;
use crate::domain::ids::KeyId;
use crate::domain::session::SessionId;
use crate::store::Store;
use crate::store::api_key::{LiveKey, LiveKeys};

/// How often the keys are read.
const READ_EVERY: Duration = Duration::from_secs(2);
/// Least time between two reads, however many requests ask for one.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a request with an unknown key waits for the keys to be read anew.
const WAIT: Duration = Duration::from_secs(3);
/// How long keys count that could not be read anew: the database is away.
const OUTAGE: Duration = Duration::from_secs(300);
/// A use is noted once the last noted one is this old.
const NOTE_EVERY: TimeDelta = TimeDelta::minutes(1);

/// The stored keys; cheap to clone.
#[derive(Clone)]
pub struct Keyring {
    shared: Arc<Shared>,
}

struct Shared {
    state: watch::Sender<State>,
    nudge: Arc<Notify>,
}

/// What is known of the keys.
#[derive(Default)]
struct State {
    keys: HashMap<KeyHash, Entry>,
    /// Whether any key was ever stored.
    any: bool,
    /// When the read began that these are of; none before the first.
    read_at: Option<Instant>,
    /// When the last read began that is over, whether it succeeded or not.
    tried_at: Option<Instant>,
    /// Last uses of keys that are no longer there, to be noted: of a key that was revoked they matter most.
    gone: Vec<(KeyId, DateTime<Utc>)>,
    /// Sessions that were ended before their time, as they were read.
    ended: HashSet<SessionId>,
    /// Those that were ended on this node and that no read has found yet, with the time when they would have been over.
    /// What is read is added to them, so a logout makes no read worthless.
    ended_here: HashMap<SessionId, DateTime<Utc>>,
    /// Rises with every change of keys that this node made: what was read before it does not count.
    epoch: u64,
}

struct Entry {
    id: KeyId,
    name: Arc<str>,
    scope: Scope,
    expires_at: Option<DateTime<Utc>>,
    noted_at: Option<DateTime<Utc>>,
    /// The last use on this node, in microseconds; 0 is none.
    used_at: Arc<AtomicI64>,
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

    /// Completes when a key that was good does not open this node any more: it was revoked, or its time is over.
    pub(super) async fn gone(&self, id: KeyId) {
        let mut state = self.shared.state.subscribe();
        // The sender lives as long as this does.
        drop(state.wait_for(|state| !state.keys.values().any(|entry| entry.id == id)).await);
    }

    fn look(&self, hash: KeyHash) -> Option<Verdict> {
        let state = self.shared.state.borrow();
        let entry = state.keys.get(&hash).filter(|_| state.counts(Instant::now()))?;
        let now = clock::now();
        if entry.expires_at.is_some_and(|end| end <= now) {
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
        self.shared.state.send_modify(|state| {
            state.ended_here.insert(id, ends_at);
        });
    }

    /// From now on a key does not open this node.
    pub(super) fn key_was_revoked(&self, id: KeyId) {
        self.shared.state.send_modify(|state| {
            let revoked: Vec<Entry> =
                state.keys.extract_if(|_, entry| entry.id == id).map(|(_, entry)| entry).collect();
            state.gone.extend(revoked.iter().filter_map(Entry::use_to_note));
            state.epoch += 1;
        });
    }
}

impl State {
    /// Whether what was read still counts.
    fn counts(&self, now: Instant) -> bool {
        self.read_at.is_some_and(|at| now.saturating_duration_since(at) <= OUTAGE)
    }

    /// Whether a session was ended before its time, as far as that can be told.
    fn has_ended(&self, id: SessionId, now: Instant) -> Option<bool> {
        if self.ended.contains(&id) || self.ended_here.contains_key(&id) {
            return Some(true);
        }
        self.counts(now).then_some(false)
    }

    /// Takes in what a read found that began at a time and in an epoch; whether it counts.
    fn take(&mut self, live: LiveKeys, began_at: Instant, epoch: u64) -> bool {
        if epoch != self.epoch {
            return false;
        }
        let mut former = std::mem::take(&mut self.keys);
        let LiveKeys { keys, any, ended_sessions } = live;
        let now = clock::now();
        self.ended_here.retain(|id, ends_at| *ends_at > now && !ended_sessions.contains(id));
        self.ended = ended_sessions;
        self.keys = keys
            .into_iter()
            .map(|key| {
                let used_at = former.remove(&key.hash).map(|entry| entry.used_at).unwrap_or_default();
                let LiveKey { id, name, hash, scope, expires_at, last_used_at: noted_at } = key;
                (hash, Entry { id, name: name.into(), scope, expires_at, noted_at, used_at })
            })
            .collect();
        self.gone.extend(former.values().filter_map(Entry::use_to_note));
        self.any = any;
        self.read_at = Some(began_at);
        true
    }

    /// Uses to note; those of keys that are gone are told once.
    fn uses_to_note(&mut self) -> Vec<(KeyId, DateTime<Utc>)> {
        let mut uses = std::mem::take(&mut self.gone);
        uses.extend(self.keys.values().filter_map(Entry::use_to_note));
        uses
    }
}

impl Entry {
    /// The last use, if it is worth a note.
    fn use_to_note(&self) -> Option<(KeyId, DateTime<Utc>)> {
        let used_at = DateTime::from_timestamp_micros(self.used_at.load(Ordering::Relaxed))?;
        let is_news = match self.noted_at {
            None => used_at > DateTime::UNIX_EPOCH,
            Some(noted_at) => used_at - noted_at >= NOTE_EVERY,
        };
        is_news.then_some((self.id, used_at))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::session::OWNER_BYTES;

    fn live(keys: Vec<LiveKey>, any: bool) -> LiveKeys {
        LiveKeys { keys, any, ..LiveKeys::default() }
    }

    fn key(hash: u8, noted_at: Option<DateTime<Utc>>) -> LiveKey {
        LiveKey {
            id: KeyId::generate(),
            name: format!("key-{hash}"),
            hash: KeyHash([hash; 32]),
            scope: Scope::Run,
            expires_at: None,
            last_used_at: noted_at,
        }
    }

    #[test]
    fn what_was_read_before_a_change_does_not_undo_it() {
        let mut state = State { epoch: 1, ..State::default() };
        assert!(!state.take(live(vec![key(1, None)], true), Instant::now(), 0));
        assert!(state.keys.is_empty() && state.read_at.is_none());
        assert!(state.take(live(vec![key(1, None)], true), Instant::now(), 1));
        assert!(state.keys.len() == 1 && state.any);
    }

    #[test]
    fn an_ended_session_stays_so_and_makes_no_read_worthless() {
        let (id, now) = (SessionId::generate([1; OWNER_BYTES]), Instant::now());
        let mut state = State::default();
        assert_eq!(state.has_ended(id, now), None, "nothing was read");
        assert!(state.take(live(Vec::new(), true), now, 0));
        assert_eq!(state.has_ended(id, now), Some(false));
        state.ended_here.insert(id, clock::now() + TimeDelta::hours(1));
        assert!(state.take(live(vec![key(1, None)], true), now, 0), "a read that began before counts");
        assert_eq!((state.has_ended(id, now), state.keys.len()), (Some(true), 1), "and does not bring it back");
        let found = LiveKeys { ended_sessions: HashSet::from([id]), ..live(Vec::new(), true) };
        assert!(state.take(found, now, 0) && state.ended_here.is_empty());
        assert_eq!(state.has_ended(id, now), Some(true));
        state.ended_here.insert(id, clock::now() - TimeDelta::seconds(1));
        assert!(state.take(live(Vec::new(), true), now, 0));
        assert_eq!(state.has_ended(id, now), Some(false), "its time is over, and it is forgotten");
        assert_eq!(state.has_ended(id, now + OUTAGE + Duration::from_millis(1)), None, "that was read too long ago");
    }

    #[test]
    fn keys_that_can_not_be_read_anew_count_for_a_while() {
        let now = Instant::now();
        let mut state = State::default();
        assert!(!state.counts(now), "nothing was read");
        state.take(live(Vec::new(), false), now, 0);
        assert!(state.counts(now + OUTAGE) && !state.counts(now + OUTAGE + Duration::from_millis(1)));
    }

    #[test]
    fn a_use_is_noted_at_most_once_a_minute_and_survives_a_read() {
        let mut state = State::default();
        let hash = KeyHash([1; 32]);
        state.take(live(vec![key(1, None)], true), Instant::now(), 0);
        assert_eq!(state.uses_to_note(), []);
        let used_at: DateTime<Utc> = "2026-11-24T12:00:00Z".parse().expect("an instant");
        state.keys[&hash].used_at.store(used_at.timestamp_micros(), Ordering::Relaxed);
        for (noted_at, count) in [
            (None, 1),
            (Some(used_at - TimeDelta::minutes(1)), 1),
            (Some(used_at - TimeDelta::seconds(59)), 0),
            (Some(used_at), 0),
        ] {
            state.take(live(vec![key(1, noted_at)], true), Instant::now(), 0);
            assert_eq!(state.uses_to_note().len(), count, "{noted_at:?}");
        }
        state.take(live(vec![key(1, None)], true), Instant::now(), 0);
        state.take(live(Vec::new(), true), Instant::now(), 0);
        assert_eq!(state.uses_to_note().len(), 1, "a key that is gone was used before");
        assert_eq!(state.uses_to_note(), []);
    }
}
