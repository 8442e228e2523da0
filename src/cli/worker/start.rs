//! `worker start`: the part of the service that runs tasks, here in the foreground or as a daemon.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::Instant;

use super::super::progress::Progress;
use super::super::serve::{self, Capacity, Settings, Setup};
use super::super::{Error, Output, block_on};
use super::own_file;
use super::pid_file::{self, PidFile, Seen};
use super::place::{self, Place};
use crate::config::{Config, Flags};

/// How long a start may take: migrations of a large database come first.
const START_LIMIT: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(50);
/// So much of the end of a log is searched for the reason of a failed start.
const TAIL: u64 = 64 * 1024;

/// How to run tasks.
#[derive(Args, Debug)]
pub(in crate::cli) struct StartArgs {
    #[command(flatten)]
    capacity: Capacity,
    /// In the background; says so when it is ready, or why it is not. Under systemd the unit does that
    #[arg(short, long)]
    daemon: bool,
    /// Tells several daemons of one machine apart; else `worker`
    #[arg(long, value_parser = place::name, requires = "daemon")]
    name: Option<String>,
    #[command(flatten)]
    settings: Settings,
    /// This process is the daemon: what `--daemon` adds for the process it starts
    #[arg(long, hide = true, requires = "daemon")]
    detached: bool,
}

impl StartArgs {
    /// Whether this process is the daemon itself.
    pub(super) fn is_daemon(&self) -> bool {
        self.detached
    }
}

pub(super) fn run(out: &Output, mut args: StartArgs, debug: bool) -> Result<(), Error> {
    if debug {
        args.settings.debug();
    }
    let Capacity { workers, threads, queues } = args.capacity;
    let flags = Flags { roles: vec!["worker".to_owned()], workers, threads, queues, ..Flags::default() };
    let setup = args.settings.load(flags)?;
    if !args.daemon {
        return serve::run(&setup, |_| {});
    }
    let place = Place::of(&setup.config, args.name.as_deref());
    if args.detached { detached(&setup, &place) } else { launch(out, &setup.config, &place) }
}

/// The daemon's own life.
fn detached(setup: &Setup, place: &Place) -> Result<(), Error> {
    rustix::process::setsid()
        .map_err(|error| Error::Internal(format!("the terminal's session can't be left: {error}")))?;
    let file = PidFile::take(&place.pid_file)
        .map_err(|error| unusable(&place.pid_file, &error))?
        .ok_or_else(|| running(place, "another process"))?;
    let result = serve::run(setup, |phase| note(file.tell(phase)));
    note(file.ended(result.as_ref().err().map_or(0, Error::exit_code)));
    result
}

/// Starts the daemon and waits for what becomes of it.
fn launch(out: &Output, config: &Config, place: &Place) -> Result<(), Error> {
    let directory = &config.state_dir;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|error| unusable(directory, &error))?;
    if let Seen::Running { pid, .. } =
        pid_file::look(&place.pid_file).map_err(|error| unusable(&place.pid_file, &error))?
    {
        return Err(running(place, &format!("process {pid}")));
    }
    let mut options = OpenOptions::new();
    let options = options.create(true).append(true).mode(0o640);
    let log = if place.is_log_chosen { options.open(&place.log) } else { own_file::open_to_write(options, &place.log) };
    let log = log.map_err(|error| unusable(&place.log, &error))?;
    let written = log.metadata()?.len();
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).arg("--detached");
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    block_on(async {
        let mut child = tokio::process::Command::from(command).spawn()?;
        let pid = child.id().unwrap_or_default();
        let mut progress = Progress::spinner();
        let started = Instant::now();
        let mut ticks = tokio::time::interval(LOOK);
        loop {
            ticks.tick().await;
            if let Some(status) = child.try_wait()? {
                return Err(did_not_start(status, &place.log, written));
            }
            let seen = pid_file::look(&place.pid_file)?;
            if matches!(seen, Seen::Running { pid: found, phase: Some(_), .. } if found == pid) {
                break;
            }
            if started.elapsed() > START_LIMIT {
                let (limit, log) = (START_LIMIT.as_secs(), place.log.display());
                return Err(Error::Unavailable(format!(
                    "the worker (process {pid}) is not ready after {limit} s; it goes on trying, see {log}"
                )));
            }
            progress.show(&format!("the worker starts (process {pid})"));
        }
        drop(progress);
        report(out, pid, place)
    })
}

fn report(out: &Output, pid: u32, place: &Place) -> Result<(), Error> {
    if out.is_json() {
        let files = json!({ "pid": pid, "name": place.name, "pid_file": place.pid_file, "log": place.log });
        return out.text(&format!("{files:#}"));
    }
    let (log, option) = (place.log.display(), place.option());
    out.say(&format!(
        "the worker runs as process {pid} and logs to {log}; `automagik-spark worker stop{option}` stops it"
    ));
    Ok(())
}

/// Why a daemon ended at its start, with the exit code that it had.
fn did_not_start(status: ExitStatus, log: &Path, written: u64) -> Error {
    let reason = reason(log, written).unwrap_or_else(|error| Some(format!("its log can't be read: {error}")));
    let reason = reason.unwrap_or_else(|| status.to_string());
    let message = format!("the worker did not start: {reason}; its log is {}", log.display());
    Error::of_exit_code(status.code(), message)
}

/// The error that was written to a log since it had so many bytes.
fn reason(log: &Path, written: u64) -> io::Result<Option<String>> {
    let mut file = std::fs::File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(written.max(length.saturating_sub(TAIL))))?;
    let mut text = Vec::new();
    file.take(TAIL).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    // An error of the configuration has several lines.
    Ok(text.rfind("error: ").map(|at| text[at + "error: ".len()..].trim().to_owned()))
}

fn running(place: &Place, by: &str) -> Error {
    let (file, option) = (place.pid_file.display(), place.option());
    Error::Failed(format!(
        "the worker runs already, as {by} ({file}); `automagik-spark worker stop{option}` stops it, --name starts another"
    ))
}

fn unusable(path: &Path, error: &io::Error) -> Error {
    Error::Usage(format!("{} can't be used: {error}; choose another place with state_dir or log.file", path.display()))
}

/// A daemon works on though its file can't be written; who starts or stops it can't tell how far it is.
fn note(written: io::Result<()>) {
    if let Err(error) = written {
        log::warn!("the file of the process id can't be written: {error}");
    }
}
