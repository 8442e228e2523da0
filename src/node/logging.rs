//! Logging to standard error, as lines to read or as JSON to parse.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use env_logger::{Builder, Target};
use log::kv::{self, VisitSource};

use crate::config::{LogConfig, LogFormat};
use crate::domain::clock;

/// Starts logging. A second start changes nothing.
///
/// # Errors
/// The log's file can't be opened.
pub fn start(config: &LogConfig) -> std::io::Result<()> {
    let mut builder = Builder::new();
    builder
        .filter_level(config.level.min(log::LevelFilter::Warn))
        .filter_module("automagik_spark", config.level)
        // It calls it an error of ours when a client sends what is no HTTP; that client is answered, and is no news.
        .filter_module("actix_http::h1::dispatcher", log::LevelFilter::Off);
    if config.format == LogFormat::Json {
        builder.format(|out, record| writeln!(out, "{}", json(record)));
    }
    if let Some(path) = &config.file {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        // It tells who did what, which is not everybody's business.
        let file = OpenOptions::new().create(true).append(true).mode(0o640).open(path)?;
        builder.target(Target::Pipe(Box::new(file)));
    }
    // Whoever started it first, a test for instance, has decided.
    builder.try_init().unwrap_or_default();
    Ok(())
}

fn json(record: &log::Record<'_>) -> serde_json::Value {
    let mut line = serde_json::Map::new();
    line.insert("ts".to_owned(), clock::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true).into());
    line.insert("level".to_owned(), record.level().as_str().to_lowercase().into());
    line.insert("target".to_owned(), record.target().into());
    line.insert("message".to_owned(), record.args().to_string().into());
    // A field that can't be read is left out; the message stands by itself.
    record.key_values().visit(&mut Fields(&mut line)).unwrap_or_default();
    line.into()
}

struct Fields<'a>(&'a mut serde_json::Map<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        self.0.insert(key.as_str().to_owned(), value.to_string().into());
        Ok(())
    }
}
