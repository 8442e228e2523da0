//! The REST API over a real socket and real servers.

mod bulk;
mod client;
mod finding;
mod hostile;
mod meta;
mod occurrences;
mod outcomes;
mod retention;
mod schedules;
mod sources;
mod task_logs;
mod tasks;
mod workflows;
