//! The directory of a server: who holds it, and where the server's account can reach its data.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::account::Runner;
use super::error::{Error, io_error};

/// Where data goes that an unprivileged account could not reach where it was asked for. Only root comes here.
const REACHABLE: &str = "/var/lib/automagik-spark-dev";
/// How often, and how far apart, a held lock is tried: a process that was just killed may take a moment to go.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(25);

/// The right to use a directory. Held by whoever runs a server in it until that server is gone.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held for its lock, which ends when it is closed")] File);

/// A directory that is ours.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    /// Where it was asked for: the lock and the log.
    pub(super) asked: PathBuf,
    /// Where the data is: the same, if the server's account can reach it.
    pub(super) home: PathBuf,
    pub(super) runner: Runner,
    pub(super) lock: Arc<Lock>,
}

impl Directory {
    pub(super) async fn open(dir: &Path) -> Result<Self, Error> {
        let runner = Runner::new()?;
        make(dir)?;
        let asked = fs::canonicalize(dir).map_err(io_error("resolving", dir))?;
        let lock = Arc::new(take_lock(&asked).await?);
        let home = if runner.is_other() { reachable_home(&asked, &runner)? } else { asked.clone() };
        Ok(Self { asked, home, runner, lock })
    }

    /// Writes a file that only the server's account can read.
    pub(super) fn write_secret(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.home.join(name);
        let write = || {
            // Replaced, not overwritten: the old one's owner and mode do not matter then.
            let _gone = fs::remove_file(&path);
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?.write_all(text.as_bytes())
        };
        write().map_err(io_error("writing", &path))?;
        self.runner.give(&path)?;
        Ok(path)
    }

    /// A directory for the server's account alone.
    pub(super) fn own_dir(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.home.join(name);
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(io_error("creating", &path)(error)),
            _ => self.runner.give(&path).map(|()| path),
        }
    }
}

fn make(dir: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o711).create(dir).map_err(io_error("creating", dir))
}

/// The directory itself is opened for passing through; its parents are not ours to change.
fn reachable_home(asked: &Path, runner: &Runner) -> Result<PathBuf, Error> {
    let metadata = fs::metadata(asked).map_err(io_error("reading", asked))?;
    if metadata.mode() & 0o001 == 0 {
        let mode = Permissions::from_mode(metadata.mode() | 0o001);
        fs::set_permissions(asked, mode).map_err(io_error("opening", asked))?;
    }
    if runner.can_enter(asked) {
        return Ok(asked.to_owned());
    }
    if !runner.can_enter(Path::new("/")) {
        return Err(Error::Confined);
    }
    let home = Path::new(REACHABLE).join(format!("{:016x}", fingerprint(asked.as_os_str().as_encoded_bytes())));
    make(&home)?;
    if !runner.can_enter(&home) {
        return Err(io_error("entering", &home)(std::io::ErrorKind::PermissionDenied.into()));
    }
    Ok(home)
}

/// FNV-1a: the same on every run and in every version, unlike the standard library's.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

async fn take_lock(dir: &Path) -> Result<Lock, Error> {
    let path = dir.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(io_error("opening", &path))?;
    for _ in 0..LOCK_TRIES {
        if file.try_lock().is_ok() {
            let note = |file: &mut File| file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
            note(&mut file).map_err(io_error("writing", &path))?;
            return Ok(Lock(file));
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    let pid = fs::read_to_string(&path).ok().filter(|pid| !pid.is_empty()).unwrap_or_else(|| "(unknown)".to_owned());
    Err(Error::InUse { dir: dir.to_owned(), pid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_held_directory_is_refused_by_name_and_free_once_it_is_let_go() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = Directory::open(dir.path()).await.expect("free");
        let refused = Directory::open(dir.path()).await.expect_err("held");
        assert!(refused.is_transient());
        assert!(refused.to_string().contains(&format!("in use by process {}", std::process::id())), "{refused}");
        drop(first);
        Directory::open(dir.path()).await.expect("free again");
    }

    #[tokio::test]
    async fn data_goes_elsewhere_if_only_root_can_enter_the_directory() {
        let private = tempfile::tempdir().expect("a directory");
        fs::set_permissions(private.path(), Permissions::from_mode(0o700)).expect("ours");
        let asked = private.path().join("checkout/.spark");
        let directory = Directory::open(&asked).await.expect("opens");
        assert_eq!(directory.asked, fs::canonicalize(&asked).expect("made"));
        assert!(directory.runner.can_enter(&directory.home), "{directory:?}");
        let again = directory.home.clone();
        drop(directory);
        let directory = Directory::open(&asked).await.expect("opens");
        assert_eq!(directory.home, again, "the data is found again");
        if rustix::process::geteuid().is_root() {
            assert!(directory.home.starts_with(REACHABLE), "{directory:?}");
            fs::remove_dir_all(&directory.home).expect("removed");
        } else {
            assert_eq!(directory.home, directory.asked, "our own directory serves us");
        }
    }

    #[test]
    fn fingerprints_are_stable() {
        assert_eq!(fingerprint(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fingerprint(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
