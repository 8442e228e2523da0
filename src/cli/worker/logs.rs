//! `worker logs`: what was logged on this machine.
//!
//! The rule, the first that fits: the file that the configuration names (`log.file`, AUTOMAGIK_SPARK_WORKER_LOG); the
//! file of a daemon that runs; the journal, if systemd has our unit; the file that a daemon left.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use log::LevelFilter;

use super::super::render::clean;
use super::super::{Error, block_on};
use super::journal;
use super::log_file::LogFile;
use super::log_line::{Filter, Last};
use super::pager::Sink;
use super::pid_file::{self, Seen};
use super::place::{Place, Which};

const LOOK: Duration = Duration::from_millis(200);
/// Lines that `--tail` and `--follow` begin with.
const LINES: usize = 50;

/// What to show of the log.
#[derive(Args, Debug)]
pub(in crate::cli) struct LogsArgs {
    /// Only the last lines; without this, -n and -f all of them, on a terminal in a pager
    #[arg(short, long)]
    tail: bool,
    /// How many lines; 50 for --tail and --follow
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
    /// Go on with what comes, also when the file is rotated
    #[arg(short, long)]
    follow: bool,
    /// Only what is at least so severe: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    level: Option<LevelFilter>,
    #[command(flatten)]
    which: Which,
}

/// Where a log is.
#[derive(Debug, PartialEq, Eq)]
enum Origin {
    File(PathBuf),
    Journal,
}

/// What decides where to look.
struct Traces {
    configured: Option<PathBuf>,
    daemon_runs: bool,
    is_named: bool,
    has_unit: bool,
    left_behind: bool,
    daemon_log: PathBuf,
}

pub(super) fn run(args: &LogsArgs) -> Result<(), Error> {
    let config = args.which.load()?;
    let place = Place::of(&config, args.which.name.as_deref());
    let traces = Traces {
        configured: config.log.file.clone(),
        daemon_runs: matches!(pid_file::look(&place.pid_file)?, Seen::Running { .. }),
        is_named: args.which.name.is_some(),
        has_unit: journal::has_unit(),
        left_behind: place.log.exists(),
        daemon_log: place.log,
    };
    let origin = traces.origin()?;
    log::debug!("the log is {origin:?}");
    let last = args.last();
    let mut sink = if last.is_none() { Sink::paged() } else { Sink::stdout() };
    match origin {
        Origin::File(path) => {
            let log = LogFile::open(&path).map_err(|error| {
                Error::Failed(format!("the log {} can't be read: {error}; log.file says where it is", path.display()))
            })?;
            block_on(from_file(args, log, last, &mut sink))
        }
        Origin::Journal => from_journal(args, last, &mut sink),
    }
}

impl LogsArgs {
    /// How many lines to begin with; none is all.
    fn last(&self) -> Option<usize> {
        self.lines.or((self.tail || self.follow).then_some(LINES))
    }

    fn filter(&self) -> Filter {
        Filter::new(self.level.unwrap_or(LevelFilter::Trace))
    }
}

impl Traces {
    fn origin(self) -> Result<Origin, Error> {
        if let Some(path) = self.configured {
            return Ok(Origin::File(path));
        }
        if self.daemon_runs {
            return Ok(Origin::File(self.daemon_log));
        }
        if self.has_unit && !self.is_named {
            return Ok(Origin::Journal);
        }
        if self.left_behind {
            return Ok(Origin::File(self.daemon_log));
        }
        Err(Error::Failed(format!(
            "there is no log on this machine: log.file (AUTOMAGIK_SPARK_WORKER_LOG) names none, no daemon has left one at \
             {}, and systemd has no unit automagik-spark; a service in a terminal logs there, `docker logs` has a \
             container's",
            self.daemon_log.display()
        )))
    }
}

async fn from_file(args: &LogsArgs, mut log: LogFile, last: Option<usize>, sink: &mut Sink) -> Result<(), Error> {
    let mut filter = args.filter();
    match (last, args.level) {
        (Some(last), Some(_)) => {
            // Which lines are the last is known when all were looked at.
            let mut kept = Last::new(last);
            log.lines(|line| {
                if filter.passes(line) {
                    kept.push(line);
                }
                Ok::<(), Error>(())
            })?;
            kept.into_lines().iter().try_for_each(|line| sink.line(&clean(line)))?;
        }
        (Some(last), None) => log.skip_to_last(last)?,
        (None, _) => {}
    }
    let shows_all = args.level.is_none();
    let mut print = |sink: &mut Sink, line: &str| -> Result<(), Error> {
        if shows_all || filter.passes(line) {
            sink.line(&clean(line))?;
        }
        Ok(())
    };
    log.lines(|line| print(sink, line))?;
    if !args.follow {
        if let Some(line) = log.begun_line() {
            print(sink, &line)?;
        }
        return Ok(sink.flush()?);
    }
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        sink.flush()?;
        ticks.tick().await;
        log.lines(|line| print(sink, line))?;
        if log.follow_rotation()? {
            log.lines(|line| print(sink, line))?;
        }
    }
}

fn from_journal(args: &LogsArgs, last: Option<usize>, sink: &mut Sink) -> Result<(), Error> {
    let mut filter = args.filter();
    let Some(limit) = last.filter(|_| args.level.is_some() && !args.follow) else {
        return journal::lines(last, args.follow, |line| {
            if args.level.is_none() || filter.passes(line) {
                sink.line(&clean(line))?;
                sink.flush()?;
            }
            Ok(())
        });
    };
    let mut kept = Last::new(limit);
    journal::lines(None, false, |line| {
        if filter.passes(line) {
            kept.push(line);
        }
        Ok(())
    })?;
    kept.into_lines().iter().try_for_each(|line| sink.line(&clean(line)))?;
    Ok(sink.flush()?)
}

/// Also the names that Python has.
fn level(text: &str) -> Result<LevelFilter, String> {
    let known = match text.to_ascii_lowercase().as_str() {
        "warning" => Ok(LevelFilter::Warn),
        "critical" | "fatal" => Ok(LevelFilter::Error),
        other => other.parse(),
    };
    known.map_err(|_| "a level is error, warn, info, debug or trace".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces() -> Traces {
        Traces {
            configured: None,
            daemon_runs: false,
            is_named: false,
            has_unit: false,
            left_behind: false,
            daemon_log: "/state/worker.log".into(),
        }
    }

    #[test]
    fn the_log_is_where_it_is_most_likely_written() {
        let file = |path: &str| Origin::File(path.into());
        let all = || Traces {
            configured: Some("/var/log/spark".into()),
            daemon_runs: true,
            has_unit: true,
            left_behind: true,
            ..traces()
        };
        assert_eq!(all().origin().expect("found"), file("/var/log/spark"));
        assert_eq!(Traces { configured: None, ..all() }.origin().expect("found"), file("/state/worker.log"));
        let ended = || Traces { configured: None, daemon_runs: false, ..all() };
        assert_eq!(ended().origin().expect("found"), Origin::Journal);
        assert_eq!(Traces { is_named: true, ..ended() }.origin().expect("found"), file("/state/worker.log"));
        assert_eq!(Traces { has_unit: false, ..ended() }.origin().expect("found"), file("/state/worker.log"));
        let none = traces().origin().expect_err("nowhere").to_string();
        assert!(none.contains("AUTOMAGIK_SPARK_WORKER_LOG") && none.contains("/state/worker.log"), "{none}");
    }

    #[test]
    fn levels_have_python_s_names_too() {
        assert_eq!(level("WARNING"), Ok(LevelFilter::Warn));
        assert_eq!(level("Error"), Ok(LevelFilter::Error));
        assert!(level("loud").is_err());
    }
}
