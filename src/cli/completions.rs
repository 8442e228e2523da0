//! `completions`: what a shell needs to complete our commands.

use clap::{Args, CommandFactory};
use clap_complete::{Generator, Shell};

use super::output::Output;
use super::{Cli, Error};

/// Which shell.
#[derive(Args, Debug)]
pub(super) struct CompletionsArgs {
    /// The shell to complete in
    shell: Shell,
}

/// Prints the script for the name the program was called by, so that `spark completions bash` completes `spark`.
pub(super) fn run(out: &Output, args: CompletionsArgs, invoked_as: &str) -> Result<(), Error> {
    let mut command = Cli::command();
    let name = if invoked_as.is_empty() { command.get_name().to_owned() } else { invoked_as.to_owned() };
    command.set_bin_name(name);
    command.build();
    let mut script = Vec::new();
    args.shell.try_generate(&command, &mut script)?;
    out.text(&String::from_utf8_lossy(&script))
}
