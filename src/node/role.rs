//! A part of the node: an actor, and the word that it has ended.

use std::future::Future;

use actix::{Actor, Addr};
use tokio_util::sync::CancellationToken;

use crate::actors::duty::Duty;

/// An actor of the node.
pub(super) struct Part<A: Actor> {
    /// For people.
    pub(super) name: String,
    /// The actor.
    pub(super) address: Addr<A>,
    ended: CancellationToken,
}

impl<A: Actor> Part<A> {
    /// Starts an actor with what it is to call in the end.
    pub(super) fn start(name: String, start: impl FnOnce(Box<dyn FnOnce(())>) -> Addr<A>) -> Self {
        let ended = CancellationToken::new();
        let word = ended.clone();
        let address = start(Box::new(move |()| word.cancel()));
        Self { name, address, ended }
    }

    /// Completes with the part's name when it has ended; may be asked any number of times.
    pub(super) async fn ended(&self) -> String {
        self.ended.cancelled().await;
        self.name.clone()
    }

    /// Waits for its end, but no longer than until `limit` completes.
    pub(super) async fn ended_before(&self, limit: impl Future<Output = ()>) {
        tokio::select! {
            _ = self.ended() => {}
            () = limit => log::warn!("the {} did not end in time", self.name),
        }
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
}
