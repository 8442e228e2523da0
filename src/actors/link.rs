//! The link between an executor and its child: one task that owns process and socket, and outlives no executor.

use std::io;
use std::process::ExitStatus;

use actix::Addr;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use super::executor::{ChildEnded, ChildSaid, Executor};
use super::post::tell;
use super::process::{EXIT_GRACE, Spawned, reap};
use crate::child::frames::{FromChild, decode};

/// Frames that one message brings at most.
const FRAMES_A_MESSAGE: usize = 64;

/// The executor's side of the link. Dropping `frames` closes the socket, and the child ends; dropping `kill` kills it.
#[derive(Debug)]
pub(super) struct Link {
    /// Frames to the child, encoded. At most one `Run` a slot and its `Cancel`.
    pub frames: Option<mpsc::UnboundedSender<Bytes>>,
    /// Kills the child.
    pub kill: Option<oneshot::Sender<()>>,
}

/// Starts the link's tasks on the shared runtime, where encoding and decoding of large answers holds no actor up.
pub(super) fn start(spawned: Spawned, codec: LengthDelimitedCodec, executor: Addr<Executor>, runtime: &Handle) -> Link {
    let Spawned { mut child, socket } = spawned;
    let (read, write) = socket.into_split();
    let (frames, outbox) = mpsc::unbounded_channel();
    let (kill, killed) = oneshot::channel();
    runtime.spawn(write_frames(FramedWrite::new(write, codec.clone()), outbox));
    runtime.spawn(async move {
        let mut reading = std::pin::pin!(read_frames(FramedRead::new(read, codec), executor.clone()));
        tokio::select! {
            () = &mut reading => {}
            _ = killed => {
                // It may have ended by itself in this moment; then there is nothing to kill.
                drop(child.start_kill());
                // What it had said before is heard: the socket is empty and closed a moment later.
                drop(tokio::time::timeout(EXIT_GRACE, reading).await);
            }
        }
        let status = reap(&mut child).await;
        tell(&executor, ChildEnded { status: describe(status) });
    });
    Link { frames: Some(frames), kill: Some(kill) }
}

async fn read_frames(frames: FramedRead<OwnedReadHalf, LengthDelimitedCodec>, executor: Addr<Executor>) {
    let mut ready = frames.ready_chunks(FRAMES_A_MESSAGE);
    while let Some(chunk) = ready.next().await {
        let mut said: Vec<FromChild> = Vec::with_capacity(chunk.len());
        for frame in chunk {
            match frame.and_then(|bytes| decode(&bytes).map_err(io::Error::from)) {
                Ok(frame) => said.push(frame),
                Err(error) => {
                    log::error!("a child broke off in the middle or said what can't be read: {error}");
                    tell(&executor, ChildSaid(said));
                    return;
                }
            }
        }
        tell(&executor, ChildSaid(said));
    }
}

async fn write_frames(
    mut frames: FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>,
    mut outbox: mpsc::UnboundedReceiver<Bytes>,
) {
    let mut batch = Vec::new();
    while outbox.recv_many(&mut batch, FRAMES_A_MESSAGE).await > 0 {
        for frame in batch.drain(..) {
            if frames.feed(frame).await.is_err() {
                // The child is gone; the reading side tells.
                return;
            }
        }
        if SinkExt::<Bytes>::flush(&mut frames).await.is_err() {
            return;
        }
    }
}

fn describe(status: io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => status.to_string(),
        Err(error) => format!("exit status unknown ({error})"),
    }
}
