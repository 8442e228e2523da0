//! Where a long text goes: to a pager on a terminal, else to stdout.

use std::io::{self, IsTerminal, StdoutLock, Write};
use std::process::{Child, Command, Stdio};

use super::super::environment::keep_secrets_from;

/// Takes lines.
pub(super) enum Sink {
    Stdout(StdoutLock<'static>),
    Pager(Child),
}

impl Sink {
    pub(super) fn stdout() -> Self {
        Self::Stdout(io::stdout().lock())
    }

    /// The pager of `$PAGER`, else `less`; stdout where that can't be run or nobody sits there.
    pub(super) fn paged() -> Self {
        let pager = std::env::var("PAGER").unwrap_or_else(|_| "less".to_owned());
        if !io::stdout().is_terminal() || pager.trim().is_empty() || pager == "cat" {
            return Self::stdout();
        }
        let mut command = Command::new("sh");
        let program = pager.split_whitespace().next().unwrap_or_default();
        command.args(["-c", &format!("command -v {program} >/dev/null || exec cat; exec {pager}")]);
        if std::env::var_os("LESS").is_none() {
            // Ends at once where all fits on the screen, leaves the text there, shows colours.
            command.env("LESS", "FRX");
        }
        keep_secrets_from(&mut command);
        command.stdin(Stdio::piped()).spawn().map_or_else(|_| Self::stdout(), Self::Pager)
    }

    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => writeln!(stdout, "{text}"),
            Self::Pager(pager) => match &mut pager.stdin {
                Some(stdin) => writeln!(stdin, "{text}"),
                None => Ok(()),
            },
        }
    }

    /// What was written so far is shown.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::Pager(_) => Ok(()),
        }
    }
}

impl Drop for Sink {
    /// Waits until whoever reads has read enough.
    fn drop(&mut self) {
        if let Self::Pager(pager) = self {
            drop(pager.stdin.take());
            let _read = pager.wait();
        }
    }
}
