//! One binary for all that needs a real server or a real process; a module a theme.
#![expect(clippy::unwrap_used, reason = "tests")]

mod api;
mod beat_store;
mod cli;
mod harness;
mod langflow;
mod lifecycle;
mod schedule_times;
mod simulate;
