//! What Spark is about, as values and pure functions: no IO, no async, no actix, and no clock but [`clock`].

pub mod access;
pub mod adapter;
pub mod attempt;
pub mod clock;
pub mod event;
pub mod histogram;
pub mod id_prefix;
pub mod ids;
pub mod input;
pub mod notification;
pub mod outcome;
pub mod pool;
pub mod queue;
pub mod rate;
pub mod recycle;
pub mod restart;
pub mod retry;
pub mod schedule;
pub mod source;
pub mod statistics;
pub mod takeover;
pub mod task;
pub mod task_log;
pub mod webhook;
pub mod workflow;
