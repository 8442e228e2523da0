//! Spark gives AI workflows a sense of time: it schedules the flows of other servers, runs them durably, retries
//! them, and shows what happened. `docs/ARCHITECTURE.md` is the map.

pub mod domain;
pub mod sources;
pub mod store;
