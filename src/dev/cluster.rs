//! The data directory of a private PostgreSQL: made once, then found again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::binaries::PostgresBinaries;
use super::directory::Directory;
use super::error::{Error, io_error};
use super::postgres::USER;
use super::process::{Ladder, Process};
use super::server::{failed, log_file, new_password, tail};
use super::{Durability, leftover};

/// The data directory's name in its home.
pub(super) const DATA: &str = "data";
const UNFINISHED: &str = "data.new";
const PASSWORD: &str = "password";
const INITDB: &str = "initdb";
const INITDB_LADDER: Ladder = &[(Signal::KILL, Duration::from_secs(10))];
const INITDB_WITHIN: Duration = Duration::from_secs(120);

/// Finds or makes the data directory; answers what serves it, and the password.
pub(super) async fn prepare(
    directory: &Directory,
    mut installed: Vec<PostgresBinaries>,
    durability: Durability,
) -> Result<(PostgresBinaries, String), Error> {
    let data = directory.home.join(DATA);
    let version_file = data.join("PG_VERSION");
    if version_file.exists() {
        let version = fs::read_to_string(&version_file).map_err(io_error("reading", &version_file))?;
        let version = version.trim().to_owned();
        let path = directory.home.join(PASSWORD);
        let password = fs::read_to_string(&path).map_err(io_error("reading", &path))?;
        let fitting = installed.into_iter().find(|binaries| binaries.version == version);
        return fitting.map(|binaries| (binaries, password)).ok_or(Error::WrongVersion { data, version });
    }
    let binaries = installed.swap_remove(0);
    let password = new_password();
    initdb(directory, &binaries, &password, durability).await?;
    Ok((binaries, password))
}

/// Made under another name and then renamed: one that was cut short is never mistaken for a whole one.
async fn initdb(
    directory: &Directory,
    binaries: &PostgresBinaries,
    password: &str,
    durability: Durability,
) -> Result<(), Error> {
    let note = directory.asked.join("initdb.process");
    leftover::stop(INITDB, &note, INITDB_LADDER).await?;
    let unfinished = directory.home.join(UNFINISHED);
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(io_error("removing", &unfinished))?;
    }
    directory.own_dir(UNFINISHED)?;
    let password_file = directory.write_secret(PASSWORD, password)?;

    let mut command = directory.runner.command(&binaries.initdb, Signal::KILL);
    command.arg("-D").arg(&unfinished).arg("--pwfile").arg(&password_file);
    command.args(["--username", USER, "--encoding", "UTF8", "--locale", "C", "--auth", "password"]);
    if durability == Durability::Throwaway {
        // Small log segments: they are written in full when they are made, and copied with the directory.
        command.args(["--no-sync", "--wal-segsize", "1"]);
    }
    let log = log_file(directory, INITDB);
    let file = fs::File::create(&log).map_err(io_error("creating", &log))?;
    command.stderr(file.try_clone().map_err(io_error("opening", &log))?).stdout(file);
    let process = Process::spawn(command, note, directory.lock.clone(), Signal::KILL).await?;
    match tokio::time::timeout(INITDB_WITHIN, process.ended()).await {
        Ok(Some(status)) if status.success() => {}
        Ok(_) => return Err(failed(INITDB, tail(&log), log)),
        Err(_) => return Err(failed(INITDB, format!("not done within {} s", INITDB_WITHIN.as_secs()), log)),
    }
    fs::rename(&unfinished, directory.home.join(DATA)).map_err(io_error("renaming", &unfinished))
}

/// PostgreSQL takes its lock file for a living server's when the number in it belongs to any process by now. Ours are
/// dealt with by the time this is called, so a living process that does not serve this directory is such a stranger.
/// A dead one's file stays: PostgreSQL needs it to find out whether sessions of that server survive.
pub(super) fn clear_stale_pid(directory: &Directory) {
    let data = directory.home.join(DATA);
    let path = data.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&path) else { return };
    let Some(pid) = text.lines().next().and_then(|line| line.trim().parse::<u32>().ok()) else { return };
    let Ok(arguments) = fs::read(format!("/proc/{pid}/cmdline")) else { return };
    if !serves(&arguments, &data) {
        let _gone = fs::remove_file(&path);
    }
}

/// Whether these arguments (each ends with a zero byte) are a postmaster's of this directory.
fn serves(arguments: &[u8], data: &Path) -> bool {
    arguments.split(|byte| *byte == 0).any(|argument| argument == data.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::PrivatePostgres;
    use super::*;

    #[test]
    fn a_stranger_is_told_from_a_postmaster() {
        let arguments = b"/usr/lib/postgresql/15/bin/postgres\0-D\0/x/data\0-c\0port=1\0";
        assert!(serves(arguments, Path::new("/x/data")));
        assert!(!serves(arguments, Path::new("/x/dat")));
        assert!(!serves(b"", Path::new("/x/data")));
    }

    #[tokio::test]
    async fn a_lock_file_that_names_a_stranger_does_not_keep_it_from_starting() {
        let dir = tempfile::tempdir().expect("a directory");
        let data = PrivatePostgres::prepare(dir.path(), Durability::Throwaway).await.expect("prepared");
        // This process lives and is no postmaster.
        let text = format!("{}\n{}\n1700000000\n20000\n\n127.0.0.1\n\n", std::process::id(), data.display());
        fs::write(data.join("postmaster.pid"), text).expect("written");
        let server = PrivatePostgres::start_with(dir.path(), Durability::Throwaway).await.expect("starts");
        server.create_database("works").await.expect("works");
        server.stop().await.expect("stops");
        clean(&data, dir.path());
    }

    #[tokio::test]
    async fn it_outlives_its_own_death() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut server = PrivatePostgres::start_with(dir.path(), Durability::Throwaway).await.expect("starts");
        let url = server.url("kept");
        server.create_database("kept").await.expect("made");
        server.create_database("kept").await.expect("there already");
        server.signal(Signal::KILL);
        server.start_again().await.expect("starts after a kill");
        assert_eq!(server.url("kept"), url);
        server.copy_database("copy", "kept").await.expect("the database is still there");
        server.drop_database("copy").await.expect("dropped");

        let second = PrivatePostgres::start(dir.path()).await.expect_err("in use");
        assert_eq!(second.code(), "dev_in_use");
        server.stop().await.expect("stops");
        let data = server.data_dir();
        drop(server);
        let server = PrivatePostgres::start(dir.path()).await.expect("the directory is free again");
        server.copy_database("copy", "kept").await.expect("the database is still there");
        server.stop().await.expect("stops");
        clean(&data, dir.path());
    }

    /// Removes data that had to go elsewhere because the temporary directory is not reachable.
    fn clean(data: &Path, asked: &Path) {
        if !data.starts_with(asked) {
            fs::remove_dir_all(data.parent().expect("it has a home")).expect("removed");
        }
    }
}
