//! `serve`: the whole service, or some of its roles.

use std::path::PathBuf;

use clap::Args;
use tokio::runtime::Handle;

use super::Error;
use crate::config::{Config, Flags, LoadOptions};
use crate::node::{self, Node, Unavailable, Unfinished, Unusable};
use crate::shutdown::{ReloadSignal, StopSignals};

/// What overrules the configuration.
#[derive(Args, Debug)]
pub(super) struct ServeArgs {
    /// The operator's file; else ./spark.toml, else /etc/automagik-spark/spark.toml
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// small, medium, large or enterprise
    #[arg(short, long)]
    profile: Option<String>,
    /// What this node does: api, beat, worker
    #[arg(long, value_delimiter = ',', value_name = "ROLE,...")]
    roles: Vec<String>,
    /// Address to listen on
    #[arg(long)]
    host: Option<String>,
    /// Port to listen on
    #[arg(long)]
    port: Option<u16>,
    /// Children of each pool that names no number
    #[arg(long)]
    workers: Option<u32>,
    /// Attempts that each child runs at once
    #[arg(long)]
    threads: Option<u32>,
    /// Serve these queues with one pool
    #[arg(long, value_delimiter = ',', value_name = "QUEUE,...")]
    queues: Vec<String>,
    /// error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Any key of the configuration, e.g. worker.max_retries=5
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
}

impl ServeArgs {
    pub(super) fn load(self) -> Result<Config, Error> {
        load(&self.options())
    }

    /// Where to look, now and at each reload: the environment and the flags stay what they are.
    fn options(self) -> LoadOptions {
        let flags = Flags {
            profile: self.profile,
            roles: self.roles,
            host: self.host,
            port: self.port,
            workers: self.workers,
            threads: self.threads,
            queues: self.queues,
            log_level: self.log_level,
            set: self.set,
        };
        LoadOptions::from_process(self.config, flags)
    }
}

fn load(options: &LoadOptions) -> Result<Config, Error> {
    Config::load(options).map_err(|errors| Error::Usage(errors.to_string()))
}

/// Serves until a signal, or until a part of the node fails.
pub(super) fn run(args: ServeArgs) -> Result<(), Error> {
    let options = args.options();
    let config = load(&options)?;
    start_log(&config)?;
    node::in_system(|runtime| async move {
        let signals = StopSignals::listen()?;
        let mut reloads = ReloadSignal::listen()?;
        let node = tokio::select! {
            node = start(&config, runtime) => node?,
            // Nothing runs yet; a PostgreSQL that does not answer must not make the service deaf.
            () = signals.next() => return Ok(()),
        };
        let cause = loop {
            tokio::select! {
                cause = end(&node, &signals) => break cause,
                () = reloads.next() => reload(&node, &config, &options),
            }
        };
        stop(node, &signals, cause).await
    })?
}

/// Reads the configuration again. One that can't be used is refused as a whole.
fn reload(node: &Node, started: &Config, options: &LoadOptions) {
    match load(options) {
        Ok(config) => {
            config.warnings.iter().for_each(|warning| log::warn!("{warning}"));
            node.reload(started, &config);
        }
        Err(error) => log::error!("the configuration can't be reloaded, so everything stays as it is: {error}"),
    }
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
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        log::debug!("systemd can't be told: {error}");
    }
    Ok(node)
}

/// Runs a node until it is asked to stop or a part of it fails, and stops it.
pub(super) async fn serve(node: Node, signals: &StopSignals) -> Result<(), Error> {
    let failed = end(&node, signals).await;
    stop(node, signals, failed).await
}

/// Completes when the node is to stop: with the part of it that failed, or with none if it is asked to.
async fn end(node: &Node, signals: &StopSignals) -> Option<String> {
    tokio::select! {
        () = signals.next() => None,
        name = node.failed() => Some(name),
    }
}

async fn stop(node: Node, signals: &StopSignals, failed: Option<String>) -> Result<(), Error> {
    if let Some(name) = &failed {
        log::error!("the {name} ended by itself; the service stops so that it is started anew");
    }
    let hurry = signals.clone();
    node.stop(Box::pin(async move { hurry.next().await }))
        .await
        .map_err(|unfinished: Unfinished| Error::Unfinished(unfinished.to_string()))?;
    match failed {
        Some(name) => Err(Error::Internal(format!("the {name} ended by itself; see the log"))),
        None => Ok(()),
    }
}

pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` has no `=`; write KEY=VALUE"))?;
    Ok((key.trim().to_owned(), value.to_owned()))
}
