//! Recording how attempts ended. Nothing is reported that is not stored, and nothing that ended is forgotten while the
//! database is away: ends wait here, at most one for each slot.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::gate::Noted;
use super::{Dispatch, DispatchOptions, Inner, STATEMENT_BYTES, feed};
use crate::domain::circuit::Signal;
use crate::domain::clock;
use crate::domain::ids::TaskId;
use crate::domain::outcome::{Failure, Outcome};
use crate::domain::retry::{Next, judge};
use crate::domain::task::PendingTask;
use crate::domain::trace::Call;
use crate::fault::{self, Point};
use crate::store::Error;
use crate::store::batch::{Batcher, portions};
use crate::store::claim::Attempt;
use crate::store::outcome::AttemptEnd;

/// Far above what the intake lets be in flight, which is the true bound.
const ENDS_WAITING: usize = 1_000_000;
/// Code of an end whose text or answer the database refuses.
const NOT_STORABLE: &str = "not_storable";
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

impl Dispatch {
    /// Judges how an attempt ended and stores it, for as long as it takes.
    pub fn record(&self, attempt: Attempt, outcome: Outcome) {
        self.record_called(attempt, outcome, None);
    }

    /// The same for an attempt whose call to the source is part of a trace.
    pub fn record_called(&self, attempt: Attempt, outcome: Outcome, call: Option<Box<Call>>) {
        let mut verdict = judge(&outcome, attempt.limits, &self.inner.retry, rand::random());
        for text in [&mut verdict.code, &mut verdict.error].into_iter().flatten() {
            without_nul(text);
        }
        let signal = Signal::of(&outcome);
        let answer = match outcome {
            Outcome::Completed(mut answer) => {
                without_nul(&mut answer.text);
                Some(answer)
            }
            _ => None,
        };
        let key = (attempt.task, attempt.number);
        let (node, finished_at) = (self.inner.node, clock::now());
        let end = AttemptEnd { attempt, verdict, signal, answer, node, finished_at, call };
        if let Err(refused) = self.ends.push(end) {
            log::error!("the end of an attempt of task {} can't be stored: {refused}", key.0);
            let _asked_for = self.inner.in_flight.end([key]);
        }
    }
}

/// PostgreSQL refuses U+0000 in text.
fn without_nul(text: &mut String) {
    if text.contains('\0') {
        *text = text.replace('\0', "\u{FFFD}");
    }
}

pub(super) fn start(
    inner: &Arc<Inner>,
    feeds: Batcher<PendingTask, ()>,
    options: &DispatchOptions,
    runtime: &Handle,
) -> Batcher<AttemptEnd, ()> {
    let inner = inner.clone();
    Batcher::spawn(runtime, ENDS_WAITING, options.max_batch, move |ends: Vec<AttemptEnd>| {
        let (inner, feeds) = (inner.clone(), feeds.clone());
        async move {
            let count = ends.len();
            let mut todo = portions(ends, size, STATEMENT_BYTES);
            while let Some(batch) = todo.pop() {
                todo.extend(store(&inner, &feeds, batch).await);
            }
            vec![(); count]
        }
    })
}

/// How much of a statement the answer takes.
fn size(end: &AttemptEnd) -> usize {
    end.answer.as_ref().map_or(0, |answer| answer.output.get().len() + answer.text.len())
}

/// Stores a batch, waiting while the database is away. Returns what is to be tried again otherwise: the halves of a
/// batch that was refused for good, or the one end at fault in its last form.
async fn store(inner: &Arc<Inner>, feeds: &Batcher<PendingTask, ()>, ends: Vec<AttemptEnd>) -> Vec<Vec<AttemptEnd>> {
    let ends = Arc::new(ends);
    let mut wait = FIRST_WAIT;
    let mut is_repeated = false;
    loop {
        inner.stats.outcome.add(ends.len());
        fault::pass(Point::BeforeOutcomeStored);
        match store_once(inner, &ends, is_repeated).await {
            Ok(applied) => {
                fault::pass(Point::AfterOutcomeStored);
                after_storing(inner, feeds, &ends, &applied).await;
                return Vec::new();
            }
            Err(error) if error.is_transient() => {
                if wait == FIRST_WAIT {
                    log::warn!("ends of attempts wait for the database: {error}");
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
                is_repeated = true;
            }
            Err(error) => return smaller(inner, ends, &error),
        }
    }
}

/// Stores ends and says which of them it was that moved their tasks. Where they were stored before, perhaps, and only the
/// answer was lost, those count too that are stored already: nobody was told of them.
async fn store_once(inner: &Inner, ends: &Arc<Vec<AttemptEnd>>, is_repeated: bool) -> Result<HashSet<TaskId>, Error> {
    let mut applied = inner.store.store_ends(ends.clone()).await?;
    if is_repeated {
        applied.extend(inner.store.stored_ends(ends.clone()).await?);
    }
    Ok(applied)
}

/// Tells whom it concerns of ends that are stored, and gives their slots away.
async fn after_storing(
    inner: &Arc<Inner>,
    feeds: &Batcher<PendingTask, ()>,
    ends: &[AttemptEnd],
    applied: &HashSet<TaskId>,
) {
    let stored = || ends.iter().filter(|end| applied.contains(&end.attempt.task));
    inner.rates.add(stored().map(|end| &end.attempt.queue));
    stored().for_each(|end| inner.stats.attempts.ended(end));
    inner.events.publish(stored().map(AttemptEnd::event));
    inner.traces.ended(ends, applied);
    let mut over: HashSet<_> = ends.iter().map(key).collect();
    let (mut failed, mut noted) = (Vec::new(), Vec::new());
    for end in stored() {
        if let Some(is_noted) = inner.gates.hear(end) {
            failed.extend(over.take(&key(end)));
            noted.push(is_noted);
        }
    }
    // First forgotten, then fed: an id that is still in flight here would be passed over by the intake.
    let asked_for = inner.in_flight.end(over);
    feed::feed(feeds, stored().filter(|end| end.verdict.next == Next::Pend).map(pending_again));
    if !failed.is_empty() {
        tokio::spawn(forget_once_noted(inner.clone(), feeds.clone(), failed, noted));
    }
    feed_again(inner, feeds, asked_for).await;
}

/// Keeps the slots of attempts that failed by their source until that is noted. Otherwise they would go to further tasks of
/// a source that is down for as long as the noting takes, and each would use up a retry. Other ends do not wait for it.
async fn forget_once_noted(
    inner: Arc<Inner>,
    feeds: Batcher<PendingTask, ()>,
    failed: Vec<(TaskId, i32)>,
    noted: Vec<Noted>,
) {
    for is_noted in noted {
        // What can't be noted is over all the same.
        drop(is_noted.await);
    }
    let asked_for = inner.in_flight.end(failed);
    feed_again(&inner, &feeds, asked_for).await;
}

/// Feeds tasks that were asked for while an earlier attempt of theirs was in flight here: their ids were taken out of the
/// mailbox and passed over. What fails here is found by reconciling.
async fn feed_again(inner: &Inner, feeds: &Batcher<PendingTask, ()>, tasks: Vec<TaskId>) {
    if tasks.is_empty() {
        return;
    }
    match inner.store.pending_of(tasks, clock::now()).await {
        Ok(pending) => feed::feed(feeds, pending),
        Err(error) => log::debug!("tasks that were passed over are fed later: {error}"),
    }
}

fn smaller(inner: &Inner, ends: Arc<Vec<AttemptEnd>>, error: &Error) -> Vec<Vec<AttemptEnd>> {
    // The statement has ended, and with it the only other owner.
    let mut ends = match Arc::try_unwrap(ends) {
        Ok(ends) => ends,
        Err(shared) => {
            let _asked_for = inner.in_flight.end(shared.iter().map(key));
            return Vec::new();
        }
    };
    if ends.len() > 1 {
        let second = ends.split_off(ends.len() / 2);
        return vec![second, ends];
    }
    let Some(end) = ends.pop() else { return Vec::new() };
    log::error!("the end of an attempt of task {} can't be stored: {error}", end.attempt.task);
    if end.verdict.code.as_deref() == Some(NOT_STORABLE) {
        // Nothing in it is a stranger's any more, so this is a fault of ours.
        let _asked_for = inner.in_flight.end([key(&end)]);
        return Vec::new();
    }
    vec![vec![last_form(end)]]
}

/// The end of an attempt without anything that came from outside. The task fails: what was not storable must not make
/// its flow run again and again.
fn last_form(end: AttemptEnd) -> AttemptEnd {
    let failure = Failure::permanent(NOT_STORABLE, "What the source said can't be stored; the log has the reason.");
    let verdict = judge(&Outcome::Failed(failure.outcome_unknown()), end.attempt.limits, &Default::default(), 0.5);
    AttemptEnd { verdict, answer: None, ..end }
}

fn key(end: &AttemptEnd) -> (TaskId, i32) {
    (end.attempt.task, end.attempt.number)
}

fn pending_again(end: &AttemptEnd) -> PendingTask {
    PendingTask {
        id: end.attempt.task,
        queue: end.attempt.queue.clone(),
        priority: end.attempt.priority,
        pending_at: end.finished_at,
    }
}
