//! `top`: what happens at a service, on the whole screen, until a key ends it.

mod ask;
mod bar;
mod grid;
mod key;
mod order;
mod place;
mod rate;
mod reading;
mod rows;
mod screen;
mod state;
mod theme;
mod view;

use std::future::Future;
use std::io::{IsTerminal, stderr, stdout};
use std::pin::Pin;
use std::time::Duration;

use clap::Args;
use crossterm::event::{Event, EventStream};
use futures_util::StreamExt;
use tokio::time::{MissedTickBehavior, interval};

use super::connection::{Remote, ServiceRemote};
use super::{Error, Session, table};
use crate::domain::clock::now;
use crate::shutdown::{ReloadSignal, StopSignals};
use screen::Screen;
use state::{Answers, Next, State};
use theme::Theme;
use view::Look;

/// How to look.
#[derive(Args, Debug)]
pub(super) struct TopArgs {
    /// Seconds between two looks, 0.5 to 3600
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = read_interval)]
    interval: Duration,
    #[command(flatten)]
    remote: ServiceRemote,
}

impl TopArgs {
    /// The service, if it was named after the command.
    pub(super) fn remote(&self) -> Remote {
        self.remote.remote()
    }
}

pub(super) async fn run(session: &Session, args: TopArgs) -> Result<(), Error> {
    refuse_without_terminal(session)?;
    let stop = StopSignals::listen()?;
    // Of a terminal that goes away.
    let mut hangup = ReloadSignal::listen()?;
    if stderr().is_terminal() {
        // A line of the log would stand in the middle of the picture.
        log::set_max_level(log::LevelFilter::Off);
    }
    let mut look = Look {
        theme: Theme::new(table::wants_color()),
        url: session.client.shown(),
        interval: args.interval,
        now: now(),
    };
    let mut state = State::default();
    let mut screen = Screen::open()?;
    let mut events = EventStream::new();
    let mut ticks = interval(args.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asking: Option<Pin<Box<dyn Future<Output = Answers> + '_>>> = None;
    loop {
        look.now = now();
        screen.draw(|frame| view::draw(frame, &state, &look))?;
        tokio::select! {
            () = stop.next() => return Ok(()),
            () = hangup.next() => return Ok(()),
            event = events.next() => {
                // No more events: the terminal is gone.
                let Some(event) = event.transpose()? else { return Ok(()) };
                if let Event::Key(key) = event
                    && let Some(action) = key::action(key)
                {
                    let (lines, room) = view::lines_and_room(screen.area()?, &state, &look);
                    if state.apply(action, lines, room) == Next::End {
                        return Ok(());
                    }
                }
            }
            answers = answered(&mut asking) => {
                asking = None;
                if !state.has_seen_anything() && let Err(error) = &answers.workers && !error.is_transient() {
                    return answers.workers.map(|_| ());
                }
                state.take(answers, now());
            }
            _ = ticks.tick(), if asking.is_none() && !state.is_paused => {
                let (since, wants_names) = (state.rates.counted_until(), state.wants_names());
                asking = Some(Box::pin(ask::ask(session, since, wants_names)));
            }
        }
    }
}

/// The answers that are under way; never, where none are.
async fn answered(asking: &mut Option<Pin<Box<dyn Future<Output = Answers> + '_>>>) -> Answers {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

fn refuse_without_terminal(session: &Session) -> Result<(), Error> {
    const INSTEAD: &str = "`worker status`, `queues list` and `doctor` print once, for programs with `-o json`";
    if session.out.is_json() {
        return Err(Error::Usage(format!("`top` draws and has no JSON; {INSTEAD}")));
    }
    if !stdout().is_terminal() {
        return Err(Error::Usage(format!("`top` draws on a terminal, and stdout is none; {INSTEAD}")));
    }
    if std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        return Err(Error::Usage(format!("`top` can't draw on this terminal (TERM is dumb); {INSTEAD}")));
    }
    Ok(())
}

fn read_interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "it must be a number of seconds".to_owned())?;
    if !(0.5..=3600.0).contains(&seconds) {
        return Err("it must be from 0.5 to 3600 seconds".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_neither_a_flood_nor_for_ever() {
        assert_eq!(read_interval("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["", "x", "0", "0.4", "-1", "3601", "NaN", "inf"] {
            assert!(read_interval(bad).is_err(), "{bad}");
        }
    }
}
