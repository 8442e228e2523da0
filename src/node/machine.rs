//! What this machine can carry.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::domain::pool::LEAST_CHILD_KB;

/// Children that its memory has room for, if each takes as little as it can: more are certainly a mistake. Within a
/// container the container's memory counts.
pub(super) fn children() -> usize {
    let Ok(mut system) = System::new() else { return usize::MAX };
    system.refresh_specifics(RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram()));
    let limit = system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory);
    match system.total_memory().min(limit) / 1024 / LEAST_CHILD_KB {
        // A system that does not tell refuses nothing.
        0 => usize::MAX,
        children => usize::try_from(children).unwrap_or(usize::MAX),
    }
}
