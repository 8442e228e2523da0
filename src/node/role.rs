//! A part of the node: an actor, and the word that it has ended.

use std::future::Future;
use std::time::Duration;

use actix::{Actor, Addr};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::actors::duty::{Duty, Finish};
use crate::actors::post::tell;

/// An actor of the node.
pub(super) struct Part<A: Actor> {
    /// For people.
    pub(super) name: String,
    /// The actor.
    pub(super) address: Addr<A>,
    ended: oneshot::Receiver<()>,
}

impl<A: Actor> Part<A> {
    /// Starts an actor with what it is to call in the end.
    pub(super) fn start(name: String, start: impl FnOnce(Box<dyn FnOnce(())>) -> Addr<A>) -> Self {
        let (tell, ended) = oneshot::channel();
        // Nobody may wait any more; the word is then of no interest.
        let address = start(Box::new(move |()| tell.send(()).unwrap_or_default()));
        Self { name, address, ended }
    }

    /// Completes with the part's name when it has ended.
    pub(super) async fn ended(&mut self) -> String {
        // An error is the same word: the sender is gone with the actor.
        (&mut self.ended).await.unwrap_or_default();
        self.name.clone()
    }

    /// Waits for its end within a limit; says whether it came.
    pub(super) async fn ended_within(&mut self, limit: Duration) -> bool {
        let ended = tokio::time::timeout(limit, self.ended()).await.is_ok();
        if !ended {
            log::warn!("the {} did not end in time", self.name);
        }
        ended
    }
}

impl Part<Duty> {
    /// Starts a duty.
    pub(super) fn duty<F>(name: &str, work: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        Self::start(name.to_owned(), |ended| Duty::start(work, ended))
    }

    /// Ends it.
    pub(super) async fn finish(&mut self, limit: Duration) -> bool {
        tell(&self.address, Finish);
        self.ended_within(limit).await
    }
}
