//! What is shown while something takes long: on stderr, on a terminal, and not before a second has passed.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::Output;
use super::render::clean;

const QUIET: Duration = Duration::from_secs(1);
const FRAME: Duration = Duration::from_millis(100);

/// A line that changes in place, and goes when this is dropped. Elsewhere than on a terminal it is nothing.
pub(super) struct Progress {
    bar: ProgressBar,
    since: Instant,
    is_shown: bool,
}

impl Progress {
    /// For what has no known end.
    pub(super) fn spinner() -> Self {
        Self::new(ProgressBar::no_length(), "{spinner} {wide_msg} {elapsed}")
    }

    /// For so many things, one after another.
    pub(super) fn of(count: usize) -> Self {
        Self::new(ProgressBar::new(count as u64), "{bar:20} {pos}/{len} {wide_msg}")
    }

    fn new(bar: ProgressBar, template: &str) -> Self {
        bar.set_draw_target(ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar, since: Instant::now(), is_shown: false }
    }

    /// Says where it is; to be called again and again.
    pub(super) fn show(&mut self, words: &str) {
        if self.since.elapsed() < QUIET {
            return;
        }
        if !self.is_shown {
            self.is_shown = true;
            // indicatif draws nothing where stderr is no terminal.
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.enable_steady_tick(FRAME);
        }
        self.bar.set_message(clean(words));
    }

    /// One of the things is done.
    pub(super) fn advance(&self) {
        self.bar.inc(1);
    }

    /// Says something that stays, above the line.
    pub(super) fn say(&self, out: &Output, words: &str) {
        self.bar.suspend(|| out.say(words));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
