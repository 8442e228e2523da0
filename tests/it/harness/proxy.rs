//! A TCP proxy between Spark and a server, which a test may break: slow, silent, cut, or deaf to answers.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

/// What is done with what passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Traffic {
    /// It passes.
    Pass,
    /// It arrives this much later, in both directions.
    Delay(Duration),
    /// Nothing arrives, and no connection ends: a cable that was pulled. What was held back passes later.
    Stall,
    /// New connections are reset; those that are open go on.
    Refuse,
    /// Requests arrive; in the place of an answer the connection ends.
    LoseAnswers,
    /// The same, of one answer in so many: connections are made, and what is asked over them is done.
    LoseSome(u64),
}

/// A proxy on loopback with a thread of its own. Ends, with its connections, when dropped.
pub(crate) struct Proxy {
    port: u16,
    target: u16,
    shared: Arc<Shared>,
    /// Dropping it ends the thread.
    _end: oneshot::Sender<()>,
}

struct Shared {
    traffic: watch::Sender<Traffic>,
    /// Answers that came by.
    answers: AtomicU64,
    /// How often connections were broken, and whether the last time by a reset.
    broken: watch::Sender<(u64, bool)>,
}

impl Proxy {
    /// A proxy before the server on this port, which need not run.
    pub(crate) fn start(target: u16) -> Self {
        let shared = Arc::new(Shared {
            traffic: watch::Sender::new(Traffic::Pass),
            answers: AtomicU64::new(0),
            broken: watch::Sender::new((0, false)),
        });
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("it is ours");
        let port = listener.local_addr().expect("bound").port();
        let (end, ended) = oneshot::channel();
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    () = accept(listener, target, of_thread) => {}
                    _ = ended => {}
                }
            });
        });
        Self { port, target, shared, _end: end }
    }

    /// The url of the server, by way of this proxy.
    pub(crate) fn url(&self, of_server: &str) -> String {
        let (direct, through) = (format!("127.0.0.1:{}", self.target), format!("127.0.0.1:{}", self.port));
        assert!(of_server.contains(&direct), "this proxy stands before another server");
        of_server.replace(&direct, &through)
    }

    /// From now on this is done with what passes.
    pub(crate) fn set(&self, traffic: Traffic) {
        self.shared.traffic.send_replace(traffic);
    }

    /// Ends all connections as a server does that shuts down.
    pub(crate) fn cut(&self) {
        self.shared.broken.send_modify(|(times, by_reset)| (*times, *by_reset) = (*times + 1, false));
    }

    /// Ends all connections as a machine does that knows nothing of them.
    pub(crate) fn reset(&self) {
        self.shared.broken.send_modify(|(times, by_reset)| (*times, *by_reset) = (*times + 1, true));
    }
}

async fn accept(listener: TcpListener, target: u16, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        tokio::spawn(connection(client, target, Arc::clone(&shared)));
    }
}

async fn connection(mut client: TcpStream, target: u16, shared: Arc<Shared>) {
    let mut broken = shared.broken.subscribe();
    if *shared.traffic.borrow() == Traffic::Refuse {
        return reset(&client);
    }
    // Where nobody listens, a proxy can only say so by a reset.
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else { return reset(&client) };
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap_or_default();
    }
    let by_reset = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            _ended = pump(from_client, to_server, &shared, false) => false,
            _ended = pump(from_server, to_client, &shared, true) => false,
            _ = broken.changed() => broken.borrow().1,
        }
    };
    if by_reset {
        reset(&client);
        reset(&server);
    }
}

async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, shared: &Shared, is_answer: bool) -> io::Result<()> {
    let mut traffic = shared.traffic.subscribe();
    let mut piece = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return Ok(());
        }
        // Only a proxy that is gone tells nothing any more.
        let now = *traffic.wait_for(|traffic| *traffic != Traffic::Stall).await.map_err(io::Error::other)?;
        match now {
            Traffic::LoseAnswers if is_answer => return Ok(()),
            Traffic::LoseSome(one_in)
                if is_answer && shared.answers.fetch_add(1, Ordering::Relaxed) % one_in == one_in - 1 =>
            {
                return Ok(());
            }
            Traffic::Delay(time) => tokio::time::sleep(time).await,
            _ => {}
        }
        to.write_all(&piece[..length]).await?;
    }
}

/// Closing it sends a reset.
fn reset(stream: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// A server that says back what it hears, and the way to it.
    async fn echo() -> (Proxy, Arc<AtomicUsize>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let proxy = Proxy::start(listener.local_addr().expect("bound").port());
        let heard = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    let mut piece = [0; 1];
                    while stream.read_exact(&mut piece).await.is_ok() {
                        count.fetch_add(1, Ordering::SeqCst);
                        if stream.write_all(&piece).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        (proxy, heard)
    }

    async fn connect(proxy: &Proxy) -> io::Result<TcpStream> {
        TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port)).await
    }

    async fn client(proxy: &Proxy) -> TcpStream {
        connect(proxy).await.expect("it listens")
    }

    async fn ask(stream: &mut TcpStream) -> io::Result<u8> {
        stream.write_all(b"x").await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn a_proxy_passes_holds_back_loses_and_cuts() {
        let (proxy, heard) = echo().await;
        let mut stream = client(&proxy).await;
        assert_eq!(ask(&mut stream).await.expect("passes"), b'x');

        proxy.set(Traffic::Stall);
        let stalled = tokio::time::timeout(Duration::from_millis(100), ask(&mut stream)).await;
        stalled.expect_err("nothing comes, and no end either");
        proxy.set(Traffic::Pass);
        assert_eq!(stream.read_u8().await.expect("what was held back comes"), b'x');

        proxy.set(Traffic::LoseAnswers);
        let before = heard.load(Ordering::SeqCst);
        let lost = ask(&mut stream).await.expect_err("in the place of the answer");
        assert_eq!(lost.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(heard.load(Ordering::SeqCst), before + 1, "the server had heard it");
        proxy.set(Traffic::Pass);

        let mut stream = client(&proxy).await;
        assert_eq!(ask(&mut stream).await.expect("passes"), b'x');
        proxy.cut();
        assert_eq!(stream.read_u8().await.expect_err("cut").kind(), io::ErrorKind::UnexpectedEof);

        let mut stream = client(&proxy).await;
        assert_eq!(ask(&mut stream).await.expect("passes"), b'x');
        proxy.reset();
        assert_eq!(stream.read_u8().await.expect_err("reset").kind(), io::ErrorKind::ConnectionReset);
        proxy.set(Traffic::Refuse);
        let refused = async { ask(&mut connect(&proxy).await?).await };
        refused.await.expect_err("as soon as the connection is made, or a moment later");
    }
}
