//! The monitor: samples the children and this process, pings PostgreSQL and Redis, and tells systemd that the service
//! makes progress. What takes longer to find out is measured beside it, see `measure.rs`.

use std::collections::BTreeSet;
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
use crate::store::Store;

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

/// Longest time between two samples while a server is away, so that its return is noticed soon.
const AWAY_EVERY: Duration = Duration::from_millis(250);

/// Samples until it is stopped.
pub async fn run(
    options: MonitorOptions,
    dispatch: Dispatch,
    lease: Store,
    supervisors: Vec<Addr<Supervisor>>,
    stop: CancellationToken,
) {
    tokio::select! {
        () = watch(options, &dispatch, &lease, supervisors, stop) => {}
        () = measure::run(&dispatch) => {}
    }
}

async fn watch(
    options: MonitorOptions,
    dispatch: &Dispatch,
    lease: &Store,
    supervisors: Vec<Addr<Supervisor>>,
    stop: CancellationToken,
) {
    let mut system = System::new().inspect_err(|error| log::error!("children can't be sampled: {error}")).ok();
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
        let pids = dispatch.roster().pools().iter().flat_map(|pool| &pool.executors).filter_map(|e| e.pid).collect();
        let sampled;
        ((system, sampled), ()) = tokio::join!(sample(system.take(), pids), probe(dispatch, lease));
        let Sampling { children: samples, process } = sampled;
        if let Some(process) = process {
            dispatch.figures().set_process(process);
        }
        let health = dispatch.health();
        let all_answer = health.database_ok() && health.redis_ok();
        wait = if all_answer { options.every } else { options.every.min(AWAY_EVERY) };
        let mut alive = true;
        for supervisor in &supervisors {
            alive &= ask(supervisor, Sampled(samples.clone()), ANSWER_LIMIT).await.is_some();
        }
        let draining = health.phase() == Phase::Draining;
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
        // Those of the last sample, too: sysinfo forgets a process that has ended only if it is asked for it again, and a
        // service replaces children for as long as it runs.
        let known = system.processes().keys().copied();
        let ids: BTreeSet<Pid> = pids.iter().map(|pid| Pid::from_u32(*pid)).chain([own]).chain(known).collect();
        let ids: Vec<Pid> = ids.into_iter().collect();
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

/// Asks PostgreSQL and Redis whether they answer, and by the way whether other nodes listen to events. PostgreSQL is asked
/// over the connection of the lease: a pool that is used up does not mean that the server is away.
async fn probe(dispatch: &Dispatch, lease: &Store) {
    let (database, redis) =
        tokio::join!(lease.ping(ANSWER_LIMIT), tokio::time::timeout(ANSWER_LIMIT, dispatch.events().ping_redis()),);
    let pong = redis.ok().and_then(Result::ok);
    let (database, redis) = (database.is_ok(), pong.is_some());
    let health = dispatch.health();
    let answered_before = health.database_ok();
    report("PostgreSQL", answered_before, database);
    report("Redis", health.redis_ok(), redis);
    health.set_database(database);
    // Requests are refused for it, so one answer that is late, on a busy machine, is not enough.
    dispatch.store().note_answers(database || answered_before);
    if pong.is_some_and(|pong| pong.was_emptied) {
        dispatch.refill_mailboxes();
    }
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[tokio::test]
    async fn a_child_that_has_ended_is_forgotten() {
        let mut system = System::new().ok();
        for _ in 0..3 {
            let mut child = Command::new("cat").stdin(std::process::Stdio::piped()).spawn().expect("it starts");
            let (sampled, sampling) = sample(system, vec![child.id()]).await;
            assert_eq!(sampling.children.len(), 1);
            child.kill().expect("it runs");
            child.wait().expect("it ends");
            system = sampled;
        }
        let (system, sampling) = sample(system, Vec::new()).await;
        assert!(sampling.children.is_empty() && sampling.process.is_some());
        assert_eq!(system.expect("it is there").processes().len(), 1, "only this process is left");
    }
}
