//! The command line: what is typed becomes requests to a running service. `docs/CLI.md` describes it for users.
//!
//! Data goes to stdout and nothing else does; everything said to the user goes to stderr. A command is a file here;
//! what all of them need is apart: `client` talks, `output` prints, `resolve` completes ids.

mod audit;
mod bulk;
mod client;
mod completions;
mod config;
mod connection;
mod db;
mod demo;
mod dev;
mod doctor;
mod environment;
mod error;
mod event_stream;
mod follow;
mod inspect;
mod json_text;
mod keys;
mod limits;
mod load_test;
mod notifications;
mod occurrences;
mod output;
mod privacy;
mod progress;
mod prompt;
mod queues;
mod render;
mod resolve;
mod role;
mod run_agent;
mod scale;
mod schedule_form;
mod schedule_preview;
mod schedules;
mod serve;
mod simulate;
mod sources;
mod submit;
mod table;
mod task_filter;
mod task_view;
mod tasks;
mod telemetry;
mod tls_args;
mod top;
mod tune;
mod watch;
mod worker;
mod workflows;

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::child;
use crate::config::{Flags, LoadOptions};
use client::Client;
use connection::Remote;
use environment::Environment;
pub use error::Error;
use output::{Format, Output};

/// Spark runs workflows of LangFlow and other servers on a schedule, retries them and keeps their history.
#[derive(Debug, Parser)]
#[command(name = "automagik-spark", version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    remote: Remote,
    /// How to print: `table` to read, or `json` as the service sent it
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT",
          hide_possible_values = true, help_heading = "Output")]
    output: Format,
    /// Say on stderr what is requested and answered
    #[arg(long, global = true, help_heading = "Output")]
    debug: bool,
    /// Words of the Python CLI that change nothing here
    #[arg(long, global = true, hide = true)]
    no_debug: bool,
    #[arg(long, global = true, hide = true)]
    no_telemetry: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The whole service
    Serve(serve::ServeArgs),
    /// The API alone
    #[command(subcommand)]
    Api(role::ApiCommand),
    /// The clock alone: schedules, retries, delayed tasks
    #[command(subcommand)]
    Beat(role::BeatCommand),
    /// The whole service on a private PostgreSQL and Redis, to try it out
    Dev(dev::DevArgs),
    /// Servers that hold workflows
    #[command(subcommand, alias = "source")]
    Sources(sources::Command),
    /// Workflows synced from sources
    #[command(alias = "workflow")]
    Workflows(connection::Group<workflows::Command>),
    /// Runs of workflows
    #[command(alias = "task")]
    Tasks(connection::Group<tasks::Command>),
    /// Rules that run workflows by the clock
    #[command(alias = "schedule")]
    Schedules(connection::Group<schedules::Command>),
    /// The processes that run tasks
    #[command(alias = "workers")]
    Worker(connection::Group<worker::Command>),
    /// Who may use the service
    Keys(connection::Group<keys::Command>),
    /// Who changed what
    Audit(connection::Group<audit::Command>),
    /// Who is told of what happens, by webhook
    #[command(alias = "notification")]
    Notifications(connection::Group<notifications::Command>),
    /// What waits for workers, and pausing it
    Queues(connection::Group<queues::Command>),
    /// What is wrong at this moment, why, and what to do (exit code 3: a warning, 4: something critical)
    Doctor(connection::ServiceRemote),
    /// What happens, on the whole screen: queues, pools, workers, running tasks, rates, sources
    Top(top::TopArgs),
    /// Put load on the service: many runs of a workflow, and how long they took
    LoadTest(load_test::LoadTestArgs),
    /// The database's schema
    #[command(subcommand)]
    Db(db::Command),
    /// What the configuration comes to on this machine
    #[command(subcommand)]
    Config(config::Command),
    /// How large PostgreSQL, PgBouncer, Redis and the machine should be, and whether they are
    Tune(tune::TuneArgs),
    /// A server on loopback that behaves like LangFlow, to test with
    Simulate(simulate::SimulateArgs),
    /// What Spark reports about its use
    #[command(subcommand, alias = "telemetry-group")]
    Telemetry(telemetry::Command),
    /// A completion script for a shell
    Completions(completions::CompletionsArgs),
}

impl Command {
    /// Whether it becomes a service, which says by its configuration what it logs.
    fn is_service(&self) -> bool {
        match self {
            Self::Serve(_) | Self::Dev(_) | Self::Api(_) | Self::Beat(_) => true,
            Self::Worker(group) => group.command.is_service(),
            _ => false,
        }
    }

    /// Whether it becomes a process that others of its user have to find by `/proc`: `worker stop`, wherever that is
    /// mounted with `hidepid=invisible`.
    fn is_daemon(&self) -> bool {
        matches!(self, Self::Worker(group) if group.command.is_daemon())
    }
}

/// The command by which the service starts its children; no user's command, so it is not described.
const EXECUTOR: &str = "executor";

/// What a command that talks to the service works with.
struct Session {
    client: Client,
    out: Output,
}

/// Reads the arguments, does what they ask, and says how it went (the codes are those of [`Error::exit_code`]).
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    privacy::leave_no_core();
    let args: Vec<OsString> = args.into_iter().collect();
    // A child is started dozens of times a second: it does not wait for the whole command line to be described.
    if args.get(1).is_some_and(|command| command == EXECUTOR) {
        return finish(child::serve().map_err(|error| Error::Internal(error.to_string())));
    }
    let invoked_as = args.first().map(|name| invoked_name(Path::new(name))).unwrap_or_default();
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Also --help and --version; a reader that went away is no failure of theirs.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(error::USAGE));
        }
    };
    if !cli.command.is_daemon() {
        privacy::hide_from_same_user();
    }
    if !cli.command.is_service() {
        start_log(cli.debug);
    }
    finish(dispatch(cli, &invoked_as))
}

fn finish(result: Result<(), Error>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(cli: Cli, invoked_as: &str) -> Result<(), Error> {
    let out = Output::new(cli.output);
    let (remote, debug) = (cli.remote, cli.debug);
    match cli.command {
        Command::Serve(mut args) => {
            if debug {
                args.settings.debug();
            }
            serve::run(&args.load()?, |_| {})
        }
        Command::Api(command) => command.run(&out, debug),
        Command::Beat(command) => command.run(debug),
        Command::Dev(args) => dev::run(&out, &args),
        Command::Sources(command) => {
            let remote = remote.or(command.remote());
            with_service(&remote, out, async |session| sources::run(&session, command).await)
        }
        Command::Workflows(group) => {
            with_service(&remote.or(group.remote()), out, async |session| workflows::run(&session, group.command).await)
        }
        Command::Tasks(group) => {
            with_service(&remote.or(group.remote()), out, async |session| tasks::run(&session, group.command).await)
        }
        Command::Schedules(group) => {
            with_service(&remote.or(group.remote()), out, async |session| schedules::run(&session, group.command).await)
        }
        Command::Worker(group) => worker::run(out, &remote.or(group.remote()), debug, group.command),
        Command::Keys(group) => {
            with_service(&remote.or(group.remote()), out, async |session| keys::run(&session, group.command).await)
        }
        Command::Audit(group) => {
            with_service(&remote.or(group.remote()), out, async |session| audit::run(&session, group.command).await)
        }
        Command::Notifications(group) => {
            let remote = remote.or(group.remote());
            with_service(&remote, out, async |session| notifications::run(&session, group.command).await)
        }
        Command::Queues(group) => {
            with_service(&remote.or(group.remote()), out, async |session| queues::run(&session, group.command).await)
        }
        Command::Doctor(service) => {
            with_service(&remote.or(service.remote()), out, async |session| doctor::run(&session).await)
        }
        Command::Top(args) => {
            with_service(&remote.or(args.remote()), out, async |session| top::run(&session, args).await)
        }
        Command::LoadTest(args) => {
            with_service(&remote.or(args.remote()), out, async |session| load_test::run(&session, args).await)
        }
        Command::Db(command) => db::run(&out, command),
        Command::Config(command) => config::run(&out, command),
        Command::Tune(args) => tune::run(&out, &args),
        Command::Simulate(args) => simulate::run(&out, &args),
        Command::Telemetry(command) => telemetry::run(&out, command),
        Command::Completions(args) => completions::run(&out, args, invoked_as),
    }
}

fn with_service(
    remote: &Remote,
    out: Output,
    work: impl AsyncFnOnce(Session) -> Result<(), Error>,
) -> Result<(), Error> {
    let options = LoadOptions::from_process(None, Flags::default());
    let target = connection::target(remote, &Environment::read(Path::new("."))?, &options)?;
    let client = Client::open(&target)?;
    block_on(work(Session { client, out }))
}

/// Runs a command's work on a runtime of this thread: a client needs no more.
fn block_on<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Internal(format!("no runtime can be started: {error}")))?;
    runtime.block_on(work)
}

/// Logs to stderr, for commands that are no service: those say by their configuration what they log.
fn start_log(debug: bool) {
    let mut builder = env_logger::Builder::new();
    if debug {
        builder.filter_module("automagik_spark", log::LevelFilter::Debug);
    } else {
        builder.filter_level(log::LevelFilter::Warn);
    }
    // A second start (in a test of this process) keeps the first one's settings.
    let _ = builder.try_init();
}

/// The name the program was called by: `spark` is a link to `automagik-spark`.
fn invoked_name(program: &Path) -> String {
    program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_service_may_be_named_before_or_after_the_command() {
        for line in ["x --url http://a tasks list", "x tasks --url http://a list", "x tasks list --url http://a"] {
            let cli = Cli::try_parse_from(line.split(' ')).expect(line);
            let Command::Tasks(group) = cli.command else { panic!("{line}") };
            assert_eq!(cli.remote.or(group.remote()).url.as_deref(), Some("http://a"), "{line}");
        }
    }

    #[test]
    fn a_source_s_url_is_not_the_service_s() {
        let line = "x --url http://spark sources add --type langflow --url http://flow --api-key k";
        let cli = Cli::try_parse_from(line.split(' ')).expect(line);
        let Command::Sources(command) = cli.command else { panic!("{line}") };
        let remote = cli.remote.or(command.remote());
        assert_eq!(remote.url.as_deref(), Some("http://spark"));
        assert!(remote.api_key.is_none());
    }
}
