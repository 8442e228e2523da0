//! Being served before whatever else a machine does.

use std::fs;

/// How processors are shared out between sessions, where the kernel does that.
const OURS: &str = "/proc/self/autogroup";

/// While this lives, this session, with all that the test started, gets most of the processors: however many threads it
/// has, a session of a busy machine gets no more than its part otherwise. Only root may have it so; without, and on a kernel
/// that makes no difference between sessions, nothing changes.
pub(crate) struct Ahead {
    before: Option<String>,
}

impl Ahead {
    pub(crate) fn of_others() -> Self {
        let ours = fs::read_to_string(OURS).unwrap_or_default();
        let before = ours.trim().rsplit_once("nice ").map(|(_, nice)| nice.to_owned());
        let is_granted = fs::write(OURS, "-10").is_ok();
        Self { before: before.filter(|_| is_granted) }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            fs::write(OURS, before).unwrap_or_else(|error| eprintln!("{OURS} keeps its priority: {error}"));
        }
    }
}
