//! What both servers have in common: a directory, a port, a process.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::RngExt;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::directory::Directory;
use super::error::{Error, io_error};
use super::leftover;
use super::process::{Ladder, Process};

/// Below the range from which systems take the ports of outgoing connections: a server that is stopped and started
/// again finds its port free.
const PORTS: std::ops::Range<u16> = 20_000..30_000;
const PORT_TRIES: u32 = 8;
const READY_WITHIN: Duration = Duration::from_secs(60);
const SESSIONS_GONE_WITHIN: Duration = Duration::from_secs(15);
const SESSIONS_LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What differs between the servers.
pub(super) trait Kind: Send + Sync {
    /// Its name in messages and in the names of its files.
    const NAME: &'static str;
    /// How it is ended: cleanly, then harder.
    const LADDER: Ladder;

    /// The command that serves on this port.
    fn command(&self, directory: &Directory, port: u16) -> Result<Command, Error>;

    /// Whether it answers, and to our password; why not otherwise.
    fn probe(&self, port: u16) -> impl Future<Output = Result<(), String>> + Send;
}

/// A running server.
#[derive(Debug)]
pub(super) struct Server<K: Kind> {
    pub(super) kind: K,
    pub(super) directory: Directory,
    pub(super) port: u16,
    process: Process,
}

impl<K: Kind> Server<K> {
    /// Starts it on a free port. Between the choice of a port and its use somebody else may take it: then another.
    pub(super) async fn start(kind: K, directory: Directory) -> Result<Self, Error> {
        stop_leftover::<K>(&directory).await?;
        let mut tries = 0;
        loop {
            let port = free_port()?;
            match launch_patiently(&kind, &directory, port).await {
                Ok(process) => return Ok(Self { kind, directory, port, process }),
                Err(Error::Failed { why, .. }) if why.contains("ddress already in use") && tries < PORT_TRIES => {
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts it once more where it was, ending it first if it still runs.
    pub(super) async fn start_again(&mut self) -> Result<(), Error> {
        self.stop().await?;
        self.process = launch_patiently(&self.kind, &self.directory, self.port).await?;
        Ok(())
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(super) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    pub(super) async fn stop(&self) -> Result<(), Error> {
        self.process.stop(K::NAME, K::LADDER).await
    }
}

/// Ends a server of a former run in this directory.
pub(super) async fn stop_leftover<K: Kind>(directory: &Directory) -> Result<(), Error> {
    leftover::stop(K::NAME, &pid_file::<K>(directory), K::LADDER).await
}

/// Where a server's output goes.
pub(super) fn log_file(directory: &Directory, name: &str) -> PathBuf {
    directory.asked.join(format!("{name}.log"))
}

fn pid_file<K: Kind>(directory: &Directory) -> PathBuf {
    directory.asked.join(format!("{}.process", K::NAME))
}

/// After a kill of the postmaster its sessions take a moment to notice; until then a new one refuses to start.
async fn launch_patiently<K: Kind>(kind: &K, directory: &Directory, port: u16) -> Result<Process, Error> {
    let deadline = Instant::now() + SESSIONS_GONE_WITHIN;
    loop {
        match launch(kind, directory, port).await {
            Err(Error::Failed { why, .. }) if why.contains("shared memory block") && Instant::now() < deadline => {
                sleep(SESSIONS_LOOK_EVERY).await;
            }
            done => return done,
        }
    }
}

async fn launch<K: Kind>(kind: &K, directory: &Directory, port: u16) -> Result<Process, Error> {
    let mut command = kind.command(directory, port)?;
    let path = log_file(directory, K::NAME);
    let log = File::create(&path).map_err(io_error("creating", &path))?;
    let again = log.try_clone().map_err(io_error("opening", &path))?;
    // A group of its own: the Ctrl+C that a terminal sends to ours must not reach it before we are done with it.
    command.stdout(Stdio::from(log)).stderr(Stdio::from(again)).process_group(0);
    let process = Process::spawn(command, pid_file::<K>(directory), directory.lock.clone(), K::LADDER[0].0).await?;
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        let refusal = tokio::select! {
            biased;
            _ = process.ended() => return Err(failed(K::NAME, tail(&path), path)),
            answer = kind.probe(port) => match answer {
                Ok(()) => return Ok(process),
                Err(refusal) => refusal,
            },
        };
        if Instant::now() >= deadline {
            process.signal(Signal::KILL);
            let why = format!("it did not answer on port {port} within {} s ({refusal})", READY_WITHIN.as_secs());
            return Err(failed(K::NAME, why, path));
        }
        sleep(LOOK_EVERY).await;
    }
}

pub(super) fn failed(what: &'static str, why: String, log: PathBuf) -> Error {
    Error::Failed { what, why, log }
}

/// The last lines of a log: they say why a server ended.
pub(super) fn tail(path: &std::path::Path) -> String {
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.len().saturating_sub(8);
    if lines.is_empty() { "it ended without a word".to_owned() } else { lines[last..].join(" | ") }
}

fn free_port() -> Result<u16, Error> {
    let mut rng = rand::rng();
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    std::iter::repeat_with(|| rng.random_range(PORTS)).take(1000).find(free).ok_or_else(|| {
        let why = format!("no free port among {}-{} of 127.0.0.1", PORTS.start, PORTS.end);
        failed("choosing a port", why, PathBuf::from("/proc/net/tcp"))
    })
}

/// A new password: letters and digits only, so that it needs no quoting anywhere.
pub(super) fn new_password() -> String {
    format!("{:032x}", rand::rng().random::<u128>())
}
