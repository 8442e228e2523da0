//! What this machine can carry.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::domain::pool::LEAST_CHILD_KB;

/// Its memory in kB and its processors; nothing where the system does not tell. Within a container those of the container.
pub(super) fn size() -> Option<(u64, u64)> {
    let memory_kb = memory_bytes()? / 1024;
    let processors = std::thread::available_parallelism().ok()?.get();
    Some((memory_kb, u64::try_from(processors).unwrap_or(u64::MAX)))
}

fn memory_bytes() -> Option<u64> {
    let mut system = System::new().ok()?;
    system.refresh_specifics(RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram()));
    let limit = system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory);
    Some(system.total_memory().min(limit)).filter(|bytes| *bytes > 0)
}

/// Children that its memory has room for, if each takes as little as it can: more are certainly a mistake. Within a
/// container the container's memory counts.
pub(super) fn children() -> usize {
    // A system that does not tell refuses nothing.
    let Some(bytes) = memory_bytes() else { return usize::MAX };
    usize::try_from(bytes / 1024 / LEAST_CHILD_KB).map_or(usize::MAX, |children| children.max(1))
}
