//! `worker start --daemon` and `worker stop`: real daemons, real tasks.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use automagik_spark::dev::Signal;
use serde_json::json;

use super::{Ended, program};
use crate::harness::node::{SOON, TestNode, is_alive, send};
use crate::harness::stage::Stage;
use crate::harness::until;

/// A stage with a service that runs no tasks itself.
struct Machine {
    node: TestNode,
    workflow: String,
    stage: Stage,
}

impl Machine {
    async fn new(latency: Duration) -> Self {
        let stage = Box::pin(Stage::new(latency)).await;
        let node = Box::pin(stage.node(&[("node.roles", "api,beat")])).await;
        let workflow = node.workflow(&stage).await;
        Self { node, workflow, stage }
    }

    fn state(&self) -> PathBuf {
        self.stage.directory().join("state")
    }

    /// What an operator types on this machine.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = program(self.stage.directory());
        command
            .env("AUTOMAGIK_SPARK_DATABASE_URL", &self.stage.servers.service_url)
            .env("AUTOMAGIK_SPARK_CELERY_BROKER_URL", &self.stage.servers.redis_url)
            .env("SPARK__STATE_DIR", self.state())
            .env("SPARK__ENCRYPTION_KEY_FILE", self.state().join("key"))
            .args(args);
        command
    }

    fn spark(&self, args: &[&str]) -> Ended {
        self.command(args).output().expect("started").into()
    }

    /// Starts a daemon of one child; it is killed should the test fail.
    fn start(&self, args: &[&str]) -> Daemon {
        let line = [&["-o", "json", "worker", "start", "--daemon", "--workers", "1"], args].concat();
        let started = self.spark(&line).ok().json();
        Daemon(u32::try_from(started["pid"].as_u64().expect("a pid")).expect("a pid"))
    }

    async fn run(&self, input: &str, queue: &str) -> String {
        self.node.run(&self.workflow, &json!({"input_data": input, "queue": queue})).await
    }
}

struct Daemon(u32);

impl Drop for Daemon {
    fn drop(&mut self) {
        if is_alive(self.0) {
            send(self.0, Signal::KILL);
        }
    }
}

#[tokio::test]
async fn a_daemon_runs_tasks_and_finishes_them_when_it_is_stopped() {
    let machine = Machine::new(Duration::from_millis(700)).await;
    let daemon = machine.start(&[]);
    machine.spark(&["worker", "start", "--daemon"]).failed_with(1, &["runs already", &daemon.0.to_string(), "--name"]);

    let task = machine.run("a", "celery").await;
    until("the source is called", SOON, async || (machine.stage.source.calls().total == 1).then_some(())).await;
    let ended = machine.spark(&["worker", "stop"]).ok();
    assert!(ended.stderr.contains("has stopped") && ended.stdout.is_empty(), "{}", ended.stderr);
    assert!(!is_alive(daemon.0));
    assert_eq!(machine.node.task(&task).await["status"], "completed");

    let log = machine.spark(&["worker", "logs", "-n", "2"]).ok().stdout;
    assert!(log.contains("stopping: 1 attempt runs") && log.ends_with("stopped\n"), "{log}");
    // To stop what does not run is no failure, for scripts.
    assert!(machine.spark(&["worker", "stop"]).ok().stderr.contains("no worker runs"));
    let _another = machine.start(&[]);
    assert_eq!(machine.spark(&["-o", "json", "worker", "stop"]).ok().json()["exit_code"], 0);
}

#[tokio::test]
async fn a_stop_that_takes_too_long_says_so_and_the_next_one_ends_the_grace_period() {
    let machine = Machine::new(Duration::ZERO).await;
    let daemon = machine.start(&[]);
    let task = machine.run("hang", "celery").await;
    until("the source is called", SOON, async || (machine.stage.source.calls().total == 1).then_some(())).await;
    machine.spark(&["worker", "stop", "--timeout", "1"]).failed_with(75, &["has not ended within 1 s", "worker stop"]);
    assert!(is_alive(daemon.0));
    machine.spark(&["worker", "stop"]).ok();
    assert_eq!(machine.node.task(&task).await["status"], "pending", "given back");
    machine.node.post(&format!("/api/v1/tasks/{task}/cancel"), &json!({})).await;
}

#[tokio::test]
async fn the_three_layouts_of_workers_serve_their_queues() {
    let machine = Machine::new(Duration::ZERO).await;
    let queues = ["high_priority", "celery", "low_priority", "direct"];
    for (name, served) in [
        ("high", &["high_priority"][..]),
        ("rest", &["celery", "low_priority"]),
        ("all", &["high_priority", "celery", "low_priority", "direct"]),
    ] {
        let daemon = machine.start(&["--name", name, "--threads", "4", "--queues", &served.join(",")]);
        assert!(machine.state().join(format!("{name}.log")).exists());
        let mut tasks = Vec::new();
        for queue in queues {
            tasks.push((queue, machine.run(queue, queue).await));
        }
        for (_, task) in tasks.iter().filter(|(queue, _)| served.contains(queue)) {
            machine.node.until_task_is(task, "completed").await;
        }
        machine.spark(&["worker", "stop", "--name", name]).ok();
        assert!(!is_alive(daemon.0));
        for (queue, task) in tasks.iter().filter(|(queue, _)| !served.contains(queue)) {
            assert_eq!(machine.node.task(task).await["status"], "pending", "{name} took a task of {queue}");
            machine.node.post(&format!("/api/v1/tasks/{task}/cancel"), &json!({})).await;
        }
    }
}

#[tokio::test]
async fn a_daemon_that_can_t_start_says_why_with_its_exit_code() {
    let machine = Machine::new(Duration::ZERO).await;
    let mut away = vec!["worker", "start", "--daemon", "--set", "database.url=postgresql://u:s3cret@127.0.0.1:1/x"];
    away.extend(["--set", "database.pool_timeout_s=1"]);
    let ended = machine.spark(&away).failed_with(69, &["did not start", "PostgreSQL can't be reached", "worker.log"]);
    assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    machine.spark(&["worker", "start", "--daemon", "--set", "worker.max_retries=x"]).failed_with(2, &["max_retries"]);
    machine.spark(&["worker", "start", "--daemon", "--set", "state_dir=/proc/x"]).failed_with(2, &["/proc/x"]);
    machine.spark(&["worker", "start", "--daemon", "--name", "../x"]).failed_with(2, &["a name has"]);
    machine.spark(&["worker", "start", "--name", "x"]).failed_with(2, &["--daemon"]);
    machine.spark(&["worker", "stop", "--timeout", "18446744073709551615"]).failed_with(2, &["31536000"]);
    machine.spark(&["worker", "stop", "--url", "http://elsewhere"]).failed_with(2, &["on this machine"]);
}

#[tokio::test]
async fn a_killed_daemon_is_not_mistaken_for_a_running_one() {
    let machine = Machine::new(Duration::ZERO).await;
    let daemon = machine.start(&[]);
    send(daemon.0, Signal::KILL);
    until("it is gone", SOON, async || (!is_alive(daemon.0)).then_some(())).await;
    machine.spark(&["worker", "stop"]).ok();
    drop(machine.start(&[]));
}

#[tokio::test]
async fn a_stranger_with_the_number_of_a_daemon_is_left_alone() {
    let machine = Machine::new(Duration::ZERO).await;
    let mut stranger = Command::new("tail").args(["-f", "/dev/null"]).stdin(Stdio::null()).spawn().expect("starts");
    let daemon = machine.start(&[]);
    let file = machine.state().join("worker.pid");
    let text = fs::read_to_string(&file).expect("written");
    send(daemon.0, Signal::KILL);
    until("it is gone", SOON, async || (!is_alive(daemon.0)).then_some(())).await;
    fs::write(&file, text.replace(&daemon.0.to_string(), &stranger.id().to_string())).expect("written");
    assert!(machine.spark(&["worker", "stop"]).ok().stderr.contains("no worker runs"));
    assert!(stranger.try_wait().expect("ours").is_none(), "it was not signalled");
    stranger.kill().expect("ours");
    stranger.wait().expect("ours");
}

#[tokio::test]
async fn each_role_runs_alone() {
    let machine = Machine::new(Duration::ZERO).await;
    for (role, args) in [("api", &["api", "start", "--port", "0", "--reload"][..]), ("beat", &["beat", "start"])] {
        let mut command = machine.command(args);
        command.stdout(Stdio::null());
        let (mut process, log) = crate::harness::node::spawn(command);
        let text = || log.lock().expect("no panic").join("\n");
        until("it is ready", SOON, async || text().contains(&format!("ready as {role}")).then_some(())).await;
        assert_eq!(text().contains("need a node with the role beat"), role != "beat", "{}", text());
        send(process.id(), Signal::TERM);
        assert_eq!(process.wait().expect("ours").code(), Some(0));
    }
}
