//! Values by a label of the metrics. Names come from outside, and each costs memory here and in Prometheus: so there are
//! only so many labels, and what comes after them counts under one.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The label of all that came when there were enough.
pub const OTHER: &str = "other";
/// The most characters of a label.
const LONGEST: usize = 64;

/// Values, made as their labels come.
#[derive(Debug)]
pub struct ByLabel<T> {
    limit: usize,
    make: fn() -> T,
    values: RwLock<BTreeMap<Box<str>, Arc<T>>>,
}

impl<T> ByLabel<T> {
    /// None yet; at most `limit` and [`OTHER`].
    pub(super) fn new(limit: usize, make: fn() -> T) -> Self {
        Self { limit, make, values: RwLock::default() }
    }

    /// The value of a name.
    pub(super) fn of(&self, name: &str) -> Arc<T> {
        let label = shortened(name);
        // A map is whole after any panic: what changes it are single insertions.
        if let Some(value) = self.values.read().unwrap_or_else(PoisonError::into_inner).get(label) {
            return value.clone();
        }
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        let label = if values.len() < self.limit || values.contains_key(label) { label } else { OTHER };
        values.entry(label.into()).or_insert_with(|| Arc::new((self.make)())).clone()
    }

    /// All of them, by label.
    pub fn read(&self) -> Vec<(String, Arc<T>)> {
        let values = self.values.read().unwrap_or_else(PoisonError::into_inner);
        values.iter().map(|(label, value)| (label.to_string(), value.clone())).collect()
    }
}

fn shortened(name: &str) -> &str {
    name.char_indices().nth(LONGEST).map_or(name, |(end, _)| &name[..end])
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn names_beyond_the_limit_count_as_one() {
        let counts = ByLabel::new(2, AtomicU64::default);
        for name in ["a", "b", "c", "d", "a"] {
            counts.of(name).fetch_add(1, Ordering::Relaxed);
        }
        let read: Vec<_> =
            counts.read().into_iter().map(|(name, count)| (name, count.load(Ordering::Relaxed))).collect();
        assert_eq!(read, [("a".to_owned(), 2), ("b".to_owned(), 1), ("other".to_owned(), 2)]);
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(shortened(&"ä".repeat(100)).chars().count(), LONGEST);
        assert_eq!(shortened("short"), "short");
    }
}
