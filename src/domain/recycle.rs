//! When a child has done enough.

use serde::Serialize;

/// Limits of one child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RecycleLimits {
    /// Attempts after which a child is replaced.
    pub max_tasks_per_child: u64,
    /// Resident memory in KB (1024 bytes) above which a child is replaced; at twice this it is killed.
    pub max_memory_per_child_kb: u64,
}

/// What a child's resident memory asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryVerdict {
    /// Nothing.
    Fine,
    /// Replace the child: start another, then let this one finish.
    Replace,
    /// Kill the child at once.
    Kill,
}

impl RecycleLimits {
    /// Whether a child that was given this many attempts has had its share.
    pub fn is_spent(&self, attempts_given: u64) -> bool {
        attempts_given >= self.max_tasks_per_child
    }

    /// Judges a sample of a child's resident memory.
    pub fn judge_memory(&self, rss_kb: u64) -> MemoryVerdict {
        match rss_kb {
            kb if kb > self.max_memory_per_child_kb.saturating_mul(2) => MemoryVerdict::Kill,
            kb if kb > self.max_memory_per_child_kb => MemoryVerdict::Replace,
            _ => MemoryVerdict::Fine,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_met_exactly() {
        let limits = RecycleLimits { max_tasks_per_child: 100, max_memory_per_child_kb: 200_000 };
        assert_eq!([99, 100, 101].map(|n| limits.is_spent(n)), [false, true, true]);
        let verdicts = [200_000, 200_001, 400_000, 400_001].map(|kb| limits.judge_memory(kb));
        use MemoryVerdict::*;
        assert_eq!(verdicts, [Fine, Replace, Replace, Kill]);
    }
}
