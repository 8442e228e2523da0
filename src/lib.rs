//! Spark gives AI workflows a sense of time: it schedules the flows of other servers, runs them durably, retries
//! them, and shows what happened. `docs/ARCHITECTURE.md` is the map.

pub mod actors;
pub mod child;
pub mod cli;
pub mod config;
pub mod dev;
pub mod dispatch;
pub mod domain;
pub mod fault;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod http;
pub mod mailbox;
pub mod node;
pub mod otlp;
pub mod shutdown;
pub mod simulate;
pub mod sources;
pub mod store;
