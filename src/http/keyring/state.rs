//! What a node knows of keys and sessions, and what a read of them changes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use super::super::session::Session;
use crate::domain::access::{KeyHash, Scope};
use crate::domain::clock;
use crate::domain::ids::KeyId;
use crate::domain::session::SessionId;
use crate::store::api_key::{LiveKey, LiveKeys};

/// How long keys count that could not be read anew: the database is away.
pub(super) const OUTAGE: Duration = Duration::from_secs(300);
/// A use is noted once the last noted one is this old.
const NOTE_EVERY: TimeDelta = TimeDelta::minutes(1);

/// What is known of the keys.
#[derive(Default)]
pub(super) struct State {
    pub(super) keys: HashMap<KeyHash, Entry>,
    /// Where a key is found by its id: every stream looks for its own with every read.
    hashes: HashMap<KeyId, KeyHash>,
    /// Whether any key was ever stored.
    pub(super) any: bool,
    /// When the read began that these are of; none before the first.
    pub(super) read_at: Option<Instant>,
    /// When the last read began that is over, whether it succeeded or not.
    pub(super) tried_at: Option<Instant>,
    /// Last uses of keys that are no longer there, to be noted: of a key that was revoked they matter most.
    pub(super) gone: Vec<(KeyId, DateTime<Utc>)>,
    /// Sessions that were ended before their time, as they were read.
    ended: HashSet<SessionId>,
    /// Those that were ended on this node and that no read has found yet, with the time when they would have been over.
    /// What is read is added to them, so a logout makes no read worthless.
    ended_here: HashMap<SessionId, DateTime<Utc>>,
    /// Rises with every change of keys that this node made: what was read before it does not count.
    pub(super) epoch: u64,
}

pub(super) struct Entry {
    pub(super) id: KeyId,
    pub(super) name: Arc<str>,
    pub(super) scope: Scope,
    pub(super) expires_at: Option<DateTime<Utc>>,
    noted_at: Option<DateTime<Utc>>,
    /// The last use on this node, in microseconds; 0 is none.
    pub(super) used_at: Arc<AtomicI64>,
}

impl State {
    /// Whether what was read still counts.
    pub(super) fn counts(&self, now: Instant) -> bool {
        self.read_at.is_some_and(|at| now.saturating_duration_since(at) <= OUTAGE)
    }

    /// Whether a session was ended before its time, as far as that can be told.
    pub(super) fn has_ended(&self, id: SessionId, now: Instant) -> Option<bool> {
        if self.was_ended(id) { Some(true) } else { self.counts(now).then_some(false) }
    }

    fn was_ended(&self, id: SessionId) -> bool {
        self.ended.contains(&id) || self.ended_here.contains_key(&id)
    }

    /// Whether a key or a session that was good is known to open this node no more.
    pub(super) fn is_gone(&self, key: Option<KeyId>, session: Option<Session>, now: DateTime<Utc>) -> bool {
        let entry = |id| self.hashes.get(&id).and_then(|hash| self.keys.get(hash));
        key.is_some_and(|id| entry(id).is_none_or(|entry| entry.is_over(now)))
            || session.is_some_and(|session| session.ends_at <= now || self.was_ended(session.id))
    }

    /// Takes in what a read found that began at a time and in an epoch; whether it counts.
    pub(super) fn take(&mut self, live: LiveKeys, began_at: Instant, epoch: u64) -> bool {
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
        self.hashes = self.keys.iter().map(|(hash, entry)| (entry.id, *hash)).collect();
        self.gone.extend(former.values().filter_map(Entry::use_to_note));
        self.any = any;
        self.read_at = Some(began_at);
        true
    }

    /// Ends a session that would have lasted until then. No change of keys: a read that is under way goes on to count.
    pub(super) fn end(&mut self, id: SessionId, ends_at: DateTime<Utc>) {
        self.ended_here.insert(id, ends_at);
    }

    /// Takes a key out.
    pub(super) fn revoke(&mut self, id: KeyId) {
        let revoked = self.hashes.remove(&id).and_then(|hash| self.keys.remove(&hash));
        self.gone.extend(revoked.as_ref().and_then(Entry::use_to_note));
        self.epoch += 1;
    }

    /// Uses to note; those of keys that are gone are told once.
    pub(super) fn uses_to_note(&mut self) -> Vec<(KeyId, DateTime<Utc>)> {
        let mut uses = std::mem::take(&mut self.gone);
        uses.extend(self.keys.values().filter_map(Entry::use_to_note));
        uses
    }
}

impl Entry {
    pub(super) fn is_over(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

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
        state.end(id, clock::now() + TimeDelta::hours(1));
        assert!(state.take(live(vec![key(1, None)], true), now, 0), "a read that began before counts");
        assert_eq!((state.has_ended(id, now), state.keys.len()), (Some(true), 1), "and does not bring it back");
        let found = LiveKeys { ended_sessions: HashSet::from([id]), ..live(Vec::new(), true) };
        assert!(state.take(found, now, 0) && state.ended_here.is_empty());
        assert_eq!(state.has_ended(id, now), Some(true));
        state.end(id, clock::now() - TimeDelta::seconds(1));
        assert!(state.take(live(Vec::new(), true), now, 0));
        assert_eq!(state.has_ended(id, now), Some(false), "its time is over, and it is forgotten");
        assert_eq!(state.has_ended(id, now + OUTAGE + Duration::from_millis(1)), None, "that was read too long ago");
    }

    #[test]
    fn a_key_or_a_session_is_gone_when_it_was_ended_and_when_its_time_is_over() {
        let (now, later) = (clock::now(), clock::now() + TimeDelta::hours(1));
        let session = Session { id: SessionId::generate([1; OWNER_BYTES]), key: KeyHash([1; 32]), ends_at: later };
        let (id, mut state) = (KeyId::generate(), State::default());
        let short = LiveKey { id, expires_at: Some(later), ..key(1, None) };
        state.take(live(vec![short, key(2, None)], true), Instant::now(), 0);
        assert!(!state.is_gone(None, None, later), "a key of the configuration");
        for (key, session) in [(Some(id), None), (None, Some(session))] {
            assert!(!state.is_gone(key, session, now) && state.is_gone(key, session, later));
        }
        state.end(session.id, later);
        assert!(state.is_gone(None, Some(session), now) && !state.is_gone(Some(id), None, now));
        state.take(live(vec![key(2, None)], true), Instant::now(), 0);
        assert!(state.is_gone(Some(id), None, now));
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
