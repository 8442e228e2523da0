//! `dev`: the whole service on a private PostgreSQL and Redis, to try it out.

use std::path::{Path, PathBuf};

use clap::Args;

use super::demo::{self, Demo};
use super::output::Output;
use super::{Error, serve};
use crate::config::{Config, Flags, LoadOptions};
use crate::dev::{PrivatePostgres, PrivateRedis};
use crate::domain::source::Secret;
use crate::node;
use crate::shutdown::StopSignals;

const DATABASE: &str = "automagik_spark";

/// Where the private servers live, and what is shown.
#[derive(Args, Debug)]
pub(super) struct DevArgs {
    /// Directory of the servers' data
    #[arg(long, default_value = ".spark", value_name = "DIR")]
    dir: PathBuf,
    /// Port of the API; 0 means a free one, which is also what the demo takes
    #[arg(long)]
    port: Option<u16>,
    /// small, medium, large or enterprise
    #[arg(short, long)]
    profile: Option<String>,
    /// Any key of the configuration, e.g. worker.max_tasks_per_child=10
    #[arg(long, value_name = "KEY=VALUE", value_parser = serve::key_value)]
    set: Vec<(String, String)>,
    /// Show it at work: a simulated LangFlow, a schedule that fires every two seconds, and its tasks
    #[arg(long)]
    demo: bool,
    /// End after five completed tasks, also on a terminal
    #[arg(long, requires = "demo")]
    once: bool,
}

/// Runs until a signal, or until the demo is over.
pub(super) fn run(out: &Output, args: &DevArgs) -> Result<(), Error> {
    node::in_system(|runtime| async move {
        let signals = StopSignals::listen()?;
        let postgres = PrivatePostgres::start(&args.dir.join("postgres")).await.map_err(server_error)?;
        let redis = PrivateRedis::start(&args.dir.join("redis")).await.map_err(server_error)?;
        postgres.create_database(DATABASE).await.map_err(server_error)?;
        let config = configure(args, &postgres, &redis)?;
        serve::start_log(&config)?;
        let node = serve::start(&config, runtime).await?;
        let url = node.address().map(|address| format!("http://{address}")).unwrap_or_default();
        let key = config.api.keys.first().cloned().unwrap_or_default();
        out.text(&summary(args, &url, &postgres, &redis, &config))?;
        let result = if args.demo {
            let demo = Demo { url, key, once: args.once };
            let shown = demo::run(out, demo, signals.next()).await;
            node.stop(Box::pin(signals.next())).await.map_err(|error| Error::Unfinished(error.to_string())).and(shown)
        } else {
            out.text("\nCtrl-C stops it")?;
            serve::serve(node, &signals, |_| {}).await
        };
        redis.stop().await.map_err(server_error)?;
        postgres.stop().await.map_err(server_error)?;
        result
    })?
}

/// The operator's file and environment count, but for where the servers are and what must not be shared.
fn configure(args: &DevArgs, postgres: &PrivatePostgres, redis: &PrivateRedis) -> Result<Config, Error> {
    let dir = std::path::absolute(&args.dir)?;
    let key = api_key(&dir)?;
    let own = vec![
        ("database.url".to_owned(), postgres.url(DATABASE)),
        ("redis.url".to_owned(), redis.url()),
        ("api.keys".to_owned(), key.expose().to_owned()),
        ("state_dir".to_owned(), dir.display().to_string()),
        ("encryption_key_file".to_owned(), dir.join("encryption.key").display().to_string()),
    ];
    let port = args.port.or(args.demo.then_some(0));
    let flags = Flags {
        profile: args.profile.clone(),
        host: Some("127.0.0.1".to_owned()),
        port,
        // The demo's own lines are the show.
        log_level: args.demo.then(|| "warn".to_owned()),
        own,
        set: args.set.clone(),
        ..Flags::default()
    };
    Config::load(&LoadOptions::from_process(None, flags)).map_err(|errors| Error::Usage(errors.to_string()))
}

/// The API key, made at the first start and kept.
fn api_key(dir: &Path) -> Result<Secret, Error> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    let path = dir.join("api.key");
    if let Ok(key) = std::fs::read_to_string(&path) {
        return Ok(Secret::new(key.trim()));
    }
    let key = format!("spark-{}", uuid::Uuid::new_v4().simple());
    let mut file = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path)?;
    writeln!(file, "{key}")?;
    Ok(Secret::new(key))
}

fn summary(args: &DevArgs, url: &str, postgres: &PrivatePostgres, redis: &PrivateRedis, config: &Config) -> String {
    let children: u32 = config.pools.iter().map(|pool| pool.workers).sum();
    format!(
        "Spark runs on private servers\n  API         {url}   (docs: {url}/api/v1/docs)\n  API key     in {}/api.key\n  \
         PostgreSQL  port {}, data in {}\n  Redis       port {}, data in {}\n  executors   {children} in {} pools \
         (profile {})\n",
        args.dir.display(),
        postgres.port(),
        postgres.data_dir().display(),
        redis.port(),
        redis.data_dir().display(),
        config.pools.len(),
        config.profile.name,
    )
}

fn server_error(error: crate::dev::Error) -> Error {
    Error::Unavailable(error.to_string())
}
