//! The memory that bodies of requests may take together.
//!
//! A body holds its part from the time it comes in until its request is answered. What is small passes freely: the number
//! of connections bounds it, and large bodies must not keep it out.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What each body may take without being counted.
const FREE_BYTES: usize = 16 * 1024;

/// Room for bodies; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Semaphore>);

/// What one body takes of it.
#[derive(Debug)]
pub(super) struct Share {
    room: Room,
    taken: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// So many bytes of room.
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// The share of a body of which nothing has come yet.
    pub(super) fn share(&self) -> Share {
        Share { room: self.clone(), taken: None }
    }
}

impl Share {
    /// Grows to what a body of so many bytes takes; whether there was room.
    pub(super) fn grow_to(&mut self, bytes: usize) -> bool {
        let has = self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.saturating_sub(FREE_BYTES).saturating_sub(has);
        if more == 0 {
            return true;
        }
        let Ok(more) = u32::try_from(more) else { return false };
        let Ok(more) = self.room.0.clone().try_acquire_many_owned(more) else { return false };
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_bodies_pass_when_large_ones_have_taken_all_room() {
        let room = Room::new(100_000);
        let (mut large, mut small) = (room.share(), room.share());
        assert!(large.grow_to(50_000) && large.grow_to(FREE_BYTES + 100_000));
        assert!(!large.grow_to(FREE_BYTES + 100_001));
        assert!(small.grow_to(FREE_BYTES) && !small.grow_to(FREE_BYTES + 1));
        drop(large);
        assert!(small.grow_to(FREE_BYTES + 100_000));
    }
}
