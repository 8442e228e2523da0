//! Where a daemon's files are.

use std::path::PathBuf;

use clap::Args;

use super::super::Error;
use super::super::serve::{self, Setup};
use crate::config::{Config, Flags, LoadOptions};

/// The name of a daemon that was given none.
const DEFAULT_NAME: &str = "worker";

/// Which daemon of this machine.
#[derive(Args, Clone, Debug)]
pub(super) struct Which {
    /// The name that it was started with
    #[arg(long, value_parser = name)]
    pub(super) name: Option<String>,
    /// The operator's file that it was started with; else ./spark.toml, else /etc/automagik-spark/spark.toml
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Any key of the configuration, e.g. state_dir=/srv/spark
    #[arg(long, value_name = "KEY=VALUE", value_parser = serve::key_value)]
    set: Vec<(String, String)>,
}

/// The files of a daemon.
pub(super) struct Place {
    /// Its name.
    pub(super) name: String,
    /// Which process it is.
    pub(super) pid_file: PathBuf,
    /// What it says.
    pub(super) log: PathBuf,
    /// Whether the operator chose that log: then it may be a link, or a pipe.
    pub(super) is_log_chosen: bool,
}

impl Place {
    /// Beside what else Spark keeps on this machine; the log where the configuration wants it.
    pub(super) fn of(config: &Config, name: Option<&str>) -> Self {
        let name = name.unwrap_or(DEFAULT_NAME).to_owned();
        let file = |ending: &str| config.state_dir.join(format!("{name}.{ending}"));
        let log = config.log.file.clone().unwrap_or_else(|| file("log"));
        Self { pid_file: file("pid"), log, is_log_chosen: config.log.file.is_some(), name }
    }

    /// How a command names this daemon: nothing where it is the usual one.
    pub(super) fn option(&self) -> String {
        if self.name == DEFAULT_NAME { String::new() } else { format!(" --name {}", self.name) }
    }
}

impl Which {
    /// The configuration of a worker on this machine.
    pub(super) fn load(&self) -> Result<Config, Error> {
        let flags = Flags { roles: vec!["worker".to_owned()], set: self.set.clone(), ..Flags::default() };
        Ok(Setup::load(LoadOptions::from_process(self.config.clone(), flags))?.config)
    }
}

/// Reads a daemon's name off the command line: it becomes a part of the names of files.
pub(super) fn name(text: &str) -> Result<String, String> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if text.is_empty() || text.len() > 64 || !text.chars().all(is_fine) {
        return Err("a name has 1 to 64 characters of a-z, A-Z, 0-9, '_' and '-'".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_t_lead_out_of_the_directory() {
        assert_eq!(name("high-1").as_deref(), Ok("high-1"));
        for bad in ["", ".", "../x", "a/b", "a b", "ä"] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
