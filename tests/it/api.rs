//! The REST API over a real socket and real servers.

pub(crate) mod client;
mod hostile;
mod meta;
mod outcomes;
mod retention;
mod schedules;
mod sources;
mod tasks;
mod workflows;
