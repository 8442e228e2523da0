//! Secrets that others on this machine can read: told at the start, and by `config check`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use config::Value;

use super::env::{self, ALIASES, FORMER};
use super::flags;
use super::raw::{Layer, origin};
use super::show;

/// Keys whose value is a secret, or a url that may hold one.
const SECRETS: [&str; 5] = ["api.keys", "database.url", "encryption_key", "redis.url", "remote_url"];

/// Whether an environment variable may hold a secret.
pub fn is_secret_variable(name: &str) -> bool {
    let of_a_secret = |known: &str, key: &str| known == name && SECRETS.contains(&key);
    name.starts_with("SPARK__")
        || ALIASES.iter().any(|(known, key)| of_a_secret(known, key))
        || FORMER.iter().any(|(known, key, _)| of_a_secret(known, key))
}

/// A line for each secret that others can read where it was written.
pub(super) fn warnings(values: &Layer, file: Option<&Path>, dotenv: Option<&Path>) -> Vec<String> {
    let mut lines = Vec::new();
    for key in SECRETS {
        let Some(value) = values.get(key).filter(|value| holds_secret(key, value)) else { continue };
        let written = origin(value);
        if written == flags::SET {
            lines.push(format!(
                "{key} was given on the command line, which every user of this machine can read (ps); put it into the \
                 environment or a file of mode 0600"
            ));
            continue;
        }
        let of_dotenv = dotenv.filter(|_| written.starts_with(env::IN_FILE));
        let of_file = file.filter(|file| written == file.display().to_string());
        if let Some(path) = of_dotenv.or(of_file).filter(|path| is_open(path)) {
            lines.push(format!(
                "every user of this machine can read {}, which holds {key}: run chmod o-rwx on it",
                path.display()
            ));
        }
    }
    lines
}

/// Whether there is anything to hide.
fn holds_secret(key: &str, value: &Value) -> bool {
    if key.ends_with("url") {
        let url = value.to_string();
        return show::masked_url(&url).contains(show::MASK);
    }
    !show::shown(key, value).is_empty()
}

fn is_open(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::super::{Config, Flags, LoadOptions};
    use super::*;

    fn told(options: &LoadOptions) -> Vec<String> {
        let warnings = Config::load(options).expect("sound").warnings;
        warnings.into_iter().filter(|line| line.contains("every user")).collect()
    }

    #[test]
    fn a_secret_that_others_can_read_is_told_of_and_nothing_else_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, dotenv) = (directory.path().join("spark.toml"), directory.path().join(".env"));
        fs::write(&file, "profile = \"small\"\n[redis]\nurl = \"redis://:hunter2@h/0\"\n").expect("written");
        fs::write(&dotenv, "AUTOMAGIK_SPARK_DATABASE_URL=postgresql://u:hunter2@h/x\n").expect("written");
        let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let mut options =
            LoadOptions { file: Some(file.clone()), dotenv: Some(dotenv.clone()), ..LoadOptions::default() };
        let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
        mode(&file, 0o644);
        mode(&dotenv, 0o604);
        let lines = told(&options);
        assert!(lines.len() == 2 && lines[0].contains(".env, which holds database.url"), "{lines:?}");
        assert!(lines[1].contains("spark.toml, which holds redis.url") && !lines.concat().contains("hunter2"));
        // A group is chosen by whoever made it.
        mode(&file, 0o640);
        mode(&dotenv, 0o600);
        assert!(told(&options).is_empty());
        mode(&file, 0o644);
        options.flags = Flags {
            set: vec![set("redis.url", "redis://h/0"), set("api.keys", "hunter2"), set("remote_url", "http://h:1")],
            ..Flags::default()
        };
        let lines = told(&options);
        assert!(lines.len() == 1 && lines[0].starts_with("api.keys was given on the command line"), "{lines:?}");
        // A command that sets its own, as `dev` does, shows it to nobody.
        options.flags = Flags { own: options.flags.set, ..Flags::default() };
        assert!(told(&options).is_empty());
    }

    #[test]
    fn variables_that_may_hold_a_secret_are_known_under_every_name() {
        for name in
            ["AUTOMAGIK_SPARK_API_KEY", "SPARK_API_KEY", "DATABASE_URL", "SPARK__API__KEYS", "CELERY_BROKER_URL"]
        {
            assert!(is_secret_variable(name), "{name}");
        }
        for name in ["PATH", "PAGER", "AUTOMAGIK_SPARK_LOG_LEVEL", "AUTOMAGIK_TIMEZONE"] {
            assert!(!is_secret_variable(name), "{name}");
        }
    }
}
