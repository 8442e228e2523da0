//! `api start`, `beat start`: one role of the service, alone. `worker start` has a file of its own.

use clap::{Args, Subcommand};

use super::serve::{self, Address, Settings};
use super::{Error, Output};
use crate::config::Flags;

/// What to do with the API.
#[derive(Debug, Subcommand)]
pub(super) enum ApiCommand {
    /// Serve the API here, and nothing else: tasks are run by nodes with the role worker
    Start(ApiArgs),
}

/// How to serve the API.
#[derive(Args, Debug)]
pub(super) struct ApiArgs {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    address: Address,
    /// A word of the Python CLI: it watched its own source
    #[arg(long, hide = true)]
    reload: bool,
}

/// What to do with beat.
#[derive(Debug, Subcommand)]
pub(super) enum BeatCommand {
    /// Fire schedules, retries and delayed tasks here, and nothing else
    Start(BeatArgs),
}

/// How to run beat.
#[derive(Args, Debug)]
pub(super) struct BeatArgs {
    #[command(flatten)]
    settings: Settings,
}

impl ApiCommand {
    pub(super) fn run(self, out: &Output, debug: bool) -> Result<(), Error> {
        let Self::Start(ApiArgs { mut settings, address, reload }) = self;
        if reload {
            out.say("--reload means nothing here: there is no source to watch");
        }
        if debug {
            settings.debug();
        }
        let Address { host, port } = address;
        let setup = settings.load(Flags { roles: vec!["api".to_owned()], host, port, ..Flags::default() })?;
        serve::run(&setup, |_| {})
    }
}

impl BeatCommand {
    pub(super) fn run(self, debug: bool) -> Result<(), Error> {
        let Self::Start(BeatArgs { mut settings }) = self;
        if debug {
            settings.debug();
        }
        let setup = settings.load(Flags { roles: vec!["beat".to_owned()], ..Flags::default() })?;
        serve::run(&setup, |_| {})
    }
}
