//! Ids of the dashboard's sessions.

use std::ops::RangeInclusive;

use uuid::Uuid;

/// Bytes that an id begins with and that say whose session it is. A UUID has its version and its variant behind them.
pub const OWNER_BYTES: usize = 6;

/// The id of a session. Those of one owner are a range, so that they can be counted without a word about the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(pub Uuid);

impl SessionId {
    /// A new id: 74 bits of it are random.
    pub fn generate(owner: [u8; OWNER_BYTES]) -> Self {
        let mut bytes = Uuid::new_v4().into_bytes();
        bytes[..OWNER_BYTES].copy_from_slice(&owner);
        Self(Uuid::from_bytes(bytes))
    }

    /// Every id that the same owner may have.
    pub fn of_the_same_owner(self) -> RangeInclusive<Self> {
        let end = |rest: u8| {
            let mut bytes = self.0.into_bytes();
            bytes[OWNER_BYTES..].fill(rest);
            Self(Uuid::from_bytes(bytes))
        };
        end(0)..=end(u8::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_an_owner_lie_together_and_are_uuids_of_version_4() {
        let (one, other) = ([7; OWNER_BYTES], [8; OWNER_BYTES]);
        let id = SessionId::generate(one);
        let (first, last) = id.of_the_same_owner().into_inner();
        let is_within = |id: SessionId| (first.0..=last.0).contains(&id.0);
        assert!(is_within(id) && is_within(SessionId::generate(one)) && !is_within(SessionId::generate(other)));
        assert_ne!(id, SessionId::generate(one));
        assert_eq!((id.0.get_version_num(), id.0.get_variant()), (4, uuid::Variant::RFC4122));
    }
}
