//! Where the system keeps the programs.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::Error;

/// Where Debian and Ubuntu keep one directory for each installed version.
const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql";

/// One installed PostgreSQL.
#[derive(Clone, Debug)]
pub(super) struct PostgresBinaries {
    /// The major version, as in `PG_VERSION`.
    pub(super) version: String,
    pub(super) initdb: PathBuf,
    pub(super) postgres: PathBuf,
}

/// Every usable PostgreSQL, the newest first.
pub(super) fn postgres() -> Result<Vec<PostgresBinaries>, Error> {
    let mut dirs: Vec<PathBuf> =
        fs::read_dir(DEBIAN_POSTGRES).into_iter().flatten().flatten().map(|entry| entry.path().join("bin")).collect();
    // A link on the PATH leads to the directory that holds the rest of that version.
    dirs.extend(on_path("initdb").and_then(|link| fs::canonicalize(link).ok()?.parent().map(Path::to_owned)));
    dirs.sort();
    dirs.dedup();
    let mut found: Vec<PostgresBinaries> = dirs.iter().filter_map(|dir| postgres_in(dir)).collect();
    found.sort_by_key(|binaries| std::cmp::Reverse(order(&binaries.version)));
    if found.is_empty() {
        return Err(Error::Missing { program: "PostgreSQL (initdb, postgres)", package: "postgresql" });
    }
    Ok(found)
}

fn postgres_in(dir: &Path) -> Option<PostgresBinaries> {
    let (initdb, postgres) = (dir.join("initdb"), dir.join("postgres"));
    if !initdb.is_file() {
        return None;
    }
    let output = Command::new(&postgres).arg("--version").output().ok()?;
    let version = major_version(&String::from_utf8_lossy(&output.stdout))?;
    Some(PostgresBinaries { version, initdb, postgres })
}

/// `postgres (PostgreSQL) 15.18 (Debian ...)` is 15; pre-releases are `18beta1`, and before 10 the major had two parts.
fn major_version(text: &str) -> Option<String> {
    let mut parts = text.split_whitespace().skip_while(|word| *word != "(PostgreSQL)").nth(1)?.split('.');
    let first: String = parts.next()?.chars().take_while(char::is_ascii_digit).collect();
    let number: u32 = first.parse().ok()?;
    Some(if number < 10 { format!("{first}.{}", parts.next()?) } else { first })
}

/// 9.6 < 10 < 18: not the order of the letters.
fn order(version: &str) -> Vec<u32> {
    version.split('.').filter_map(|part| part.parse().ok()).collect()
}

/// The Redis server, or Valkey, which speaks the same.
pub(super) fn redis() -> Result<PathBuf, Error> {
    on_path("redis-server")
        .or_else(|| on_path("valkey-server"))
        .ok_or(Error::Missing { program: "redis-server", package: "redis-server" })
}

/// PgBouncer, which Debian keeps among the administrators' programs.
pub(super) fn pgbouncer() -> Result<PathBuf, Error> {
    on_path("pgbouncer").ok_or(Error::Missing { program: "pgbouncer", package: "pgbouncer" })
}

/// The program that changes the account and binds a server's life to ours.
pub(super) fn setpriv() -> Result<PathBuf, Error> {
    on_path("setpriv").ok_or(Error::Missing { program: "setpriv", package: "util-linux" })
}

/// Looks along the PATH, and where administrators' programs are even if an ordinary user's PATH leaves them out.
pub(super) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        for (text, version) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some("15")),
            ("postgres (PostgreSQL) 18beta1", Some("18")),
            ("postgres (PostgreSQL) 9.6.24", Some("9.6")),
            ("postgres: command not found", None),
        ] {
            assert_eq!(major_version(text).as_deref(), version, "{text}");
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let mut versions = ["9.6", "18", "10", "15"];
        versions.sort_by_key(|version| order(version));
        assert_eq!(versions, ["9.6", "10", "15", "18"]);
    }
}
