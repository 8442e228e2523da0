//! Single tasks that somebody waits for: the newest that is known of each. However much happens, a task has one place.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::domain::event::TaskEvent;
use crate::domain::ids::TaskId;

/// What was seen of a task since it is watched.
#[derive(Clone, Debug, Default)]
pub enum Sighting {
    /// Nothing.
    #[default]
    None,
    /// It entered a state.
    Moved(TaskEvent),
    /// It is not there any more.
    Gone,
}

impl Sighting {
    /// Whether this may be the end of the task. PostgreSQL decides: it may have been made pending again by hand.
    pub fn is_end(&self) -> bool {
        match self {
            Self::None => false,
            Self::Moved(event) => event.is_final(),
            Self::Gone => true,
        }
    }
}

/// The tasks, each with those who wait.
#[derive(Debug, Default)]
pub(super) struct Watched {
    tasks: Mutex<HashMap<TaskId, Entry>>,
}

#[derive(Debug, Default)]
struct Entry {
    watchers: usize,
    sighting: watch::Sender<Sighting>,
}

impl Watched {
    /// What is seen of a task from now on.
    pub(super) fn add(&self, task: TaskId) -> watch::Receiver<Sighting> {
        let mut tasks = self.lock();
        let entry = tasks.entry(task).or_default();
        entry.watchers += 1;
        // What others saw before is old news: who begins to watch reads the task first.
        entry.sighting.subscribe()
    }

    /// One watcher less; a task without any is forgotten.
    pub(super) fn leave(&self, task: TaskId) {
        let mut tasks = self.lock();
        if let Some(entry) = tasks.get_mut(&task) {
            entry.watchers -= 1;
            if entry.watchers == 0 {
                tasks.remove(&task);
            }
        }
    }

    /// Notes news of any tasks. Older news than what is known is dropped, for messages overtake one another; but an end
    /// is passed on always, whatever the clocks of two nodes make of it.
    pub(super) fn see(&self, events: &[TaskEvent]) {
        let tasks = self.lock();
        if tasks.is_empty() {
            return;
        }
        for event in events {
            let Some(entry) = tasks.get(&event.id) else { continue };
            entry.sighting.send_if_modified(|seen| {
                let is_news = match seen {
                    Sighting::Moved(known) => event.is_final() || event.position() > known.position(),
                    Sighting::None | Sighting::Gone => true,
                };
                if is_news {
                    *seen = Sighting::Moved(event.clone());
                }
                is_news
            });
        }
    }

    /// Notes what PostgreSQL said when it was asked for these tasks.
    pub(super) fn compare(&self, asked: &[TaskId], found: &[TaskEvent]) {
        self.see(found);
        let there: HashSet<TaskId> = found.iter().map(|event| event.id).collect();
        let tasks = self.lock();
        for entry in asked.iter().filter(|id| !there.contains(id)).filter_map(|id| tasks.get(id)) {
            entry.sighting.send_replace(Sighting::Gone);
        }
    }

    /// The tasks that are watched.
    pub(super) fn ids(&self) -> Vec<TaskId> {
        self.lock().keys().copied().collect()
    }

    /// The data is whole after any panic: every change is one insert or removal.
    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Entry>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock;
    use crate::domain::ids::WorkflowId;

    fn event(id: TaskId, status: &str, attempt: i32) -> TaskEvent {
        TaskEvent {
            id,
            workflow_id: WorkflowId::generate(),
            schedule_id: None,
            status: status.to_owned(),
            attempt,
            queue: "celery".to_owned(),
            at: clock::now(),
            error: None,
        }
    }

    fn status(receiver: &mut watch::Receiver<Sighting>) -> Option<String> {
        match receiver.borrow_and_update().clone() {
            Sighting::Moved(event) => Some(event.status),
            Sighting::None | Sighting::Gone => None,
        }
    }

    #[test]
    fn old_news_is_dropped_and_an_end_never() {
        let (watched, id) = (Watched::default(), TaskId::generate());
        let mut receiver = watched.add(id);
        let pending = event(id, "pending", 1);
        watched.see(&[event(id, "running", 2), pending]);
        assert_eq!(status(&mut receiver).as_deref(), Some("running"));
        assert!(!receiver.has_changed().expect("watched"));
        let ended = event(id, "failed", 1);
        watched.see(std::slice::from_ref(&ended));
        assert_eq!(status(&mut receiver).as_deref(), Some("failed"), "a clock that is slow hides no end");
        watched.see(std::slice::from_ref(&ended));
        assert!(receiver.has_changed().expect("watched"), "PostgreSQL was away when it was looked up: told again");
    }

    #[test]
    fn a_task_is_forgotten_with_its_last_watcher() {
        let (watched, id) = (Watched::default(), TaskId::generate());
        let _receivers = (watched.add(id), watched.add(id));
        watched.leave(id);
        assert_eq!(watched.ids(), [id]);
        watched.leave(id);
        assert!(watched.ids().is_empty());
    }

    #[test]
    fn who_begins_to_watch_hears_nothing_old() {
        let (watched, id) = (Watched::default(), TaskId::generate());
        let _first = watched.add(id);
        watched.see(&[event(id, "running", 1)]);
        assert!(!watched.add(id).has_changed().expect("watched"));
    }

    #[test]
    fn a_task_that_was_asked_for_and_not_found_is_gone() {
        let (watched, id) = (Watched::default(), TaskId::generate());
        let receiver = watched.add(id);
        watched.compare(&[id], &[]);
        assert!(receiver.borrow().is_end());
    }
}
