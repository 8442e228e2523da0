//! Sending messages between actors: the only two ways there are.
//!
//! actix's mailboxes have no real bound and `send` drops a message whose future is dropped, so actors exchange small
//! control messages of a known greatest number, and all work waits in Redis.

use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, Message};

/// Sends a message and does not wait. A message to an actor that has ended is dropped: its end is told otherwise.
#[expect(clippy::disallowed_methods, reason = "the one place that posts control messages; see the module's doc")]
pub fn tell<A, M>(address: &Addr<A>, message: M)
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    address.do_send(message);
}

/// Sends a message and waits for its answer; `None` if the actor has ended or does not answer within `limit`.
pub async fn ask<A, M>(address: &Addr<A>, message: M, limit: Duration) -> Option<M::Result>
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    tokio::time::timeout(limit, address.send(message)).await.ok()?.ok()
}
