//! A duty: an actor whose whole life is one loop, such as beat, the janitor or the monitor.

use std::future::Future;
use std::pin::Pin;

use actix::{Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture};
use tokio_util::sync::CancellationToken;

use super::exit::ExitGuard;

/// The actor. Ends when its loop does; if that was not asked for, the node stops.
pub struct Duty {
    work: Option<Pin<Box<dyn Future<Output = ()>>>>,
    stop: CancellationToken,
    _guard: ExitGuard<()>,
}

impl Duty {
    /// Starts a loop, which must end soon after its token is cancelled; `ended` is called when it did, whatever the
    /// reason.
    pub fn start<F>(work: impl FnOnce(CancellationToken) -> F, ended: impl FnOnce(()) + 'static) -> Addr<Self>
    where
        F: Future<Output = ()> + 'static,
    {
        let stop = CancellationToken::new();
        let work = work(stop.clone());
        Self { work: Some(Box::pin(work)), stop, _guard: ExitGuard::new((), ended) }.start()
    }
}

impl Actor for Duty {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(work) = self.work.take() {
            ctx.spawn(work.into_actor(self).map(|(), _, ctx| ctx.stop()));
        }
    }
}

/// End the loop after the round it is in. Sent by the node.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Finish;

impl Handler<Finish> for Duty {
    type Result = ();

    fn handle(&mut self, _: Finish, _: &mut Self::Context) {
        self.stop.cancel();
    }
}
