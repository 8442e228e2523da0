//! What scripts wrote for the Python CLI: each line works here, or says what to write instead.

use super::{Ended, program};

/// Nothing listens there.
const NOWHERE: &str = "http://127.0.0.1:1";
const NO_DATABASE: &str = "postgresql://u:p@127.0.0.1:1/x";

fn typed(line: &[&str]) -> Ended {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = program(directory.path());
    command.env("AUTOMAGIK_SPARK_REMOTE_URL", NOWHERE).env("AUTOMAGIK_SPARK_DATABASE_URL", NO_DATABASE);
    command.env("SPARK__STATE_DIR", directory.path().join("state")).env("SPARK__API__PORT", "0");
    // A start waits so long for PostgreSQL.
    command.env("SPARK__DATABASE__POOL_TIMEOUT_S", "0.2");
    command.args(line).output().expect("started").into()
}

/// A line is understood if it fails only because nothing is there that could do it.
#[test]
fn every_command_and_option_of_the_python_cli_is_understood() {
    let id = "0192f3a1-7b2c-7001-8000-000000000001";
    for line in [
        &["api", "start"][..],
        &["api", "start", "--host", "127.0.0.1", "--port", "0", "--reload"],
        &["worker", "start", "--threads", "2"],
        &["worker", "start", "--threads", "2", "--daemon"],
        &["db", "init"],
        &["db", "upgrade"],
        &["db", "clear", "--yes"],
        &["sources", "add", "--name", "n", "--type", "langflow", "--url", "http://f", "--api-key", "k"],
        &["sources", "add", "-n", "n", "-t", "langflow", "-u", "http://f", "-k", "k", "-s", "inactive"],
        &["sources", "list"],
        &["sources", "list", "--status", "active"],
        &["sources", "list", "-s", "active"],
        &["sources", "update", "http://f", "--status", "inactive", "--api-key", "k"],
        &["sources", "update", "http://f", "-s", "inactive", "-k", "k"],
        &["sources", "delete", id],
        &["sources", "delete", "http://f", "--force"],
        &["sources", "delete", "http://f", "-f"],
        &["workflows", "list"],
        &["workflows", "list", "--folder", "f"],
        &["workflows", "sync"],
        &["workflows", "sync", "flow", "--source", "http://f"],
        &["workflows", "sync", "--source", id, "--page", "2", "--page-size", "10"],
        &["workflows", "run", id, "--input", "Hi"],
        &["workflows", "run", id, "-i", "Hi"],
        &["workflows", "delete", id],
        &["tasks", "list"],
        &["tasks", "list", "--workflow-id", id, "--status", "failed", "--limit", "10", "--show-logs"],
        &["tasks", "view", id],
        &["tasks", "retry", id],
        &["tasks", "create", id, "--input-data", "Hi", "--max-retries", "3", "--run"],
        &["schedules", "list"],
        &["schedules", "update", id, "pause"],
        &["schedules", "update", id, "resume"],
        &["schedules", "update", id, "stop"],
        &["schedules", "set-expression", id, "5m"],
        &["schedules", "set_expression", id, "5m"],
        &["schedules", "set-input", id, "Hi"],
        &["schedules", "delete", id],
        &["--debug", "tasks", "list"],
        &["--no-debug", "tasks", "list"],
        &["--no-telemetry", "tasks", "list"],
        // What people write for the groups.
        &["task", "list"],
        &["workflow", "list"],
        &["source", "list"],
        &["schedule", "list"],
        &["workers", "status"],
    ] {
        let ended = typed(line);
        assert_eq!(ended.code, 69, "{line:?}: {}{}", ended.stdout, ended.stderr);
    }
    for line in [
        &["worker", "stop"][..],
        &["telemetry", "status"],
        &["telemetry", "info"],
        &["telemetry", "disable"],
        &["telemetry-group", "status"],
        &["--version"],
        &["--help"],
    ] {
        typed(line).ok();
    }
    typed(&["worker", "logs", "--tail", "--lines", "5"]).failed_with(1, &["there is no log"]);
    typed(&["worker", "logs", "-t", "-n", "5"]).failed_with(1, &["there is no log"]);
}

#[test]
fn what_can_t_work_any_more_says_what_to_do_instead() {
    for (line, telling) in [
        (&["db", "migrate"][..], "db upgrade"),
        (&["db", "migrate", "-m", "words"], "db upgrade"),
        (&["db", "downgrade"], "restore a backup"),
        (&["db", "clear"], "--yes"),
        (&["telemetry", "enable"], "no telemetry"),
        // Python asked; a script can't have meant that.
        (&["schedules", "create"], "--workflow, --type, --expr"),
        (&["workflows", "run", "x"], "--input"),
        (&["tasks", "create", "x"], "--input"),
        (&["schedules", "update", "x", "start"], "pause"),
        (&["workflow", "lst"], "list"),
    ] {
        let ended = typed(line).failed_with(2, &[telling]);
        assert!(ended.stdout.is_empty(), "{line:?}");
    }
}
