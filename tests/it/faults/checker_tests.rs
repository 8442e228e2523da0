//! The checker sees what it is there for, and lets a good history pass.

use automagik_spark::simulate::Call;
use chrono::{DateTime, TimeDelta, Utc};

use super::checker::{Broken, check};
use super::history::{Acts, Asked, Change, End, History, Kill, Scheduled, Seen};

const DONE: Acts = Acts { done: 1, unanswered: 0 };

fn at(second: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
}

fn call(task: &str, second: i64, status: Option<u16>) -> Call {
    Call { session: task.into(), began_at: at(second), answered: status.map(|status| (at(second + 1), status)) }
}

fn steps(task: &str, statuses: &[&str]) -> Vec<Change> {
    let before = std::iter::once(None).chain(statuses.iter().copied().map(Some));
    let change = |(from, to): (Option<&str>, &&str)| Change {
        task: task.into(),
        from: from.map(str::to_owned),
        to: Some((*to).to_owned()),
    };
    before.zip(statuses).map(change).collect()
}

fn seen(status: &str, tries: usize) -> Seen {
    let result = (status == "completed").then(|| "X".to_owned());
    Seen { status: status.into(), result, schedule: None, tries, attempts: None }
}

fn asked(end: End) -> Asked {
    Asked { end, cancels: Acts::default(), retries: Acts::default() }
}

fn completed() -> End {
    End::Completed("X".into())
}

/// Task `a` ran in peace, `b` lost its child, `c` failed and was retried by hand, `d` was called off, `e` is of a
/// schedule, whose other occurrence has a note.
fn good() -> History {
    let mut history = History::default();
    let mut add = |id: &str, asked: Option<Asked>, seen: Seen, path: &[&str]| {
        history.accepted.extend(asked.map(|asked| (id.to_owned(), asked)));
        history.tasks.insert(id.into(), seen);
        history.changes.extend(steps(id, path));
    };
    let run = &["pending", "running", "completed"];
    add("a", Some(asked(completed())), seen("completed", 1), run);
    let lost = (1, "lost".to_owned(), "child_exited".to_owned());
    let attempts = Some(vec![lost, (2, "completed".to_owned(), String::new())]);
    let again = &["pending", "running", "pending", "running", "completed"];
    add("b", Some(asked(completed())), Seen { attempts, ..seen("completed", 2) }, again);
    let by_hand = &["pending", "running", "failed", "pending", "running", "failed"];
    add("c", Some(Asked { retries: DONE, ..asked(End::Failed) }), seen("failed", 2), by_hand);
    add("d", Some(Asked { cancels: DONE, ..asked(completed()) }), seen("cancelled", 0), &["pending", "cancelled"]);
    add("e", None, Seen { schedule: Some("s".into()), ..seen("completed", 1) }, run);
    history.calls = vec![
        call("a", 1, Some(200)),
        call("b", 2, None),
        call("b", 9, Some(200)),
        call("c", 3, Some(404)),
        call("c", 5, Some(404)),
        call("e", 7, Some(200)),
    ];
    history.kills = vec![Kill { from: at(4), to: at(5), most: 1 }];
    let schedule =
        Scheduled { id: "s".into(), due: vec![at(6), at(8)], made: vec![(at(6), "e".into())], noted: vec![at(8)] };
    history.schedules = vec![schedule];
    history
}

/// What the check says of the good history after it was spoilt.
#[track_caller]
fn broken(spoil: impl FnOnce(&mut History)) -> Vec<Broken> {
    let mut history = good();
    spoil(&mut history);
    let mut found: Vec<Broken> = check(&history).violations.iter().map(|violation| violation.what).collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn a_good_history_passes_and_its_extra_calls_are_explained() {
    let report = check(&good());
    assert_eq!(report.violations, []);
    assert_eq!((report.by_kills, report.by_answers), (1, 1));
}

#[test]
fn a_lost_task_is_seen() {
    assert!(broken(|h| drop(h.tasks.remove("d"))).contains(&Broken::Lost));
    let deleted = Change { task: "d".into(), from: Some("cancelled".into()), to: None };
    assert!(broken(|h| h.changes.push(deleted)).contains(&Broken::Lost));
    let hidden = |h: &mut History| h.changes.extend(steps("hidden", &["pending"]));
    assert_eq!(broken(hidden), [Broken::Lost], "in the database and not in the API");
}

#[test]
fn an_unfinished_task_is_seen() {
    let stuck = |h: &mut History| {
        h.tasks.insert("a".into(), seen("running", 1));
        h.changes.retain(|change| !(change.task == "a" && change.to.as_deref() == Some("completed")));
    };
    assert_eq!(broken(stuck), [Broken::Unfinished]);
}

#[test]
fn a_task_that_nobody_asked_for_is_seen_unless_a_request_was_not_answered() {
    let extra = |h: &mut History| {
        h.tasks.insert("x".into(), seen("cancelled", 0));
        h.changes.extend(steps("x", &["pending", "cancelled"]));
    };
    assert_eq!(broken(extra), [Broken::Unasked]);
    assert_eq!(
        broken(|h| {
            extra(h);
            h.unanswered = 1;
        }),
        []
    );
    assert_eq!(broken(|h| h.calls.push(call("nobody", 1, None))), [Broken::Unasked]);
}

#[test]
fn a_wrong_end_is_seen() {
    let found = |status: &'static str, result: Option<&'static str>| {
        broken(move |h| {
            let task = h.tasks.get_mut("a").unwrap();
            (task.status, task.result) = (status.into(), result.map(str::to_owned));
            h.changes.iter_mut().rfind(|change| change.task == "a").unwrap().to = Some(status.into());
        })
    };
    assert_eq!(found("completed", Some("Y")), [Broken::WrongEnd], "the answer of another task");
    assert_eq!(found("failed", None), [Broken::WrongEnd]);
    assert_eq!(found("cancelled", None), [Broken::WrongEnd], "nobody called it off");
    let run_after_cancel = |h: &mut History| {
        h.accepted.get_mut("a").unwrap().cancels = DONE;
    };
    assert_eq!(broken(run_after_cancel), [Broken::WrongEnd], "it was answered that it is cancelled");
}

#[test]
fn a_doubled_end_is_seen() {
    let again = Change { task: "a".into(), from: Some("completed".into()), to: Some("completed".into()) };
    assert_eq!(broken(|h| h.changes.push(again)), [Broken::EndedTwice]);
    assert_eq!(
        broken(|h| h.accepted.get_mut("c").unwrap().retries = Acts::default()),
        [Broken::EndedTwice, Broken::RanAgain]
    );
    let lost_retry = Acts { done: 2, unanswered: 0 };
    assert_eq!(broken(|h| h.accepted.get_mut("c").unwrap().retries = lost_retry), [Broken::EndedTwice]);
}

#[test]
fn a_step_that_there_is_not_is_seen() {
    let skip = |h: &mut History| {
        h.changes.retain(|change| change.task != "a");
        h.changes.extend(steps("a", &["pending", "completed"]));
    };
    assert_eq!(broken(skip), [Broken::WrongStep]);
    assert_eq!(broken(|h| h.tasks.get_mut("a").unwrap().tries = 2), [Broken::WrongStep]);
}

#[test]
fn an_unexplained_execution_is_seen() {
    assert_eq!(broken(|h| h.kills.clear()), [Broken::RanAgain]);
    assert_eq!(broken(|h| h.kills[0] = Kill { from: at(10), to: at(11), most: 9 }), [Broken::RanAgain], "too late");
    assert_eq!(broken(|h| h.kills[0] = Kill { from: at(0), to: at(1), most: 9 }), [Broken::RanAgain], "too early");
    assert_eq!(broken(|h| h.kills[0].most = 0), [Broken::RanAgain], "fewer attempts ran in it");
    assert_eq!(broken(|h| h.calls.insert(1, call("a", 1, Some(200)))), [Broken::RanAgain, Broken::WrongAttempts]);
}

/// What broke: the kill's call took the retry by hand as its reason, and left none for the call that was made by hand.
#[test]
fn a_refused_task_that_is_lost_and_then_retried_by_hand_is_explained() {
    let lost_too = |h: &mut History| {
        h.calls.insert(3, call("c", 2, Some(404)));
        h.kills[0].most = 2;
        h.tasks.get_mut("c").unwrap().tries = 3;
        h.changes.retain(|change| change.task != "c");
        let path = &["pending", "running", "pending", "running", "failed", "pending", "running", "failed"];
        h.changes.extend(steps("c", path));
        // The one that was lost, then the one by hand, long after the kill.
        h.calls.iter_mut().filter(|call| call.session == "c").zip([3, 5, 20]).for_each(|(call, second)| {
            call.began_at = at(second);
        });
    };
    assert_eq!(broken(lost_too), []);
    let never_lost = |h: &mut History| {
        lost_too(h);
        h.kills[0].most = 1;
    };
    assert_eq!(broken(never_lost), [Broken::RanAgain]);
}

/// What broke: the call that the kill left without an answer was taken for the one before the retry by hand.
#[test]
fn a_retry_by_hand_explains_what_was_refused_and_a_kill_what_was_not_answered() {
    let both_near_the_kill = |h: &mut History| {
        h.calls.insert(3, call("c", 2, None));
        h.kills[0] = Kill { from: at(0), to: at(30), most: 2 };
        h.tasks.get_mut("c").unwrap().tries = 3;
        h.changes.retain(|change| change.task != "c");
        let path = &["pending", "running", "pending", "running", "failed", "pending", "running", "failed"];
        h.changes.extend(steps("c", path));
        h.calls.iter_mut().filter(|call| call.session == "c").zip([3, 5, 6]).for_each(|(call, second)| {
            call.began_at = at(second);
        });
    };
    assert_eq!(broken(both_near_the_kill), []);
}

#[test]
fn a_task_that_never_ran_is_seen() {
    assert_eq!(broken(|h| h.calls.retain(|call| call.session != "a")), [Broken::NeverRan]);
    assert_eq!(broken(|h| h.calls[0].answered = None), [Broken::NeverRan]);
}

#[test]
fn missing_attempts_are_seen() {
    let of = |attempts: Vec<(usize, &'static str)>| {
        broken(move |h| {
            let attempts = attempts.into_iter().map(|(number, code)| (number, String::new(), code.to_owned()));
            h.tasks.get_mut("b").unwrap().attempts = Some(attempts.collect());
        })
    };
    assert_eq!(of(vec![(2, "")]), [Broken::WrongAttempts]);
    assert_eq!(of(vec![(1, "not_started"), (2, "")]), [Broken::WrongAttempts], "the source was called for it");
}

#[test]
fn an_occurrence_without_its_task_is_seen() {
    assert_eq!(broken(|h| h.schedules[0].due.push(at(10))), [Broken::WrongOccurrence]);
    assert_eq!(broken(|h| h.schedules[0].noted.push(at(6))), [Broken::WrongOccurrence], "a task and a note");
    assert_eq!(broken(|h| h.schedules[0].noted.push(at(7))), [Broken::WrongOccurrence], "it was not due");
    assert_eq!(broken(|h| h.schedules[0].made.push((at(6), "e".into()))), [Broken::WrongOccurrence], "two tasks");
    assert_eq!(broken(|h| h.schedules[0].made[0].1 = "a".into()), [Broken::WrongOccurrence], "a task of nobody");
}
