//! The actors: each does what a pure part or a use case decides.

pub mod beat;
pub mod doorkeeper;
pub mod duty;
pub mod executor;
pub mod exit;
pub mod exporter;
pub mod gateway;
mod given;
pub mod heartbeat;
pub mod intake;
pub mod janitor;
mod link;
mod measure;
pub mod monitor;
pub mod notifier;
pub mod pool;
pub mod post;
pub mod process;
pub mod retention;
pub mod statistics;
pub mod supervisor;
