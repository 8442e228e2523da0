//! `worker logs`: where it looks, and what it shows of it.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use super::{Ended, program};

const LOG: &str = "\
[2026-11-24T08:00:00Z INFO  automagik_spark::node] one
[2026-11-24T08:00:01Z ERROR automagik_spark::node] two
more of two
[2026-11-24T08:00:02Z DEBUG automagik_spark::node] three
[2026-11-24T08:00:03Z WARN  automagik_spark::node] four
";
const LIMIT: Duration = Duration::from_secs(20);

/// The log's file is configured as the Python service had it.
fn logs(directory: &Path, args: &[&str]) -> Command {
    let mut command = program(directory);
    command.env("AUTOMAGIK_SPARK_WORKER_LOG", directory.join("worker.log")).args(["worker", "logs"]).args(args);
    command
}

fn shown(args: &[&str]) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("worker.log"), LOG).expect("written");
    Ended::from(logs(directory.path(), args).output().expect("started")).ok().stdout
}

#[test]
fn all_the_last_and_the_severe_lines_are_shown() {
    assert_eq!(shown(&[]), LOG);
    assert_eq!(shown(&["--tail"]), LOG);
    let last: String = LOG.lines().skip(3).map(|line| format!("{line}\n")).collect();
    assert_eq!(shown(&["-t", "-n", "2"]), last);
    assert_eq!(shown(&["--lines", "0"]), "");
    let severe: String = LOG
        .lines()
        .filter(|line| !line.contains("one") && !line.contains("three"))
        .fold(String::new(), |text, line| text + line + "\n");
    assert_eq!(shown(&["--level", "warning"]), severe);
    assert_eq!(shown(&["--level", "error", "-n", "1"]), "more of two\n");
}

#[test]
fn a_log_that_is_not_there_is_told_with_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    Ended::from(logs(directory.path(), &[]).output().expect("started")).failed_with(1, &["worker.log", "log.file"]);
    let mut nowhere = program(directory.path());
    nowhere.env("SPARK__STATE_DIR", directory.path()).args(["worker", "logs"]);
    Ended::from(nowhere.output().expect("started")).failed_with(1, &["AUTOMAGIK_SPARK_WORKER_LOG", "systemd"]);
}

/// The lines of a process as they come.
fn lines(command: &mut Command) -> (std::process::Child, Receiver<String>) {
    let mut process = command.stdout(Stdio::piped()).spawn().expect("started");
    let stdout = BufReader::new(process.stdout.take().expect("piped"));
    let (sender, receiver) = channel();
    thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    (process, receiver)
}

#[test]
fn a_followed_log_may_be_rotated() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("worker.log");
    fs::write(&path, LOG).expect("written");
    let append = |text: &str| {
        let mut file = OpenOptions::new().create(true).append(true).open(&path).expect("writable");
        writeln!(file, "{text}").expect("written");
    };
    let (mut process, lines) = lines(&mut logs(directory.path(), &["-f", "-n", "1"]));
    let next = || lines.recv_timeout(LIMIT).expect("a line");
    assert!(next().ends_with("four"));
    append("five");
    assert_eq!(next(), "five");
    fs::rename(&path, directory.path().join("worker.log.1")).expect("renamed");
    append("six");
    assert_eq!(next(), "six");
    OpenOptions::new().write(true).truncate(true).open(&path).expect("cut off");
    append("7");
    assert_eq!(next(), "7");
    process.kill().expect("it runs");
    process.wait().expect("ours");
}

/// Programs of systemd's names that say what is wanted of them, so that the test needs no systemd.
fn systemd(directory: &Path) {
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
    };
    write("systemctl", "test \"$*\" = 'cat --no-pager automagik-spark.service'\n");
    write("journalctl", &format!("echo \"$*\" >> {0}/asked\ncat {0}/journal\n", directory.display()));
    fs::write(directory.join("journal"), LOG).expect("written");
}

#[test]
fn under_systemd_the_journal_is_asked() {
    let directory = tempfile::tempdir().expect("a directory");
    systemd(directory.path());
    let ask = |args: &[&str]| {
        let mut command = program(directory.path());
        let path = format!("{}:/usr/bin:/bin", directory.path().display());
        command.env("PATH", path).env("SPARK__STATE_DIR", directory.path().join("state")).args(["worker", "logs"]);
        Ended::from(command.args(args).output().expect("started"))
    };
    assert_eq!(ask(&["-n", "9"]).ok().stdout, LOG);
    assert_eq!(ask(&["--level", "error", "-t"]).ok().stdout.lines().count(), 2);
    ask(&["-f", "--level", "error"]).ok();
    let asked = fs::read_to_string(directory.path().join("asked")).expect("asked");
    let how = "--unit automagik-spark.service --no-pager --quiet --output cat --lines";
    assert_eq!(asked, format!("{how} 9\n{how} all\n{how} 50 --follow\n"));

    fs::write(directory.path().join("journalctl"), "#!/bin/sh\nexit 3\n").expect("written");
    ask(&[]).failed_with(1, &["journalctl ended with", "3"]);
}
