//! What Redis does when its memory is full.

use super::{Error, Mailbox};

/// The memory of a Redis, and what becomes of keys when there is none left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    used: u64,
    /// 0 is no limit.
    max: u64,
    policy: String,
}

impl Mailbox {
    /// How Redis stands for memory; none where this server does not tell.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn memory(&self) -> Result<Option<Memory>, Error> {
        self.run(|mut connection| async move {
            let info: String = redis::cmd("INFO").arg("memory").query_async(&mut *connection).await?;
            Ok(Memory::read(&info))
        })
        .await
    }
}

impl Memory {
    fn read(info: &str) -> Option<Self> {
        let value = |name: &str| info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'));
        let number = |name: &str| value(name)?.parse().ok();
        Some(Self {
            used: number("used_memory")?,
            max: number("maxmemory")?,
            policy: value("maxmemory_policy")?.to_owned(),
        })
    }

    /// Whether nothing more can be put in.
    fn is_full(&self) -> bool {
        self.max > 0 && self.used >= self.max && !self.evicts()
    }

    fn evicts(&self) -> bool {
        self.policy != "noeviction"
    }

    /// What an operator should change, if anything.
    pub fn warning(&self) -> Option<String> {
        if self.is_full() {
            return Some(format!(
                "Redis is full ({} of {} bytes) and takes no more ids, so pending tasks wait in PostgreSQL; raise maxmemory, \
                 or remove what else is kept there",
                self.used, self.max
            ));
        }
        self.evicts().then(|| {
            format!(
                "Redis has the maxmemory-policy {}, so it may throw mailboxes away when its memory is full; no task is lost \
                 by that, but tasks wait until they are fed again. Set it to noeviction: `redis-cli CONFIG SET \
                 maxmemory-policy noeviction`, and in redis.conf",
                self.policy
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(used: u64, max: u64, policy: &str) -> Memory {
        let info = format!(
            "# Memory\r\nused_memory:{used}\r\nused_memory_human:1M\r\nmaxmemory:{max}\r\nmaxmemory_human:0B\r\n\
             maxmemory_policy:{policy}\r\n"
        );
        Memory::read(&info).expect("all is there")
    }

    #[test]
    fn eviction_and_a_full_redis_are_warned_of_with_what_to_do() {
        assert_eq!(read(5, 0, "noeviction").warning(), None);
        assert_eq!(read(5, 10, "noeviction").warning(), None);
        let full = read(10, 10, "noeviction");
        assert!(full.is_full() && full.warning().expect("a warning").contains("raise maxmemory"));
        for policy in ["allkeys-lru", "volatile-ttl"] {
            let evicting = read(10, 10, policy);
            assert!(
                !evicting.is_full() && evicting.warning().expect("a warning").contains("CONFIG SET maxmemory-policy")
            );
        }
        assert_eq!(Memory::read("redis_version:7.0"), None);
    }
}
