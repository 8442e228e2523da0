//! The file by which a daemon is found again: which process it is, whether it is ready, and in the end how it ended.
//!
//! ```text
//! 4711                                       its process id
//! 0a1b2c3d-... 8123456                       its birth: a pid alone is used again
//! ready                                      or `starting`, or `draining` and how many attempts still run
//! ```
//!
//! or `ended` and an exit code. The daemon holds a lock on the file as long as it lives, so there is one at a time. The
//! file itself is never removed: another one that is just being started may hold it open.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::super::serve::Phase;
use super::own_file;
use crate::node;

/// More than a file of a daemon ever has.
const LONGEST: u64 = 1024;

/// The file of this process, which is the daemon.
pub(super) struct PidFile {
    file: File,
}

/// What a file tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// There has been no daemon.
    Nothing,
    /// It runs.
    Running {
        /// Its process.
        pid: u32,
        /// Which no other process with this number has.
        birth: String,
        /// How far it is; none while it starts.
        phase: Option<Phase>,
    },
    /// It ended, and said how.
    Ended(u8),
    /// It is gone and did not say why: it was killed, or the machine went down.
    Gone(u32),
}

impl PidFile {
    /// Makes this process the daemon; none if there is another.
    pub(super) fn take(path: &Path) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        let file = own_file::open_to_write(options.create(true).truncate(false).write(true).mode(0o644), path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let taken = Self { file };
        taken.write_living("starting")?;
        Ok(Some(taken))
    }

    /// Says how far it is.
    pub(super) fn tell(&self, phase: Phase) -> io::Result<()> {
        match phase {
            Phase::Ready => self.write_living("ready"),
            Phase::Draining(attempts) => self.write_living(&format!("draining {attempts}")),
        }
    }

    /// Says how it ended; the last thing a daemon does.
    pub(super) fn ended(self, code: u8) -> io::Result<()> {
        self.write(&format!("ended {code}\n"))
    }

    fn write_living(&self, stage: &str) -> io::Result<()> {
        let pid = std::process::id();
        let birth = node::birth(pid).ok_or_else(|| io::Error::other("/proc can't be read"))?;
        self.write(&format!("{pid}\n{birth}\n{stage}\n"))
    }

    /// Over what is there, then the rest is cut off: whoever reads meanwhile finds a first line, never an empty file.
    fn write(&self, text: &str) -> io::Result<()> {
        self.file.write_all_at(text.as_bytes(), 0)?;
        self.file.set_len(text.len() as u64)
    }
}

/// What there is to know of the daemon of a file.
///
/// It counts only if it names a process of the user who wrote it: who may write to the directory must not be able to
/// have root stop a process of somebody else's.
pub(super) fn look(path: &Path) -> io::Result<Seen> {
    let (file, owner) = match own_file::open_to_read(path) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Seen::Nothing),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
    let seen = meaning(&text, node::birth);
    match &seen {
        Seen::Running { pid, .. } if node::owner(*pid).is_some_and(|of_process| of_process != owner) => {
            Err(io::Error::other(format!("it names process {pid}, which is not of the user who wrote it; remove it")))
        }
        _ => Ok(seen),
    }
}

fn meaning(text: &str, birth_of: impl Fn(u32) -> Option<String>) -> Seen {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    if let Some(code) = first.strip_prefix("ended ").and_then(|code| code.parse().ok()) {
        return Seen::Ended(code);
    }
    let Ok(pid) = first.parse::<u32>() else { return Seen::Nothing };
    let birth = lines.next().unwrap_or_default().to_owned();
    if birth_of(pid).as_deref() == Some(birth.as_str()) {
        Seen::Running { pid, birth, phase: lines.next().and_then(phase) }
    } else {
        Seen::Gone(pid)
    }
}

fn phase(line: &str) -> Option<Phase> {
    match line.split_once(' ') {
        None if line == "ready" => Some(Phase::Ready),
        Some(("draining", attempts)) => attempts.parse().ok().map(Phase::Draining),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_has_the_number_of_a_former_daemon_is_not_it() {
        let living = |pid| (pid == 7).then(|| "boot 100".to_owned());
        let running = |phase| Seen::Running { pid: 7, birth: "boot 100".to_owned(), phase };
        assert_eq!(meaning("7\nboot 100\nready\n", living), running(Some(Phase::Ready)));
        assert_eq!(meaning("7\nboot 100\ndraining 3\n", living), running(Some(Phase::Draining(3))));
        assert_eq!(meaning("7\nboot 100\nstarting\n", living), running(None));
        assert_eq!(meaning("7\nboot 99\nready\n", living), Seen::Gone(7));
        assert_eq!(meaning("8\nboot 100\nready\n", living), Seen::Gone(8));
        assert_eq!(meaning("ended 75\n 100\nready\n", living), Seen::Ended(75));
        assert_eq!(meaning("", living), Seen::Nothing);
        assert_eq!(meaning("nonsense", living), Seen::Nothing);
    }

    #[test]
    fn there_is_one_at_a_time_and_its_end_is_remembered() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("worker.pid");
        assert_eq!(look(&path).expect("readable"), Seen::Nothing);
        let file = PidFile::take(&path).expect("writable").expect("nobody has it");
        assert!(PidFile::take(&path).expect("writable").is_none());
        assert!(matches!(look(&path).expect("readable"), Seen::Running { phase: None, .. }));
        file.tell(Phase::Ready).expect("writable");
        assert!(matches!(look(&path).expect("readable"), Seen::Running { pid, phase: Some(Phase::Ready), .. }
            if pid == std::process::id()));
        file.ended(75).expect("writable");
        assert_eq!(look(&path).expect("readable"), Seen::Ended(75));
        assert!(PidFile::take(&path).expect("writable").is_some(), "the lock went with it");
    }
}
