//! The guarantees, attacked: runs of many tasks during which processes are killed and servers fail, and a checker that
//! believes nobody's word but that of the clients, of the source and of a trigger in the database.

mod checker;
#[cfg(test)]
mod checker_tests;
mod clients;
mod history;
mod plan;
mod points;
mod random;
mod run;
mod suffering;
mod world;
