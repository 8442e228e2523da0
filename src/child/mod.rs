//! The child process of an executor: it talks to sources over HTTP and to its executor over one socket, its standard
//! input. It holds no connection to PostgreSQL or Redis and no state, so it can be killed at any instant.

pub mod frames;
mod run;
mod serve;

pub use serve::{Error, serve};
