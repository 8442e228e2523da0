//! The randomized test: the plan of a run is made from a seed. `make faults SEEDS=100` tries many seeds, `SEED=n` one.

use std::env;

use super::plan::Plan;
use super::run::run;

const TASKS: usize = 1_000;

#[tokio::test]
async fn no_fault_loses_or_doubles_a_task() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match (number("SPARK_FAULT_SEED"), number("SPARK_FAULT_SEEDS")) {
        (Some(seed), _) => seed..=seed,
        (None, Some(count)) => 1..=count,
        (None, None) => 1..=1,
    };
    for seed in seeds {
        Box::pin(run(&Plan::of(seed, TASKS))).await;
    }
}
