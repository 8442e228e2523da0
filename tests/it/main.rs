//! One binary for all that needs a real server or a real process; a module a theme.
#![expect(clippy::unwrap_used, reason = "tests")]

mod adapters;
mod agents;
mod alerts;
mod api;
mod beat_store;
mod browser;
mod cli;
mod dashboard;
mod discovery;
mod doctor;
mod events;
mod faults;
mod harness;
mod hive;
mod janitor;
mod keys;
mod langflow;
mod lifecycle;
mod limits;
mod moving;
mod notifications;
mod overload;
mod pgbouncer;
mod plans;
mod pools;
mod recovery;
mod schedule_times;
mod secrecy;
mod simulate;
mod statistics;
mod tls;
mod tracing;
mod trend;
