//! What a run does and suffers, made from its seed by pure code: the same seed is the same plan.

use std::fmt;

use automagik_spark::fault::Point;

/// A run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// What it was made from.
    pub(crate) seed: u64,
    /// Services that share the work.
    pub(crate) nodes: usize,
    /// The tasks, in the order in which they are submitted.
    pub(crate) tasks: Vec<Work>,
    /// Intervals of schedules, in seconds.
    pub(crate) intervals: Vec<i64>,
    /// One-time schedules: in how many milliseconds they are due.
    pub(crate) once: Vec<i64>,
    /// What goes wrong, in order.
    pub(crate) faults: Vec<Planned>,
}

/// A task.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Work {
    /// What it does.
    pub(crate) kind: Kind,
    /// Whether it is called off once it is accepted.
    pub(crate) cancel: bool,
    /// Whether it is retried by hand once it has failed.
    pub(crate) retry: bool,
    /// Whether its request carries a key that makes it safe to repeat.
    pub(crate) keyed: bool,
    /// How urgent it is.
    pub(crate) priority: u64,
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// It comes back in capitals.
    Plain,
    /// So many milliseconds later.
    Slow(u64),
    /// After so many transient errors.
    Flaky(u64),
    /// It is refused for good.
    Refused,
}

/// A fault, and after how many finished tasks it strikes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Planned {
    pub(crate) after: usize,
    pub(crate) fault: Fault,
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// In a moment.
    Strike(Strike),
    /// For so many milliseconds; and in the middle of it something else.
    Outage(Outage, u64, Option<Strike>),
}

/// What goes wrong in a moment. Numbers choose the node or the child.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Strike {
    KillChild(usize),
    KillChildren(usize),
    /// And started again.
    KillService(usize),
    /// As systemd does it, and started again.
    StopService(usize),
    FlushRedis,
    CutRedis,
    ResetRedis,
    CutPostgres,
    ResetPostgres,
    TerminateBackends,
    /// A process is killed, or hangs, where it passes next.
    Point(Point, How),
}

/// How a process fails at a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum How {
    Kill,
    /// Only children: a hard time limit ends one that hangs.
    Hang,
}

/// What is out of order for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outage {
    /// Killed; empty when it is back.
    RedisDown,
    RedisFrozen,
    /// Too little memory under `allkeys-lru`: everything is evicted, and writes fail.
    RedisEvicting,
    RedisStalled,
    RedisSlow,
    RedisDeaf,
    /// One answer in some is lost; what was asked is done.
    RedisForgetful,
    RedisRefusing,
    /// Stopped as its service is.
    PostgresDown,
    /// Crashed: what was not committed is gone.
    PostgresCrashed,
    PostgresFrozen,
    PostgresStalled,
    PostgresSlow,
    PostgresDeaf,
    PostgresForgetful,
    PostgresRefusing,
    /// Every write is an error.
    PostgresReadOnly,
    /// The table of tasks is locked.
    TasksLocked,
    /// The service does not get the processor.
    ServiceFrozen(usize),
}

const STRIKES: usize = 10;
const OUTAGES: [Outage; 17] = [
    Outage::RedisDown,
    Outage::RedisFrozen,
    Outage::RedisEvicting,
    Outage::RedisStalled,
    Outage::RedisSlow,
    Outage::RedisDeaf,
    Outage::RedisRefusing,
    Outage::PostgresDown,
    Outage::PostgresCrashed,
    Outage::PostgresFrozen,
    Outage::PostgresStalled,
    Outage::PostgresSlow,
    Outage::PostgresDeaf,
    Outage::PostgresRefusing,
    Outage::PostgresReadOnly,
    Outage::TasksLocked,
    Outage::ServiceFrozen(0),
];

impl Plan {
    /// The plan of a seed: five to eight faults on the way through so many tasks.
    pub(crate) fn of(seed: u64, tasks: usize) -> Self {
        let mut dice = Dice(seed);
        let nodes = 1 + dice.below(2);
        let work = (0..tasks).map(|_| work(&mut dice)).collect();
        let intervals = (0..1 + dice.below(3)).map(|_| 1 + dice.below(3) as i64).collect();
        let once = (0..2 + dice.below(4)).map(|_| 3_000 + dice.below(9_000) as i64).collect();
        // The first strikes early, the last while there is still work left.
        let count = 5 + dice.below(4);
        let mut moments: Vec<usize> = (0..count).map(|_| tasks / 20 + dice.below(tasks * 8 / 10)).collect();
        moments.sort_unstable();
        let faults = moments.into_iter().map(|after| Planned { after, fault: fault(&mut dice) }).collect();
        Self { seed, nodes, tasks: work, intervals, once, faults }
    }

    /// A run of plain tasks on one node that suffers one fault when it is well under way.
    pub(crate) fn plain(tasks: usize, fault: Fault) -> Self {
        let plain =
            |number| Work { kind: Kind::Plain, cancel: false, retry: false, keyed: number % 2 == 0, priority: 5 };
        let faults = vec![Planned { after: tasks / 6, fault }];
        Self {
            seed: 0,
            nodes: 1,
            tasks: (0..tasks).map(plain).collect(),
            intervals: Vec::new(),
            once: Vec::new(),
            faults,
        }
    }
}

fn work(dice: &mut Dice) -> Work {
    let kind = match dice.below(100) {
        0..82 => Kind::Plain,
        82..88 => Kind::Slow(200 + dice.below(1_000) as u64),
        88..94 => Kind::Flaky(1 + dice.below(2) as u64),
        _ => Kind::Refused,
    };
    Work {
        kind,
        cancel: dice.below(25) == 0,
        retry: kind == Kind::Refused && dice.below(2) == 0,
        keyed: dice.below(4) > 0,
        priority: dice.below(10) as u64,
    }
}

fn fault(dice: &mut Dice) -> Fault {
    match dice.below(10) {
        0..3 => Fault::Strike(strike(dice)),
        3..6 => Fault::Strike(Strike::Point(Point::ALL[dice.below(Point::ALL.len())], How::Kill)),
        _ => {
            let outage = match OUTAGES[dice.below(OUTAGES.len())] {
                Outage::ServiceFrozen(_) => Outage::ServiceFrozen(dice.below(2)),
                outage => outage,
            };
            let time = 100 + dice.below(2_400) as u64;
            Fault::Outage(outage, time, (dice.below(3) == 0).then(|| meanwhile(dice)))
        }
    }
}

fn strike(dice: &mut Dice) -> Strike {
    let who = dice.below(16);
    match dice.below(STRIKES + 1) {
        0 | 1 => Strike::KillChild(who),
        2 => Strike::KillChildren(who),
        3 => Strike::KillService(who),
        4 => Strike::StopService(who),
        5 => Strike::FlushRedis,
        6 => Strike::CutRedis,
        7 => Strike::ResetRedis,
        8 => Strike::CutPostgres,
        9 => Strike::ResetPostgres,
        _ => Strike::TerminateBackends,
    }
}

/// What may happen while something else is out of order: what needs no server to be carried out.
fn meanwhile(dice: &mut Dice) -> Strike {
    let who = dice.below(16);
    match dice.below(4) {
        0 => Strike::KillChild(who),
        1 => Strike::KillService(who),
        2 => Strike::CutRedis,
        _ => Strike::CutPostgres,
    }
}

impl Work {
    /// What the source is sent.
    pub(crate) fn input(&self, number: usize) -> String {
        match self.kind {
            Kind::Plain => format!("task {number}"),
            Kind::Slow(time) => format!("sleep:{:.3}", time as f64 / 1_000.0),
            Kind::Flaky(times) => format!("flaky:{times}"),
            Kind::Refused => "status:404".to_owned(),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, nodes, tasks, intervals, once, faults } = self;
        let count = |is: fn(&Work) -> bool| tasks.iter().filter(|work| is(work)).count();
        writeln!(
            f,
            "SEED={seed}: {nodes} node(s), {} tasks ({} slow, {} flaky, {} refused, {} called off, {} retried by hand), \
             every {intervals:?} s, once in {once:?} ms",
            tasks.len(),
            count(|work| matches!(work.kind, Kind::Slow(_))),
            count(|work| matches!(work.kind, Kind::Flaky(_))),
            count(|work| work.kind == Kind::Refused),
            count(|work| work.cancel),
            count(|work| work.retry),
        )?;
        faults.iter().try_for_each(|Planned { after, fault }| writeln!(f, "  after {after}: {fault:?}"))
    }
}

/// Chance that is the same for ever, which no library promises of its generator: SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_is_always_the_same_plan_with_five_faults_at_least() {
        for seed in 0..200 {
            let (one, other) = (Plan::of(seed, 1_000), Plan::of(seed, 1_000));
            assert_eq!(one.to_string(), other.to_string());
            assert_eq!(one.tasks, other.tasks);
            assert!(one.faults.len() >= 5 && one.faults.iter().all(|fault| fault.after < 850));
        }
    }

    #[test]
    fn a_hundred_seeds_hold_every_kind_of_fault() {
        let (mut strikes, mut outages) = (BTreeSet::new(), BTreeSet::new());
        for Planned { fault, .. } in (1..=100).flat_map(|seed| Plan::of(seed, 1_000).faults) {
            let name = |debug: String| debug.split('(').next().map(str::to_owned);
            match fault {
                Fault::Strike(Strike::Point(point, _)) => drop(strikes.insert(Some(point.name().to_owned()))),
                Fault::Strike(strike) => drop(strikes.insert(name(format!("{strike:?}")))),
                Fault::Outage(outage, ..) => drop(outages.insert(name(format!("{outage:?}")))),
            }
        }
        assert_eq!(strikes.len(), STRIKES + Point::ALL.len());
        assert_eq!(outages.len(), OUTAGES.len());
    }
}
