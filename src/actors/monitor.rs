//! The monitor: samples the children and this process, pings PostgreSQL and Redis, and tells systemd that the service
//! makes progress. What takes longer to find out is measured beside it, in `measure.rs`.

use std::time::Duration;

use actix::Addr;
use sysinfo::{Pid, Process, ProcessRefreshKind, ProcessesToUpdate, System};
use tokio_util::sync::CancellationToken;

use super::measure;
use super::post::ask;
use super::supervisor::{Sample, Sampled, Supervisor};
use crate::dispatch::Dispatch;
use crate::dispatch::figures::ProcessFigures;
use crate::dispatch::health::Phase;
use crate::domain::clock;

/// How the monitor works.
#[derive(Clone, Copy, Debug)]
pub struct MonitorOptions {
    /// Time between two samples.
    pub every: Duration,
    /// How old beat's last round may be before the watchdog is not fed any more; none where no beat runs.
    pub beat_limit: Option<Duration>,
}

/// How long PostgreSQL, Redis or a supervisor may take to answer before they count as hanging.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// Samples until it is stopped.
pub async fn run(
    options: MonitorOptions,
    dispatch: Dispatch,
    supervisors: Vec<Addr<Supervisor>>,
    stop: CancellationToken,
) {
    tokio::select! {
        () = watch(options, &dispatch, supervisors, stop) => {}
        () = measure::run(&dispatch) => {}
    }
}

async fn watch(
    options: MonitorOptions,
    dispatch: &Dispatch,
    supervisors: Vec<Addr<Supervisor>>,
    stop: CancellationToken,
) {
    let mut system = System::new().inspect_err(|error| log::error!("children can't be sampled: {error}")).ok();
    let mut ticks = tokio::time::interval(options.every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let pids = dispatch.roster().pools().iter().flat_map(|pool| &pool.executors).filter_map(|e| e.pid).collect();
        let sampled;
        ((system, sampled), ()) = tokio::join!(sample(system.take(), pids), probe(dispatch));
        let Sampling { children: samples, process } = sampled;
        if let Some(process) = process {
            dispatch.figures().set_process(process);
        }
        let mut alive = true;
        for supervisor in &supervisors {
            alive &= ask(supervisor, Sampled(samples.clone()), ANSWER_LIMIT).await.is_some();
        }
        let draining = dispatch.health().phase() == Phase::Draining;
        // Parts end one after the other in a drain, which has limits of its own.
        if draining || (alive && beat_is_fresh(&options, dispatch)) {
            notify_watchdog();
        }
    }
}

/// What was read off `/proc`.
#[derive(Default)]
struct Sampling {
    children: Vec<Sample>,
    process: Option<ProcessFigures>,
}

/// Reads `/proc` for the children and this process; off the actors' thread, for it is IO.
async fn sample(system: Option<System>, pids: Vec<u32>) -> (Option<System>, Sampling) {
    let Some(mut system) = system else { return (None, Sampling::default()) };
    let sampling = tokio::task::spawn_blocking(move || {
        let own = Pid::from_u32(std::process::id());
        let ids: Vec<Pid> = pids.iter().map(|pid| Pid::from_u32(*pid)).chain([own]).collect();
        let kind = ProcessRefreshKind::nothing().with_memory().with_cpu().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&ids), true, kind);
        system.refresh_cpu_usage();
        let children = pids
            .into_iter()
            .filter_map(|pid| {
                let process = system.process(Pid::from_u32(pid))?;
                Some(Sample { pid, rss_kb: process.memory() / 1024, cpu_percent: process.cpu_usage() })
            })
            .collect();
        let process = system.process(own).map(|process| figures_of(process, &system));
        (Some(system), Sampling { children, process })
    });
    // After a panic in there the next sample begins with a new one.
    sampling.await.unwrap_or_else(|_| (System::new().ok(), Sampling::default()))
}

fn figures_of(process: &Process, system: &System) -> ProcessFigures {
    let count = |files: Option<usize>| files.map_or(0, |files| files as u64);
    ProcessFigures {
        cpu_s: Duration::from_millis(process.accumulated_cpu_time()).as_secs_f64(),
        rss_bytes: process.memory(),
        open_files: count(process.open_files()),
        max_files: count(process.open_files_limit()),
        started_at_s: process.start_time(),
        machine_cpu: f64::from(system.global_cpu_usage()) / 100.0,
    }
}

/// Asks PostgreSQL and Redis whether they answer, and by the way whether other nodes listen to events.
async fn probe(dispatch: &Dispatch) {
    let (database, redis) = tokio::join!(
        tokio::time::timeout(ANSWER_LIMIT, dispatch.store().ping()),
        tokio::time::timeout(ANSWER_LIMIT, dispatch.events().ping_redis()),
    );
    let (database, redis) = (database.is_ok_and(|asked| asked.is_ok()), redis.is_ok_and(|asked| asked.is_ok()));
    let health = dispatch.health();
    report("PostgreSQL", health.database_ok(), database);
    report("Redis", health.redis_ok(), redis);
    health.set_database(database);
    health.set_redis(redis);
}

fn report(server: &str, before: bool, now: bool) {
    match (before, now) {
        (false, true) => log::info!("{server} answers"),
        (true, false) => log::warn!("{server} does not answer"),
        _ => {}
    }
}

/// A beat that waits for PostgreSQL still goes round; one that hangs does not.
fn beat_is_fresh(options: &MonitorOptions, dispatch: &Dispatch) -> bool {
    let Some(limit) = options.beat_limit else { return true };
    dispatch.health().beat_at().is_some_and(|at| (clock::now() - at).to_std().is_ok_and(|age| age < limit))
}

fn notify_watchdog() {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]) {
        log::debug!("systemd can't be told: {error}");
    }
}
