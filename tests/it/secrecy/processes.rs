//! What can be looked at of the processes: command lines, environments, core dumps.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{geteuid, getuid};
use serde_json::json;

use super::scene::{Secrets, serve, write_dotenv};
use crate::harness::node::{SOON, TestNode};
use crate::harness::stage::Stage;
use crate::harness::until;

/// The command line of a child.
const CHILD: &[u8] = b"automagik-spark\0executor\0";

/// Somebody without any right.
const NOBODY: u32 = 65_534;

/// As whom the service runs: an ordinary user, for nothing is hidden from root.
fn user() -> u32 {
    if geteuid().is_root() { NOBODY } else { getuid().as_raw() }
}

/// The same command, as an ordinary user.
fn as_user(command: &Command, program: &Path) -> Command {
    if !geteuid().is_root() {
        let mut same = Command::new(program);
        same.args(command.get_args());
        return same;
    }
    let id = NOBODY.to_string();
    let mut lesser = Command::new("setpriv");
    lesser.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]).arg(program).args(command.get_args());
    lesser
}

fn read(pid: u32, file: &str) -> std::io::Result<Vec<u8>> {
    fs::read(format!("/proc/{pid}/{file}"))
}

fn line(pid: u32, file: &str, begins: &str) -> String {
    let text = String::from_utf8(read(pid, file).unwrap()).unwrap();
    text.lines().find_map(|line| line.strip_prefix(begins)).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The names of the variables of a process's environment.
fn variables(pid: u32) -> Vec<String> {
    let environ = read(pid, "environ").unwrap();
    let names = environ.split(|byte| *byte == 0).filter(|pair| !pair.is_empty());
    names.map(|pair| String::from_utf8_lossy(pair).split('=').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn processes_tell_no_secret_leave_no_core_and_the_service_is_closed_to_its_own_user() {
    let stage = Box::pin(Stage::new(Duration::ZERO)).await;
    let secrets = Secrets::of(&stage);
    let (whole, stdout) = serve(&stage, &[("monitor.sample_ms", "200")]);
    // Where whoever it runs as can read it.
    let program = stage.directory().join("automagik-spark");
    fs::copy(env!("CARGO_BIN_EXE_automagik-spark"), &program).unwrap();
    for path in [stage.directory(), &stage.directory().join(".env"), &stdout] {
        chown(path, Some(user()), Some(user()).filter(|_| geteuid().is_root())).unwrap();
    }
    let mut command = as_user(&whole, &program);
    command.env_clear().env("RUST_BACKTRACE", "1").env("SECRET_OF_SOMEBODY", "else").current_dir(stage.directory());
    let mut node = TestNode::launch(command, &stage.servers.database_url).await;
    node.until_children_are_ready().await;
    let workflow = node.workflow(&stage).await;
    let task = node.run(&workflow, &json!("hello")).await;
    node.until_task_is(&task, "completed").await;
    let (service, children) = (node.pid(), node.child_pids().await);
    assert_eq!(children.len(), 2);

    for pid in children.iter().chain([&service]) {
        secrets.assert_not_in("a command line", &read(*pid, "cmdline").unwrap());
        assert_eq!(line(*pid, "limits", "Max core file size"), "0 0 bytes");
        assert_eq!(line(*pid, "status", "Uid:").split(' ').next(), Some(user().to_string().as_str()));
    }
    for pid in &children {
        assert_eq!(read(*pid, "cmdline").unwrap(), CHILD);
        assert_eq!(variables(*pid), ["RUST_BACKTRACE"], "a child is given what it needs, and nothing else");
    }
    // The kernel gives the files of a process to root that is not dumpable.
    assert_eq!(fs::metadata(format!("/proc/{service}/environ")).unwrap().uid(), 0);
    let mut cat = Command::new("cat");
    cat.arg(format!("/proc/{service}/environ"));
    let looked = as_user(&cat, Path::new("/bin/cat")).output().unwrap();
    assert!(!looked.status.success() && looked.stdout.is_empty(), "its own user can't read its environment");
    if geteuid().is_root() {
        secrets.assert_not_in("the service's environment", &read(service, "environ").unwrap());
    }
    // Nor does it keep the service from watching its children.
    node.until_measured().await;
    for executor in node.executors().await {
        assert!(executor["rss_kb"].as_u64().is_some_and(|rss| rss > 1000), "{executor}");
    }
    node.stop(SOON).await;
}

#[tokio::test]
async fn a_daemon_and_the_commands_about_it_tell_no_secret() {
    let stage = Box::pin(Stage::new(Duration::ZERO)).await;
    let secrets = Secrets::of(&stage);
    write_dotenv(&stage);
    let state = stage.directory().join("state");
    let spark = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_automagik-spark"));
        command.env_clear().current_dir(stage.directory()).env("SPARK__STATE_DIR", &state).args(args);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        secrets.assert_not_in(&format!("the output of {args:?}"), &[output.stdout.clone(), output.stderr].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    let started = spark(&["-o", "json", "worker", "start", "--daemon", "--workers", "1", "--log-level", "trace"]);
    let started: serde_json::Value = serde_json::from_str(&started).unwrap();
    let pid = u32::try_from(started["pid"].as_u64().unwrap()).unwrap();
    let children = until("there is a child of each shipped pool", SOON, async || {
        let children = String::from_utf8(children_of(pid)).unwrap();
        let children = children.split_whitespace().map(|pid| pid.parse().unwrap());
        // One that is just being started is still the service by its looks.
        let is_child = |pid: &u32| read(*pid, "cmdline").is_ok_and(|line| line == CHILD);
        let children: Vec<u32> = children.filter(is_child).collect();
        (children.len() == 3).then_some(children)
    })
    .await;
    for pid in children.iter().chain([&pid]) {
        secrets.assert_not_in("a command line", &read(*pid, "cmdline").unwrap());
        secrets.assert_not_in("an environment", &read(*pid, "environ").unwrap());
        assert_eq!(line(*pid, "limits", "Max core file size"), "0 0 bytes");
    }
    spark(&["worker", "logs"]);
    spark(&["config", "show"]);
    spark(&["-o", "json", "config", "show"]);
    spark(&["worker", "stop"]);
    for file in fs::read_dir(&state).unwrap().flatten() {
        secrets.assert_not_in(&file.path().display().to_string(), &fs::read(file.path()).unwrap());
        assert_eq!(file.metadata().unwrap().mode() & 0o002, 0, "{:?}", file.path());
    }
}

/// The children of all threads of a process.
fn children_of(pid: u32) -> Vec<u8> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    threads.flat_map(|thread| fs::read(thread.path().join("children")).unwrap_or_default()).collect()
}
