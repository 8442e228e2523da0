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
    command.set_bin_name(&name);
    command.build();
    let mut script = Vec::new();
    args.shell.try_generate(&command, &mut script)?;
    let script = String::from_utf8_lossy(&script);
    if args.shell == Shell::Bash { out.text(&mended(&script, &name)) } else { out.text(&script) }
}

/// clap_complete 4.6 names a program with a hyphen in two ways in its bash script, so that nothing below the first word
/// is found; a test asks bash. A script that needs no mending stays as it is.
fn mended(script: &str, name: &str) -> String {
    let [told, looked_for] = ["__", "__subcmd__"].map(|separator| name.replace('-', separator) + "__subcmd__");
    script.replace(&looked_for, &told)
}
