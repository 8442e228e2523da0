//! `telemetry`: the answer to a question the Python CLI had.

use clap::Subcommand;

use super::Error;
use super::output::Output;

/// What to know about telemetry.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// What is collected: nothing
    Status,
}

pub(super) fn run(out: &Output, command: Command) -> Result<(), Error> {
    let Command::Status = command;
    if out.is_json() {
        return out.text("{\n  \"enabled\": false\n}");
    }
    out.text("Spark collects nothing and reports to nobody, ever. There is nothing to switch off.")
}
