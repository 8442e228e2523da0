//! How large a pool may be.

use std::ops::RangeInclusive;

/// Child processes of a pool.
pub const WORKERS: RangeInclusive<u32> = 1..=1000;
/// Attempts that one child runs at the same time.
pub const THREADS: RangeInclusive<u32> = 1..=1024;
/// Memory that a child has at least, in KB (1024 bytes): what it takes without doing anything, and a little to work with.
pub const LEAST_CHILD_KB: u64 = 20_000;
