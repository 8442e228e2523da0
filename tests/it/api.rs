//! The REST API over a real socket and real servers.

mod client;
mod events;
mod hostile;
mod meta;
mod outcomes;
mod retention;
mod schedules;
mod sources;
mod tasks;
mod workflows;
