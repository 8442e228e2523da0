//! The HTTP gateway: runs the API's server and stops it.

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};
use actix_web::dev::{Server, ServerHandle};

use super::exit::ExitGuard;

/// The actor. Ends when its server does; if that was not asked for, the node stops.
pub struct HttpGateway {
    server: Option<Server>,
    handle: ServerHandle,
    _guard: ExitGuard<()>,
}

impl HttpGateway {
    /// A gateway for a bound server; `ended` is called when it ends, whatever the reason.
    pub fn new(server: Server, ended: impl FnOnce(()) + 'static) -> Self {
        Self { handle: server.handle(), server: Some(server), _guard: ExitGuard::new((), ended) }
    }
}

impl Actor for HttpGateway {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(server) = self.server.take() {
            ctx.spawn(server.into_actor(self).map(|result, _, ctx| {
                if let Err(error) = result {
                    log::error!("the HTTP server ended: {error}");
                }
                ctx.stop();
            }));
        }
    }
}

/// Answer what is being asked, take no new connections, end. Sent by the node.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CloseGateway;

impl Handler<CloseGateway> for HttpGateway {
    type Result = ();

    fn handle(&mut self, _: CloseGateway, ctx: &mut Self::Context) {
        ctx.spawn(self.handle.stop(true).into_actor(self));
    }
}
