//! More than can be served, and what nobody should send: the service refuses it, says why, and works on.

mod backlog;
mod bad_input;
mod connections;
mod headers;
mod redis;
mod sources;
