//! All that a node needs around it: its servers, a source that counts its calls, a directory.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use automagik_spark::simulate::{self, SimulateOptions, Simulated};
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row};

use super::node::TestNode;
use super::servers::TestServers;
use super::until;

/// The key of the tests' nodes.
pub(crate) const API_KEY: &str = "a-key-of-the-tests-of-spark";

/// A database, a Redis, a source and a directory of a test's own. Outlives the nodes that stand on it.
pub(crate) struct Stage {
    pub(crate) servers: TestServers,
    pub(crate) source: Simulated,
    directory: TempDir,
    client: Mutex<Option<Client>>,
}

impl Stage {
    /// A stage whose source takes so long for each run.
    pub(crate) async fn new(latency: Duration) -> Self {
        Self::on(TestServers::start().await, latency)
    }

    /// The same with a PostgreSQL that may be broken.
    pub(crate) async fn with_own_postgres(latency: Duration) -> Self {
        Self::on(TestServers::with_own_postgres().await, latency)
    }

    fn on(servers: TestServers, latency: Duration) -> Self {
        Self::with(servers, SimulateOptions { latency, ..Default::default() })
    }

    /// A stage on servers that were prepared, with a source of one's own wishes.
    pub(crate) fn with(servers: TestServers, source: SimulateOptions) -> Self {
        let source = simulate::start(source).expect("a source");
        let directory = tempfile::tempdir().expect("a directory");
        Self { servers, source, directory, client: Mutex::new(None) }
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// `serve` with settings, in a directory without `spark.toml` and `.env`, and without any setting of whoever runs
    /// the tests. One pool, `celery`, of two children with four slots each, unless the settings say otherwise.
    pub(crate) fn serve(&self, settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_automagik-spark"));
        command.env_clear().current_dir(self.directory()).stdin(Stdio::null()).stdout(Stdio::null());
        command
            .env("AUTOMAGIK_SPARK_API_KEY", API_KEY)
            .env("AUTOMAGIK_SPARK_DATABASE_URL", &self.servers.service_url)
            .env("AUTOMAGIK_SPARK_CELERY_BROKER_URL", &self.servers.redis_url)
            .args(["serve", "--host", "127.0.0.1", "--port", "0", "--queues", "celery"])
            .args(["--workers", "2", "--threads", "4", "--set", "database.pool_size=3"]);
        let state = self.directory().join("state");
        command.arg("--set").arg(format!("state_dir={}", state.display()));
        command.arg("--set").arg(format!("encryption_key_file={}", state.join("key").display()));
        for (key, value) in settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command
    }

    /// A node that listens, with all its children ready.
    pub(crate) async fn node(&self, settings: &[(&str, &str)]) -> TestNode {
        let node = TestNode::launch(self.serve(settings), &self.servers.database_url).await;
        node.until_children_are_ready().await;
        node
    }

    /// The rows of a query, over a connection that is made anew when it broke.
    pub(crate) async fn rows(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
        let mut client = self.client.lock().await;
        if client.as_ref().is_none_or(Client::is_closed) {
            *client = Some(connect(&self.servers.database_url).await);
        }
        client.as_ref().expect("just made").query(sql, parameters).await.expect("the query works")
    }

    /// The number that a query gives.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        self.rows(sql, &[]).await[0].get(0)
    }

    /// How many tasks there are in each status.
    pub(crate) async fn statuses(&self) -> BTreeMap<String, i64> {
        let rows = self.rows("SELECT status, count(*) FROM tasks GROUP BY status", &[]).await;
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// Waits until so many tasks have completed; every task must have.
    pub(crate) async fn until_all_completed(&self, count: usize, limit: Duration) {
        let deadline = Instant::now() + limit;
        until("all tasks complete", limit * 2, async || {
            let statuses = self.statuses().await;
            let failed = statuses.get("failed").copied().unwrap_or(0);
            assert!(failed == 0 && Instant::now() < deadline, "not all complete within {limit:?}: {statuses:?}");
            (statuses == BTreeMap::from([("completed".to_owned(), count as i64)])).then_some(())
        })
        .await;
    }

    /// Waits until at least so many tasks have completed.
    pub(crate) async fn until_some_completed(&self, count: usize) {
        until(&format!("{count} tasks are through"), Duration::from_secs(60), async || {
            let completed = self.statuses().await.get("completed").copied().unwrap_or(0);
            (completed >= count as i64).then_some(())
        })
        .await;
    }

    /// Fails unless the source ran so many sessions, with no more than so many calls too many.
    pub(crate) fn assert_calls(&self, sessions: usize, most_extra: u64) -> u64 {
        let calls = self.source.calls();
        assert_eq!(calls.distinct_sessions, sessions, "every task called the source");
        let extra = calls.total - sessions as u64;
        assert!(extra <= most_extra, "{extra} extra calls, {most_extra} are allowed: {:?}", calls.repeated);
        extra
    }
}

pub(crate) async fn connect(database_url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(database_url, NoTls).await.expect("PostgreSQL answers");
    tokio::spawn(connection);
    client
}
