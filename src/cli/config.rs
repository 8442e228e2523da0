//! `config`: what the configuration comes to on this machine. These commands do not talk to the service.

use clap::Subcommand;
use serde_json::json;

use super::Error;
use super::output::Output;
use super::serve::ServeArgs;
use super::table::Column::{Keep, Shrink};
use crate::config::Config;

/// What to know of the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Every key with its value and where that came from; secrets are masked
    Show(Box<ServeArgs>),
    /// Whether all of it can be used; names everything that can't
    Check(Box<ServeArgs>),
}

pub(super) fn run(out: &Output, command: Command) -> Result<(), Error> {
    match command {
        Command::Show(args) => show(out, &loaded(out, *args)?),
        Command::Check(args) => {
            let config = loaded(out, *args)?;
            let file = config.file.as_ref().map_or("no file".to_owned(), |file| file.display().to_string());
            if out.is_json() {
                return out.text(&format!("{:#}", json!({ "sound": true, "file": file, "warnings": config.warnings })));
            }
            out.text(&format!("the configuration is sound (profile {}, {file})", config.profile.name))
        }
    }
}

fn loaded(out: &Output, args: ServeArgs) -> Result<Config, Error> {
    let config = args.load()?.config;
    config.warnings.iter().for_each(|warning| out.say(&format!("warning: {warning}")));
    Ok(config)
}

fn show(out: &Output, config: &Config) -> Result<(), Error> {
    let lines = config.explain();
    if out.is_json() {
        let lines: Vec<_> =
            lines.iter().map(|line| json!({ "key": line.key, "value": line.value, "origin": line.origin })).collect();
        return out.text(&format!("{:#}", json!({ "items": lines })));
    }
    let rows = lines.iter().map(|line| vec![line.key.clone(), line.value.clone(), line.origin.clone()]);
    out.rows(&[Keep("KEY"), Shrink("VALUE"), Shrink("ORIGIN")], rows.collect(), "nothing is configured")
}
