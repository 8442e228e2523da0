//! Who this node is, and which former nodes of this machine are certainly gone.

use std::fs;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::config::Role;
use crate::domain::clock;
use crate::domain::ids::NodeId;
use crate::store::node::NodeRow;
use crate::store::{self, Store};

/// This process as a node.
pub(super) fn this_node(id: NodeId, roles: &[Role]) -> NodeRow {
    let pid = std::process::id().cast_signed();
    NodeRow {
        id,
        hostname: read("/proc/sys/kernel/hostname").unwrap_or_else(|| "unknown".to_owned()),
        scope: scope(id),
        pid,
        pid_started_at: started_at(pid).unwrap_or(0),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        roles: roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(","),
        started_at: clock::now(),
    }
}

/// Forgets the nodes of this scope whose process is certainly gone, so that what they left is taken over at once and not
/// after their lease. A process that is there, however long it has been silent, keeps its row; so does one of another
/// user that this service may not look at (`ProtectProc=invisible`).
///
/// # Errors
/// The database is away.
pub(super) async fn bury_former(store: &Store, this: &NodeRow) -> Result<(), store::Error> {
    let former = store.nodes_in_scope(this.scope.clone()).await?;
    let gone: Vec<NodeId> = former
        .into_iter()
        .filter(|(id, pid, born)| *id != this.id && look(*pid).shows_end_of(*born))
        .map(|(id, _, _)| id)
        .collect();
    if gone.is_empty() {
        return Ok(());
    }
    log::info!("{} former nodes of this machine are gone; what they left running is taken over", gone.len());
    store.forget_nodes(gone).await
}

/// Within one boot and one pid namespace a pid and its start name a process. A machine's name would not do: it may
/// have been cloned.
fn scope(id: NodeId) -> String {
    let boot = read("/proc/sys/kernel/random/boot_id");
    let namespace = fs::read_link("/proc/self/ns/pid").ok().map(|link| link.to_string_lossy().into_owned());
    match (boot, namespace) {
        (Some(boot), Some(namespace)) => format!("{boot} {namespace}"),
        // A scope of its own: nobody's pids are compared with ours.
        _ => id.to_string(),
    }
}

/// What no two processes of this machine share: its boot, and when since then the process began. None: it is gone.
pub fn birth(pid: u32) -> Option<String> {
    let boot = read("/proc/sys/kernel/random/boot_id")?;
    Some(format!("{boot} {}", started_at(pid.cast_signed())?))
}

/// The user of a process; none where it can't be seen. Not read off the owner of its files in `/proc`, which is root
/// where the process is not dumpable.
pub fn owner(pid: u32) -> Option<u32> {
    let status = read(&format!("/proc/{pid}/status"))?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_ascii_whitespace().next()?.parse().ok()
}

/// When a process began, in ticks since boot; none where it can't be seen or has ended.
fn started_at(pid: i32) -> Option<i64> {
    let Sight::Runs { since } = look(pid) else { return None };
    Some(since)
}

/// What can be seen of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    /// It runs; since when, in ticks since boot.
    Runs { since: i64 },
    /// There is none, or only what its parent has not taken notice of.
    Ended,
    /// There is one that this process may not look at.
    Hidden,
}

impl Sight {
    /// Whether the process that began then has certainly ended. Behind one that is hidden may be another that was given
    /// the same number: then it is the lease that tells.
    fn shows_end_of(self, born: i64) -> bool {
        match self {
            Self::Runs { since } => since != born,
            Self::Ended => true,
            Self::Hidden => false,
        }
    }
}

/// Field 3 of `/proc/PID/stat` is the state, field 22 the start (proc(5)), counted from behind the name, which may hold
/// anything. Where there is no such file, asking to send no signal shows whether there is a process all the same.
fn look(pid: i32) -> Sight {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        let asked = Pid::from_raw(pid).map_or(Err(Errno::SRCH), test_kill_process);
        return if asked == Err(Errno::SRCH) { Sight::Ended } else { Sight::Hidden };
    };
    let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
    if fields.next() == Some("Z") {
        return Sight::Ended;
    }
    fields.nth(18).and_then(|field| field.parse().ok()).map_or(Sight::Hidden, |since| Sight::Runs { since })
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_pid_and_start() {
        let me = std::process::id().cast_signed();
        let born = started_at(me).expect("this process runs");
        assert!(born > 0);
        assert_eq!(started_at(me), Some(born));
        let birth = birth(std::process::id()).expect("this process runs");
        assert!(birth.ends_with(&format!(" {born}")), "{birth}");
        assert!(!look(me).shows_end_of(born) && look(me).shows_end_of(born - 1));
        assert_eq!(owner(std::process::id()), Some(rustix::process::getuid().as_raw()));
        // Beyond the largest pid that Linux gives.
        assert_eq!(look(4_194_305), Sight::Ended);
    }

    #[test]
    fn a_process_that_may_not_be_looked_at_is_not_taken_for_dead() {
        assert!(Sight::Ended.shows_end_of(7));
        assert!(!Sight::Hidden.shows_end_of(7));
        let mut child = std::process::Command::new("true").spawn().expect("a child");
        let pid = child.id().cast_signed();
        // Until it is waited for it is there, and has ended all the same.
        while look(pid) != Sight::Ended {
            std::thread::yield_now();
        }
        child.wait().expect("ours");
        assert_eq!(look(pid), Sight::Ended);
    }
}
