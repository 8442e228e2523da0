//! How Redis is doing.

use super::{Error, Mailbox};
use crate::domain::sizing::may_evict;

/// What Redis says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisFigures {
    /// Memory that it uses, in bytes.
    pub used_bytes: u64,
    /// Its `maxmemory`, in bytes; nothing where it has no limit.
    pub max_bytes: Option<u64>,
    /// Its `maxmemory-policy`: what it does when memory is full.
    pub policy: String,
    /// Keys that it removed so far because memory was full.
    pub evicted_keys: u64,
    /// Clients that are connected to it, ours and others.
    pub clients: u64,
}

impl RedisFigures {
    /// Whether nothing more can be put in.
    fn is_full(&self) -> bool {
        self.max_bytes.is_some_and(|max| self.used_bytes >= max) && !may_evict(&self.policy)
    }

    /// What an operator should change, if anything.
    pub fn warning(&self) -> Option<String> {
        if self.is_full() {
            return Some(format!(
                "Redis is full ({} of {} bytes) and takes no more ids, so pending tasks wait in PostgreSQL; raise maxmemory, \
                 or remove what else is kept there",
                self.used_bytes,
                self.max_bytes.unwrap_or_default()
            ));
        }
        may_evict(&self.policy).then(|| {
            format!(
                "Redis has the maxmemory-policy {}, so it may throw mailboxes away when its memory is full; no task is lost \
                 by that, but tasks wait until they are fed again. Set it to noeviction: `redis-cli CONFIG SET \
                 maxmemory-policy noeviction`, and in redis.conf",
                self.policy
            )
        })
    }
}

impl Mailbox {
    /// What Redis says of itself, in one round trip.
    ///
    /// # Errors
    /// Redis is away, or its rules forbid this user to ask (`INFO`).
    pub async fn figures(&self) -> Result<RedisFigures, Error> {
        self.run(|mut connection| async move {
            let mut pipeline = redis::pipe();
            for section in ["memory", "stats", "clients"] {
                pipeline.cmd("INFO").arg(section);
            }
            let sections: Vec<String> = pipeline.query_async(&mut *connection).await?;
            Ok(read(&sections.concat()))
        })
        .await
    }
}

fn read(info: &str) -> RedisFigures {
    let text = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim).unwrap_or_default()
    };
    let number = |name| text(name).parse().unwrap_or(0);
    RedisFigures {
        used_bytes: number("used_memory"),
        max_bytes: Some(number("maxmemory")).filter(|max| *max > 0),
        policy: text("maxmemory_policy").to_owned(),
        evicted_keys: number("evicted_keys"),
        clients: number("connected_clients"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_says_is_read_line_by_line() {
        let info = "# Memory\r\nused_memory:1024\r\nused_memory_human:1.00K\r\nmaxmemory:2048\r\n\
                    maxmemory_policy:noeviction\r\n# Stats\r\nevicted_keys:3\r\n# Clients\r\nconnected_clients:7\r\n";
        let figures = RedisFigures {
            used_bytes: 1024,
            max_bytes: Some(2048),
            policy: "noeviction".to_owned(),
            evicted_keys: 3,
            clients: 7,
        };
        assert_eq!(read(info), figures);
        assert_eq!(read("used_memory:5\r\nmaxmemory:0\r\n").max_bytes, None, "0 is no limit");
    }

    #[test]
    fn eviction_and_a_full_redis_are_warned_of_with_what_to_do() {
        let redis = |used_bytes, max_bytes, policy: &str| RedisFigures {
            used_bytes,
            max_bytes,
            policy: policy.to_owned(),
            ..RedisFigures::default()
        };
        for well in [redis(5, None, "noeviction"), redis(5, Some(10), "noeviction"), redis(5, None, "")] {
            assert_eq!(well.warning(), None);
        }
        let full = redis(10, Some(10), "noeviction").warning().expect("a warning");
        assert!(full.contains("raise maxmemory"), "{full}");
        for policy in ["allkeys-lru", "volatile-ttl"] {
            let evicting = redis(10, Some(10), policy).warning().expect("a warning");
            assert!(evicting.contains("CONFIG SET maxmemory-policy"), "{evicting}");
        }
    }
}
