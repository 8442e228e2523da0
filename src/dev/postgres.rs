//! A PostgreSQL of one's own.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use super::binaries::PostgresBinaries;
use super::directory::Directory;
use super::process::Ladder;
use super::server::{Kind, Server, stop_leftover};
use super::{Durability, Error, cluster};

/// The superuser, and the owner of everything.
pub(super) const USER: &str = "spark";
/// A database that every cluster has.
const ANY_DATABASE: &str = "postgres";

/// A private PostgreSQL server. Ends when dropped.
#[derive(Debug)]
pub struct PrivatePostgres {
    server: Server<Postgres>,
}

struct Postgres {
    binaries: PostgresBinaries,
    durability: Durability,
    password: String,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("binaries", &self.binaries).finish_non_exhaustive()
    }
}

impl PrivatePostgres {
    /// Starts one in this directory, with the data that a former one left there.
    ///
    /// # Errors
    /// It is not installed, the directory is in use, or it did not come up.
    pub async fn start(dir: &Path) -> Result<Self, Error> {
        Self::start_with(dir, Durability::Durable).await
    }

    /// Starts one in this directory that takes this care of its data.
    ///
    /// # Errors
    /// See [`PrivatePostgres::start`].
    pub async fn start_with(dir: &Path, durability: Durability) -> Result<Self, Error> {
        let (directory, binaries, password) = Self::open(dir, durability).await?;
        cluster::clear_stale_pid(&directory);
        let kind = Postgres { binaries, durability, password };
        Ok(Self { server: Server::start(kind, directory).await? })
    }

    /// Makes the data directory without starting a server, and answers where it is. With the file `password` beside it,
    /// a copy of it in another directory serves there as well.
    ///
    /// # Errors
    /// See [`PrivatePostgres::start`].
    pub async fn prepare(dir: &Path, durability: Durability) -> Result<PathBuf, Error> {
        let (directory, _, _) = Self::open(dir, durability).await?;
        Ok(directory.home.join(cluster::DATA))
    }

    async fn open(dir: &Path, durability: Durability) -> Result<(Directory, PostgresBinaries, String), Error> {
        let installed = super::binaries::postgres()?;
        let directory = Directory::open(dir).await?;
        stop_leftover::<Postgres>(&directory).await?;
        let (binaries, password) = cluster::prepare(&directory, installed, durability).await?;
        Ok((directory, binaries, password))
    }

    /// The version of PostgreSQL that a new directory gets.
    ///
    /// # Errors
    /// It is not installed.
    pub fn newest_version() -> Result<String, Error> {
        // Never empty: that is an error.
        Ok(super::binaries::postgres()?.swap_remove(0).version)
    }

    /// Where a database is: `postgresql://spark:password@127.0.0.1:port/database`.
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://{USER}:{}@127.0.0.1:{}/{database}", self.server.kind.password, self.server.port)
    }

    pub(super) fn password(&self) -> &str {
        &self.server.kind.password
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// The process of the postmaster.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Where its data is: elsewhere than asked if the account it runs as can't reach that.
    pub fn data_dir(&self) -> PathBuf {
        self.server.directory.home.join(cluster::DATA)
    }

    /// Sends the postmaster a signal; nothing if it has ended. `QUIT` crashes the server with all its sessions; `KILL`
    /// leaves those to notice by themselves; after `STOP` new connections hang, and those that are open work on.
    pub fn signal(&self, signal: Signal) {
        self.server.signal(signal);
    }

    /// Makes a database, unless there is one of that name.
    ///
    /// # Errors
    /// The server can't be reached or refuses.
    pub async fn create_database(&self, name: &str) -> Result<(), Error> {
        self.create(&format!("CREATE DATABASE {}", quoted(name))).await
    }

    /// Makes a database as a copy of another that nobody is connected to, unless there is one of that name.
    ///
    /// # Errors
    /// The server can't be reached or refuses.
    pub async fn copy_database(&self, name: &str, template: &str) -> Result<(), Error> {
        self.create(&format!("CREATE DATABASE {} TEMPLATE {}", quoted(name), quoted(template))).await
    }

    /// Removes a database, ending whoever is connected to it.
    ///
    /// # Errors
    /// The server can't be reached or refuses.
    pub async fn drop_database(&self, name: &str) -> Result<(), Error> {
        let client = self.server.kind.connect(self.server.port).await?;
        Ok(client.batch_execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name))).await?)
    }

    async fn create(&self, statement: &str) -> Result<(), Error> {
        let client = self.server.kind.connect(self.server.port).await?;
        match client.batch_execute(statement).await {
            Err(error) if error.code() == Some(&SqlState::DUPLICATE_DATABASE) => Ok(()),
            done => Ok(done?),
        }
    }

    /// Ends it and waits until it is gone. Connections are cut, what was committed is kept.
    ///
    /// # Errors
    /// It outlived every signal.
    pub async fn stop(&self) -> Result<(), Error> {
        self.server.stop().await
    }

    /// Starts it again with the same url, ending it first if it still runs.
    ///
    /// # Errors
    /// It did not come up, for instance because its port was taken meanwhile.
    pub async fn start_again(&mut self) -> Result<(), Error> {
        self.server.start_again().await
    }
}

impl Postgres {
    async fn connect(&self, port: u16) -> Result<Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(port).user(USER).password(&self.password).dbname(ANY_DATABASE);
        config.connect_timeout(Duration::from_secs(5)).application_name("automagik-spark dev");
        let (client, connection) = config.connect(NoTls).await?;
        // It ends with the client.
        tokio::spawn(connection);
        Ok(client)
    }
}

impl Kind for Postgres {
    const NAME: &'static str = "postgres";
    const LADDER: Ladder = &[
        // Fast: ends the sessions, writes a checkpoint.
        (Signal::INT, Duration::from_secs(30)),
        // Immediate: the next start recovers from the log.
        (Signal::QUIT, Duration::from_secs(10)),
        (Signal::KILL, Duration::from_secs(10)),
    ];

    fn command(&self, directory: &Directory, port: u16) -> Result<Command, Error> {
        let mut command = directory.runner.command(&self.binaries.postgres, Signal::INT);
        command.arg("-D").arg(directory.home.join(cluster::DATA));
        let port = format!("port={port}");
        let care: &[&str] = match self.durability {
            Durability::Durable => &["max_connections=200"],
            // Small and quick; synchronous_commit stays as users have it.
            Durability::Throwaway => &[
                "max_connections=300",
                "fsync=off",
                "full_page_writes=off",
                "shared_buffers=32MB",
                "wal_level=minimal",
                "max_wal_senders=0",
                "max_wal_size=256MB",
            ],
        };
        let always = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "timezone=UTC", "log_timezone=UTC"];
        for setting in always.iter().chain(care).copied().chain([port.as_str()]) {
            command.args(["-c", setting]);
        }
        Ok(command)
    }

    async fn probe(&self, port: u16) -> Result<(), String> {
        self.connect(port).await.map(drop).map_err(|error| error.to_string())
    }
}

fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
