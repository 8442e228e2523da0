//! A source for people without one: a server on loopback that answers like LangFlow, for demonstrations, load tests and
//! this package's own tests. No model, no database; its flows upper-case what they are sent.
//!
//! What a run is sent steers it:
//!
//! | input | what happens |
//! | --- | --- |
//! | `fail:TEXT` | 500, with TEXT wrapped the way LangFlow wraps what a component raised |
//! | `sleep:SECONDS` | that much later (at most an hour) the input comes back |
//! | `status:CODE` and `status:CODE:RETRY_AFTER` | that status, with that `Retry-After` |
//! | `hang` | nothing, until the caller goes away |
//! | `reset` | the connection ends without an answer |
//! | `big:BYTES` | a text of that many letters (at most 64 MB; the answer holds it five times, as LangFlow's does) |
//! | `html` | a success that is no JSON |
//! | `flaky:TIMES` | 503 for the first TIMES runs of a session, then it comes back in capitals |
//! | anything else | it comes back in capitals |
//!
//! It counts its runs: `GET /_spark/calls` tells how many there were, how many sessions (Spark makes one for each task),
//! which sessions ran more than once, and how many ran at the same time at most; `POST /_spark/reset` begins anew.

mod answer;
mod calls;
mod server;
mod steer;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::domain::source::Secret;

pub use answer::{FLOW_ID, TEXT_FLOW_ID};
pub use calls::{Call, CallCounts};

/// How the server behaves.
#[derive(Clone, Debug)]
pub struct SimulateOptions {
    /// Where it listens; port 0 means a free one.
    pub bind: SocketAddr,
    /// How long each run takes.
    pub latency: Duration,
    /// The share of runs that fail with 500, from 0 to 1.
    pub failure_rate: f64,
    /// The least size of an answer, in bytes; an answer has about 2000 by itself.
    pub answer_bytes: usize,
    /// The key that calls must carry in `x-api-key`. Empty: any, and none.
    pub api_key: Secret,
    /// Threads that answer.
    pub workers: usize,
    /// Whether each run is remembered with its times, for [`Simulated::kept_calls`]. It is a matter of memory.
    pub keep_calls: bool,
}

impl Default for SimulateOptions {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            latency: Duration::ZERO,
            failure_rate: 0.0,
            answer_bytes: 0,
            api_key: Secret::default(),
            workers: 1,
            keep_calls: false,
        }
    }
}

/// Why there is no simulated source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address can't be listened on.
    #[error("the simulated source can't listen on {address}: {why}; choose another address or port 0")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        why: std::io::Error,
    },
    /// No thread could be started, or the server could not take the listener over.
    #[error("the simulated source could not start: {0}")]
    Start(std::io::Error),
    /// An option has no meaning.
    #[error("{0}")]
    Option(&'static str),
}

impl Error {
    /// Whether the same call may succeed later without anybody's doing.
    pub fn is_transient(&self) -> bool {
        false
    }

    /// Stable name of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Bind { .. } => "simulate_bind",
            Self::Start(_) => "simulate_start",
            Self::Option(_) => "simulate_option",
        }
    }
}

/// A running server. It ends with [`Simulated::stop`], and when this is dropped.
#[derive(Debug)]
pub struct Simulated {
    address: SocketAddr,
    calls: Arc<calls::CallLog>,
    /// Sending, or dropping, ends the server.
    stop: oneshot::Sender<()>,
    /// Closed when the server's thread has ended.
    ended: oneshot::Receiver<()>,
}

impl Simulated {
    /// The url to give to Spark as a source.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What `GET /_spark/calls` answers.
    pub fn calls(&self) -> CallCounts {
        self.calls.counts()
    }

    /// Each call, in the order of their beginnings, since the start; none unless they are [kept](SimulateOptions).
    pub fn kept_calls(&self) -> Vec<Call> {
        self.calls.kept()
    }

    /// Forgets the calls so far, as `POST /_spark/reset` does.
    pub fn forget_calls(&self) {
        self.calls.clear();
    }

    /// Ends the server at once, running calls included, and waits until its port is free again.
    pub async fn stop(self) {
        let Self { stop, ended, .. } = self;
        drop(stop);
        // It is only ever closed: that is the message.
        let _ = ended.await;
    }
}

/// Starts a server, on threads and a runtime of its own: it works from any async or blocking context. When this returns
/// the server takes connections.
///
/// # Errors
/// The address is taken, an option has no meaning, or the system has no thread left.
pub fn start(options: SimulateOptions) -> Result<Simulated, Error> {
    if !(0.0..=1.0).contains(&options.failure_rate) {
        return Err(Error::Option("the failure rate must be between 0 and 1"));
    }
    if options.workers == 0 {
        return Err(Error::Option("there must be at least one worker"));
    }
    let bind = |why| Error::Bind { address: options.bind, why };
    let listener = TcpListener::bind(options.bind).map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let calls = Arc::new(calls::CallLog::new(options.keep_calls));
    let (stop, stopped) = oneshot::channel();
    let (ending, ended) = oneshot::channel();
    let state = server::State::new(&options, Arc::clone(&calls));
    std::thread::Builder::new()
        .name("simulate".to_owned())
        .spawn(move || {
            let _ending = ending;
            if let Err(error) = server::serve(listener, options.workers, state, stopped) {
                log::error!("the simulated source ended: {error}");
            }
        })
        .map_err(Error::Start)?;
    Ok(Simulated { address, calls, stop, ended })
}

/// Runs a server until `shutdown` ends; `ready` is told its url. Returns what was counted.
///
/// # Errors
/// As [`start`].
pub async fn run_until(
    options: SimulateOptions,
    ready: impl FnOnce(&Simulated),
    shutdown: impl Future<Output = ()>,
) -> Result<CallCounts, Error> {
    let server = start(options)?;
    ready(&server);
    shutdown.await;
    let counts = server.calls();
    server.stop().await;
    Ok(counts)
}
