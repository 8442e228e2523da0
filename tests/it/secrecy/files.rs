//! The files of a daemon, in a directory that somebody else can write to.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::geteuid;

use crate::harness::stage::Stage;

struct Machine {
    stage: Stage,
}

impl Machine {
    async fn new() -> Self {
        let stage = Box::pin(Stage::new(Duration::ZERO)).await;
        fs::create_dir(stage.directory().join("state")).unwrap();
        Self { stage }
    }

    fn state(&self, name: &str) -> PathBuf {
        self.stage.directory().join("state").join(name)
    }

    fn spark(&self, args: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_automagik-spark"));
        command.env_clear().current_dir(self.stage.directory()).args(args);
        command.env("SPARK__STATE_DIR", self.stage.directory().join("state"));
        command.env("AUTOMAGIK_SPARK_DATABASE_URL", &self.stage.servers.service_url);
        command.env("AUTOMAGIK_SPARK_CELERY_BROKER_URL", &self.stage.servers.redis_url);
        let Output { status, stderr, .. } = command.output().unwrap();
        (status.code().unwrap(), String::from_utf8(stderr).unwrap())
    }
}

#[tokio::test]
async fn a_daemon_writes_through_no_link_that_somebody_left_in_its_place() {
    let machine = Machine::new().await;
    let victim = machine.stage.directory().join("victim");
    fs::write(&victim, "kept").unwrap();
    for name in ["worker.log", "worker.pid"] {
        symlink(&victim, machine.state(name)).unwrap();
        let (code, stderr) = machine.spark(&["worker", "start", "--daemon"]);
        assert!(code == 2 && stderr.contains("symbolic link") && stderr.contains(name), "{name}: {code} {stderr}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "kept", "{name}");
        fs::remove_file(machine.state(name)).unwrap();
    }
    // The log that the operator chose may be a link; nobody else reads it.
    let chosen = machine.stage.directory().join("chosen.log");
    let target = machine.stage.directory().join("elsewhere.log");
    symlink(&target, &chosen).unwrap();
    let log = format!("log.file={}", chosen.display());
    let (code, stderr) = machine.spark(&["worker", "start", "--daemon", "--workers", "1", "--set", &log]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(machine.spark(&["worker", "stop", "--set", &log]).0, 0);
    assert_eq!(fs::metadata(&target).unwrap().mode() & 0o007, 0);
    assert!(fs::metadata(&target).unwrap().len() > 0 && !machine.state("worker.log").exists());
}

#[tokio::test]
async fn a_stop_ends_no_process_of_a_user_other_than_who_wrote_its_file() {
    let machine = Machine::new().await;
    // As root: a file of somebody's that names a process of root's. Else: one of ours that does.
    let (named, somebody) = if geteuid().is_root() { (std::process::id(), Some(65_534)) } else { (1, None) };
    let birth = automagik_spark::node::birth(named).expect("it runs");
    let file = machine.state("worker.pid");
    fs::write(&file, format!("{named}\n{birth}\nready\n")).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    if let Some(somebody) = somebody {
        chown(&file, Some(somebody), None).unwrap();
    }
    let (code, stderr) = machine.spark(&["worker", "stop", "--timeout", "1"]);
    assert!(code != 0 && stderr.contains("not of the user who wrote it"), "{code} {stderr}");
    let (code, stderr) = machine.spark(&["worker", "start", "--daemon"]);
    assert!(code == 2 && stderr.contains("not of the user who wrote it"), "{code} {stderr}");
}
