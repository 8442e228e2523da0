//! A look at what an installation stands on, without a running service: PostgreSQL, Redis, the machine.

use std::time::Duration;

use tokio::runtime::Handle;

use super::{machine, options};
use crate::config::Config;
use crate::domain::sizing::{Found, Installation};
use crate::domain::source::Secret;
use crate::mailbox::{Mailbox, MailboxOptions};
use crate::store::{PoolOptions, Store, Vault};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the configuration comes to.
pub fn installation(config: &Config, nodes: u32) -> Installation {
    let largest = config.pools.iter().max_by_key(|pool| pool.workers * pool.threads);
    Installation {
        workers: largest.map_or(0, |pool| pool.workers),
        threads: largest.map_or(0, |pool| pool.threads),
        all_workers: config.pools.iter().map(|pool| pool.workers).sum(),
        pool_size: config.database.pool_size,
        pool_limit: config.database.max_connections(),
        nodes,
        redis_mb: config.redis.memory_mb,
        child_kb: config.pools.iter().map(|pool| pool.recycle.max_memory_per_child_kb).max().unwrap_or(0),
    }
}

/// Asks all of them at once. What does not answer is missing in what was found, and named with the reason.
pub async fn look(config: &Config) -> (Found, Vec<String>) {
    let (connections, redis) = tokio::join!(connections(config), redis(config));
    let size = machine::size();
    let mut silent = Vec::new();
    let mut known = |server: &str, reason: String| silent.push(format!("{server} was not asked: {reason}"));
    let found = Found {
        connections: connections.map_err(|reason| known("PostgreSQL", reason)).ok(),
        redis: redis.map_err(|reason| known("Redis", reason)).ok(),
        machine_kb: size.map(|(memory_kb, _)| memory_kb),
        processors: size.map(|(_, processors)| processors),
    };
    (found, silent)
}

async fn connections(config: &Config) -> Result<(u64, u64), String> {
    // It opens no stored key, so any will do.
    let vault = Vault::new(&Secret::new(fernet::Fernet::generate_key())).ok_or("no key can be made")?;
    let once = PoolOptions { max_size: 1, acquire_timeout: PATIENCE, ..options::database(config) };
    let store = Store::open(&once, vault, Handle::current()).map_err(|error| error.to_string())?;
    store.connections().await.map_err(|error| error.to_string())
}

async fn redis(config: &Config) -> Result<(Option<u64>, String), String> {
    let once = MailboxOptions { pool_size: 1, acquire_timeout: PATIENCE, ..options::mailbox(config) };
    let mailbox = Mailbox::open(once, Handle::current()).map_err(|error| error.to_string())?;
    let figures = mailbox.figures().await.map_err(|error| error.to_string())?;
    Ok((figures.max_bytes, figures.policy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, LoadOptions, PROFILES};

    #[test]
    fn the_pages_tell_the_connections_that_tune_tells() {
        let page = include_str!("../../docs/OPERATIONS.md");
        let fragment = include_str!("../../config/postgresql.conf").replace("\n# ", " ");
        for profile in PROFILES {
            let flags = Flags { profile: Some(profile.name.to_owned()), ..Flags::default() };
            let config = Config::load(&LoadOptions { flags, ..LoadOptions::default() }).expect("sound");
            let size = installation(&config, 1);
            let connections = size.by_this_program().node;
            // Beside the pool of commands, each pool takes over a connection of its own, and events are heard over one.
            let to_redis = options::mailbox(&config).pool_size as usize + config.pools.len() + 1;
            let slots = size.workers * size.threads;
            let row = format!("| {} | {} | {slots} | {connections} | {to_redis} |", profile.name, size.all_workers);
            assert!(page.contains(&row), "docs/OPERATIONS.md: {row}");
            let told = format!("{} {connections}", profile.name);
            assert!(fragment.contains(&told), "config/postgresql.conf: {told}");
        }
    }
}
