//! As whom the servers run. PostgreSQL refuses root, and a Redis of root's would be a way to become root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Signal, geteuid};

use super::binaries;
use super::error::{Error, io_error};

/// An unprivileged account.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Account {
    uid: u32,
    gid: u32,
}

/// Makes commands that run as the right account, in surroundings that do not depend on the caller's.
#[derive(Clone, Debug)]
pub(super) struct Runner {
    setpriv: PathBuf,
    /// `None`: we are an ordinary user, the servers run as us.
    account: Option<Account>,
}

impl Runner {
    pub(super) fn new() -> Result<Self, Error> {
        let setpriv = binaries::setpriv()?;
        if !geteuid().is_root() {
            return Ok(Self { setpriv, account: None });
        }
        let passwd = Path::new("/etc/passwd");
        let users = fs::read_to_string(passwd).map_err(io_error("reading", passwd))?;
        let account = find(&users, "postgres").or_else(|| find(&users, "nobody")).ok_or(Error::NoAccount)?;
        Ok(Self { setpriv, account: Some(account) })
    }

    /// A command that gets `on_death` when the thread that spawns it ends.
    pub(super) fn command(&self, program: &Path, on_death: Signal) -> Command {
        let mut command = Command::new(&self.setpriv);
        if let Some(Account { uid, gid }) = &self.account {
            command.args(["--reuid", &uid.to_string(), "--regid", &gid.to_string(), "--clear-groups"]);
        }
        command.args(["--pdeathsig", signal_name(on_death), "--"]).arg(program);
        // PGDATA, PGOPTIONS, LC_* and a working directory that the account may not enter would all be felt.
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LC_ALL", "C").current_dir("/");
        command.stdin(Stdio::null());
        command
    }

    /// Gives a file or directory to the account.
    pub(super) fn give(&self, path: &Path) -> Result<(), Error> {
        let Some(Account { uid, gid }) = &self.account else { return Ok(()) };
        std::os::unix::fs::chown(path, Some(*uid), Some(*gid)).map_err(io_error("giving to the server's account", path))
    }

    /// Whether commands run as somebody else.
    pub(super) fn is_other(&self) -> bool {
        self.account.is_some()
    }

    /// Whether the account can enter the directory. Tried, not computed: access lists and mounts have a say too.
    pub(super) fn can_enter(&self, dir: &Path) -> bool {
        let test = binaries::on_path("test").unwrap_or_else(|| PathBuf::from("/usr/bin/test"));
        let mut command = self.command(&test, Signal::KILL);
        command.arg("-x").arg(dir).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

/// setpriv takes names only.
fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::INT => "INT",
        Signal::TERM => "TERM",
        Signal::QUIT => "QUIT",
        _ => "KILL",
    }
}

fn find(passwd: &str, user: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_it = fields.next()? == user;
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        (is_it && uid != 0).then_some(Account { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\npostgres2:x:7:7::/:\nbroken\npostgres:x:101:104:,,,:/var:/bin/sh\n";
        assert_eq!(find(passwd, "postgres"), Some(Account { uid: 101, gid: 104 }));
        assert_eq!(find(passwd, "nobody"), None);
        assert_eq!(find(passwd, "root"), None, "root is never an unprivileged account");
    }
}
