//! The completion script, asked by a real bash what it offers.

use std::process::Command;

use super::run;

/// What bash offers for a line, the last word of which is being typed.
fn offered(line: &[&str]) -> Vec<String> {
    let directory = tempfile::tempdir().expect("a directory");
    let script = directory.path().join("script");
    std::fs::write(&script, run(&["completions", "bash"]).ok().stdout).expect("written");
    // As readline does it: the words, which of them, then the function that is registered for the command.
    let ask = r#"
        source "$1"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        function=$(complete -p automagik-spark | sed 's/.*-F \([^ ]*\) .*/\1/')
        "$function" automagik-spark "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let asked = Command::new("bash").args(["--norc", "-c", ask, "bash"]).arg(&script).args(line).output();
    let asked = asked.expect("bash runs");
    assert!(asked.status.success() && asked.stderr.is_empty(), "{}", String::from_utf8_lossy(&asked.stderr));
    String::from_utf8(asked.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_their_values() {
    let spark = "automagik-spark";
    for (line, expected) in [
        (&[spark, "work"][..], &["workflows", "worker"][..]),
        (&[spark, "worker", "sto"], &["stop"]),
        (&[spark, "worker", "start", "--da"], &["--daemon"]),
        (&[spark, "schedules", "pre"], &["preview"]),
        (&[spark, "schedules", "create", "--type", ""], &["interval", "cron", "one-time"]),
        (&[spark, "-o", "j"], &["json"]),
        (&[spark, "tasks", "list", "--sta"], &["--status"]),
    ] {
        assert_eq!(offered(line), expected, "{line:?}");
    }
    assert!(offered(&[spark, "exec"]).join("").is_empty(), "how the service starts its children is nobody's command");
}
