//! `worker stop`: asks a daemon to end, and waits while it finishes what runs.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::json;

use super::super::progress::Progress;
use super::super::serve::Phase;
use super::super::{Error, Output};
use super::journal;
use super::pid_file::{self, Seen};
use super::place::{Place, Which};
use crate::domain::plural::plural;
use crate::node;

/// What a stop may take beyond the grace period: killing what is left, storing how it ended, closing.
const AFTERWARDS: Duration = Duration::from_secs(45);
/// Below a second.
const LOOK: Duration = Duration::from_millis(100);

/// Which daemon to stop.
#[derive(Args, Debug)]
pub(in crate::cli) struct StopArgs {
    /// How long to wait for its end; else its grace period (node.shutdown_grace_s) and 45 s
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=31_536_000))]
    timeout: Option<u64>,
    #[command(flatten)]
    which: Which,
}

/// A process that can be signalled and waited for, and is not mistaken for a later one of the same number.
struct Process {
    pid: u32,
    handle: OwnedFd,
}

pub(super) fn run(out: &Output, args: &StopArgs) -> Result<(), Error> {
    let config = args.which.load()?;
    let place = Place::of(&config, args.which.name.as_deref());
    let limit = args.timeout.map_or(config.node.shutdown_grace + AFTERWARDS, Duration::from_secs);
    let process = match pid_file::look(&place.pid_file)? {
        Seen::Running { pid, birth, .. } => Process::open(pid, &birth)?,
        Seen::Nothing | Seen::Ended(_) | Seen::Gone(_) => None,
    };
    let Some(process) = process else { return nothing_runs(out, &place) };
    process.ask_to_end()?;
    out.say(&format!("worker {} finishes what runs, within {} s", process.pid, limit.as_secs()));
    if !process.has_ended_within(limit, &place)? {
        return Err(Error::Unfinished(format!(
            "worker {} has not ended within {} s and goes on; another `automagik-spark worker stop{}` ends its grace \
             period at once",
            process.pid,
            limit.as_secs(),
            place.option(),
        )));
    }
    verdict(out, process.pid, &place)
}

/// Nothing to do is no failure; but it may be that somebody looks in the wrong place.
fn nothing_runs(out: &Output, place: &Place) -> Result<(), Error> {
    if out.is_json() {
        return out.text(&format!("{:#}", json!({ "pid": null, "exit_code": null })));
    }
    out.say(&format!("no worker runs that was started with --daemon{} ({})", place.option(), place.pid_file.display()));
    if journal::has_unit() {
        out.say("the service of systemd is stopped with `systemctl stop automagik-spark`");
    }
    Ok(())
}

/// What the daemon said about its end.
fn verdict(out: &Output, pid: u32, place: &Place) -> Result<(), Error> {
    let log = place.log.display();
    match pid_file::look(&place.pid_file)? {
        Seen::Gone(_) => Err(Error::Failed(format!("worker {pid} was killed before it had finished; see {log}"))),
        Seen::Ended(code) if code != 0 => {
            let message = format!("worker {pid} ended with exit code {code}; see {log}");
            Err(Error::of_exit_code(Some(code.into()), message))
        }
        // Or another one runs by now: then this one has ended.
        Seen::Ended(_) | Seen::Nothing | Seen::Running { .. } => {
            if out.is_json() {
                return out.text(&format!("{:#}", json!({ "pid": pid, "exit_code": 0 })));
            }
            out.say(&format!("worker {pid} has stopped"));
            Ok(())
        }
    }
}

impl Process {
    /// None if it has ended meanwhile.
    fn open(pid: u32, birth: &str) -> Result<Option<Self>, Error> {
        let Some(raw) = Pid::from_raw(pid.cast_signed()) else { return Ok(None) };
        let handle = match pidfd_open(raw, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(Errno::SRCH) => return Ok(None),
            Err(error) => return Err(Error::Internal(format!("process {pid} can't be watched: {error}"))),
        };
        // Only now is it certain that the handle is of the process that the file names.
        if node::birth(pid).as_deref() != Some(birth) {
            return Ok(None);
        }
        Ok(Some(Self { pid, handle }))
    }

    fn ask_to_end(&self) -> Result<(), Error> {
        match pidfd_send_signal(&self.handle, Signal::TERM) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(Errno::PERM) => Err(Error::Failed(format!(
                "process {} belongs to another user; stop it as that user or as root",
                self.pid
            ))),
            Err(error) => Err(Error::Internal(format!("process {} can't be signalled: {error}", self.pid))),
        }
    }

    /// Shows meanwhile how far it is.
    fn has_ended_within(&self, limit: Duration, place: &Place) -> Result<bool, Error> {
        let mut progress = Progress::spinner();
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.has_ended(left.min(LOOK))? {
                return Ok(true);
            }
            if left.is_zero() {
                return Ok(false);
            }
            let running = match pid_file::look(&place.pid_file)? {
                Seen::Running { phase: Some(Phase::Draining(attempts)), .. } => {
                    plural(attempts, "attempt runs", "attempts run")
                }
                _ => "it stops".to_owned(),
            };
            progress.show(&format!("worker {}: {running}, at most {} s more", self.pid, left.as_secs()));
        }
    }

    /// Waits for its end, at most so long.
    fn has_ended(&self, at_most: Duration) -> Result<bool, Error> {
        let limit = Timespec { tv_sec: 0, tv_nsec: at_most.subsec_nanos().into() };
        // The handle of a process is readable once it has ended.
        match poll(&mut [PollFd::new(&self.handle, PollFlags::IN)], Some(&limit)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(Error::Internal(format!("process {} can't be waited for: {error}", self.pid))),
        }
    }
}
