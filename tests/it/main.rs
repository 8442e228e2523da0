//! One binary for all that needs a real server or a real process; a module a theme.
#![expect(clippy::unwrap_used, reason = "tests")]

mod adapters;
mod agents;
mod api;
mod beat_store;
mod browser;
mod cli;
mod discovery;
mod events;
mod harness;
mod hive;
mod janitor;
mod keys;
mod langflow;
mod lifecycle;
mod moving;
mod notifications;
mod pools;
mod schedule_times;
mod simulate;
mod statistics;
