//! The REST API over a real socket and real servers.

pub(crate) mod client;
mod contract;
mod events;
mod hive;
mod hostile;
mod meta;
mod outcomes;
mod retention;
mod schedules;
mod sources;
mod tasks;
mod walk;
mod workflows;
