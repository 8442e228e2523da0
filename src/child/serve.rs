//! The child's main loop.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::UnixStream;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::run::{Ran, run};
use crate::child::frames::{AttemptKey, FromChild, StartChild, ToChild, codec, decode, encode};
use crate::domain::adapter::Adapters;
use crate::domain::outcome::{Failure, Outcome};
use crate::sources::{self, HttpClient, HttpOptions};

/// Why a child ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Standard input is no socket: somebody ran the command by hand.
    #[error("`executor` is started by the service itself; its standard input must be the service's socket ({0})")]
    NotASocket(io::Error),
    /// The socket broke.
    #[error("the socket to the service broke: {0}")]
    Socket(#[from] io::Error),
    /// A frame could not be read or written.
    #[error("a frame is not what was expected: {0}")]
    Frame(#[from] serde_json::Error),
    /// The HTTP client could not be made.
    #[error(transparent)]
    Http(#[from] sources::Error),
}

/// Serves the executor at the other end of standard input until it closes the socket.
///
/// # Errors
/// Standard input is no socket, or the socket broke.
pub fn serve() -> Result<(), Error> {
    // A wedged child must not outlive the service. Tied to the thread that spawned it, which lives as long.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).map_err(io::Error::from)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // The first frame holds no answer, and brings the real limit.
        let mut frames = Framed::new(socket()?, codec(0));
        let Some(first) = frames.next().await else { return Ok(()) };
        let ToChild::Start(start) = decode(&first?)? else { return Ok(()) };
        *frames.codec_mut() = codec(start.max_answer_bytes);
        Child::new(frames, start)?.serve().await
    })
}

fn socket() -> Result<UnixStream, Error> {
    let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(Error::NotASocket)?;
    let socket = StdUnixStream::from(stdin);
    socket.peer_addr().map_err(Error::NotASocket)?;
    socket.set_nonblocking(true)?;
    Ok(UnixStream::from_std(socket)?)
}

struct Child {
    frames: Framed<UnixStream, LengthDelimitedCodec>,
    http: HttpClient,
    adapters: Adapters,
    runs: JoinSet<Ran>,
    keys: HashMap<tokio::task::Id, AttemptKey>,
    handles: HashMap<AttemptKey, AbortHandle>,
}

impl Child {
    fn new(frames: Framed<UnixStream, LengthDelimitedCodec>, start: StartChild) -> Result<Self, Error> {
        let options = HttpOptions {
            max_answer_bytes: start.max_answer_bytes,
            connect_timeout: start.connect_timeout,
            // Only managing a source uses it; a run is limited by its soft limit.
            request_timeout: Duration::from_secs(30),
        };
        let http = HttpClient::new(options)?;
        let (runs, keys, handles) = (JoinSet::new(), HashMap::new(), HashMap::new());
        Ok(Self { frames, http, adapters: start.adapters, runs, keys, handles })
    }

    async fn serve(mut self) -> Result<(), Error> {
        self.say(&FromChild::Ready).await?;
        self.flush().await?;
        loop {
            tokio::select! {
                frame = self.frames.next() => match frame {
                    Some(frame) => self.handle(decode(&frame?)?),
                    // The service let go of this child, or is gone: either way nobody waits for what still runs.
                    None => return Ok(()),
                },
                Some(ended) = self.runs.join_next_with_id() => {
                    self.report(ended).await?;
                    // Whatever else has ended by now goes out in the same write.
                    while let Some(Some(ended)) = self.runs.join_next_with_id().now_or_never() {
                        self.report(ended).await?;
                    }
                    self.flush().await?;
                }
            }
        }
    }

    fn handle(&mut self, frame: ToChild) {
        match frame {
            ToChild::Run(attempt) => {
                let key = attempt.key;
                let handle = self.runs.spawn(run(*attempt, self.http.clone(), self.adapters.clone()));
                self.keys.insert(handle.id(), key);
                self.handles.insert(key, handle);
            }
            ToChild::Cancel(key) => {
                if let Some(handle) = self.handles.get(&key) {
                    handle.abort();
                }
            }
            ToChild::Start(_) => {}
        }
    }

    /// The named boundary where a panic of an adapter becomes an outcome.
    async fn report(&mut self, ended: Result<(tokio::task::Id, Ran), JoinError>) -> Result<(), Error> {
        let (id, outcome, call) = match ended {
            Ok((id, Ran { outcome, call })) => (id, outcome, call),
            Err(error) if error.is_cancelled() => (error.id(), Outcome::Cancelled, None),
            Err(error) => (error.id(), panicked(), None),
        };
        if let Some(key) = self.keys.remove(&id) {
            self.handles.remove(&key);
            self.say(&FromChild::Ended(key, outcome, call)).await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Error> {
        Ok(SinkExt::<Bytes>::flush(&mut self.frames).await?)
    }

    async fn say(&mut self, frame: &FromChild) -> Result<(), Error> {
        Ok(self.frames.feed(encode(frame)?).await?)
    }
}

fn panicked() -> Outcome {
    Outcome::Failed(
        Failure::permanent(
            "adapter_panicked",
            "Spark met a bug while it ran this flow (the service's log has the details); please report it.",
        )
        .outcome_unknown(),
    )
}
