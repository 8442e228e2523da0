//! What a process does for the secrets in its memory, as its first act.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// No crash of this process, or of one that it starts, leaves its memory in a file.
///
/// A limit is all that children get. Were they not dumpable either, `/proc` would hide them from the service where it is
/// mounted with `hidepid=invisible`, as the unit's `ProtectProc=` does, and nobody would keep them below their memory
/// ceiling. What collects cores through a pipe (systemd-coredump) keeps to the limit, too.
pub(super) fn leave_no_core() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // Refused only by a sandbox that forbids all such calls, as the unit's does, which has its own LimitCORE=0.
    let _refused = setrlimit(Resource::Core, none);
}

/// Beyond that, no other process of the same user reads this one's memory or environment, or attaches to it: not one
/// of its children either, should an answer of a source ever take one over. Root can, as always.
pub(super) fn hide_from_same_user() {
    // Taking a right away from oneself is always allowed.
    let _done = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}
