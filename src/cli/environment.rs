//! The environment: the process's own, then `.env` in the working directory.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::process::Command;

use super::Error;
use crate::config::{dotenv, is_secret_variable};

/// Variables by name. Nothing is ever set in the process itself, which is not safe with threads.
#[derive(Default)]
pub(super) struct Environment {
    file: HashMap<String, String>,
    process: HashMap<String, String>,
}

impl Environment {
    /// Reads the process's environment, and `.env` in `directory` if there is one.
    pub(super) fn read(directory: &Path) -> Result<Self, Error> {
        let process: HashMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Ok(Self { file: read_file(&directory.join(".env"), &process)?, process })
    }

    /// A variable's value. One that is set empty in the process counts as unset, whatever `.env` says: so a key can be
    /// taken away for one command.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.process.get(name).or_else(|| self.file.get(name))?;
        (!value.is_empty()).then_some(value.as_str())
    }
}

/// Keeps the secrets of this process's environment from a program that has no use for them.
pub(super) fn keep_secrets_from(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_secret_variable) {
            command.env_remove(name);
        }
    }
}

fn read_file(path: &Path, process: &HashMap<String, String>) -> Result<HashMap<String, String>, Error> {
    let unusable = |reason: String| Error::Usage(format!("{} can't be used: {reason}", path.display()));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(unusable(error.to_string())),
    };
    // The line may hold a key, so only its number is told.
    let variables = dotenv::parse(&text, |name| process.get(name).cloned()).map_err(|dotenv::Unread(line)| {
        unusable(format!("line {line} is not NAME=value, or its quotes are not closed"))
    })?;
    Ok(variables.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_and_the_process_wins() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join(".env"), "A=file\nB='file b'\n# note\nC=file\n").expect("written");
        let mut environment = Environment::read(directory.path()).expect("read");
        environment.process.insert("A".into(), "process".into());
        environment.process.insert("C".into(), String::new());
        assert_eq!(environment.get("A"), Some("process"));
        assert_eq!(environment.get("B"), Some("file b"));
        assert_eq!(environment.get("C"), None);
    }

    #[test]
    fn a_broken_file_is_told_without_its_text() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join(".env"), "KEY='s3cret\n").expect("written");
        let error = Environment::read(directory.path()).err().expect("refused");
        assert_eq!(error.exit_code(), 2);
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }

    #[test]
    fn no_file_is_no_fault() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(Environment::read(directory.path()).is_ok());
    }
}
