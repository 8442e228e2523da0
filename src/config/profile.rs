//! The profiles: known good sizes, as data.

use config::Value;

use super::raw::Layer;

/// A size of installation, and what it was measured to carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name in `profile`.
    pub name: &'static str,
    /// Child processes of the default pool.
    pub workers: u32,
    /// Attempts that a child runs at the same time.
    pub threads: u32,
    /// Connections to PostgreSQL, before the overflow.
    pub pool_size: u32,
    /// Age at which those are replaced.
    pub pool_recycle_s: u32,
    /// Memory that Redis should have.
    pub redis_memory_mb: u32,
    /// Throughput to expect with flows that take six seconds.
    pub expected_tasks_per_minute: u32,
}

/// Every profile, smallest first.
pub const PROFILES: [Profile; 4] = [
    profile("small", (2, 4), (10, 3600), 512, 50),
    profile("medium", (5, 4), (20, 3600), 2048, 200),
    profile("large", (10, 8), (40, 3600), 4096, 800),
    profile("enterprise", (20, 8), (80, 1800), 8192, 1600),
];

const fn profile(
    name: &'static str,
    (workers, threads): (u32, u32),
    (pool_size, pool_recycle_s): (u32, u32),
    redis_memory_mb: u32,
    expected_tasks_per_minute: u32,
) -> Profile {
    Profile { name, workers, threads, pool_size, pool_recycle_s, redis_memory_mb, expected_tasks_per_minute }
}

impl Profile {
    /// The profile of this name.
    pub fn named(name: &str) -> Option<Self> {
        PROFILES.into_iter().find(|profile| profile.name == name)
    }

    /// What the profile sets.
    pub(super) fn layer(&self) -> Layer {
        let origin = format!("profile {}", self.name);
        [
            ("worker.workers", self.workers),
            ("worker.threads", self.threads),
            ("database.pool_size", self.pool_size),
            ("database.pool_recycle_s", self.pool_recycle_s),
            ("redis.memory_mb", self.redis_memory_mb),
        ]
        .into_iter()
        .map(|(key, number)| (key.to_owned(), Value::new(Some(&origin), number)))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_set_keys_that_exist_and_small_is_the_default() {
        let defaults = super::super::load::defaults();
        for profile in PROFILES {
            for (key, value) in profile.layer() {
                let default = defaults.get(&key).expect("a profile sets keys of default.toml");
                assert!(profile.name != "small" || default.to_string() == value.to_string(), "{key}");
            }
        }
        assert_eq!(defaults["profile"].to_string(), "small");
    }
}
