//! Changing a pool while it runs: by the API one of its sizes, by a reload all that the configuration says of it.

use actix::{Addr, Context, Handler, Message};
use tokio::sync::mpsc;

use super::Supervisor;
use crate::actors::executor::TimeLimits;
use crate::actors::pool::{Event, PoolLimits};
use crate::actors::post::tell;
use crate::dispatch::resize::Order;
use crate::domain::turns::ServedQueues;

/// What of a pool may change while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// The queues it serves.
    pub queues: ServedQueues,
    /// Its measures.
    pub limits: PoolLimits,
    /// How long an attempt may take; counts for those that begin from then on.
    pub time_limits: TimeLimits,
}

impl PoolShape {
    /// Executors, and slots of each.
    pub fn size(&self) -> (usize, usize) {
        (self.limits.workers, self.limits.threads)
    }

    /// What is different in another shape, for people; empty where nothing is.
    fn differences(&self, other: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let mut compare = |name: &str, one: String, other: String| {
            if one != other {
                differences.push(format!("{name} {one} -> {other}"));
            }
        };
        let (one, two) = (&self.limits, &other.limits);
        compare("workers", one.workers.to_string(), two.workers.to_string());
        compare("threads", one.threads.to_string(), two.threads.to_string());
        compare("queues", self.queues.to_string(), other.queues.to_string());
        let share = |limits: &PoolLimits| limits.recycle.max_tasks_per_child.to_string();
        compare("max_tasks_per_child", share(one), share(two));
        let memory = |limits: &PoolLimits| limits.recycle.max_memory_per_child_kb.to_string();
        compare("max_memory_per_child_kb", memory(one), memory(two));
        compare("restarts", format!("{:?}", one.restart), format!("{:?}", two.restart));
        let (one, two) = (self.time_limits, other.time_limits);
        compare("soft time limit", format!("{:?}", one.soft), format!("{:?}", two.soft));
        compare("time limit", format!("{:?}", one.soft + one.hard_after), format!("{:?}", two.soft + two.hard_after));
        differences
    }
}

impl Supervisor {
    fn reshape(&mut self, shape: PoolShape, ctx: &mut Context<Self>) {
        let differences = self.shape.differences(&shape);
        if differences.is_empty() {
            return;
        }
        log::info!("pool {}: {}", self.options.name, differences.join(", "));
        self.shape = shape;
        self.queues.send_if_modified(|known| {
            let is_news = *known != self.shape.queues;
            known.clone_from(&self.shape.queues);
            is_news
        });
        self.apply(Event::Resized(self.shape.limits), ctx);
    }
}

/// Be what the configuration says now. Sent by the node when it is reloaded.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Reshape(pub PoolShape);

impl Handler<Reshape> for Supervisor {
    type Result = ();

    fn handle(&mut self, Reshape(shape): Reshape, ctx: &mut Self::Context) {
        self.configured = shape.size();
        self.reshape(shape, ctx);
        self.publish();
    }
}

/// Have another size. Sent on behalf of [`crate::dispatch::Dispatch::resize`].
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Resize(Order);

impl Handler<Resize> for Supervisor {
    type Result = ();

    fn handle(&mut self, Resize(order): Resize, ctx: &mut Self::Context) {
        let mut shape = self.shape.clone();
        shape.limits.workers = order.workers.unwrap_or(shape.limits.workers);
        shape.limits.threads = order.threads.unwrap_or(shape.limits.threads);
        self.reshape(shape, ctx);
        self.publish();
        // Whoever asked may have gone; the order counts all the same.
        drop(order.done.send(self.view()));
    }
}

/// Passes on what dispatch asks for.
pub(super) async fn forward_orders(mut orders: mpsc::Receiver<Order>, supervisor: Addr<Supervisor>) {
    while let Some(order) = orders.recv().await {
        tell(&supervisor, Resize(order));
    }
}
