//! `telemetry`: the answer to a question the Python CLI had.

use clap::Subcommand;

use super::Error;
use super::output::Output;

/// What to know about telemetry.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// What is collected: nothing
    #[command(alias = "info")]
    Status,
    /// A word of the Python CLI, for scripts that make sure of it
    #[command(hide = true)]
    Disable,
    /// A word of the Python CLI
    #[command(hide = true)]
    Enable,
}

pub(super) fn run(out: &Output, command: Command) -> Result<(), Error> {
    match command {
        Command::Status | Command::Disable if out.is_json() => out.text("{\n  \"enabled\": false\n}"),
        Command::Status | Command::Disable => {
            out.text("Spark collects nothing and reports to nobody, ever. There is nothing to switch off.")
        }
        Command::Enable => Err(Error::Usage("there is no telemetry to switch on".to_owned())),
    }
}
