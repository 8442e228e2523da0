//! Whether a history keeps what Spark promises. Knows nothing of Spark's code.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use automagik_spark::simulate::Call;

use super::history::{Asked, Change, End, History, Kill, Seen, is_end};

/// A promise that a history breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Broken {
    /// A task that was accepted is not there.
    Lost,
    /// A task has not ended.
    Unfinished,
    /// There are more tasks, or calls, than anybody asked for.
    Unasked,
    /// A task ended otherwise than it had to.
    WrongEnd,
    /// A final state was written again, or left without a retry by hand.
    EndedTwice,
    /// A task went from a state to one that does not follow it, or the API shows another than the last.
    WrongStep,
    /// A task is completed and its source never answered.
    NeverRan,
    /// The source was called again, and nothing explains it.
    RanAgain,
    /// Attempts are missing in the history of a task, or the source was called for one that never started.
    WrongAttempts,
    /// An occurrence has no task and no note, or two.
    WrongOccurrence,
}

/// A broken promise, and where.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Violation {
    pub(crate) what: Broken,
    pub(crate) detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.what, self.detail)
    }
}

/// What the check of a history counted.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Report {
    /// What is wrong with it.
    pub(crate) violations: Vec<Violation>,
    /// Calls beyond the first of their task that a kill explains.
    pub(crate) by_kills: usize,
    /// Those that the source's own refusal, or a retry by hand, explains.
    pub(crate) by_answers: usize,
}

impl Report {
    fn add(&mut self, what: Broken, detail: impl Into<String>) {
        self.violations.push(Violation { what, detail: detail.into() });
    }
}

/// The steps that a task may take.
const STEPS: &[(&str, &[&str])] = &[
    ("pending", &["running", "cancelled"]),
    ("running", &["completed", "failed", "retrying", "pending", "cancelled"]),
    ("retrying", &["pending", "cancelled"]),
    ("failed", &["pending"]),
    ("cancelled", &["pending"]),
];

/// Checks a history.
pub(crate) fn check(history: &History) -> Report {
    let mut report = Report::default();
    tasks(history, &mut report);
    steps(history, &mut report);
    calls(history, &mut report);
    occurrences(history, &mut report);
    report
}

/// Accepted tasks are finished tasks, and there are no others.
fn tasks(history: &History, report: &mut Report) {
    for (id, asked) in &history.accepted {
        match history.tasks.get(id) {
            None => report.add(Broken::Lost, format!("task {id} was accepted and is not there")),
            Some(seen) if is_end(&seen.status) => end(id, asked, seen, report),
            Some(_) => {}
        }
    }
    let mut unasked = Vec::new();
    for (id, seen) in &history.tasks {
        if !is_end(&seen.status) {
            report.add(Broken::Unfinished, format!("task {id} is {} after {} attempts", seen.status, seen.tries));
        }
        let is_of_schedule = seen.schedule.as_ref().is_some_and(|id| history.schedules.iter().any(|s| s.id == *id));
        if !is_of_schedule && !history.accepted.contains_key(id) {
            unasked.push(id);
        }
        attempts(id, seen, report);
    }
    if unasked.len() > history.unanswered {
        let detail = format!("{} tasks, {} requests unanswered: {unasked:?}", unasked.len(), history.unanswered);
        report.add(Broken::Unasked, detail);
    }
}

fn end(id: &str, asked: &Asked, seen: &Seen, report: &mut Report) {
    let was_cancelled = seen.status == "cancelled";
    let Asked { end, cancels, retries } = asked;
    let may_be_cancelled = cancels.done + cancels.unanswered > 0;
    let must_be_cancelled = cancels.done > 0 && retries.done + retries.unanswered == 0;
    let is_as_asked = match end {
        End::Completed(result) => seen.status == "completed" && seen.result.as_ref() == Some(result),
        End::Failed => seen.status == "failed",
    };
    let is_right = if was_cancelled { may_be_cancelled } else { is_as_asked && !must_be_cancelled };
    if !is_right {
        let Seen { status, result, .. } = seen;
        report.add(Broken::WrongEnd, format!("task {id} is {status} ({result:?}), but it was {asked:?}"));
    }
}

fn attempts(id: &str, seen: &Seen, report: &mut Report) {
    let Some(attempts) = &seen.attempts else { return };
    let numbers: Vec<usize> = attempts.iter().map(|(number, ..)| *number).collect();
    if is_end(&seen.status) && numbers != (1..=seen.tries).collect::<Vec<_>>() {
        report.add(Broken::WrongAttempts, format!("task {id} has begun {} attempts and shows {numbers:?}", seen.tries));
    }
}

/// Each task takes the steps there are, and ends once for each time it was begun by hand.
fn steps(history: &History, report: &mut Report) {
    for (id, changes) in by_task(&history.changes) {
        let mut status: Option<&str> = None;
        let (mut left, mut begun) = (0, 0);
        for change in changes {
            let (from, to) = (change.from.as_deref(), change.to.as_deref());
            if from != status {
                report.add(Broken::WrongStep, format!("task {id} was {status:?} and leaves {from:?}"));
            }
            status = to;
            let Some(to) = to else {
                report.add(Broken::Lost, format!("task {id} was deleted"));
                continue;
            };
            let Some(from) = from else { continue };
            if is_end(from) && is_end(to) {
                report.add(Broken::EndedTwice, format!("task {id} was {from} and is written again as {to}"));
                continue;
            }
            if from != to && !STEPS.iter().any(|(state, next)| *state == from && next.contains(&to)) {
                report.add(Broken::WrongStep, format!("task {id} went from {from} to {to}"));
            }
            left += usize::from(is_end(from));
            begun += usize::from(to == "running");
        }
        let retries = history.accepted.get(id).map(|asked| asked.retries).unwrap_or_default();
        if left < retries.done || left > retries.done + retries.unanswered {
            report.add(Broken::EndedTwice, format!("task {id} left its end {left} times, by hand {retries:?}"));
        }
        if let Some(seen) = history.tasks.get(id) {
            if status != Some(&seen.status) || begun != seen.tries {
                let detail = format!("task {id} was last {status:?} in attempt {begun}, and is shown as {seen:?}");
                report.add(Broken::WrongStep, detail);
            }
        } else if status.is_some() {
            report.add(Broken::Lost, format!("task {id} is in the database and not in the API"));
        }
    }
}

fn by_task(changes: &[Change]) -> BTreeMap<&str, Vec<&Change>> {
    let mut of = BTreeMap::<&str, Vec<&Change>>::new();
    for change in changes {
        of.entry(&change.task).or_default().push(change);
    }
    of
}

/// The source was called once for each task, and again only where something explains it.
fn calls(history: &History, report: &mut Report) {
    let mut of = BTreeMap::<&str, Vec<&Call>>::new();
    for call in &history.calls {
        of.entry(&call.session).or_default().push(call);
    }
    let mut unexplained = Vec::new();
    for (id, calls) in &of {
        let Some(seen) = history.tasks.get(*id) else {
            report.add(Broken::Unasked, format!("the source was called for {id}, which is no task"));
            continue;
        };
        let started = seen.tries - seen.attempts.iter().flatten().filter(|(.., code)| code == "not_started").count();
        if calls.len() > started {
            let detail = format!("task {id}: {} calls for {started} attempts that were started", calls.len());
            report.add(Broken::WrongAttempts, detail);
        }
        let retries = history.accepted.get(*id).map(|asked| asked.retries).unwrap_or_default();
        // The source said itself that it is worth another try.
        let asks_again = |call: &Call| call.answered.is_some_and(|(_, status)| status == 503);
        let (asked, mut again): (Vec<_>, Vec<_>) =
            calls.iter().copied().zip(calls[1..].iter().copied()).partition(|(call, _)| asks_again(call));
        // Only a person begins anew what was refused. What no kill can explain must be that.
        let by_hand = retries.done + retries.unanswered;
        let is_refused = |call: &Call| call.answered.is_some_and(|(_, status)| status >= 400);
        again.sort_by_key(|pair| (!is_refused(pair.0), history.kills.iter().any(|kill| fits(kill, *pair))));
        let (by_hand, rest): (Vec<_>, Vec<_>) =
            again.iter().enumerate().partition(|(at, (call, _))| *at < by_hand && is_refused(call));
        report.by_answers += asked.len() + by_hand.len();
        unexplained.extend(rest.into_iter().map(|(_, pair)| *pair));
    }
    report.by_kills = explain(unexplained, &history.kills, report);
    for (id, seen) in history.tasks.iter().filter(|(_, seen)| seen.status == "completed") {
        let answered = |call: &&Call| call.answered.is_some_and(|(_, status)| status == 200);
        if !of.get(id.as_str()).is_some_and(|calls| calls.iter().any(answered)) {
            report.add(Broken::NeverRan, format!("task {id} is completed, with {seen:?}"));
        }
    }
}

/// Whether a kill may have come between a call and the next one of the same task.
fn fits(kill: &Kill, (first, second): (&Call, &Call)) -> bool {
    kill.to >= first.began_at && kill.from <= second.began_at
}

/// Each kill explains as many calls as attempts were in what died: calls that began before and were made again after.
/// Returns how many are explained.
fn explain(mut again: Vec<(&Call, &Call)>, kills: &[Kill], report: &mut Report) -> usize {
    let mut left: Vec<(&Kill, usize)> = kills.iter().map(|kill| (kill, kill.most)).collect();
    // Those that fit the fewest later kills choose first.
    left.sort_by_key(|(kill, _)| kill.to);
    again.sort_by_key(|(_, second)| second.began_at);
    let mut explained = 0;
    for (first, second) in again {
        let may_explain = |(kill, room): &&mut (&Kill, usize)| *room > 0 && fits(kill, (first, second));
        if let Some((_, room)) = left.iter_mut().find(may_explain) {
            *room -= 1;
            explained += 1;
        } else {
            report.add(Broken::RanAgain, format!("{first:?} was made again as {second:?}"));
        }
    }
    explained
}

/// Each occurrence has one task, or a note.
fn occurrences(history: &History, report: &mut Report) {
    for schedule in &history.schedules {
        let id = &schedule.id;
        let mut seen = BTreeSet::new();
        for at in schedule.made.iter().map(|(at, _)| at).chain(&schedule.noted) {
            if !seen.insert(*at) {
                report.add(Broken::WrongOccurrence, format!("schedule {id} has {at} twice"));
            }
        }
        let due: BTreeSet<_> = schedule.due.iter().copied().collect();
        for at in due.symmetric_difference(&seen) {
            let what = if due.contains(at) { "made nothing of" } else { "was not due at" };
            report.add(Broken::WrongOccurrence, format!("schedule {id} {what} {at}"));
        }
        for (at, task) in &schedule.made {
            if history.tasks.get(task).is_none_or(|seen| seen.schedule.as_ref() != Some(id)) {
                report.add(
                    Broken::WrongOccurrence,
                    format!("schedule {id} made task {task} at {at}, which is not there"),
                );
            }
        }
        let made: BTreeSet<_> = schedule.made.iter().map(|(_, task)| task).collect();
        let of_it = |(_, seen): &(&String, &Seen)| seen.schedule.as_ref() == Some(id);
        for (task, _) in history.tasks.iter().filter(of_it).filter(|(task, _)| !made.contains(task)) {
            report.add(Broken::WrongOccurrence, format!("task {task} of schedule {id} belongs to no occurrence"));
        }
    }
}
