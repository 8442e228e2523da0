//! A PgBouncer of one's own, with the settings that are shipped.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tokio_postgres::NoTls;

use super::directory::Directory;
use super::postgres::USER;
use super::process::Ladder;
use super::server::{Kind, Server};
use super::{Error, PrivatePostgres, binaries};

/// The file that operators start from.
const SHIPPED: &str = include_str!("../../config/pgbouncer.ini");

/// A private PgBouncer in front of a [`PrivatePostgres`], in transaction mode. Ends when dropped.
#[derive(Debug)]
pub struct PrivatePgBouncer {
    server: Server<PgBouncer>,
}

struct PgBouncer {
    program: PathBuf,
    postgres_port: u16,
    password: String,
}

impl fmt::Debug for PgBouncer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgBouncer").field("program", &self.program).finish_non_exhaustive()
    }
}

impl PrivatePgBouncer {
    /// Starts one in this directory that leads to every database of a server.
    ///
    /// # Errors
    /// It is not installed, the directory is in use, or it did not come up.
    pub async fn start(dir: &Path, postgres: &PrivatePostgres) -> Result<Self, Error> {
        let program = binaries::pgbouncer()?;
        let directory = Directory::open(dir).await?;
        let kind = PgBouncer { program, postgres_port: postgres.port(), password: postgres.password().to_owned() };
        Ok(Self { server: Server::start(kind, directory).await? })
    }

    /// Where a database is: `postgresql://spark:password@127.0.0.1:port/database`.
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://{USER}:{}@127.0.0.1:{}/{database}", self.server.kind.password, self.server.port)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port
    }
}

impl Kind for PgBouncer {
    const NAME: &'static str = "pgbouncer";
    const LADDER: Ladder = &[
        // At once, whoever is connected.
        (Signal::TERM, Duration::from_secs(10)),
        (Signal::KILL, Duration::from_secs(10)),
    ];

    fn command(&self, directory: &Directory, port: u16) -> Result<Command, Error> {
        let users = directory.write_secret("userlist.txt", &format!("\"{USER}\" \"{}\"\n", self.password))?;
        let text = settings(SHIPPED, self.postgres_port, port, &users);
        let file = directory.write_secret("pgbouncer.ini", &text)?;
        let mut command = directory.runner.command(&self.program, Signal::KILL);
        command.arg(file);
        Ok(command)
    }

    async fn probe(&self, port: u16) -> Result<(), String> {
        let mut config = tokio_postgres::Config::new();
        // Its own console: whether PostgreSQL answers is not its business.
        config.host("127.0.0.1").port(port).user(USER).password(&self.password).dbname("pgbouncer");
        config.connect_timeout(Duration::from_secs(5));
        config.connect(NoTls).await.map(drop).map_err(|error| error.to_string())
    }
}

/// The shipped settings, with this machine's ports and files.
fn settings(shipped: &str, postgres_port: u16, port: u16, users: &Path) -> String {
    let own = |line: &str| match line.split(" = ").next().unwrap_or_default() {
        "spark" => format!("* = host=127.0.0.1 port={postgres_port}"),
        "listen_port" => format!("listen_port = {port}"),
        // No socket in a directory that everybody shares; and who may ask the console, which the probe does.
        "auth_file" => format!("auth_file = {}\nunix_socket_dir =\nstats_users = {USER}", users.display()),
        _ => line.to_owned(),
    };
    shipped.lines().map(|line| own(line) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::Durability;

    #[test]
    fn only_ports_and_files_are_changed() {
        let text = settings(SHIPPED, 1111, 2222, Path::new("/users"));
        for line in
            ["* = host=127.0.0.1 port=1111", "listen_port = 2222", "auth_file = /users", "pool_mode = transaction"]
        {
            assert_eq!(text.lines().filter(|own| *own == line).count(), 1, "{line} in:\n{text}");
        }
        assert_eq!(SHIPPED.lines().filter(|line| !text.contains(*line)).count(), 3, "{text}");
    }

    #[tokio::test]
    async fn the_shipped_settings_lend_a_connection_for_one_transaction() {
        let dir = tempfile::tempdir().expect("a directory");
        let home = dir.path().join("postgres");
        let postgres = PrivatePostgres::start_with(&home, Durability::Throwaway).await.expect("starts");
        let bouncer = PrivatePgBouncer::start(&dir.path().join("pgbouncer"), &postgres).await.expect("starts");
        let connect = async || {
            let (client, connection) =
                tokio_postgres::connect(&bouncer.url("postgres"), NoTls).await.expect("it connects");
            tokio::spawn(connection);
            client
        };
        let (one, other) = (connect().await, connect().await);
        let backend = async |client: &tokio_postgres::Client| -> i32 {
            client.query_typed_one("SELECT pg_backend_pid()", &[]).await.expect("it answers").get(0)
        };
        assert_eq!(backend(&one).await, backend(&other).await, "both are served by one connection");
        let log = std::fs::read_to_string(dir.path().join("pgbouncer/pgbouncer.log")).expect("it has a log");
        let warnings: Vec<&str> = log.lines().filter(|line| line.contains("WARNING")).collect();
        assert!(warnings.iter().all(|line| line.contains("file limit")), "a setting is not taken: {warnings:?}");
    }
}
