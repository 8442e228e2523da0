//! What the monitor saw last, for whoever asks; reading it does no IO, so health answers while a service hangs.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};

/// Where the service is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not all parts run yet.
    Starting,
    /// It works.
    Ready,
    /// It takes nothing new and finishes what runs.
    Draining,
}

/// The state of the service and of the two servers it needs.
#[derive(Debug, Default)]
pub struct Health {
    phase: AtomicU8,
    database: AtomicBool,
    redis: AtomicBool,
    beat_at_ms: AtomicI64,
    redis_warning: Mutex<Option<String>>,
}

impl Health {
    /// Where the service is in its life.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }

    /// Enters a phase.
    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Whether PostgreSQL answered when last asked.
    pub fn database_ok(&self) -> bool {
        self.database.load(Ordering::Relaxed)
    }

    /// Notes whether PostgreSQL answered.
    pub fn set_database(&self, ok: bool) {
        self.database.store(ok, Ordering::Relaxed);
    }

    /// Whether Redis answered when last asked.
    pub fn redis_ok(&self) -> bool {
        self.redis.load(Ordering::Relaxed)
    }

    /// Notes whether Redis answered.
    pub fn set_redis(&self, ok: bool) {
        self.redis.store(ok, Ordering::Relaxed);
    }

    /// What an operator should change about Redis.
    pub fn redis_warning(&self) -> Option<String> {
        self.redis_warning.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what an operator should change about Redis; whether that is news.
    pub fn set_redis_warning(&self, warning: Option<String>) -> bool {
        let mut known = self.redis_warning.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = known.is_some() != warning.is_some();
        *known = warning;
        is_news
    }

    /// When beat last went round; `None` where this node runs none.
    pub fn beat_at(&self) -> Option<DateTime<Utc>> {
        let millis = self.beat_at_ms.load(Ordering::Relaxed);
        (millis != 0).then(|| DateTime::from_timestamp_millis(millis)).flatten()
    }

    /// Notes that beat went round.
    pub fn set_beat_at(&self, at: DateTime<Utc>) {
        self.beat_at_ms.store(at.timestamp_millis(), Ordering::Relaxed);
    }
}
