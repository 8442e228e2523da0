//! The thin binary: what is typed goes to [`automagik_spark::cli`], what comes back is the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    automagik_spark::cli::run(std::env::args_os())
}
