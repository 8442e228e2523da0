//! The journal of systemd, where the unit's log is.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::super::Error;
use super::super::environment::keep_secrets_from;

/// The name of our unit.
const UNIT: &str = "automagik-spark.service";

/// Whether systemd knows the unit on this machine.
pub(super) fn has_unit() -> bool {
    let mut systemctl = Command::new("systemctl");
    systemctl.args(["cat", "--no-pager", UNIT]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    keep_secrets_from(&mut systemctl);
    systemctl.status().is_ok_and(|status| status.success())
}

/// The unit's lines, the last so many or all of them, and then what comes if it is followed.
pub(super) fn lines(
    last: Option<usize>,
    follow: bool,
    mut each: impl FnMut(&str) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut journalctl = Command::new("journalctl");
    journalctl.args(["--unit", UNIT, "--no-pager", "--quiet", "--output", "cat", "--lines"]);
    journalctl.arg(last.map_or_else(|| "all".to_owned(), |last| last.to_string()));
    if follow {
        journalctl.arg("--follow");
    }
    keep_secrets_from(&mut journalctl);
    let mut child = journalctl
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Error::Failed(format!("journalctl, which has the unit's log, can't be run: {error}")))?;
    let mut reader =
        BufReader::new(child.stdout.take().ok_or_else(|| Error::Internal("journalctl has no output".to_owned()))?);
    let mut line = Vec::new();
    let read = loop {
        line.clear();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) => break Ok(()),
            Ok(_) => {}
            Err(error) => break Err(error.into()),
        }
        if let Err(error) = each(String::from_utf8_lossy(&line).trim_end_matches('\n')) {
            break Err(error);
        }
    };
    // Whoever reads us may have gone while it follows.
    if read.is_err() {
        let _ended = child.kill();
    }
    let status = child.wait()?;
    read?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Failed(format!("journalctl ended with {status}; `journalctl --unit {UNIT}` tells more")))
}
