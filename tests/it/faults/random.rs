//! The randomized test: the plan of a run is made from a seed. `make faults SEEDS=100` tries many seeds, `SEED=n` one.

use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use super::plan::Plan;
use super::run::run;
use crate::lifecycle::alone;

/// Runs at one time: they mostly wait.
const AT_ONCE: usize = 2;
/// A part of every test run: two small runs, half a minute.
const SEEDS: u64 = 2;
const TASKS: u64 = 300;

#[tokio::test]
async fn no_fault_loses_or_doubles_a_task() {
    let _machine = alone().await;
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let tasks = usize::try_from(number("SPARK_FAULT_TASKS").unwrap_or(TASKS)).expect("small");
    let seeds = match number("SPARK_FAULT_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("SPARK_FAULT_SEEDS").unwrap_or(SEEDS),
    };
    let (next, last) = (AtomicU64::new(*seeds.start()), *seeds.end());
    let (explained, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let runner = || {
        loop {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed > last {
                return;
            }
            // A run that fails says so itself, and stops no other.
            match thread::spawn(move || one(seed, tasks)).join() {
                Ok(by_kills) => drop(explained.fetch_add(by_kills, Ordering::SeqCst)),
                Err(_) => failed.lock().expect("no panic").push(seed),
            }
        }
    };
    thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(runner))));
    let failed = failed.into_inner().expect("no panic");
    let explained = explained.into_inner();
    println!(
        "{} seeds of {tasks} tasks: {explained} calls were made again, each after a kill",
        last - seeds.start() + 1
    );
    assert!(failed.is_empty(), "seeds {failed:?} failed; `make faults SEED=n TASKS={tasks}` repeats one");
}

/// A run with threads of its own. Returns how many calls a kill explains.
fn one(seed: u64, tasks: usize) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(Box::pin(run(&Plan::of(seed, tasks)))).report.by_kills
}
