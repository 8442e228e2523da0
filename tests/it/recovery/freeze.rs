//! A server whose processes stand still: it accepts connections and what is said to it, and answers nothing.

use std::fs;

use automagik_spark::dev::Signal;

use crate::harness::node::send;

/// Processes that stand still until this is dropped, or [`Frozen::thaw`]ed.
pub(crate) struct Frozen(Vec<u32>);

/// Freezes a process and its children: of a PostgreSQL those that carry out statements.
pub(crate) fn freeze(pid: u32) -> Frozen {
    // The parent first: from then on there are no new children.
    send(pid, Signal::STOP);
    let children = children_of(pid);
    children.iter().for_each(|child| send(*child, Signal::STOP));
    Frozen(children.into_iter().chain([pid]).collect())
}

impl Frozen {
    pub(crate) fn thaw(self) {
        drop(self);
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.0.iter().for_each(|pid| send(*pid, Signal::CONT));
    }
}

fn children_of(parent: u32) -> Vec<u32> {
    let pids = fs::read_dir("/proc").expect("it is there").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |pid: &u32| {
        // The parent is the second field behind the name, which may hold anything.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok()) == Some(parent)
    };
    pids.filter(is_child).collect()
}
