//! The REST API over a real socket and real servers.

mod bulk;
pub(crate) mod client;
mod contract;
mod events;
mod finding;
mod hive;
mod hostile;
mod meta;
mod occurrences;
mod outcomes;
mod retention;
mod schedules;
mod sources;
mod task_logs;
mod tasks;
mod walk;
mod workflows;
