//! A server's process. Each has a thread that starts it, waits for its end and reaps it: the kernel ends a server when
//! the *thread* that started it ends, so that thread must live as long as the server, whatever runtimes come and go.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::{oneshot, watch};

use super::directory::Lock;
use super::error::{Error, io_error};
use super::leftover;

/// Signals that end a server, in order, each with how long it may take.
pub(super) type Ladder = &'static [(Signal, Duration)];

/// A started process.
#[derive(Debug)]
pub(super) struct Process {
    pid: u32,
    reaped: Arc<Mutex<bool>>,
    ended: watch::Receiver<Option<ExitStatus>>,
    on_drop: Signal,
}

impl Process {
    /// Starts the command. `pid_file` names the process for the next run, `lock` is held until it is gone, and
    /// `on_drop` is sent to it when nobody holds it any more.
    pub(super) async fn spawn(
        command: Command,
        pid_file: PathBuf,
        lock: Arc<Lock>,
        on_drop: Signal,
    ) -> Result<Self, Error> {
        let (started, starting) = oneshot::channel();
        let (end, ended) = watch::channel(None);
        let reaped = Arc::new(Mutex::new(false));
        let gate = Arc::clone(&reaped);
        let program = PathBuf::from(command.get_program());
        let keep = {
            let mut command = command;
            move || {
                let (mut child, pid) = match command.spawn() {
                    Ok(child) => (Some(child), Ok(())),
                    Err(error) => (None, Err(error)),
                };
                let pid = pid.map(|()| child.as_ref().map_or(0, Child::id));
                if let Ok(pid) = pid {
                    leftover::note(&pid_file, pid);
                }
                // Nobody waits for it any more: it must not live on unseen.
                if started.send(pid).is_err()
                    && let Some(child) = &mut child
                {
                    let _dead = child.kill();
                }
                if let Some(child) = child {
                    let status = reap(child, &gate);
                    let _gone = fs::remove_file(&pid_file);
                    drop(lock);
                    let _unheard = end.send(status);
                }
            }
        };
        let thread = thread::Builder::new().name("private-server".to_owned());
        thread.spawn(keep).map_err(io_error("starting a thread for", &program))?;
        let pid = starting.await.expect("the thread answers before it ends").map_err(io_error("starting", &program))?;
        Ok(Self { pid, reaped, ended, on_drop })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal; one that has ended gets none. The gate keeps the number from being somebody else's by now.
    pub(super) fn signal(&self, signal: Signal) {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*reaped && let Some(pid) = to_pid(self.pid) {
            let _gone = kill_process(pid, signal);
        }
    }

    /// A frozen process would keep the signal for later: it is woken to hear it.
    fn end(&self, signal: Signal) {
        self.signal(signal);
        self.signal(Signal::CONT);
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&self) -> Option<ExitStatus> {
        let mut ended = self.ended.clone();
        ended.wait_for(Option::is_some).await.ok().and_then(|status| *status)
    }

    /// Ends it, with ever harder signals.
    pub(super) async fn stop(&self, what: &'static str, ladder: Ladder) -> Result<(), Error> {
        for (signal, limit) in ladder {
            self.end(*signal);
            if tokio::time::timeout(*limit, self.ended()).await.is_ok() {
                return Ok(());
            }
        }
        Err(Error::Unstoppable { what, pid: self.pid })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Not waited for: its thread does, and frees the directory then.
        self.end(self.on_drop);
    }
}

pub(super) fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// Waits without reaping, so that the number stays the child's until the gate is shut.
fn reap(mut child: Child, gate: &Mutex<bool>) -> Option<ExitStatus> {
    if let Some(pid) = to_pid(child.id()) {
        let wait = || waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        let _exited = rustix::io::retry_on_intr(wait);
    }
    let mut reaped = gate.lock().unwrap_or_else(PoisonError::into_inner);
    *reaped = true;
    child.wait().ok()
}
