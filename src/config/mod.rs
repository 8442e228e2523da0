//! The configuration: what was written (`raw`), where it stands (`load`, `env`, `flags`, `profile`), and what it means
//! ([`Config`]). Every problem is reported at once, with its key and its origin.
//!
//! Only `node` and `cli` take a [`Config`]; what is below them takes options of its own.

mod adapters;
mod api;
mod circuit;
pub mod dotenv;
mod env;
mod error;
mod exposure;
mod flags;
mod load;
mod place;
mod pool;
mod profile;
mod raw;
mod read;
mod secret_file;
mod servers;
mod service;
mod show;
mod tracing;
mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use self::api::ApiConfig;
pub use self::error::{Error, Errors, Problem};
pub use self::exposure::is_secret_variable;
pub use self::flags::Flags;
pub use self::load::LoadOptions;
pub use self::pool::PoolConfig;
pub use self::profile::{PROFILES, Profile};
pub use self::secret_file::{EncryptionKey, canonical_key};
pub use self::servers::{DatabaseConfig, RedisConfig};
pub use self::service::{BeatConfig, JanitorConfig, LogConfig, LogFormat, MonitorConfig, NodeConfig, Role};
pub use self::tracing::TracingConfig;
pub use self::worker::WorkerConfig;

use self::read::Reader;
use crate::domain::adapter::Adapters;
use crate::domain::circuit::CircuitOptions;
use crate::domain::source::Secret;

/// The configuration, validated.
#[derive(Clone, Debug)]
pub struct Config {
    /// The profile it is based on.
    pub profile: Profile,
    /// What the installation is for; changes no behaviour.
    pub environment: String,
    /// Timezone of schedules that name none.
    pub timezone: chrono_tz::Tz,
    /// Input of schedules that give none.
    pub default_input: String,
    /// Whether sources of this machine are looked for at the start.
    pub discovery: bool,
    /// Directory of what Spark keeps on this machine; need not exist.
    pub state_dir: PathBuf,
    /// Where the command line finds the service, without trailing slash.
    pub remote_url: String,
    /// Where the encryption key comes from.
    pub encryption_key: EncryptionKey,
    /// The API.
    pub api: ApiConfig,
    /// What sources of type `http` may name.
    pub adapters: Adapters,
    /// When sources are left alone.
    pub circuit: CircuitOptions,
    /// PostgreSQL.
    pub database: DatabaseConfig,
    /// Redis.
    pub redis: RedisConfig,
    /// How attempts are run.
    pub worker: WorkerConfig,
    /// The pools, at least one.
    pub pools: Vec<PoolConfig>,
    /// Schedules.
    pub beat: BeatConfig,
    /// Cleaning up.
    pub janitor: JanitorConfig,
    /// This node.
    pub node: NodeConfig,
    /// Measuring.
    pub monitor: MonitorConfig,
    /// Logging.
    pub log: LogConfig,
    /// Traces.
    pub tracing: TracingConfig,
    /// The operator's file, if one was read.
    pub file: Option<PathBuf>,
    /// What is not wrong but should be known.
    pub warnings: Vec<String>,
    explained: Vec<Explained>,
    /// The values as they were given, but for the pools.
    given: BTreeMap<String, Secret>,
}

/// A key, its value and where that came from, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Path of the key.
    pub key: String,
    /// The value, masked where it is secret; what `auto` came to is in brackets.
    pub value: String,
    /// Where it came from.
    pub origin: String,
}

impl Config {
    /// Reads all layers and makes sense of them. Changes nothing on the machine.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn load(options: &LoadOptions) -> Result<Self, Errors> {
        let loaded = load::load(options);
        let mut reader = Reader::new(loaded.values, loaded.problems, loaded.warnings);
        let node = NodeConfig::read(&mut reader);
        let state_dir = place::state_dir(&mut reader, &options.env);
        let api = ApiConfig::read(&mut reader, node.has(Role::Api));
        let config = Self {
            profile: loaded.profile,
            environment: reader.text("environment"),
            timezone: reader.parsed("timezone", "an IANA timezone such as UTC or Europe/Berlin", chrono_tz::UTC),
            default_input: default_input(&mut reader),
            discovery: reader.flag("discovery"),
            remote_url: place::remote_url(&mut reader, api.port),
            encryption_key: place::encryption_key(&mut reader, &state_dir),
            state_dir,
            api,
            adapters: adapters::read(&mut reader, loaded.home.as_deref()),
            circuit: circuit::read(&mut reader),
            database: DatabaseConfig::read(&mut reader),
            redis: RedisConfig::read(&mut reader),
            worker: WorkerConfig::read(&mut reader),
            pools: pool::read(&mut reader, node.has(Role::Worker)),
            beat: BeatConfig::read(&mut reader),
            janitor: JanitorConfig::read(&mut reader),
            node,
            monitor: MonitorConfig::read(&mut reader),
            log: LogConfig::read(&mut reader),
            tracing: TracingConfig::read(&mut reader),
            file: loaded.file,
            warnings: Vec::new(),
            explained: Vec::new(),
            given: BTreeMap::new(),
        };
        if !reader.problems.is_empty() {
            return Err(Errors(reader.problems));
        }
        let exposed = exposure::warnings(&reader.values, config.file.as_deref(), options.dotenv.as_deref());
        reader.warnings.extend(exposed);
        let explained = explain(&reader, &config.pools);
        let values = reader.values.iter().filter(|(key, _)| !is_pool(key));
        let given = values.map(|(key, value)| (key.clone(), Secret::new(value.to_string()))).collect();
        Ok(Self { warnings: reader.warnings, explained, given, ..config })
    }

    /// Where the command line finds the service, without the rest of the configuration: a client is not kept from its work
    /// by a mistake that is the service's affair.
    ///
    /// # Errors
    /// What is wrong with the keys it comes from, or with a file that may have them.
    pub fn remote_url(options: &LoadOptions) -> Result<String, Errors> {
        place::remote_url_alone(load::load(options)).map_err(Errors)
    }

    /// Every key with its value and origin: top-level keys first, then section by section.
    pub fn explain(&self) -> &[Explained] {
        &self.explained
    }

    /// The keys that have another value in another configuration. Pools are compared by whoever can change them.
    pub fn changed_keys(&self, other: &Self) -> Vec<String> {
        // Both have every key: default.toml has.
        self.given
            .iter()
            .filter(|(key, value)| other.given.get(*key) != Some(value))
            .map(|(key, _)| key.clone())
            .collect()
    }
}

/// Blanks are part of an input.
fn default_input(reader: &mut Reader) -> String {
    let trimmed = reader.text("default_input");
    reader.values.get("default_input").map_or(trimmed, ToString::to_string)
}

fn is_pool(key: &str) -> bool {
    key == "pools" || key.starts_with("pools[")
}

fn explain(reader: &Reader, pools: &[PoolConfig]) -> Vec<Explained> {
    let mut lines: Vec<Explained> = reader
        .values
        .iter()
        .filter(|(key, _)| !is_pool(key))
        .map(|(key, value)| {
            let shown = show::shown(key, value);
            let value = match reader.resolved.get(key) {
                Some(resolved) => format!("auto ({resolved})"),
                None => shown,
            };
            Explained { key: key.clone(), value, origin: reader.origin(key).to_owned() }
        })
        .collect();
    lines.sort_by_key(|line| line.key.contains('.'));
    lines.extend(pools.iter().map(|pool| Explained {
        key: format!("pools.{}", pool.name),
        value: format!("queues {}; {} workers of {} threads", pool.queues, pool.workers, pool.threads),
        origin: reader.origin("pools").to_owned(),
    }));
    lines
}

#[cfg(test)]
mod page_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod variable_tests;
