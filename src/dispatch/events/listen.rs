//! What a node does while somebody listens on it, and for a while longer: it hears other nodes, and asks PostgreSQL once
//! a second for all watched tasks together.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::outbox::Message;
use super::{Audience, Event, Events, GapReason};
use crate::domain::clock;
use crate::domain::event::TaskEvent;
use crate::mailbox::Ear;

/// How often PostgreSQL is asked for the watched tasks, and how long after a loss other nodes are listened to again.
const BEAT: Duration = Duration::from_secs(1);
/// How long events are kept after the last stream has ended: one that broke off goes on without a gap.
const LINGER: Duration = Duration::from_secs(30);
/// How far this node may be behind what it hears. Redis's client keeps what was not read yet, and knows no bound: a node
/// that can't keep up lets all of it go and says so. Clocks of nodes may differ by a second or two, and Redis may be slow.
const LONGEST_LAG: Duration = Duration::from_secs(15);

impl Events {
    /// One more who listens; the first one begins the service.
    pub(super) fn enter(self: &Arc<Self>) {
        let mut is_first = false;
        self.audience.send_modify(|audience| {
            audience.count += 1;
            is_first = !std::mem::replace(&mut audience.is_served, true);
            if is_first {
                // Under the lock: what is published from now on is kept.
                self.journal.begin_anew();
            }
        });
        if is_first {
            let events = self.clone();
            self.runtime.spawn(async move { events.serve().await });
        }
    }

    /// One less.
    pub(super) fn leave(&self) {
        self.audience.send_modify(|audience| audience.count -= 1);
    }

    async fn serve(&self) {
        tokio::select! {
            () = self.hear_others() => {}
            () = self.look_up_watched() => {}
            () = self.until_deserted() => {}
        }
    }

    /// Completes when nobody has listened for a while.
    async fn until_deserted(&self) {
        let mut audience = self.audience.subscribe();
        loop {
            // The sender is ours.
            drop(audience.wait_for(|audience| audience.count == 0).await);
            let returned = tokio::time::timeout(LINGER, audience.wait_for(|audience| audience.count > 0)).await;
            if returned.is_err() && self.audience.send_if_modified(end_if_deserted) {
                return;
            }
        }
    }

    /// Asks PostgreSQL for what messages may have missed.
    async fn look_up_watched(&self) {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            let asked = self.watched.ids();
            if asked.is_empty() {
                continue;
            }
            match self.store.task_events(asked.clone()).await {
                Ok(found) => self.watched.compare(&asked, &found),
                Err(error) => log::debug!("watched tasks can't be looked up: {error}"),
            }
        }
    }

    /// Hears other nodes for as long as it is polled. Where they can't be heard, those who follow all tasks are told so:
    /// once when it begins, and once when it is over.
    async fn hear_others(&self) {
        let mut is_deaf = false;
        loop {
            match self.mailbox.listen().await {
                Ok(mut ear) => {
                    self.audience.send_modify(|audience| audience.hears_others = Some(true));
                    if std::mem::take(&mut is_deaf) {
                        self.tell_gap();
                    }
                    self.listen_to(&mut ear).await;
                }
                Err(error) => log::debug!("other nodes can't be heard: {error}"),
            }
            if !std::mem::replace(&mut is_deaf, true) {
                self.tell_gap();
            }
            self.audience.send_modify(|audience| audience.hears_others = Some(false));
            tokio::time::sleep(BEAT).await;
        }
    }

    /// Does nothing that waits, and ends where it is too far behind.
    async fn listen_to(&self, ear: &mut Ear) {
        while let Some(text) = ear.next().await {
            match serde_json::from_str::<Message>(&text) {
                Ok(message) if message.is_late(clock::now(), LONGEST_LAG) => {
                    log::warn!("other nodes tell of more than this one can hear; what waited is skipped");
                    return;
                }
                Ok(message) if message.node == self.node => {}
                Ok(message) => self.hear(message.events),
                Err(error) => {
                    log::debug!("another node can't be understood: {error}");
                    self.tell_gap();
                }
            }
        }
    }

    fn hear(&self, events: Vec<Event>) {
        let tasks: Vec<TaskEvent> = events
            .iter()
            .filter_map(|event| match event {
                Event::Task(task) => Some(task.clone()),
                Event::Gap { .. } => None,
            })
            .collect();
        self.watched.see(&tasks);
        self.journal.add(events);
    }

    fn tell_gap(&self) {
        self.journal.add([Event::Gap { reason: GapReason::Unheard }]);
    }
}

fn end_if_deserted(audience: &mut Audience) -> bool {
    let is_deserted = audience.count == 0;
    if is_deserted {
        *audience = Audience::default();
    }
    is_deserted
}
