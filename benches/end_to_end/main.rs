//! Tasks end to end: submitted over REST, run against a fast source, stored. Everything is a process of its own on this
//! machine, and what each costs is read off the kernel. `make bench` runs it; `docs/PERFORMANCE.md` has the figures.
//!
//! `cargo bench --bench end_to_end -- [--tasks N] [--connections N] [--workers N] [--threads N]`
//!
//! With `--soak MINUTES` it looks for what grows instead, see [`soak`].

mod cpu;
mod load;
mod sample;
mod service;
mod soak;
mod trend;

use std::time::{Duration, Instant};

use cpu::Usage;
use service::{Options, Setup};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::from_args(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if let Some(minutes) = options.soak {
            return soak::run(&options, minutes).await;
        }
        println!("tasks {}, {} connections submit, {} children of {} slots\n", options.tasks, options.connections, options.workers, options.threads);
        let recycled = measure(&options, 100).await?;
        let kept = measure(&options, 1_000_000).await?;
        let starts = options.tasks as f64 / 100.0;
        let extra = |of: fn(&Cost) -> f64| (of(&recycled) - of(&kept)) * options.tasks as f64 / starts / 1000.0;
        println!(
            "\nWhat starting a child costs (the difference between the two, for each 100 tasks): {:.1} ms of CPU in the \
             child, {:.1} ms in the service",
            extra(|cost| cost.children),
            extra(|cost| cost.service)
        );
        Ok(())
    })
}

/// Microseconds of CPU a task.
struct Cost {
    service: f64,
    children: f64,
}

async fn measure(options: &Options, max_tasks_per_child: u64) -> Result<Cost, Box<dyn std::error::Error>> {
    let setup = Setup::start(options, &[("worker.max_tasks_per_child", &max_tasks_per_child.to_string())]).await?;
    // Connections, pages and plans are warm when it counts.
    setup.run(options.tasks / 10, options.connections).await?;
    let before = setup.usage();
    let batches_before = setup.batches().await?;
    let started = Instant::now();
    let submitted = setup.run(options.tasks, options.connections).await?;
    let took = started.elapsed();
    let used = setup.usage() - before;
    let batches = setup.batches().await?;
    let per_task = |cpu: Duration| cpu.as_secs_f64() * 1e6 / options.tasks as f64;
    let cost = Cost { service: per_task(used.service), children: per_task(used.children) };
    println!("max_tasks_per_child = {max_tasks_per_child}");
    println!(
        "  {:.0} tasks/s end to end ({:.0} submits/s while they ran)",
        rate(options.tasks, took),
        rate(options.tasks, submitted)
    );
    println!(
        "  CPU us a task: service {:.0}, children {:.0}, PostgreSQL {:.0}, Redis {:.0}; beside them the source {:.0} and the load {:.0}",
        cost.service,
        cost.children,
        per_task(used.postgres),
        per_task(used.redis),
        per_task(used.source),
        per_task(used.load)
    );
    let sizes: Vec<String> = batches
        .iter()
        .zip(&batches_before)
        .map(|(after, before)| format!("{} {:.1}", after.0, (after.2 - before.2) / (after.1 - before.1).max(1.0)))
        .collect();
    println!("  rows a batch: {}", sizes.join(", "));
    setup.stop().await?;
    Ok(cost)
}

fn rate(tasks: usize, took: Duration) -> f64 {
    tasks as f64 / took.as_secs_f64()
}

impl Setup {
    fn usage(&self) -> Usage {
        let (service, children) = cpu::with_children(self.service_pid());
        Usage {
            service,
            children,
            postgres: cpu::of_tree(self.postgres_pid()),
            redis: cpu::of(self.redis_pid()),
            source: cpu::of(self.source_pid()),
            load: cpu::of(std::process::id()),
        }
    }
}
