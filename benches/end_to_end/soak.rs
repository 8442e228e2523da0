//! Half of what the service can do, for a long time: does anything grow? `make soak` runs it.
//!
//! Retention deletes completed tasks after [`KEPT_DAYS`], so that a service without a leak is the same at the end as at the
//! beginning; children are replaced after the shipped number of tasks. Fails where a figure grows beyond its bound, a task
//! was not completed, or one ran twice.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::load::{self, Connection};
use crate::sample::{self, FIGURES, Sample};
use crate::service::{Options, Setup};
use crate::trend::Trend;

type Error = Box<dyn std::error::Error>;

/// How long completed tasks are kept: 43 seconds.
const KEPT_DAYS: &str = "0.0005";
/// How long the highest rate is looked for.
const WARM_UP: Duration = Duration::from_secs(20);
/// Tasks of one round of that.
const ROUND: usize = 1000;
/// Time at half of the rate before the samples count: retention looks once a minute, so the tables have their size then.
const SETTLE: Duration = Duration::from_secs(120);
const EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn run(options: &Options, minutes: u64) -> Result<(), Error> {
    let settings = [("worker.max_tasks_per_child", "100"), ("janitor.completed_days", KEPT_DAYS)];
    let setup = Setup::start(options, &settings).await?;
    let (most, warmed_up) = highest_rate(&setup, options).await?;
    let rate = most / 2.0;
    println!(
        "at most {most:.0} tasks/s; now {rate:.0} tasks/s for {minutes} minutes, after {} s to settle",
        SETTLE.as_secs()
    );
    let load = Load::start(&setup, options, rate);
    let samples = watch(&setup, &load, Duration::from_secs(minutes * 60)).await?;
    // Told before anything else can fail.
    println!("samples: {}", write(&samples)?.display());
    let grown = tell(&samples);
    let accepted = load.stop().await? + warmed_up;
    setup.until_completed(Duration::from_secs(60)).await?;
    let whole = account(&setup, accepted).await?;
    setup.stop().await?;
    if grown == 0 && whole {
        return Ok(());
    }
    let tasks = if whole { "no task was lost or doubled" } else { "tasks were lost or doubled" };
    Err(format!("the soak failed: {grown} figures grew, {tasks}").into())
}

/// Tasks a second while as many are submitted as it takes, and how many those were.
async fn highest_rate(setup: &Setup, options: &Options) -> Result<(f64, u64), Error> {
    // Connections, pages and plans are warm when it counts.
    setup.run(ROUND, options.connections).await?;
    let started = Instant::now();
    let mut tasks = 0;
    while started.elapsed() < WARM_UP {
        setup.run(ROUND, options.connections).await?;
        tasks += ROUND;
    }
    Ok((tasks as f64 / started.elapsed().as_secs_f64(), (tasks + ROUND) as u64))
}

/// An open loop: submits fall due at a steady rate, whatever became of those before.
struct Load {
    /// A permit is a submit that is due.
    due: Arc<Semaphore>,
    accepted: Arc<AtomicU64>,
    pace: tokio::task::JoinHandle<()>,
    clients: JoinSet<Result<(), String>>,
}

impl Load {
    fn start(setup: &Setup, options: &Options, rate: f64) -> Self {
        let (due, accepted) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU64::new(0)));
        let mut clients = JoinSet::new();
        for _ in 0..options.connections {
            let (due, accepted) = (Arc::clone(&due), Arc::clone(&accepted));
            let (address, request) = (setup.address().to_owned(), setup.submit_request());
            clients.spawn(async move {
                submit(&address, &request, &due, &accepted).await.map_err(|error| error.to_string())
            });
        }
        Self { pace: tokio::spawn(pace(Arc::clone(&due), rate)), due, accepted, clients }
    }

    fn behind(&self) -> usize {
        self.due.available_permits()
    }

    /// Ends it. Returns how many submits were accepted.
    async fn stop(mut self) -> Result<u64, Error> {
        self.pace.abort();
        self.due.close();
        while let Some(ended) = self.clients.join_next().await {
            ended??;
        }
        Ok(self.accepted.load(Ordering::Relaxed))
    }
}

async fn pace(due: Arc<Semaphore>, rate: f64) {
    let started = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    let mut released = 0;
    loop {
        ticks.tick().await;
        let by_now = (started.elapsed().as_secs_f64() * rate) as usize;
        due.add_permits(by_now - released);
        released = by_now;
    }
}

/// Submits what falls due until the load is stopped.
async fn submit(address: &str, request: &[u8], due: &Semaphore, accepted: &AtomicU64) -> Result<(), Error> {
    let mut connection = Connection::open(address).await?;
    while let Ok(one) = due.acquire().await {
        one.forget();
        connection.ask(request).await?;
        accepted.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// A sample each second, with its time, once the service has settled.
async fn watch(setup: &Setup, load: &Load, time: Duration) -> Result<Vec<(f64, Sample)>, Error> {
    let mut redis = redis::Client::open(setup.redis_url())?.get_multiplexed_async_connection().await?;
    tokio::time::sleep(SETTLE).await;
    let started = Instant::now();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut samples = Vec::new();
    while started.elapsed() < time {
        ticks.tick().await;
        let at = started.elapsed().as_secs_f64();
        samples.push((at, sample::take(setup, setup.database(), &mut redis, load.behind()).await?));
    }
    Ok(samples)
}

/// Prints what became of each figure. Returns how many grew.
fn tell(samples: &[(f64, Sample)]) -> usize {
    println!("\n| figure | first third | last third | slope an hour | verdict |\n| --- | --- | --- | --- | --- |");
    let mut grown = 0;
    for (nth, figure) in FIGURES.iter().enumerate() {
        let values: Vec<(f64, f64)> = samples.iter().map(|(at, sample)| (*at, sample[nth])).collect();
        let Some(trend) = Trend::of(&values) else {
            println!("| {} | | | | too few samples |", figure.name);
            continue;
        };
        let allowed = figure.allowed(trend.first);
        let grows = trend.grows_beyond(allowed);
        grown += usize::from(grows);
        let verdict = if grows { "GROWS" } else { "holds" };
        println!(
            "| {} | {:.2} | {:.2} | {:+.2} ± {:.2} | {verdict} (+{allowed:.2} allowed) |",
            figure.name, trend.first, trend.last, trend.slope, trend.error
        );
    }
    println!();
    grown
}

fn write(samples: &[(f64, Sample)]) -> Result<std::path::PathBuf, Error> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/soak.csv");
    let names: Vec<String> = FIGURES.iter().map(|figure| format!("\"{}\"", figure.name)).collect();
    let mut text = format!("seconds,{}\n", names.join(","));
    for (at, sample) in samples {
        let values: Vec<String> = sample.iter().map(|value| format!("{value:.3}")).collect();
        text.push_str(&format!("{at:.1},{}\n", values.join(",")));
    }
    fs::write(&path, text)?;
    Ok(path)
}

/// Every accepted task was completed and ran once: by what the service counted, and by what the source was asked.
async fn account(setup: &Setup, accepted: u64) -> Result<bool, Error> {
    let completed = setup.ever_completed().await?;
    let answer = load::get(setup.source_address(), "/_spark/calls").await?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("the source gave no answer")?;
    let calls: Value = serde_json::from_str(body)?;
    let total = calls["total"].as_u64().ok_or("the source told no total")?;
    let repeated = calls["repeated"].as_object().map_or(0, serde_json::Map::len);
    println!(
        "{accepted} tasks accepted, {completed} completed, {total} runs of the flow, {repeated} tasks with more than one"
    );
    Ok(completed == accepted && total == accepted && repeated == 0)
}
