//! PostgreSQL and Redis for tests: real ones, started from the system's binaries, shared with nobody outside.
//!
//! One PostgreSQL serves the whole process (under nextest that is one a test); each test gets a database of its own,
//! copied from a migrated template, and a Redis of its own. The kernel ends them with the process, and `root.rs` removes
//! their files.
//!
//! With `SPARK_IT_PGBOUNCER=1` a PgBouncer in transaction mode stands in front of each PostgreSQL, and what is under test
//! reaches its database through it. The tests' own looks at the database do not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use automagik_spark::dev::{Durability, PrivatePgBouncer, PrivatePostgres, PrivateRedis};
use automagik_spark::domain::source::Secret;
use automagik_spark::store::PoolOptions;
use automagik_spark::store::migrate;
use tokio::sync::OnceCell;

use super::root::{ProcessRoot, make_dir};

/// The migrated database that the tests' databases are copies of.
const TEMPLATE: &str = "template_spark";

static SHARED: OnceCell<Shared> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(1);
/// Databases of tests that are over: dropped by the next test, so that a run does not fill the disk.
static FINISHED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Shared {
    postgres: PrivatePostgres,
    bouncer: Option<Box<PrivatePgBouncer>>,
    root: ProcessRoot,
}

/// A database and a Redis of a test's own. They end with it.
pub(crate) struct TestServers {
    /// The url of an empty, migrated database, for the test itself.
    pub(crate) database_url: String,
    /// The url of the same database for what is under test; it may lead through a PgBouncer.
    pub(crate) service_url: String,
    /// The url of an empty Redis.
    pub(crate) redis_url: String,
    /// That Redis.
    pub(crate) redis: PrivateRedis,
    own_postgres: Option<PrivatePostgres>,
    own_bouncer: Option<Box<PrivatePgBouncer>>,
    database: String,
    dir: PathBuf,
}

impl TestServers {
    /// A database in the shared PostgreSQL.
    pub(crate) async fn start() -> Self {
        let shared = shared().await;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let database = format!("test_{number}");
        let finished = std::mem::take(&mut *FINISHED.lock().expect("no test panics under this lock"));
        for old in finished {
            shared.postgres.drop_database(&old).await.expect("a finished test's database goes");
        }
        shared.postgres.copy_database(&database, TEMPLATE).await.expect("the template is copied");
        Self::in_shared(shared, number, database).await
    }

    /// A database in the shared PostgreSQL that holds nothing but what a script puts there.
    pub(crate) async fn with_script(sql: &str) -> Self {
        let shared = shared().await;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let database = format!("script_{number}");
        shared.postgres.create_database(&database).await.expect("a database is made");
        let url = shared.postgres.url(&database);
        super::stage::connect(&url).await.batch_execute(sql).await.expect("the script works");
        Self::in_shared(shared, number, database).await
    }

    /// A PostgreSQL of the test's own, to be stopped, frozen or killed.
    pub(crate) async fn with_own_postgres() -> Self {
        Self::own_postgres(is_behind_pgbouncer()).await
    }

    /// The same, and the services reach it through a PgBouncer in transaction mode, which stays.
    pub(crate) async fn with_own_postgres_behind_pgbouncer() -> Self {
        Self::own_postgres(true).await
    }

    async fn own_postgres(is_behind_pgbouncer: bool) -> Self {
        let shared = shared().await;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = shared.root.dir(number);
        let postgres = start_postgres(&dir.join("postgres"), &shared.root).await;
        let bouncer = if is_behind_pgbouncer { Some(start_bouncer(&dir, &postgres).await) } else { None };
        let database = "spark".to_owned();
        migrated_database(&postgres, &database).await;
        let mut servers = Self::assemble(&postgres, bouncer.as_deref(), database, dir).await;
        (servers.own_postgres, servers.own_bouncer) = (Some(postgres), bouncer);
        servers
    }

    /// An empty database in the shared PostgreSQL, whose services reach it through a PgBouncer in transaction mode.
    pub(crate) async fn empty_behind_pgbouncer() -> Self {
        let shared = shared().await;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (database, dir) = (format!("empty_{number}"), shared.root.dir(number));
        shared.postgres.create_database(&database).await.expect("a database is made");
        let bouncer = start_bouncer(&dir, &shared.postgres).await;
        let mut servers = Self::assemble(&shared.postgres, Some(&bouncer), database, dir).await;
        servers.own_bouncer = Some(bouncer);
        servers
    }

    async fn in_shared(shared: &Shared, number: u32, database: String) -> Self {
        Self::assemble(&shared.postgres, shared.bouncer.as_deref(), database, shared.root.dir(number)).await
    }

    async fn assemble(
        postgres: &PrivatePostgres,
        bouncer: Option<&PrivatePgBouncer>,
        database: String,
        dir: PathBuf,
    ) -> Self {
        let home = dir.join("redis");
        let redis = Box::pin(PrivateRedis::start_with(&home, Durability::Throwaway)).await.expect("Redis starts");
        let database_url = postgres.url(&database);
        let service_url = bouncer.map_or_else(|| database_url.clone(), |bouncer| bouncer.url(&database));
        let redis_url = redis.url();
        Self { database_url, service_url, redis_url, redis, own_postgres: None, own_bouncer: None, database, dir }
    }

    /// The port to which `service_url` leads.
    pub(crate) fn service_port(&self) -> u16 {
        url::Url::parse(&self.service_url).expect("a url").port().expect("it has one")
    }

    /// The PostgreSQL of a test that has its own.
    pub(crate) fn postgres(&mut self) -> &mut PrivatePostgres {
        self.own_postgres.as_mut().expect("started with TestServers::with_own_postgres")
    }
}

impl Drop for TestServers {
    fn drop(&mut self) {
        if self.own_postgres.is_none()
            && let Ok(mut finished) = FINISHED.lock()
        {
            finished.push(std::mem::take(&mut self.database));
        }
        // The servers are told to end when their fields are dropped; what they still write is removed by the next run.
        let _leftover = fs::remove_dir_all(&self.dir);
    }
}

/// How to reach a test's database.
pub(crate) fn pool_options(database_url: &str) -> PoolOptions {
    PoolOptions {
        url: Secret::new(database_url),
        max_size: 4,
        acquire_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(30),
        recycle: Duration::from_secs(3600),
        pre_ping: true,
    }
}

async fn shared() -> &'static Shared {
    let start = async {
        let root = ProcessRoot::new();
        let postgres = start_postgres(&root.path.join("postgres"), &root).await;
        migrated_database(&postgres, TEMPLATE).await;
        let bouncer = if is_behind_pgbouncer() { Some(start_bouncer(&root.path, &postgres).await) } else { None };
        Shared { postgres, bouncer, root }
    };
    SHARED.get_or_init(|| Box::pin(start)).await
}

async fn migrated_database(postgres: &PrivatePostgres, name: &str) {
    postgres.create_database(name).await.expect("a database is made");
    // On the heap, or every test would carry its size along.
    let options = pool_options(&postgres.url(name));
    Box::pin(migrate::upgrade(&options, chrono_tz::UTC)).await.expect("the migrations apply");
}

/// Starts a PostgreSQL on a copy of a data directory that was made once for this version and kept under `target/`.
async fn start_postgres(dir: &Path, root: &ProcessRoot) -> PrivatePostgres {
    let version = PrivatePostgres::newest_version().expect("PostgreSQL is installed");
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("postgres-{version}-of-{}", root.uid));
    if !cache.exists() {
        let fresh = root.path.join("fresh");
        let data = PrivatePostgres::prepare(&fresh, Durability::Throwaway).await.expect("initdb works");
        let home = data.parent().expect("it lies in its home");
        // Renamed when whole: whoever comes second keeps the first one's.
        let unfinished = cache.with_extension(std::process::id().to_string());
        fs::create_dir_all(&unfinished).expect("target/tmp is writable");
        for part in ["data", "password"] {
            copy(&home.join(part), &unfinished.join(part));
        }
        if fs::rename(&unfinished, &cache).is_err() {
            fs::remove_dir_all(&unfinished).expect("ours to remove");
        }
    }
    make_dir(dir);
    for part in ["data", "password"] {
        copy(&cache.join(part), &dir.join(part));
    }
    PrivatePostgres::start_with(dir, Durability::Throwaway).await.expect("PostgreSQL starts")
}

/// Whether whoever runs the tests wants all of them to pass through PgBouncer.
pub(crate) fn is_behind_pgbouncer() -> bool {
    std::env::var_os("SPARK_IT_PGBOUNCER").is_some_and(|value| value == "1")
}

async fn start_bouncer(dir: &Path, postgres: &PrivatePostgres) -> Box<PrivatePgBouncer> {
    let home = dir.join("pgbouncer");
    let started = Box::pin(PrivatePgBouncer::start(&home, postgres)).await;
    Box::new(started.expect("PgBouncer starts; `scripts/setup.sh pgbouncer` installs it"))
}

/// With owners and modes: PostgreSQL insists on both.
fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").args(["-a", "--reflink=auto", "--"]).args([from, to]).status().expect("cp runs");
    assert!(status.success(), "copying {} to {} failed", from.display(), to.display());
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::process::Stdio;

    use automagik_spark::dev::Signal;

    use super::*;

    /// Set in a copy of this test binary that a test is going to kill.
    const HOLD: &str = "SPARK_IT_HOLD_SERVERS";

    #[tokio::test]
    async fn a_test_has_servers_of_its_own() {
        let (one, other) = tokio::join!(TestServers::start(), TestServers::start());
        assert_ne!(one.redis_url, other.redis_url);
        execute(&one.database_url, "CREATE TABLE mine (n int); INSERT INTO mine VALUES (1)").await.expect("works");
        execute(&other.database_url, "SELECT * FROM mine").await.expect_err("another database");
        let version = migrate::current(&pool_options(&other.database_url)).await.expect("reachable");
        assert_eq!(version.0, Some(version.1), "the database is migrated");
        set(&one.redis_url, "mine").await;
        assert_eq!(keys(&other.redis_url).await, 0, "another Redis");

        if std::env::var_os(HOLD).is_some() {
            let shared = shared().await;
            println!("\nholding {} {} {}", shared.postgres.pid(), one.redis.pid(), other.redis.pid());
            std::io::stdout().flush().expect("the parent listens");
            std::future::pending::<()>().await;
        }
    }

    #[tokio::test]
    async fn a_test_may_break_a_postgres_of_its_own() {
        let mut servers = TestServers::with_own_postgres().await;
        let url = servers.database_url.clone();
        execute(&url, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)").await.expect("works");
        servers.postgres().signal(Signal::KILL);
        servers.postgres().start_again().await.expect("starts again");
        execute(&url, "SELECT 1 / count(*) FROM kept").await.expect("the row is still there");
        servers.postgres().stop().await.expect("stops");
        execute(&url, "SELECT 1").await.expect_err("it is gone");
        TestServers::start().await;
    }

    #[tokio::test]
    async fn servers_end_with_a_process_that_is_killed() {
        let mut holder = Command::new(std::env::current_exe().expect("we run"))
            .args(["--exact", "harness::servers::tests::a_test_has_servers_of_its_own", "--nocapture"])
            .env(HOLD, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let output = BufReader::new(holder.stdout.take().expect("piped"));
        let read = tokio::task::spawn_blocking(move || {
            let held =
                output.lines().map_while(Result::ok).find_map(|line| Some(line.strip_prefix("holding ")?.to_owned()));
            held.expect("it holds its servers until it is killed")
        });
        let pids: Vec<u32> = read.await.expect("read").split(' ').map(|pid| pid.parse().expect("a number")).collect();
        assert!(pids.len() == 3 && pids.iter().all(|pid| is_alive(*pid)), "{pids:?}");
        holder.kill().expect("SIGKILL");
        holder.wait().expect("reaped");
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        let gone = async {
            while pids.iter().any(|pid| is_alive(*pid)) {
                tick.tick().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone).await.expect("every server ends with its process");
    }

    /// A zombie is over: whoever adopted it may never look.
    fn is_alive(pid: u32) -> bool {
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    async fn execute(url: &str, sql: &str) -> Result<(), tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
        let driver = tokio::spawn(connection);
        let done = client.batch_execute(sql).await;
        drop(client);
        driver.await.expect("the driver does not panic")?;
        done
    }

    async fn set(url: &str, key: &str) {
        let mut connection = redis_connection(url).await;
        let _: () = redis::cmd("SET").arg(key).arg(1).query_async(&mut connection).await.expect("set");
    }

    async fn keys(url: &str) -> u64 {
        redis::cmd("DBSIZE").query_async(&mut redis_connection(url).await).await.expect("counted")
    }

    async fn redis_connection(url: &str) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(url).expect("a url");
        client.get_multiplexed_async_connection().await.expect("reachable")
    }
}
