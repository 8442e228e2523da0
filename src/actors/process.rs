//! Starting child processes and seeing them end.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// All of the service's environment that a child is given. It may hold the service's own secrets, and a child, which
/// parses what other servers answer, has no use for them. Proxies, and the certificates that this machine trusts, are
/// for calling sources; the rest is how the system's libraries and a panic behave.
const KEPT: &[&str] = &[
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "RES_OPTIONS",
    "LOCALDOMAIN",
    "MALLOC_ARENA_MAX",
    "LD_LIBRARY_PATH",
    "RUST_BACKTRACE",
    #[cfg(debug_assertions)]
    crate::fault::VARIABLE,
];

/// What a child is.
#[derive(Clone, Debug)]
pub struct ChildCommand {
    /// The program: this very one, also after its file was replaced by an upgrade.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl ChildCommand {
    /// The executor command of this program.
    pub fn of_this_program() -> Self {
        Self { program: "/proc/self/exe".into(), arguments: vec!["executor".into()] }
    }
}

/// A running child and the executor's end of its socket.
#[derive(Debug)]
pub struct Spawned {
    /// The process; killed if dropped.
    pub child: Child,
    /// The socket; the other end is the child's standard input.
    pub socket: UnixStream,
}

type Request = oneshot::Sender<io::Result<Spawned>>;

/// Starts children, all from one thread that lives as long as the process: the signal that a child gets when its
/// parent dies is tied to the thread that started it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Spawner {
    requests: mpsc::Sender<Request>,
}

impl Spawner {
    /// Starts the thread.
    ///
    /// # Errors
    /// The thread can't be started.
    pub fn start(command: ChildCommand, runtime: Handle) -> io::Result<Self> {
        let (requests, inbox) = mpsc::channel::<Request>();
        std::thread::Builder::new().name("spawner".to_owned()).spawn(move || {
            let _reactor = runtime.enter();
            for request in inbox {
                // Whoever asked may be gone; the child then dies with what is dropped here.
                drop(request.send(spawn(&command)));
            }
        })?;
        Ok(Self { requests })
    }

    /// Starts a child.
    ///
    /// # Errors
    /// The system can't start a process (no memory, too many processes, the program is gone).
    pub async fn spawn(&self) -> io::Result<Spawned> {
        let gone = || io::Error::other("the spawner's thread has ended");
        let (reply, spawned) = oneshot::channel();
        self.requests.send(reply).map_err(|_| gone())?;
        spawned.await.map_err(|_| gone())?
    }
}

fn spawn(command: &ChildCommand) -> io::Result<Spawned> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let child = Command::new(&command.program)
        .arg0("automagik-spark")
        .args(&command.arguments)
        .env_clear()
        .envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        // A Ctrl-C in the terminal is for the service, which then drains its children.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    Ok(Spawned { child, socket: UnixStream::from_std(ours)? })
}

/// How long a child that closed its socket may take to exit.
pub(super) const EXIT_GRACE: Duration = Duration::from_secs(2);

/// Waits for the exit of a child whose socket is closed; kills it if it lingers.
pub async fn reap(child: &mut Child) -> io::Result<ExitStatus> {
    if let Ok(status) = tokio::time::timeout(EXIT_GRACE, child.wait()).await {
        return status;
    }
    child.start_kill()?;
    child.wait().await
}
