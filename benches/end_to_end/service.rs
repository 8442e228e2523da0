//! The processes that are measured.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use automagik_spark::dev::{PrivatePostgres, PrivateRedis};
use automagik_spark::simulate;
use serde_json::Value;

use crate::load;

type Error = Box<dyn std::error::Error>;

const PROGRAM: &str = env!("CARGO_BIN_EXE_automagik-spark");
const KEY: &str = "bench";
const DATABASE: &str = "bench";

/// What is run.
pub(crate) struct Options {
    pub(crate) tasks: usize,
    pub(crate) connections: usize,
    pub(crate) workers: usize,
    pub(crate) threads: usize,
    /// Minutes of a soak, where one is asked for.
    pub(crate) soak: Option<u64>,
}

impl Options {
    pub(crate) fn from_args(args: impl Iterator<Item = String>) -> Result<Self, Error> {
        let mut options = Self { tasks: 20_000, connections: 128, workers: 4, threads: 64, soak: None };
        // cargo adds `--bench`.
        let mut args = args.filter(|arg| arg != "--bench");
        while let Some(name) = args.next() {
            let number = args.next().ok_or("a number is missing")?.parse()?;
            if number == 0 {
                return Err(format!("{name} must be 1 or more").into());
            }
            match name.as_str() {
                "--tasks" => options.tasks = number,
                "--connections" => options.connections = number,
                "--workers" => options.workers = number,
                "--threads" => options.threads = number,
                "--soak" => options.soak = Some(number as u64),
                _ => return Err(format!("unknown option {name}").into()),
            }
        }
        Ok(options)
    }
}

/// Everything that runs.
pub(crate) struct Setup {
    _directory: tempfile::TempDir,
    postgres: PrivatePostgres,
    redis: PrivateRedis,
    source: Process,
    source_address: String,
    service: Process,
    address: String,
    workflow: String,
    database: tokio_postgres::Client,
}

impl Setup {
    pub(crate) async fn start(options: &Options, settings: &[(&str, &str)]) -> Result<Self, Error> {
        let directory = tempfile::tempdir()?;
        // As a production server is: every commit reaches the disk.
        let postgres = PrivatePostgres::start(&directory.path().join("postgres")).await?;
        let redis = PrivateRedis::start(&directory.path().join("redis")).await?;
        postgres.create_database(DATABASE).await?;
        let (source, source_url) = Process::start(Command::new(PROGRAM).arg("simulate"), "answers at ")?;
        let set = |key: &str, value: &str| ["--set".to_owned(), format!("{key}={value}")];
        let mut command = Command::new(PROGRAM);
        command
            .current_dir(directory.path())
            .args(["serve", "--host", "127.0.0.1", "--port", "0", "--log-level", "info"])
            .args(set("database.url", &postgres.url(DATABASE)))
            .args(set("redis.url", &redis.url()))
            .args(set("api.keys", KEY))
            .args(set("state_dir", &path(directory.path())))
            .args(set("encryption_key_file", &path(&directory.path().join("key"))))
            .args(set("worker.workers", &options.workers.to_string()))
            .args(set("worker.threads", &options.threads.to_string()))
            .args(settings.iter().flat_map(|(key, value)| set(key, value)));
        let (service, url) = Process::start(&mut command, "listening on ")?;
        let address = url.trim_start_matches("http://").to_owned();
        let (database, connection) = tokio_postgres::connect(&postgres.url(DATABASE), tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        let mut setup = Self {
            _directory: directory,
            postgres,
            redis,
            source,
            source_address: source_url.trim_start_matches("http://").to_owned(),
            service,
            address,
            workflow: String::new(),
            database,
        };
        setup.ask(&["sources", "add", "--type", "langflow", "--url", &source_url, "--api-key", "any"])?;
        let workflow = setup.ask(&["workflows", "sync", simulate::FLOW_ID])?;
        setup.workflow = workflow["id"].as_str().ok_or("the workflow has no id")?.to_owned();
        Ok(setup)
    }

    /// Submits tasks and waits until all are completed; says how long submitting took.
    pub(crate) async fn run(&self, tasks: usize, connections: usize) -> Result<Duration, Error> {
        let started = Instant::now();
        let request = self.submit_request();
        let shares = (0..connections).map(|n| tasks / connections + usize::from(n < tasks % connections));
        let sending = shares.map(|share| load::send(&self.address, &request, share));
        for sent in futures_util::future::join_all(sending).await {
            sent?;
        }
        let submitted = started.elapsed();
        self.until_completed(Duration::from_secs(300)).await?;
        Ok(submitted)
    }

    /// Waits until every task there is has been completed.
    pub(crate) async fn until_completed(&self, longest: Duration) -> Result<(), Error> {
        let started = Instant::now();
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        while self.count("SELECT count(*) FROM tasks WHERE status <> 'completed'").await? > 0 {
            if started.elapsed() > longest {
                return Err(format!("not all tasks were completed within {} s", longest.as_secs()).into());
            }
            ticks.tick().await;
        }
        Ok(())
    }

    /// How many tasks were completed, deleted ones included.
    pub(crate) async fn ever_completed(&self) -> Result<u64, Error> {
        let statement = "
            SELECT (coalesce((SELECT sum(n) FROM statistics WHERE figure = 'task' AND outcome = 'completed'), 0)
                 + (SELECT count(*) FROM statistic_ends WHERE task = 'completed'))::bigint";
        Ok(self.count(statement).await?.try_into()?)
    }

    async fn count(&self, statement: &str) -> Result<i64, Error> {
        Ok(self.database.query_one(statement, &[]).await?.get(0))
    }

    /// Name, batches and items of each kind of batch so far.
    pub(crate) async fn batches(&self) -> Result<Vec<(String, f64, f64)>, Error> {
        let text = load::get(&self.address, "/metrics").await?;
        let read = |name: &str, stage: &str| {
            let start = format!("automagik_spark_{name}{{stage=\"{stage}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok()).unwrap_or(0.0)
        };
        let stages = ["submit", "feed", "claim", "outcome"];
        Ok(stages.map(|s| (s.to_owned(), read("batches_total", s), read("batch_items_total", s))).to_vec())
    }

    /// Asks the service through the command line, as a user would.
    fn ask(&self, arguments: &[&str]) -> Result<Value, Error> {
        let asked = Command::new(PROGRAM)
            .args(["--url", &format!("http://{}", self.address), "--api-key", KEY, "-o", "json"])
            .args(arguments)
            .output()?;
        if !asked.status.success() {
            return Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&asked.stderr)).into());
        }
        Ok(serde_json::from_slice(&asked.stdout)?)
    }

    pub(crate) async fn stop(self) -> Result<(), Error> {
        drop((self.service, self.source, self.database));
        self.redis.stop().await?;
        self.postgres.stop().await?;
        Ok(())
    }

    /// A request to submit a task.
    pub(crate) fn submit_request(&self) -> Vec<u8> {
        load::submit_request(&self.address, KEY, &self.workflow)
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn source_address(&self) -> &str {
        &self.source_address
    }

    pub(crate) fn redis_url(&self) -> String {
        self.redis.url()
    }

    pub(crate) fn database(&self) -> &tokio_postgres::Client {
        &self.database
    }

    pub(crate) fn service_pid(&self) -> u32 {
        self.service.child.id()
    }

    pub(crate) fn source_pid(&self) -> u32 {
        self.source.child.id()
    }

    pub(crate) fn postgres_pid(&self) -> u32 {
        self.postgres.pid()
    }

    pub(crate) fn redis_pid(&self) -> u32 {
        self.redis.pid()
    }
}

/// A child process, killed when dropped.
struct Process {
    child: Child,
}

impl Process {
    /// Starts it and waits for the line that says where it listens.
    fn start(command: &mut Command, before_url: &str) -> Result<(Self, String), Error> {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let mut stderr = BufReader::new(child.stderr.take().ok_or("no stderr")?);
        let mut said = String::new();
        let mut line = String::new();
        while stderr.read_line(&mut line)? > 0 {
            if let Some((_, url)) = line.trim().split_once(before_url) {
                let url = url.split_whitespace().next().unwrap_or_default().to_owned();
                // Read on: a process whose log nobody takes would stand still. It ends with the process.
                std::thread::spawn(move || io::copy(&mut stderr, &mut io::sink()));
                return Ok((Self { child }, url));
            }
            said.push_str(&line);
            line.clear();
        }
        Err(format!("a process did not start: {said}").into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
