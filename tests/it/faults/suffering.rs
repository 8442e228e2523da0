//! Carrying out what goes wrong, and putting it right again.

use std::fs;
use std::time::{Duration, Instant};

use automagik_spark::dev::Signal;
use automagik_spark::domain::clock;
use automagik_spark::fault::Point;
use tokio::time::sleep;

use super::history::Kill;
use super::plan::{Fault, How, Outage, Plan, Planned, Strike};
use super::world::{SLOTS, THREADS, World};
use crate::harness::node::{is_alive, send};
use crate::harness::proxy::Traffic;
use crate::harness::stage::connect;
use crate::harness::until;

/// How long nothing may get on before the run has failed.
const STANDSTILL: Duration = Duration::from_secs(60);
/// How long a process may take to pass a point, which not all of them do all the time.
const PASSING: Duration = Duration::from_secs(4);
/// A child that hangs is killed at its hard limit.
const HARD_LIMIT: Duration = Duration::from_secs(30);
const EXIT: Duration = Duration::from_secs(90);
/// What the source had not yet noted of a call when its caller died.
const NOTING: Duration = Duration::from_secs(1);
const DELAY: Duration = Duration::from_millis(40);
/// One answer in so many is lost.
const FORGETS: u64 = 9;
const FINISHED: &str = "SELECT count(*) FROM tasks WHERE status IN ('completed', 'failed', 'cancelled')";

/// What is left to do when a strike is over.
enum Repair {
    Nothing,
    Relaunch(usize),
    /// A fault is planned at a point, since a time.
    Point(Point, How, Instant),
}

/// What came of a fault.
#[derive(Debug)]
pub(crate) struct Suffered {
    /// Whether it struck; a point may not be passed for a while.
    pub(crate) struck: bool,
    /// For people.
    pub(crate) note: String,
}

impl World {
    /// Carries out a plan's faults; says what came of each.
    pub(crate) async fn suffer(&mut self, plan: &Plan) -> Vec<Suffered> {
        let mut suffered = Vec::new();
        for Planned { after, fault } in &plan.faults {
            self.until_finished(*after).await;
            let begun = Instant::now();
            let repair = match fault {
                Fault::Strike(strike) => self.strike(*strike).await,
                Fault::Outage(outage, time, meanwhile) => {
                    self.out_of_order(*outage, Duration::from_millis(*time), *meanwhile).await
                }
            };
            let struck = self.repair(repair).await;
            if !struck {
                // A run is to suffer as many faults as its plan has.
                self.strike(Strike::KillChild(0)).await;
            }
            let not = if struck { "" } else { "; it was not passed, so a child was killed instead" };
            suffered.push(Suffered { struck, note: format!("{fault:?} took {:?}{not}", begun.elapsed()) });
        }
        suffered
    }

    async fn until_finished(&mut self, count: usize) {
        let what = format!("{count} tasks have ended");
        until(&what, STANDSTILL, async || {
            let finished = self.count(FINISHED).await?;
            (finished >= i64::try_from(count).expect("small")).then_some(())
        })
        .await;
    }

    async fn strike(&mut self, strike: Strike) -> Repair {
        match strike {
            Strike::KillChild(who) => {
                let children = self.children(who);
                if let Some(victim) = children.get(who % children.len().max(1)) {
                    self.kill(&[*victim], THREADS);
                }
            }
            Strike::KillChildren(who) => self.kill(&self.children(who), SLOTS),
            Strike::KillService(who) => {
                let who = who % self.nodes.len();
                self.kill(&[self.nodes[who].pid()], SLOTS);
                return Repair::Relaunch(who);
            }
            Strike::StopService(who) => {
                let who = who % self.nodes.len();
                self.nodes[who].signal(Signal::TERM);
                return Repair::Relaunch(who);
            }
            Strike::FlushRedis => self.redis("FLUSHALL", &[]).await,
            Strike::CutRedis => self.redis.cut(),
            Strike::ResetRedis => self.redis.reset(),
            Strike::CutPostgres => self.postgres.cut(),
            Strike::ResetPostgres => self.postgres.reset(),
            Strike::TerminateBackends => self.sql(TERMINATE).await,
            Strike::Point(point, how) => {
                self.arm(point, if how == How::Kill { "kill" } else { "hang" });
                return Repair::Point(point, how, Instant::now());
            }
        }
        Repair::Nothing
    }

    /// Puts right what a strike has left; whether it struck at all.
    async fn repair(&mut self, repair: Repair) -> bool {
        match repair {
            Repair::Nothing => true,
            Repair::Relaunch(who) => {
                self.nodes[who].wait_exit(EXIT).await;
                self.relaunch(who).await;
                true
            }
            Repair::Point(point, how, armed_at) => self.after_point(point, how, armed_at).await,
        }
    }

    async fn after_point(&mut self, point: Point, how: How, armed_at: Instant) -> bool {
        let struck = until("it strikes", PASSING * 2, async || self.has_struck(point).then_some(()));
        if tokio::time::timeout(PASSING, struck).await.is_err() && self.disarm(point) {
            return false;
        }
        if point.is_in_child() {
            if how == How::Hang {
                // Until then its attempts may be made again.
                let children: Vec<u32> = (0..self.nodes.len()).flat_map(|node| self.children(node)).collect();
                until("a child that hangs is killed", HARD_LIMIT, async || {
                    (!children.iter().all(|pid| is_alive(*pid))).then_some(())
                })
                .await;
            }
            self.died_since(armed_at, THREADS);
            return true;
        }
        let died = async || (0..self.nodes.len()).find(|node| !is_alive(self.nodes[*node].pid()));
        let who = until("the service dies", EXIT, died).await;
        self.died_since(armed_at, SLOTS);
        self.nodes[who].wait_exit(EXIT).await;
        self.relaunch(who).await;
        true
    }

    async fn out_of_order(&mut self, outage: Outage, time: Duration, meanwhile: Option<Strike>) -> Repair {
        let mut lock = None;
        let mut frozen = Vec::new();
        match outage {
            Outage::RedisDown => self.stage.servers.redis.signal(Signal::KILL),
            Outage::RedisFrozen => self.stage.servers.redis.signal(Signal::STOP),
            Outage::RedisEvicting => {
                self.redis("CONFIG", &["SET", "maxmemory-policy", "allkeys-lru"]).await;
                self.redis("CONFIG", &["SET", "maxmemory", "100kb"]).await;
            }
            Outage::RedisStalled => self.redis.set(Traffic::Stall),
            Outage::RedisSlow => self.redis.set(Traffic::Delay(DELAY)),
            Outage::RedisDeaf => self.redis.set(Traffic::LoseAnswers),
            Outage::RedisForgetful => self.redis.set(Traffic::LoseSome(FORGETS)),
            Outage::PostgresForgetful => self.postgres.set(Traffic::LoseSome(FORGETS)),
            Outage::RedisRefusing => {
                self.redis.set(Traffic::Refuse);
                self.redis.reset();
            }
            Outage::PostgresDown => self.stage.servers.postgres().stop().await.expect("it ends"),
            Outage::PostgresCrashed => self.stage.servers.postgres().signal(Signal::QUIT),
            Outage::PostgresFrozen => frozen = with_children(self.stage.servers.postgres().pid()),
            Outage::PostgresStalled => self.postgres.set(Traffic::Stall),
            Outage::PostgresSlow => self.postgres.set(Traffic::Delay(DELAY)),
            Outage::PostgresDeaf => self.postgres.set(Traffic::LoseAnswers),
            Outage::PostgresRefusing => {
                self.postgres.set(Traffic::Refuse);
                self.postgres.reset();
            }
            Outage::PostgresReadOnly => {
                self.sql("ALTER DATABASE spark SET default_transaction_read_only = on").await;
                self.sql(TERMINATE).await;
            }
            Outage::TasksLocked => {
                let client = connect(&self.stage.servers.database_url).await;
                client
                    .batch_execute("BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
                    .await
                    .expect("it is free soon");
                lock = Some(client);
            }
            Outage::ServiceFrozen(who) => frozen.push(self.nodes[who % self.nodes.len()].pid()),
        }
        signal(&frozen, Signal::STOP);
        sleep(time / 2).await;
        let repair = match meanwhile {
            // A process that stands still neither dies nor ends in the meantime.
            Some(strike) => self.strike(strike).await,
            None => Repair::Nothing,
        };
        sleep(time / 2).await;
        signal(&frozen, Signal::CONT);
        drop(lock);
        self.redis.set(Traffic::Pass);
        self.postgres.set(Traffic::Pass);
        match outage {
            Outage::RedisDown => self.stage.servers.redis.start_again().await.expect("it comes back"),
            Outage::RedisFrozen => self.stage.servers.redis.signal(Signal::CONT),
            Outage::RedisEvicting => self.redis("CONFIG", &["SET", "maxmemory", "0"]).await,
            Outage::PostgresDown | Outage::PostgresCrashed => {
                self.stage.servers.postgres().start_again().await.expect("it comes back");
            }
            Outage::PostgresReadOnly => {
                let client = connect(&self.stage.servers.database_url).await;
                let undo = [
                    "SET default_transaction_read_only = off",
                    "ALTER DATABASE spark RESET default_transaction_read_only",
                    TERMINATE,
                ];
                // One by one: a transaction that began as read-only stays so.
                for sql in undo {
                    client.batch_execute(sql).await.expect("done");
                }
            }
            _ => {}
        }
        repair
    }

    fn children(&self, who: usize) -> Vec<u32> {
        let service = self.nodes[who % self.nodes.len()].pid();
        with_children(service).into_iter().filter(|pid| *pid != service).collect()
    }

    fn kill(&mut self, pids: &[u32], most: usize) {
        let from = clock::now();
        signal(pids, Signal::KILL);
        self.kills.push(Kill { from, to: clock::now() + NOTING, most });
    }

    fn died_since(&mut self, time: Instant, most: usize) {
        let now = clock::now();
        self.kills.push(Kill { from: now - time.elapsed(), to: now + NOTING, most });
    }

    async fn redis(&self, command: &str, arguments: &[&str]) {
        let client = redis::Client::open(self.stage.servers.redis_url.as_str()).expect("a url");
        let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
        let _: redis::Value = redis::cmd(command).arg(arguments).query_async(&mut connection).await.expect("done");
    }

    async fn sql(&self, sql: &str) {
        connect(&self.stage.servers.database_url).await.batch_execute(sql).await.expect("done");
    }
}

const TERMINATE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                         WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// Those that are still there.
fn signal(pids: &[u32], signal: Signal) {
    pids.iter().filter(|pid| is_alive(**pid)).for_each(|pid| send(*pid, signal));
}

/// A process and the processes that it started.
fn with_children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let mut pids = vec![pid];
    for line in children {
        pids.extend(line.split_whitespace().map(|pid| pid.parse::<u32>().expect("a number")));
    }
    pids
}
