//! `serve`: the whole service, or some of its roles; and what every other command that is a service shares with it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::runtime::Handle;

use super::Error;
use crate::config::{Config, Flags, LoadOptions, Role};
use crate::node::{self, Node, Unavailable, Unfinished, Unusable};
use crate::shutdown::{ReloadSignal, StopSignals};

/// What a service of any role may be told.
#[derive(Args, Clone, Debug)]
pub(super) struct Settings {
    /// The operator's file; else ./spark.toml, else /etc/automagik-spark/spark.toml
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// small, medium, large or enterprise
    #[arg(short, long)]
    profile: Option<String>,
    /// error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Any key of the configuration, e.g. worker.max_retries=5
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
}

/// Where the API listens.
#[derive(Args, Debug)]
pub(super) struct Address {
    /// Address to listen on
    #[arg(long)]
    pub(super) host: Option<String>,
    /// Port to listen on
    #[arg(long)]
    pub(super) port: Option<u16>,
}

/// How much runs at once, and what.
#[derive(Args, Debug)]
pub(super) struct Capacity {
    /// Children of each pool that names no number
    #[arg(long)]
    pub(super) workers: Option<u32>,
    /// Attempts that each child runs at once
    #[arg(long)]
    pub(super) threads: Option<u32>,
    /// Serve these queues with one pool, the first of them first
    #[arg(long, value_delimiter = ',', value_name = "QUEUE,...")]
    pub(super) queues: Vec<String>,
}

/// What overrules the configuration.
#[derive(Args, Debug)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    pub(super) settings: Settings,
    /// What this node does: api, beat, worker
    #[arg(long, value_delimiter = ',', value_name = "ROLE,...")]
    roles: Vec<String>,
    #[command(flatten)]
    address: Address,
    #[command(flatten)]
    capacity: Capacity,
}

impl Settings {
    /// The configuration, with what a command says besides.
    pub(super) fn load(&self, flags: Flags) -> Result<Setup, Error> {
        let flags =
            Flags { profile: self.profile.clone(), log_level: self.log_level.clone(), set: self.set.clone(), ..flags };
        Setup::load(LoadOptions::from_process(self.config.clone(), flags))
    }

    /// Logs what happens in detail, unless a level was asked for.
    pub(super) fn debug(&mut self) {
        self.log_level.get_or_insert_with(|| "debug".to_owned());
    }
}

impl ServeArgs {
    pub(super) fn load(self) -> Result<Setup, Error> {
        let (Address { host, port }, Capacity { workers, threads, queues }) = (self.address, self.capacity);
        self.settings.load(Flags { roles: self.roles, host, port, workers, threads, queues, ..Flags::default() })
    }
}

/// A configuration, and where it was found: there it is looked for again at a reload.
pub(super) struct Setup {
    pub(super) config: Config,
    options: LoadOptions,
}

impl Setup {
    pub(super) fn load(options: LoadOptions) -> Result<Self, Error> {
        let config = Config::load(&options).map_err(|errors| Error::Usage(errors.to_string()))?;
        Ok(Self { config, options })
    }

    /// Reads the configuration again. The environment and the flags stay what they were; a configuration that can't be
    /// used is refused as a whole.
    fn reload(&self, node: &Node) {
        match Config::load(&self.options) {
            Ok(config) => {
                config.warnings.iter().for_each(|warning| log::warn!("{warning}"));
                node.reload(&self.config, &config);
            }
            Err(errors) => log::error!("the configuration can't be reloaded, so everything stays as it is: {errors}"),
        }
    }
}

/// How far a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Everything has started.
    Ready,
    /// It was asked to stop, and so many attempts still run or wait to be stored.
    Draining(usize),
}

/// How often a stop looks how many attempts are left.
const DRAIN_LOOK: Duration = Duration::from_millis(500);

/// Serves until a signal, or until a part of the node fails. `told` hears how far it is.
pub(super) fn run(setup: &Setup, told: impl Fn(Phase)) -> Result<(), Error> {
    start_log(&setup.config)?;
    node::in_system(|runtime| async move {
        let signals = StopSignals::listen()?;
        let mut reloads = ReloadSignal::listen()?;
        let node = tokio::select! {
            node = start(&setup.config, runtime) => node?,
            // Nothing runs yet; a PostgreSQL that does not answer must not make the service deaf.
            () = signals.next() => return Ok(()),
        };
        told(Phase::Ready);
        let failed = loop {
            tokio::select! {
                failed = end(&node, &signals) => break failed,
                () = reloads.next() => setup.reload(&node),
            }
        };
        stop(node, &signals, failed, told).await
    })?
}

/// Starts logging and says what the configuration wants said.
pub(super) fn start_log(config: &Config) -> Result<(), Error> {
    node::logging::start(&config.log).map_err(|error| Error::Usage(format!("the log can't be opened: {error}")))?;
    for warning in &config.warnings {
        log::warn!("{warning}");
    }
    Ok(())
}

/// Starts a node and tells systemd.
pub(super) async fn start(config: &Config, runtime: Handle) -> Result<Node, Error> {
    let node = Node::start(config, runtime).await.map_err(|error| match error.downcast::<Unavailable>() {
        Ok(unavailable) => Error::Unavailable(format!("{unavailable}; it must run before the service starts")),
        Err(error) => match error.downcast::<Unusable>() {
            Ok(unusable) => Error::Usage(unusable.to_string()),
            Err(error) => Error::Internal(format!("{error:#}")),
        },
    })?;
    if let Some(address) = node.address() {
        let open = if config.api.keys.is_empty() { " without an API key, for this machine only" } else { "" };
        log::info!("listening on http://{address}{open}");
    }
    log::info!("{}", readiness(config));
    if !config.node.has(Role::Beat) {
        log::info!("schedules, retries and delayed tasks need a node with the role beat besides this one");
    }
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        log::debug!("systemd can't be told: {error}");
    }
    Ok(node)
}

fn readiness(config: &Config) -> String {
    let roles: Vec<&str> = config.node.roles.iter().map(|role| role.as_str()).collect();
    format!("ready as {}; environment: {}", roles.join(", "), config.environment)
}

/// Runs a node until it is asked to stop or a part of it fails, and stops it.
pub(super) async fn serve(node: Node, signals: &StopSignals, told: impl Fn(Phase)) -> Result<(), Error> {
    let failed = end(&node, signals).await;
    stop(node, signals, failed, told).await
}

/// Completes when the node is to stop: with the part of it that failed, or with none if it is asked to.
async fn end(node: &Node, signals: &StopSignals) -> Option<String> {
    tokio::select! {
        () = signals.next() => None,
        name = node.failed() => Some(name),
    }
}

async fn stop(node: Node, signals: &StopSignals, failed: Option<String>, told: impl Fn(Phase)) -> Result<(), Error> {
    if let Some(name) = &failed {
        log::error!("the {name} ended by itself; the service stops so that it is started anew");
    }
    let hurry = signals.clone();
    let left = node.attempts_left();
    let mut looks = tokio::time::interval(DRAIN_LOOK);
    let mut stop = std::pin::pin!(node.stop(Box::pin(async move { hurry.next().await })));
    let stopped = loop {
        tokio::select! {
            stopped = &mut stop => break stopped,
            _ = looks.tick() => told(Phase::Draining(left())),
        }
    };
    stopped.map_err(|unfinished: Unfinished| Error::Unfinished(unfinished.to_string()))?;
    match failed {
        Some(name) => Err(Error::Internal(format!("the {name} ended by itself; see the log"))),
        None => Ok(()),
    }
}

pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` has no `=`; write KEY=VALUE"))?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_a_start_says_for_what_the_installation_is() {
        let env = vec![("AUTOMAGIK_SPARK_ENV".to_owned(), "staging".to_owned())];
        let config = Config::load(&LoadOptions { env, ..LoadOptions::default() }).expect("sound");
        assert_eq!(readiness(&config), "ready as api, beat, worker; environment: staging");
    }
}
