//! Servers of a former run that was killed and whose servers, against all care, live on.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use tokio::time::Instant;

use super::error::Error;
use super::process::{Ladder, to_pid};

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Notes which process serves a directory. Its start time tells it from a later process with the same number.
/// Best effort: without the note a leftover is only noticed by what it holds on to.
pub(super) fn note(pid_file: &Path, pid: u32) {
    if let Some(identity) = identity(pid) {
        let _unwritable = fs::write(pid_file, format!("{pid} {identity}"));
    }
}

/// Ends what a former run left running. The caller holds the directory's lock, so that run is over.
pub(super) async fn stop(what: &'static str, pid_file: &Path, ladder: Ladder) -> Result<(), Error> {
    let Some(pid) = fs::read_to_string(pid_file).ok().and_then(|text| living(&text)) else { return Ok(()) };
    let noted = identity(pid);
    log::warn!("{what} of a former run is still there (process {pid}): stopping it");
    for (signal, limit) in ladder {
        if let Some(pid) = to_pid(pid) {
            let _gone = kill_process(pid, *signal);
            let _gone = kill_process(pid, Signal::CONT);
        }
        let deadline = Instant::now() + *limit;
        while Instant::now() < deadline {
            if identity(pid) != noted {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    Err(Error::Unstoppable { what, pid })
}

/// The process of a note, if it is still that one.
fn living(note: &str) -> Option<u32> {
    let (pid, noted) = note.split_once(' ')?;
    let pid = pid.parse().ok()?;
    (identity(pid)? == noted).then_some(pid)
}

/// What no two processes share: this boot, and the time since it at which the process started. `None`: it is gone.
fn identity(pid: u32) -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(format!("{} {}", boot.trim(), start_time(&stat)?))
}

/// Field 22 of `/proc/PID/stat`. The name (field 2) may hold spaces and parentheses; a zombie (field 3) is gone.
fn start_time(stat: &str) -> Option<&str> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9";
        assert_eq!(start_time(stat), Some("4711"));
        assert_eq!(start_time(&stat.replace(" S ", " Z ")), None);
    }

    #[test]
    fn only_the_noted_process_is_a_leftover() {
        let pid = std::process::id();
        let right = format!("{pid} {}", identity(pid).expect("we live"));
        assert_eq!(living(&right), Some(pid));
        assert_eq!(living(&format!("{right}0")), None, "another start time");
        assert_eq!(living(""), None);
    }

    #[tokio::test]
    async fn a_leftover_is_ended_even_if_it_ignores_the_first_signal() {
        const LADDER: Ladder = &[(Signal::WINCH, Duration::from_millis(50)), (Signal::KILL, Duration::from_secs(10))];
        let dir = tempfile::tempdir().expect("a directory");
        let pid_file = dir.path().join("process");
        stop("it", &pid_file, LADDER).await.expect("no note, nothing to do");
        let mut child = Command::new("tail").args(["-f", "/dev/null"]).spawn().expect("starts");
        note(&pid_file, child.id());
        stop("it", &pid_file, LADDER).await.expect("ended");
        assert_eq!(child.wait().expect("ended").signal(), Some(9));
        stop("it", &pid_file, LADDER).await.expect("it is gone by now");
    }
}
