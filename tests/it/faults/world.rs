//! All that a run needs around it: services behind proxies, a source and a database that take notes.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use automagik_spark::fault::Point;
use automagik_spark::simulate::SimulateOptions;
use tokio_postgres::Client;

use super::clients::Clients;
use super::history::{Change, Kill};
use super::plan::Plan;
use crate::harness::node::TestNode;
use crate::harness::proxy::Proxy;
use crate::harness::servers::TestServers;
use crate::harness::stage::{Stage, connect};

/// Attempts that run in a child and in a service.
pub(crate) const THREADS: usize = 4;
pub(crate) const SLOTS: usize = 8;

const LATENCY: Duration = Duration::from_millis(20);

/// Short limits, so that what they are for happens within a run; leases and losses are not at stake here.
const SETTINGS: [(&str, &str); 12] = [
    ("database.pool_timeout_s", "2"),
    ("redis.response_timeout_ms", "500"),
    ("worker.restart_backoff_ms", "10"),
    ("worker.restart_backoff_max_s", "0.1"),
    ("worker.max_lost", "1000"),
    ("worker.soft_time_limit_s", "4"),
    ("worker.time_limit_s", "6"),
    ("janitor.sweep_s", "2"),
    ("node.heartbeat_s", "2"),
    ("node.lease_s", "10"),
    ("beat.missed_policy", "all"),
    ("beat.missed_cap", "1000"),
];

/// Every change of a task's status, and every change at all of a task that has ended.
const RECORDER: &str = "
CREATE TABLE witnessed (seq bigserial PRIMARY KEY, task uuid NOT NULL, was text, became text);
CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO witnessed (task, became) VALUES (NEW.id, NEW.status);
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO witnessed (task, was) VALUES (OLD.id, OLD.status);
    ELSIF OLD.status <> NEW.status OR OLD.status IN ('completed', 'failed', 'cancelled') THEN
        INSERT INTO witnessed (task, was, became) VALUES (OLD.id, OLD.status, NEW.status);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER witness AFTER INSERT OR UPDATE OR DELETE ON tasks FOR EACH ROW EXECUTE FUNCTION witness();";

/// A run's surroundings.
pub(crate) struct World {
    // Before the stage, on which they stand.
    pub(crate) nodes: Vec<TestNode>,
    pub(crate) redis: Proxy,
    pub(crate) postgres: Proxy,
    pub(crate) stage: Stage,
    pub(crate) kills: Vec<Kill>,
    pub(crate) clients: Clients,
    /// Where faults at points are planned.
    planned: PathBuf,
    witness: Option<Client>,
}

impl World {
    /// The surroundings of a run, with its services ready.
    pub(crate) async fn of(plan: &Plan) -> Self {
        let source = SimulateOptions { latency: LATENCY, keep_calls: true, ..Default::default() };
        let servers = TestServers::with_own_postgres().await;
        let postgres = Proxy::start(servers.service_port());
        let redis = Proxy::start(servers.redis.port());
        let stage = Stage::with(servers, source);
        connect(&stage.servers.database_url).await.batch_execute(RECORDER).await.expect("it takes notes");
        let planned = stage.directory().join("faults");
        fs::create_dir(&planned).expect("ours");
        let urls = Arc::new(Mutex::new(Vec::new()));
        let clients = Clients::of(Arc::clone(&urls));
        let mut world =
            Self { nodes: Vec::new(), redis, postgres, stage, kills: Vec::new(), clients, planned, witness: None };
        for _ in 0..plan.nodes {
            let node = world.launch().await;
            urls.lock().expect("no panic").push(node.url().to_owned());
            world.nodes.push(node);
        }
        for node in &world.nodes {
            node.until_children_are_ready().await;
        }
        world
    }

    async fn launch(&self) -> TestNode {
        let mut command = self.stage.serve(&SETTINGS);
        command
            .env("AUTOMAGIK_SPARK_DATABASE_URL", self.postgres.url(&self.stage.servers.service_url))
            .env("AUTOMAGIK_SPARK_CELERY_BROKER_URL", self.redis.url(&self.stage.servers.redis_url))
            .env("SPARK_FAULTS", &self.planned);
        TestNode::launch(command, &self.stage.servers.database_url).await
    }

    /// Starts a service anew that has ended.
    pub(crate) async fn relaunch(&mut self, number: usize) {
        self.nodes[number] = self.launch().await;
        self.clients.moved(number, self.nodes[number].url());
    }

    /// Plans a fault at a point.
    pub(crate) fn arm(&self, point: Point, how: &str) {
        let file = self.planned.join(point.name());
        // It is whole when it has its name.
        let unfinished = file.with_extension("new");
        fs::write(&unfinished, how).expect("ours to write");
        fs::rename(unfinished, file).expect("ours to write");
    }

    /// Whether the fault that was planned at a point has struck.
    pub(crate) fn has_struck(&self, point: Point) -> bool {
        !self.planned.join(point.name()).exists()
    }

    /// Takes a plan back; whether it had not struck.
    pub(crate) fn disarm(&self, point: Point) -> bool {
        fs::remove_file(self.planned.join(point.name())).is_ok()
    }

    /// A number that a query gives; nothing while the database is away.
    pub(crate) async fn count(&mut self, sql: &str) -> Option<i64> {
        if self.witness.as_ref().is_none_or(Client::is_closed) {
            let (client, connection) =
                tokio_postgres::connect(&self.stage.servers.database_url, tokio_postgres::NoTls).await.ok()?;
            tokio::spawn(connection);
            self.witness = Some(client);
        }
        self.witness.as_ref()?.query_one(sql, &[]).await.ok().map(|row| row.get(0))
    }

    /// What the database saw.
    pub(crate) async fn witnessed(&self) -> Vec<Change> {
        let rows = self.stage.rows("SELECT task::text, was, became FROM witnessed ORDER BY seq", &[]).await;
        rows.iter().map(|row| Change { task: row.get(0), from: row.get(1), to: row.get(2) }).collect()
    }
}
