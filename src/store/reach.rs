//! Whether PostgreSQL is known to be away. Calls then wait for seconds, and not for limits that are meant for a server
//! that works.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// What is known; cheap to clone, one for all clones.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    is_away: Arc<watch::Sender<bool>>,
}

impl Default for Reach {
    /// Nothing is known, so a call tries.
    fn default() -> Self {
        Self { is_away: Arc::new(watch::Sender::new(false)) }
    }
}

impl Reach {
    /// Notes whether the server answers.
    pub(super) fn note(&self, answers: bool) {
        self.is_away.send_if_modified(|is_away| std::mem::replace(is_away, !answers) == answers);
    }

    /// Completes when the server has been known to be away for so long, without a break, while this was waited for.
    pub(super) async fn away_for(&self, time: Duration) {
        let mut is_away = self.is_away.subscribe();
        loop {
            // The sender is ours, so neither ends for another reason.
            drop(is_away.wait_for(|is_away| *is_away).await);
            if tokio::time::timeout(time, is_away.wait_for(|is_away| !*is_away)).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_is_told_of_an_absence_and_not_of_an_answer() {
        let (reach, moment) = (Reach::default(), Duration::from_millis(20));
        let gives_up = || async { tokio::time::timeout(moment * 5, reach.away_for(moment)).await.is_ok() };
        assert!(!gives_up().await, "nothing is known");
        reach.note(false);
        assert!(gives_up().await, "away before it was asked for");
        reach.note(true);
        assert!(!gives_up().await, "it is back");
        let waiting = gives_up();
        reach.note(false);
        assert!(waiting.await, "away while it was waited for");
    }
}
