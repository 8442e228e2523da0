//! When the process is asked to stop, or to read its configuration again.
//!
//! The one place that listens for signals. The first SIGTERM or SIGINT asks for a stop with a grace period, the second
//! for one at once. The phases of stopping are the node's: see [`crate::node::Node::stop`].

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;

/// The signals that stop the process; cheap to clone.
#[derive(Clone)]
pub struct StopSignals {
    inner: Arc<Mutex<(Signal, Signal)>>,
}

impl StopSignals {
    /// Listens from now on: a signal that comes before it is waited for is not lost.
    ///
    /// # Errors
    /// The system refuses a signal handler.
    pub fn listen() -> io::Result<Self> {
        let signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { inner: Arc::new(Mutex::new(signals)) })
    }

    /// Completes at the next signal.
    pub async fn next(&self) {
        let mut signals = self.inner.lock().await;
        let (terminate, interrupt) = &mut *signals;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

/// The signal that asks a service to read its configuration again: SIGHUP.
#[derive(Debug)]
pub struct ReloadSignal(Signal);

impl ReloadSignal {
    /// Listens from now on. Without this the signal ends the process.
    ///
    /// # Errors
    /// The system refuses a signal handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Completes at the next signal; several that come at once are one.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            // The runtime ends: there is no next one.
            std::future::pending::<()>().await;
        }
    }
}
