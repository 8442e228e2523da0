//! Who is told of what: signed, tried again, told once whoever tells, and only when something changes.

mod delivering;
pub(crate) mod receiver;
mod resource;
mod watching;
