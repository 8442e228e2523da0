//! The service as a process: what becomes of tasks when children, the service itself or its servers end in the middle.
//!
//! The source counts its calls itself, so that nothing of what is asserted here rests on what Spark says of itself alone.

mod crash;
mod limit;
mod recycle;
mod servers_away;
mod startup;
mod stop;
mod timing;

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Held alone by a test that keeps the machine busy or measures time, shared by those that mostly wait.
static MACHINE: RwLock<()> = RwLock::const_new(());

pub(crate) async fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().await
}

pub(crate) async fn among_others() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().await
}
