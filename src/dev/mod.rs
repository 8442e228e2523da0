//! Private servers: a PostgreSQL and a Redis of one's own, for `automagik-spark dev` and for tests; for tests a PgBouncer
//! too.
//!
//! They are started from the system's binaries, in a directory and on free loopback ports, so nothing depends on a
//! service that happens to run on the machine and nothing is left running: the kernel ends them with the process that
//! started them, even when that one is killed. All ask for a password that only this user can read, because a
//! loopback port is open to every user of the machine. Linux only.

mod account;
mod binaries;
mod cluster;
mod directory;
mod error;
mod leftover;
mod pgbouncer;
mod postgres;
mod process;
mod redis;
mod server;

pub use error::Error;
pub use pgbouncer::PrivatePgBouncer;
pub use postgres::PrivatePostgres;
pub use redis::PrivateRedis;
pub use rustix::process::Signal;

/// What the data is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A power cut loses nothing that was acknowledged (Redis: at most a second, which Spark rebuilds).
    Durable,
    /// The data lives as long as the process: nothing is forced to the disk.
    Throwaway,
}
