//! The composition root: opens the pools, starts the actors in order, and stops them.

pub mod discovery;
mod identity;
pub mod logging;
mod machine;
pub mod neighbours;
mod options;
mod reload;
mod role;
mod stop;
mod tracing;

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr};
use anyhow::Context as _;
use tokio::runtime::{Handle, Runtime};

use crate::actors::duty::Duty;
use crate::actors::executor::ExecutorParts;
use crate::actors::gateway::HttpGateway;
use crate::actors::process::{ChildCommand, Spawner};
use crate::actors::supervisor::Supervisor;
use crate::actors::{beat, doorkeeper, exporter, heartbeat, janitor, monitor, notifier, retention, statistics};
use crate::config::{Config, Role};
use crate::dispatch::Dispatch;
use crate::dispatch::health::Phase;
use crate::domain::ids::NodeId;
use crate::http::{self, ApiState, Keyring};
use crate::mailbox::Mailbox;
use crate::sources::HttpClient;
use crate::store::migrate::{self, Upgraded};
use crate::store::node::NodeRow;
use crate::store::source::SourceFilter;
use crate::store::takeover::TakenOver;
use crate::store::{self, PoolOptions, Store, Vault};

pub use identity::{birth, owner};
use role::Part;
pub use stop::Unfinished;

/// Time between two tries to reach a database that is away at the start.
const START_PAUSE: Duration = Duration::from_millis(500);

/// A running node.
pub struct Node {
    dispatch: Dispatch,
    row: NodeRow,
    address: Option<SocketAddr>,
    supervisors: Vec<Part<Supervisor>>,
    beat: Option<Part<Duty>>,
    gateway: Option<Part<HttpGateway>>,
    /// What lasts until everything else has ended.
    duties: Vec<Part<Duty>>,
    stop: options::StopOptions,
}

/// A service that the node needs does not answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(String);

/// Most sources that are looked through at a start for what is to be warned of, the newest.
const SOURCES_TOLD: i64 = 1000;

/// A service that the node needs is not one that it can use: somebody has to change something first.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(String);

/// Runs a future where a node may live: in an actix system on one multi-threaded runtime. What the future spawns on
/// the runtime does not depend on an arbiter's life.
///
/// # Errors
/// The runtime can't be made.
pub fn in_system<T, F: Future<Output = T>>(work: impl FnOnce(Handle) -> F) -> std::io::Result<T> {
    let runtime: Arc<Runtime> = Arc::new(tokio::runtime::Builder::new_multi_thread().enable_all().build()?);
    let handle = runtime.handle().clone();
    let system = actix::System::with_tokio_rt(move || runtime);
    Ok(system.block_on(work(handle)))
}

impl Node {
    /// Starts a node. Must be called within [`in_system`].
    ///
    /// # Errors
    /// PostgreSQL does not answer, the address is taken, or what the configuration names can't be used.
    pub async fn start(config: &Config, runtime: Handle) -> anyhow::Result<Self> {
        let encryption_key = config.encryption_key.obtain()?;
        let vault = Vault::new(&encryption_key).context("the encryption key is not a Fernet key")?;
        let database = options::database(config);
        let listener = config.node.has(Role::Api).then(|| bind(config.api.address())).transpose()?;
        tell(patiently(&database, async || migrate::upgrade(&database, config.timezone).await).await?);
        let lease = Store::open(&options::lease(config), vault.clone(), runtime.clone())?;
        let store = Store::open(&database, vault, runtime.clone())?;
        for warning in patiently(&database, async || store.sealed_keys().await).await?.warnings() {
            log::warn!("{warning}");
        }
        // Sources that were told so by somebody, maybe long ago.
        let newest = async || store.sources(SourceFilter::default(), 0, SOURCES_TOLD).await;
        let (sources, _) = patiently(&database, newest).await?;
        for source in sources.iter().filter(|source| !source.tls_verify) {
            log::warn!("source {} is believed without a look at its certificate (tls_verify is false)", source.id);
        }
        let mailbox = Mailbox::open(options::mailbox(config), runtime.clone())?;
        let row = identity::this_node(NodeId::generate(), &config.node.roles);
        patiently(&database, async || identity::bury_former(&store, &row).await).await?;
        let (traces, exporter) = tracing::prepare(config, &row)?;
        let dispatch = Dispatch::start(row.id, store, mailbox, traces, &options::dispatch(config), &runtime);
        let beat = async || heartbeat::beat(options::heartbeat(config), row.clone(), &lease, &dispatch).await;
        patiently(&database, beat).await?;
        dispatch.health().set_database(true);
        patiently(&database, async || dispatch.refresh_pauses().await).await?;
        let mut node = Self::start_actors(config, dispatch, (row, lease), listener, runtime.clone())?;
        node.duties.extend(exporter.map(|parts| {
            let dispatch = node.dispatch.clone();
            Part::duty("exporter", |stop| exporter::run(parts, dispatch, runtime.clone(), stop))
        }));
        if config.discovery {
            let http = HttpClient::new(options::sources(config))?;
            let ports = discovery::WELL_KNOWN.to_vec();
            runtime.spawn(discovery::discover(node.dispatch.store().clone(), http, ports));
        }
        node.dispatch.health().enter(Phase::Ready);
        Ok(node)
    }

    fn start_actors(
        config: &Config,
        dispatch: Dispatch,
        (row, lease): (NodeRow, Store),
        listener: Option<TcpListener>,
        runtime: Handle,
    ) -> anyhow::Result<Self> {
        let supervisors =
            if config.node.has(Role::Worker) { start_supervisors(config, &dispatch, &runtime)? } else { Vec::new() };
        let beat_options = options::beat(config)?;
        let beat = config.node.has(Role::Beat).then(|| {
            let dispatch = dispatch.clone();
            Part::duty("beat", |stop| beat::run(beat_options, dispatch, stop))
        });
        let addresses: Vec<Addr<Supervisor>> = supervisors.iter().map(|part| part.address.clone()).collect();
        let monitor = Part::duty("monitor", |stop| {
            monitor::run(options::monitor(config), dispatch.clone(), lease.clone(), addresses, stop)
        });
        let janitor = Part::duty("janitor", |stop| janitor::run(options::janitor(config), dispatch.clone(), stop));
        let doorkeeper = Part::duty("doorkeeper", |stop| doorkeeper::run(dispatch.clone(), stop));
        let retention =
            Part::duty("retention", |stop| retention::run(options::retention(config), dispatch.clone(), stop));
        let statistics = Part::duty("statistics", |stop| statistics::run(dispatch.clone(), stop));
        let http = HttpClient::new(options::sources(config))?;
        let notifier = Part::duty("notifier", |stop| notifier::run(dispatch.clone(), http, stop));
        let heartbeat = Part::duty("heartbeat", |stop| {
            heartbeat::run(options::heartbeat(config), row.clone(), lease, dispatch.clone(), stop)
        });
        let address = listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let gateway = listener.map(|listener| start_gateway(config, &dispatch, &runtime, listener)).transpose()?;
        let stop = options::stop(config);
        let duties = vec![doorkeeper, janitor, retention, statistics, notifier, monitor, heartbeat];
        Ok(Self { dispatch, row, address, supervisors, beat, gateway, duties, stop })
    }

    /// Where the API listens; none where this node has no API.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }
}

fn start_supervisors(config: &Config, dispatch: &Dispatch, runtime: &Handle) -> anyhow::Result<Vec<Part<Supervisor>>> {
    let spawner = Spawner::start(ChildCommand::of_this_program(), runtime.clone())
        .context("the thread that starts children can't be started")?;
    let start = |pool| {
        let parts = ExecutorParts {
            options: options::executor(config),
            spawner: spawner.clone(),
            dispatch: dispatch.clone(),
            runtime: runtime.clone(),
        };
        let options = options::supervisor(config, pool);
        Part::start(format!("supervisor of pool {}", options.name), |ended| {
            Supervisor::new(options, parts, ended).start()
        })
    };
    Ok(config.pools.iter().map(start).collect())
}

fn start_gateway(
    config: &Config,
    dispatch: &Dispatch,
    runtime: &Handle,
    listener: TcpListener,
) -> anyhow::Result<Part<HttpGateway>> {
    let state = ApiState {
        store: dispatch.store().clone(),
        keyring: Keyring::start(dispatch.store().clone(), runtime),
        dispatch: dispatch.clone(),
        sources: HttpClient::new(options::sources(config))?,
        options: options::api(config)?,
    };
    let server = http::serve(listener, state, config.api.workers)?;
    Ok(Part::start("HTTP gateway".to_owned(), |ended| HttpGateway::new(server, ended).start()))
}

fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).with_context(|| {
        format!("can't listen on {address}; another service may have the port: choose one with --port or api.port")
    })
}

/// Tries a call that the start needs until it succeeds or a connection has been waited for long enough: systemd starts a
/// service only so often, and an outage must not use that up. The pool waits by itself, but not where a PgBouncer in
/// between answers for a server that is away, with an error of its own, and not on the connection of the lease. Every call
/// of a start goes through here, for the server may go away between any two; each can be made again.
async fn patiently<T>(database: &PoolOptions, call: impl AsyncFn() -> Result<T, store::Error>) -> anyhow::Result<T> {
    let deadline = Instant::now() + database.acquire_timeout;
    let mut is_told = false;
    loop {
        match call().await {
            Err(error) if error.is_transient() && Instant::now() < deadline => {
                if !std::mem::replace(&mut is_told, true) {
                    log::warn!("waiting for PostgreSQL: {error}");
                }
                tokio::time::sleep(START_PAUSE).await;
            }
            done => return done.map_err(unavailable),
        }
    }
}

/// Says in the log what an upgrade of the database did.
fn tell(upgraded: Upgraded) {
    for migration in upgraded.applied {
        log::info!("applied migration {migration}");
    }
    for warning in upgraded.warnings {
        log::warn!("{warning}");
    }
    for line in upgraded.taken_over.iter().flat_map(TakenOver::lines) {
        log::info!("takeover: {line}");
    }
}

fn unavailable(error: crate::store::Error) -> anyhow::Error {
    match error {
        error if error.is_transient() => Unavailable(error.to_string()).into(),
        error @ store::Error::Misfit(_) => Unusable(error.to_string()).into(),
        error => error.into(),
    }
}
