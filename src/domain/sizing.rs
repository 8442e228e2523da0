//! How large the neighbours of an installation should be: PostgreSQL, PgBouncer, Redis, the machine. By the formula of the
//! scaling guide for Python automagik-spark (whose workers hold connections), and by what this program really opens.

/// Connections that the guide counts for each API process.
const GUIDE_API: u32 = 10;
/// For the scheduler.
const GUIDE_BEAT: u32 = 2;
/// For everything else.
const GUIDE_OVERHEAD: u32 = 5;
/// Connections of a node beside its pool: the lease has one of its own, and a start migrates over another.
const BESIDE_THE_POOL: u32 = 2;
/// For people, backups and what PostgreSQL reserves for its administrators.
const FOR_PEOPLE: u32 = 10;
/// Memory of the service itself under load, in kB. Measured: docs/PERFORMANCE.md.
const SERVICE_KB: u64 = 256 * 1024;

/// What is to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Installation {
    /// Executors of the largest pool, which is the one that the guide speaks of.
    pub workers: u32,
    /// Slots of each.
    pub threads: u32,
    /// Executors of all pools of a node.
    pub all_workers: u32,
    /// Connections that a node is meant to need (`database.pool_size`).
    pub pool_size: u32,
    /// Most connections of a node's pool.
    pub pool_limit: u32,
    /// Nodes that share the servers.
    pub nodes: u32,
    /// Memory that Redis is meant to have, in MB.
    pub redis_mb: u32,
    /// Ceiling of a child's memory, in kB.
    pub child_kb: u64,
}

/// The guide's sum, for a system whose workers hold connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuideSum {
    /// One for each slot.
    pub workers: u32,
    /// One API process.
    pub api: u32,
    /// The scheduler.
    pub beat: u32,
    /// Everything else.
    pub overhead: u32,
    /// All of them: the pool's size.
    pub pool_size: u32,
    /// With a half on top, rounded down as the guide does.
    pub max_connections: u32,
}

/// What this program opens at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnSum {
    /// Connections of a node.
    pub node: u32,
    /// Of all nodes.
    pub nodes: u32,
    /// What PostgreSQL should accept.
    pub max_connections: u32,
    /// Server connections of a PgBouncer in between: what works at once, not what asks.
    pub bouncer_pool: u32,
    /// Its reserve for bursts.
    pub bouncer_reserve: u32,
    /// Clients that it should accept.
    pub bouncer_clients: u32,
    /// Memory of a node when every child is as large as it may ever be, in kB.
    pub node_kb: u64,
}

impl Installation {
    /// `pool_size = workers * concurrency + api + overhead`, `max_connections = pool_size * 1.5`.
    pub fn by_the_guide(&self) -> GuideSum {
        let workers = self.workers * self.threads;
        let pool_size = workers + GUIDE_API + GUIDE_BEAT + GUIDE_OVERHEAD;
        GuideSum {
            workers,
            api: GUIDE_API,
            beat: GUIDE_BEAT,
            overhead: GUIDE_OVERHEAD,
            pool_size,
            max_connections: pool_size * 3 / 2,
        }
    }

    /// What is really opened, and used, at most.
    pub fn by_this_program(&self) -> OwnSum {
        let node = self.pool_limit + BESIDE_THE_POOL;
        let nodes = node * self.nodes;
        // A child is killed at twice its ceiling.
        let children_kb = u64::from(self.all_workers) * self.child_kb * 2;
        OwnSum {
            node,
            nodes,
            max_connections: (nodes + FOR_PEOPLE).div_ceil(10) * 10,
            bouncer_pool: self.pool_size,
            bouncer_reserve: self.pool_size.div_ceil(4),
            bouncer_clients: (nodes + FOR_PEOPLE).div_ceil(50) * 50,
            node_kb: children_kb + SERVICE_KB,
        }
    }
}

/// What is there. What could not be asked is not judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// PostgreSQL's `max_connections`, and how many of them are in use.
    pub connections: Option<(u64, u64)>,
    /// Redis' `maxmemory` in bytes (nothing: no limit), and its policy.
    pub redis: Option<(Option<u64>, String)>,
    /// The machine's memory in kB.
    pub machine_kb: Option<u64>,
    /// Its processors.
    pub processors: Option<u64>,
}

/// What is found of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// Whether it fits.
    pub fits: bool,
    /// What there is, and what to change.
    pub words: String,
}

/// Whether a Redis with this `maxmemory-policy` may throw mailboxes away. Those that spare keys without an expiry
/// (`volatile-*`) are no better: they leave it to whoever shares the server. One that does not tell is not suspected.
pub fn may_evict(policy: &str) -> bool {
    !["noeviction", ""].contains(&policy)
}

/// Compares what is there with what is needed.
pub fn compare(size: &Installation, found: &Found) -> Vec<Finding> {
    let own = size.by_this_program();
    let mut findings = Vec::new();
    let mut find = |what, fits, words: String| findings.push(Finding { what, fits, words });
    if let Some((max, used)) = found.connections {
        let fits = max >= u64::from(own.max_connections);
        let advice = if fits {
            "enough".to_owned()
        } else {
            format!("set max_connections = {} and restart PostgreSQL, or put PgBouncer in front", own.max_connections)
        };
        find("PostgreSQL connections", fits, format!("{max} accepted, {used} in use: {advice}"));
    }
    if let Some((max, policy)) = &found.redis {
        let wanted = u64::from(size.redis_mb) << 20;
        let (fits, words) = match max {
            None => {
                (false, format!("no limit: set maxmemory {}mb, so that it can't take the machine's", size.redis_mb))
            }
            Some(max) if *max >= wanted => (true, format!("{} MB: enough", max >> 20)),
            Some(max) => (false, format!("{} MB: set maxmemory {}mb", max >> 20, size.redis_mb)),
        };
        find("Redis memory", fits, words);
        let fits = !may_evict(policy);
        let advice = if fits { "a full Redis refuses, and says so" } else { "set maxmemory-policy noeviction" };
        find("Redis policy", fits, format!("{policy}: {advice}"));
    }
    if let Some(there) = found.machine_kb {
        let fits = there >= own.node_kb;
        let (need_mb, there_mb) = (own.node_kb >> 10, there >> 10);
        let advice = if fits { "enough" } else { "fewer workers, or a lower max_memory_per_child_kb" };
        let words = format!("{there_mb} MB, and the node may come to {need_mb} MB at the worst: {advice}");
        find("machine's memory", fits, words);
    }
    if let Some(processors) = found.processors {
        // Flows are run elsewhere: a child waits for an answer most of the time.
        let fits = processors * 16 >= u64::from(size.all_workers);
        let advice = if fits { "enough" } else { "more threads and fewer workers do the same with less" };
        find("machine's processors", fits, format!("{processors} for {} children: {advice}", size.all_workers));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn medium() -> Installation {
        Installation {
            workers: 5,
            threads: 4,
            all_workers: 7,
            pool_size: 20,
            pool_limit: 60,
            nodes: 1,
            redis_mb: 2048,
            child_kb: 200_000,
        }
    }

    #[test]
    fn the_guide_s_example_comes_out() {
        let sum = medium().by_the_guide();
        assert_eq!((sum.workers, sum.pool_size, sum.max_connections), (20, 37, 55));
    }

    #[test]
    fn own_connections_do_not_grow_with_the_slots() {
        let own = medium().by_this_program();
        assert_eq!((own.node, own.nodes, own.max_connections), (62, 62, 80));
        let crowded = Installation { workers: 50, threads: 64, ..medium() };
        assert_eq!(crowded.by_this_program().max_connections, own.max_connections);
        let two = Installation { nodes: 2, ..medium() }.by_this_program();
        assert_eq!((two.nodes, two.max_connections, two.bouncer_pool, two.bouncer_clients), (124, 140, 20, 150));
    }

    #[test]
    fn what_is_too_small_is_told_with_what_to_set() {
        let found = Found {
            connections: Some((50, 12)),
            redis: Some((Some(512 << 20), "allkeys-lru".to_owned())),
            machine_kb: Some(1 << 20),
            processors: Some(2),
        };
        let findings = compare(&medium(), &found);
        let misfits: Vec<&str> = findings.iter().filter(|one| !one.fits).map(|one| one.words.as_str()).collect();
        assert_eq!(misfits.len(), 4, "{findings:?}");
        for (words, told) in
            misfits.iter().zip(["max_connections = 80", "maxmemory 2048mb", "noeviction", "fewer workers"])
        {
            assert!(words.contains(told), "{words}");
        }
        let large = Found {
            connections: Some((100, 12)),
            redis: Some((Some(2 << 30), "noeviction".to_owned())),
            machine_kb: Some(8 << 20),
            processors: Some(4),
        };
        assert!(compare(&medium(), &large).iter().all(|one| one.fits));
        assert_eq!(compare(&medium(), &Found::default()), [], "what could not be asked is not judged");
        for policy in ["volatile-lru", "volatile-ttl", "allkeys-random"] {
            let redis = Found { redis: Some((Some(2 << 30), policy.to_owned())), ..Found::default() };
            let told = compare(&medium(), &redis).pop().expect("a finding");
            assert!(!told.fits && told.words == format!("{policy}: set maxmemory-policy noeviction"), "{told:?}");
        }
        let unlimited = Found { redis: Some((None, "noeviction".to_owned())), ..Found::default() };
        assert!(compare(&medium(), &unlimited)[0].words.contains("no limit"));
    }
}
