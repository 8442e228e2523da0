//! What this machine can carry.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
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

/// Files that are not connections of the API: those to PostgreSQL and Redis, sockets of children, the log, and some to spare.
const FILES_RESERVED: u64 = 256;

/// Connections that the API may have open, of those that are wanted: no more than the system allows files. A limit that
/// may be raised is.
pub(super) fn connections(wanted: usize, database: u32) -> usize {
    let others = FILES_RESERVED + u64::from(database);
    let limit = getrlimit(Resource::Nofile);
    let mut files = limit.current.unwrap_or(u64::MAX);
    let raised = (wanted as u64 + others).min(limit.maximum.unwrap_or(u64::MAX));
    if files < raised {
        match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum }) {
            Ok(()) => files = raised,
            Err(error) => log::warn!("the limit of open files can't be raised above {files}: {error}"),
        }
    }
    let room = usize::try_from(files.saturating_sub(others)).unwrap_or(usize::MAX).max(16);
    if room < wanted {
        log::warn!(
            "the API takes {room} connections at one time, not {wanted} (api.max_connections): the system allows {files} \
             open files; raise the limit (LimitNOFILE in the unit, or ulimit -n)"
        );
    }
    room.min(wanted)
}

/// Children that its memory has room for, if each takes as little as it can: more are certainly a mistake. Within a
/// container the container's memory counts.
pub(super) fn children() -> usize {
    // A system that does not tell refuses nothing.
    let Some(bytes) = memory_bytes() else { return usize::MAX };
    usize::try_from(bytes / 1024 / LEAST_CHILD_KB).map_or(usize::MAX, |children| children.max(1))
}
