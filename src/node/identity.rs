//! Who this node is, and which former nodes of this machine are certainly gone.

use std::fs;

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

/// Forgets the nodes of this scope whose process is gone, so that what they left is taken over at once and not after
/// their lease. A process that is there, however long it has been silent, keeps its row.
///
/// # Errors
/// The database is away.
pub(super) async fn bury_former(store: &Store, this: &NodeRow) -> Result<(), store::Error> {
    let former = store.nodes_in_scope(this.scope.clone()).await?;
    let gone: Vec<NodeId> = former
        .into_iter()
        .filter(|(id, pid, born)| *id != this.id && started_at(*pid) != Some(*born))
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

/// When a process began, in ticks since boot: field 22 of `/proc/PID/stat` (proc(5)), counted from behind the name,
/// which may hold anything.
fn started_at(pid: i32) -> Option<i64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    // A zombie has ended; only its parent has not noticed.
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
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
        // Beyond the largest pid that Linux gives.
        assert_eq!(started_at(4_194_305), None);
    }
}
