//! How much of the table of tasks the statements read that change many tasks. PostgreSQL knows how many tasks are in a
//! state only from the last time it looked: after a burst it takes an index of what is pending for empty, and a plan
//! that goes through it once for each task is the cheapest on paper. What counts here is rows, not time.

use std::fmt::Write;
use std::time::Duration;

use automagik_spark::domain::clock;
use automagik_spark::domain::ids::{NodeId, TaskId};
use automagik_spark::domain::source::Secret;
use automagik_spark::domain::task::{PendingTask, TaskStatus};
use automagik_spark::domain::task_log::LogLevel;
use automagik_spark::store::admit::Admitted;
use automagik_spark::store::retention::{Deleted, Old};
use automagik_spark::store::task_bulk::Seen;
use automagik_spark::store::{Store, Vault};
use chrono::TimeDelta;
use uuid::Uuid;

use crate::harness::servers::{TestServers, pool_options};
use crate::harness::stage::connect;
use crate::harness::until;

/// How many tasks each statement changes.
const BATCH: u32 = 500;
/// Most rows that it may read for each: the row itself, and what indexes lead to it and to what it depends on.
const MOST_EACH: i64 = 15;

/// PostgreSQL has seen completed tasks only; then came as many others as an outage leaves.
const FILL: &str = "
    ALTER TABLE tasks SET (autovacuum_enabled = false);
    INSERT INTO workflows (id, name, source, remote_flow_id) VALUES (gen_random_uuid(), 'w', 's', 'f');
    CREATE FUNCTION fill(status text, count int, pending_at timestamptz, expires_at timestamptz) RETURNS void
    LANGUAGE sql AS $$
        INSERT INTO tasks (id, workflow_id, schedule_id, status, input_data, created_at, finished_at, pending_at,
                           next_retry_at, expires_at)
        SELECT gen_random_uuid(), w.id, CASE WHEN status = 'completed' OR pending_at > now() THEN gen_random_uuid() END, status, '{}', now() - interval '1 h',
               CASE WHEN status IN ('completed', 'failed') THEN now() END, pending_at,
               CASE WHEN status = 'retrying' THEN now() - n * interval '1 ms' END, expires_at
          FROM workflows w, generate_series(1, count) AS n
    $$;
    SELECT fill('completed', 150000, now(), NULL);
    ANALYZE tasks;
    SELECT fill('pending', 10000, now() - interval '1 min', NULL);
    SELECT fill('pending', 2000, now() - interval '1 min', now() - interval '1 s');
    SELECT fill('pending', 2000, '9999-01-01T00:00:00Z', NULL);
    SELECT fill('retrying', 10000, now(), NULL);
    SELECT fill('failed', 10000, now(), NULL);";

/// Rows of tables and entries of indexes that were read so far.
const READ: &str = "
    SELECT (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'tasks')::int8
         + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'tasks')::int8";

struct Scene {
    servers: TestServers,
    /// What was measured, a line each.
    report: String,
    too_much: Vec<&'static str>,
}

impl Scene {
    async fn new() -> Self {
        let scene = Self { servers: TestServers::start().await, report: String::new(), too_much: Vec::new() };
        let client = connect(&scene.servers.database_url).await;
        client.batch_execute(FILL).await.expect("a table full of tasks");
        drop(client);
        scene
    }

    /// A connection tells what it read when it closes: so the figures are whole once no other one is open.
    async fn read_so_far(&self) -> i64 {
        let client = connect(&self.servers.database_url).await;
        let others = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        until("every connection closes", Duration::from_secs(20), async || {
            let row = client.query_one(others, &[]).await.expect("the activity");
            (row.get::<_, i64>(0) == 0).then_some(())
        })
        .await;
        client.query_one(READ, &[]).await.expect("the figures").get(0)
    }

    /// Notes how much was read by something that is done to a batch of tasks, or to as many as it says.
    async fn measure<T>(
        &mut self,
        what: &'static str,
        count: impl Fn(&T) -> usize,
        act: impl AsyncFnOnce(Store) -> T,
    ) -> T {
        let before = self.read_so_far().await;
        let key = Secret::new("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        let vault = Vault::new(&key).expect("a Fernet key");
        // Not through a PgBouncer, which would keep the connections.
        let options = pool_options(&self.servers.database_url);
        let store = Store::open(&options, vault, tokio::runtime::Handle::current()).expect("opened");
        let done = act(store).await;
        let (count, read) = (count(&done), self.read_so_far().await - before);
        assert!(count > 0, "{what}: nothing was done");
        let each = read / i64::try_from(count).expect("a count");
        writeln!(self.report, "{what}: {count} tasks, {read} rows, {each} each").expect("a string");
        if each > MOST_EACH {
            self.too_much.push(what);
        }
        done
    }

    fn judge(&self) {
        println!("{}", self.report);
        assert!(self.too_much.is_empty(), "more than {MOST_EACH} rows a task: {:?}\n{}", self.too_much, self.report);
    }

    async fn run(&self, sql: &str) {
        connect(&self.servers.database_url).await.batch_execute(sql).await.expect("a statement");
    }

    async fn ids(&self, which: &str) -> Vec<TaskId> {
        let sql = format!("SELECT id FROM tasks WHERE {which} LIMIT {BATCH}");
        let rows = connect(&self.servers.database_url).await.query(&sql, &[]).await.expect("ids");
        rows.iter().map(|row| TaskId(row.get(0))).collect()
    }
}

fn seen(ids: &[TaskId], status: TaskStatus) -> Vec<Seen> {
    ids.iter().map(|id| (*id, Some(status))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_many_tasks_reads_little_more_than_those() {
    let mut scene = Scene::new().await;
    let (now, node) = (clock::now(), NodeId(Uuid::now_v7()));
    let waiting = "status = 'pending' AND expires_at IS NULL AND pending_at < now()";

    scene.measure("the next time of beat", |_| 1, async |store: Store| store.next_due(now).await.expect("read")).await;
    scene
        .measure("retries that are due", Vec::len, async |store: Store| {
            store.release_due_retries(now, BATCH).await.expect("released")
        })
        .await;
    scene
        .measure("tasks that expire", Vec::len, async |store: Store| {
            store.expire_tasks(now, BATCH).await.expect("expired")
        })
        .await;
    scene
        .measure(
            "held tasks",
            |(released, _): &(Vec<PendingTask>, bool)| released.len(),
            async |store: Store| store.release_held(now, BATCH).await.expect("released"),
        )
        .await;

    let ids = scene.ids(waiting).await;
    scene
        .measure("tasks that are pending", Vec::len, async |store: Store| {
            store.pending_of(ids, now).await.expect("read")
        })
        .await;

    scene.run("INSERT INTO gates (id, max_concurrency) SELECT id, 1 FROM workflows").await;
    let ids = scene.ids(waiting).await;
    scene
        .measure(
            "tasks that are parked",
            |admitted: &Admitted| admitted.parked.len(),
            async |store: Store| store.admit(ids, Vec::new(), node, now).await.expect("admitted"),
        )
        .await;
    scene.run("UPDATE gates SET max_concurrency = 1000").await;
    scene
        .measure(
            "parked tasks that are called",
            |admitted: &Admitted| admitted.called.len(),
            async |store: Store| store.call_parked().await.expect("called"),
        )
        .await;
    scene.run("DELETE FROM gates").await;

    let ids = scene.ids(waiting).await;
    let claimed = scene
        .measure("tasks that are claimed", Vec::len, async |store: Store| {
            store.claim(ids, node, now).await.expect("claimed")
        })
        .await;
    let attempts: Vec<_> = claimed.iter().map(|claimed| (claimed.attempt.task, claimed.attempt.number + 1)).collect();
    scene
        .measure("attempts that run no longer", Vec::len, async |store: Store| {
            store.no_longer_running(attempts).await.expect("read")
        })
        .await;

    let ids = seen(&scene.ids(waiting).await, TaskStatus::Pending);
    scene
        .measure("tasks that are cancelled", Vec::len, async |store: Store| {
            store.cancel_tasks(&ids).await.expect("cancelled")
        })
        .await;
    let ids = seen(&scene.ids("status = 'failed'").await, TaskStatus::Failed);
    scene
        .measure("tasks that are retried", Vec::len, async |store: Store| {
            store.retry_tasks(&ids).await.expect("retried")
        })
        .await;
    let ids = seen(&scene.ids("status = 'failed'").await, TaskStatus::Failed);
    scene
        .measure("tasks that are deleted", Vec::len, async |store: Store| {
            store.delete_tasks(&ids).await.expect("deleted")
        })
        .await;

    let one = scene.ids("status = 'failed'").await[0];
    scene
        .measure("a task that is retried", |_| 1, async |store: Store| store.retry_task(one).await.expect("retried"))
        .await;
    let one = scene.ids("status = 'retrying'").await[0];
    scene
        .measure(
            "the log of a task",
            |_| 1,
            async |store: Store| store.logs(one, LogLevel::Debug, 0, 10).await.expect("read").expect("a task"),
        )
        .await;

    scene.judge();
}

/// Failed tasks that are kept for ever, older than the completed ones that are deleted.
#[tokio::test(flavor = "multi_thread")]
async fn retention_does_not_walk_past_what_is_kept_again_and_again() {
    let mut scene = Scene::new().await;
    let older = "UPDATE tasks SET created_at = now() - interval '9 d' WHERE status = 'failed';
                 UPDATE tasks SET created_at = now() - interval '8 d' + random() * interval '1 h',
                        finished_at = now() - interval '8 d'
                  WHERE id IN (SELECT id FROM tasks WHERE status = 'completed' LIMIT 2000)";
    scene.run(older).await;
    let (old, before) = (Old::Tasks(TaskStatus::Completed), clock::now() - TimeDelta::days(7));
    let delete = async |store: Store, from| store.delete_old(old, before, from, BATCH.into()).await.expect("deleted");
    let count = |deleted: &Deleted| usize::try_from(deleted.count).expect("a count");

    let first = scene.measure("the first batch", count, async |store: Store| delete(store, None).await).await;
    let next = scene.measure("the next batch", count, async |store: Store| delete(store, first.up_to).await).await;
    assert!(
        next.up_to > first.up_to && (first.count, next.count) == (BATCH.into(), BATCH.into()),
        "{first:?} {next:?}"
    );
    println!("{}", scene.report);
    // It has to find where to begin.
    assert_eq!(scene.too_much, ["the first batch"], "{}", scene.report);
}
