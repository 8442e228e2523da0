//! The newest events of this node, in a ring: what every reader reads from, each at its own pace. A reader costs a number
//! and no buffer; one that is slower than the ring is told that it missed something.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Event;

/// The ring.
#[derive(Debug)]
pub(super) struct Journal {
    ring: Mutex<Ring>,
    /// The number of the newest event, for those who wait for the next.
    newest: watch::Sender<u64>,
    kept: usize,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    /// The number of the newest event.
    newest: u64,
}

impl Journal {
    /// An empty one that will keep so many events.
    pub(super) fn new(kept: usize) -> Self {
        Self { ring: Mutex::default(), newest: watch::Sender::new(0), kept }
    }

    /// Adds events; the oldest make room for them.
    pub(super) fn add(&self, events: impl IntoIterator<Item = Event>) {
        let mut ring = self.lock();
        for event in events {
            if ring.events.len() >= self.kept {
                ring.events.pop_front();
            }
            ring.events.push_back(Arc::new(event));
            ring.newest += 1;
        }
        self.newest.send_replace(ring.newest);
    }

    /// Forgets all events, and that of the time since then none are known: whoever read before has missed something.
    pub(super) fn begin_anew(&self) {
        let mut ring = self.lock();
        ring.events.clear();
        ring.newest += 1;
        self.newest.send_replace(ring.newest);
    }

    /// A reader of what comes after the newest event.
    pub(super) fn reader(&self) -> Reader {
        let newest = self.newest.subscribe();
        let read = self.lock().newest;
        Reader { newest, read }
    }

    /// The events after the one a reader read last with their numbers, at most so many. `None` where some of them are gone: the reader then
    /// goes on after the newest.
    pub(super) fn read(&self, reader: &mut Reader, limit: usize) -> Option<Vec<(u64, Arc<Event>)>> {
        let ring = self.lock();
        let unread = ring.newest.checked_sub(reader.read).and_then(|unread| usize::try_from(unread).ok());
        let Some(skip) = unread.and_then(|unread| ring.events.len().checked_sub(unread)) else {
            reader.read = ring.newest;
            return None;
        };
        let events: Vec<_> = (reader.read + 1..).zip(ring.events.iter().skip(skip).take(limit).cloned()).collect();
        reader.read += events.len() as u64;
        Some(events)
    }

    /// The data is whole after any panic: a number and its event are set together.
    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a reader is.
#[derive(Debug)]
pub(super) struct Reader {
    newest: watch::Receiver<u64>,
    /// The number of the event it read last.
    pub(super) read: u64,
}

impl Reader {
    /// Completes when there is something to read.
    pub(super) async fn ready(&mut self) {
        let read = self.read;
        // The journal outlives its readers.
        drop(self.newest.wait_for(|newest| *newest != read).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::events::GapReason;

    const EVENT: Event = Event::Gap { reason: GapReason::Unheard };

    fn read(journal: &Journal, reader: &mut Reader, limit: usize) -> Option<Vec<u64>> {
        Some(journal.read(reader, limit)?.into_iter().map(|(number, _)| number).collect())
    }

    #[test]
    fn each_reader_reads_on_from_where_it_was() {
        let journal = Journal::new(4);
        journal.add([EVENT, EVENT]);
        let mut late = journal.reader();
        assert_eq!(read(&journal, &mut late, 9), Some(vec![]));
        journal.add([EVENT, EVENT, EVENT]);
        assert_eq!(read(&journal, &mut late, 2), Some(vec![3, 4]));
        assert_eq!(read(&journal, &mut late, 2), Some(vec![5]));
        late.read = 1;
        assert_eq!(read(&journal, &mut late, 9), Some(vec![2, 3, 4, 5]), "as far back as the ring reaches");
    }

    #[test]
    fn a_slow_reader_is_told_once_and_goes_on_with_what_is_new() {
        let journal = Journal::new(4);
        let mut slow = journal.reader();
        journal.add([EVENT; 5]);
        assert_eq!(read(&journal, &mut slow, 9), None);
        assert_eq!(read(&journal, &mut slow, 9), Some(vec![]));
        journal.add([EVENT]);
        assert_eq!(read(&journal, &mut slow, 9), Some(vec![6]));
    }

    #[test]
    fn a_number_of_another_life_is_a_gap() {
        let journal = Journal::new(4);
        journal.add([EVENT, EVENT]);
        let mut reader = journal.reader();
        journal.begin_anew();
        assert_eq!(read(&journal, &mut reader, 9), None, "nobody listened meanwhile");
        reader.read = 1_000;
        assert_eq!(read(&journal, &mut reader, 9), None, "a number that was never given");
        assert_eq!(reader.read, 3);
    }

    #[tokio::test]
    async fn a_waiting_reader_wakes_for_what_is_added() {
        let journal = Journal::new(4);
        let mut reader = journal.reader();
        journal.add([EVENT]);
        reader.ready().await;
        assert_eq!(read(&journal, &mut reader, 9), Some(vec![1]));
        let waiting = tokio::spawn(async move {
            reader.ready().await;
            reader
        });
        journal.add([EVENT]);
        let mut reader = waiting.await.expect("no panic");
        assert_eq!(read(&journal, &mut reader, 9), Some(vec![2]));
    }
}
