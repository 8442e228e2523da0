//! How soon things are right again: servers that freeze, nodes that are cut off, what is killed.

mod freeze;
mod frozen;
mod stop;
mod watchdog;
