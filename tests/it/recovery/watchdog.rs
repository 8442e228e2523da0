//! What systemd sees of the service: readiness, the watchdog's signs of life, how it ends.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use automagik_spark::dev::Signal;
use serde_json::json;
use tokio::net::UnixDatagram;

use super::freeze::freeze;
use crate::harness::node::{SOON, TestNode};
use crate::harness::stage::Stage;
use crate::harness::until;
use crate::lifecycle::among_others;

const UNIT: &str = include_str!("../../../systemd/automagik-spark.service");

/// The value of a key of the unit.
fn of_unit(key: &str) -> &'static str {
    let lines = UNIT.lines().filter_map(|line| line.split_once('='));
    lines.filter(|(name, _)| *name == key).map(|(_, value)| value).next().expect("the unit has it")
}

/// systemd's end of the socket.
struct Systemd(UnixDatagram);

impl Systemd {
    fn listen(directory: &Path) -> Self {
        Self(UnixDatagram::bind(directory.join("notify")).expect("a socket"))
    }

    /// A service that tells it how it is, and looks at itself ten times a second.
    async fn start(&self, stage: &Stage, faults: Option<&Path>) -> TestNode {
        let settings = [("monitor.sample_ms", "100"), ("node.lease_s", "2"), ("node.heartbeat_s", "0.5")];
        let mut command = stage.serve(&settings);
        command.env("NOTIFY_SOCKET", stage.directory().join("notify"));
        if let Some(faults) = faults {
            command.env("SPARK_FAULTS", faults);
        }
        TestNode::launch(command, &stage.servers.database_url).await
    }

    async fn hear(&self) -> String {
        let mut text = [0; 4096];
        let length = self.0.recv(&mut text).await.expect("the socket is ours");
        String::from_utf8(text[..length].to_vec()).expect("text")
    }

    /// Waits until a word comes.
    async fn until_told(&self, word: &str) {
        let told = async { while !self.hear().await.lines().any(|line| line == word) {} };
        tokio::time::timeout(SOON, told).await.unwrap_or_else(|_| panic!("{word} did not come"));
    }

    /// The longest silence within so long.
    async fn longest_silence(&self, within: Duration) -> Duration {
        let (mut longest, mut last) = (Duration::ZERO, Instant::now());
        let listening = async {
            loop {
                if self.hear().await.contains("WATCHDOG=1") {
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                }
            }
        };
        drop(tokio::time::timeout(within, listening).await.map(|(): ()| ()));
        longest.max(last.elapsed())
    }

    /// Completes when there was no sign of life for so long.
    async fn silent_for(&self, time: Duration) {
        while tokio::time::timeout(time, self.until_told("WATCHDOG=1")).await.is_ok() {}
    }
}

#[tokio::test]
async fn the_watchdog_is_fed_while_spark_works_though_its_servers_hang() {
    let _machine = among_others().await;
    let mut stage = Stage::with_own_postgres(Duration::ZERO).await;
    let systemd = Systemd::listen(stage.directory());
    let mut node = systemd.start(&stage, None).await;
    systemd.until_told("READY=1").await;
    systemd.until_told("WATCHDOG=1").await;
    let frozen = (freeze(stage.servers.postgres().pid()), freeze(stage.servers.redis.pid()));
    let silence = systemd.longest_silence(Duration::from_secs(6)).await;
    println!("the longest silence while PostgreSQL and Redis hung was {silence:?}");
    let limit: u64 = of_unit("WatchdogSec").parse().expect("seconds");
    assert!(silence < Duration::from_secs(limit / 4), "{silence:?}");
    drop(frozen);
    until("it works again", SOON, async || {
        (node.try_ask(reqwest::Method::GET, "/health/ready", None).await.ok()?.status == 200).then_some(())
    })
    .await;
    node.signal(Signal::TERM);
    systemd.until_told("STOPPING=1").await;
    assert_eq!(node.wait_exit(SOON).await.code(), Some(0));
}

/// Beat stands still in the middle of a round, and with it the thread of all actors.
#[tokio::test]
async fn a_service_that_hangs_feeds_the_watchdog_no_more_and_its_next_start_goes_on() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let systemd = Systemd::listen(stage.directory());
    let faults = tempfile::tempdir().expect("a directory");
    let mut node = systemd.start(&stage, Some(faults.path())).await;
    node.until_children_are_ready().await;
    systemd.until_told("WATCHDOG=1").await;
    let workflow = node.workflow(&stage).await;
    fs::write(faults.path().join("after_fire"), "hang").expect("written");
    let schedule = json!({"workflow_id": workflow, "schedule_type": "interval", "schedule_expr": "1s"});
    node.post("/api/v1/schedules", &schedule).await;
    until("it hangs", SOON, async || (!faults.path().join("after_fire").exists()).then_some(())).await;
    let silence = tokio::time::timeout(SOON * 2, systemd.silent_for(Duration::from_secs(3))).await;
    silence.expect("the watchdog is not fed any more");
    // As the unit says: WatchdogSignal.
    assert_eq!(of_unit("WatchdogSignal"), "SIGKILL");
    node.kill().await;

    let node = systemd.start(&stage, None).await;
    systemd.until_told("READY=1").await;
    until("schedules fire again, and nothing is left over", SOON, async || {
        let fired = "SELECT count(*) FROM tasks WHERE status = 'completed'";
        (stage.count(fired).await >= 4).then_some(())
    })
    .await;
    let row = &stage.rows("SELECT id::text FROM schedules", &[]).await[0];
    node.post(&format!("/api/v1/schedules/{}/disable", row.get::<_, String>(0)), &json!({})).await;
    until("all have ended", SOON, async || {
        let open = "SELECT count(*) FROM tasks WHERE status NOT IN ('completed', 'cancelled')";
        (stage.count(open).await == 0).then_some(())
    })
    .await;
    assert!(stage.source.calls().repeated.is_empty(), "no occurrence ran twice");
    let twice = "SELECT count(*) FROM (SELECT FROM tasks GROUP BY schedule_id, scheduled_for HAVING count(*) > 1) AS t";
    assert_eq!(stage.count(twice).await, 0);
}

/// systemd.service(5), `Restart=on-failure`: every end but a clean exit code, a clean signal, or what is excepted.
fn is_started_again(status: ExitStatus) -> bool {
    assert_eq!(of_unit("Restart"), "on-failure");
    let excepted: Vec<i32> =
        of_unit("RestartPreventExitStatus").split(' ').map(|code| code.parse().expect("a code")).collect();
    match (status.code(), status.signal()) {
        (Some(code), _) => code != 0 && !excepted.contains(&code),
        (None, Some(signal)) => ![1, 2, 13, 15].contains(&signal),
        (None, None) => false,
    }
}

#[tokio::test]
async fn whatever_ends_the_service_but_a_stop_or_its_configuration_starts_it_again() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::from_millis(20)).await;
    let mut node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    let mut submitted = 0;
    // Of those that dump core one that no shell has its background jobs ignore, as it does QUIT.
    for signal in [Signal::KILL, Signal::ABORT, Signal::SYS] {
        node.run_many(&workflow, 60).await;
        submitted += 60;
        node.signal(signal);
        let status = node.wait_exit(SOON).await;
        assert!(is_started_again(status), "{status}");
        node = stage.node(&[]).await;
        stage.until_all_completed(submitted, SOON).await;
    }
    node.signal(Signal::TERM);
    let status = node.wait_exit(SOON).await;
    assert!(status.success() && !is_started_again(status));
    let mut wrong = stage.serve(&[("worker.threads", "none")]);
    let status = wrong.stderr(std::process::Stdio::null()).status().expect("it ends");
    assert!(status.code() == Some(2) && !is_started_again(status));
    let nowhere = [("database.url", "postgresql://u@127.0.0.1:1/x"), ("database.pool_timeout_s", "1")];
    let mut without_database = stage.serve(&nowhere);
    let status = without_database.stderr(std::process::Stdio::null()).status().expect("it ends");
    assert!(status.code() == Some(69) && is_started_again(status));
}
