//! The directory in which a test process keeps the files of its servers.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Memory, where databases are made and removed several times faster than on a disk.
const MEMORY: &str = "/dev/shm";
/// Free room that it must have; containers often have little.
const ROOM_BYTES: u64 = 2 << 30;
/// Waits until its input ends, which is when this process is gone, then until PostgreSQL is (at most ten seconds).
const CLEANER: &str = r#"
read -r _
n=0
while [ -e "$1/postgres/data/postmaster.pid" ] && [ $n -lt 100 ]; do n=$((n + 1)); sleep 0.1; done
rm -rf -- "$1""#;

/// The directory of this process. A cleaner removes it when the process ends, however it ends; should that one be
/// killed too, the next run does: the directory is locked as long as the process lives.
pub(crate) struct ProcessRoot {
    pub(crate) path: PathBuf,
    pub(crate) uid: u32,
    _alive: File,
    /// Its input is held open by being kept here.
    _cleaner: Child,
}

impl ProcessRoot {
    pub(crate) fn new() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let all = place().join(format!("automagik-spark-it-{uid}"));
        make_dir(&all);
        let owner = fs::metadata(&all).expect("just made").uid();
        assert_eq!(owner, uid, "{} belongs to somebody else: remove it", all.display());
        // One at a time, so that nobody takes a directory that is not locked yet for an old one.
        let gate = File::create(all.join("lock")).expect("ours to write");
        gate.lock().expect("locks work here");
        for old in fs::read_dir(&all).expect("readable").flatten().filter(|entry| entry.path().is_dir()) {
            let is_alive = File::open(old.path().join("alive")).is_ok_and(|file| file.try_lock().is_err());
            if !is_alive {
                // Its server may be writing its last file: then the run after this one removes it.
                let _busy = fs::remove_dir_all(old.path());
            }
        }
        let path = all.join(uuid::Uuid::new_v4().simple().to_string());
        make_dir(&path);
        let alive = File::create(path.join("alive")).expect("ours to write");
        alive.lock().expect("nobody else knows it");
        let cleaner = clean_at_the_end(&path);
        Self { path, uid, _alive: alive, _cleaner: cleaner }
    }

    /// A directory for one test's servers.
    pub(crate) fn dir(&self, number: u32) -> PathBuf {
        let path = self.path.join(number.to_string());
        make_dir(&path);
        path
    }
}

/// Makes a directory that the servers' account can pass through.
pub(crate) fn make_dir(path: &Path) {
    DirBuilder::new().recursive(true).mode(0o711).create(path).expect("the temporary directory is writable");
}

fn place() -> PathBuf {
    let has_room = rustix::fs::statvfs(MEMORY).is_ok_and(|fs| fs.f_bavail.saturating_mul(fs.f_frsize) >= ROOM_BYTES);
    if has_room { PathBuf::from(MEMORY) } else { std::env::temp_dir() }
}

fn clean_at_the_end(path: &Path) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", CLEANER, "cleaner"]).arg(path).current_dir("/");
    // A group of its own: a Ctrl+C at the tests is not meant for it.
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command.spawn().expect("a shell runs")
}
