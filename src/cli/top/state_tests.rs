use chrono::TimeDelta;

use super::*;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
}

fn well() -> Answers {
    Answers {
        health: Ok(Health::default()),
        workers: Ok(Workers::default()),
        queues: Ok(Page::default()),
        running: Ok(Page::default()),
        sources: Ok(Page::default()),
        checks: Ok(Page::default()),
        statistics: Ok((Statistics::default(), 0)),
        names: None,
    }
}

fn press(state: &mut State, action: Action) -> Next {
    state.apply(action, 100, 10)
}

#[test]
fn a_service_that_goes_away_leaves_what_it_said_and_comes_back() {
    let mut state = State::default();
    let queue = Queue { name: "celery".to_owned(), ..Queue::default() };
    state.take(Answers { queues: Ok(Page { items: vec![queue], total: 1 }), ..well() }, at(1));
    assert!(state.has_seen_anything() && state.away_since.is_none());
    state.take(Answers::none(), at(3));
    state.take(Answers::none(), at(5));
    assert_eq!((state.away_since, state.queues.at), (Some(at(3)), Some(at(1))));
    assert_eq!(state.queues.value.items[0].name, "celery");
    assert_eq!(state.queues.trouble.as_deref(), Some("no Spark service answers at http://h"));
    state.take(well(), at(7));
    assert_eq!((state.away_since, state.queues.at, &state.queues.trouble), (None, Some(at(7)), &None));
}

#[test]
fn one_part_without_an_answer_is_no_absence() {
    let mut state = State::default();
    state.take(Answers { queues: Err(Error::Unavailable("no database".to_owned())), ..well() }, at(1));
    assert_eq!((state.away_since, state.queues.at), (None, None));
    assert!(state.queues.trouble.is_some() && state.workers.trouble.is_none());
}

#[test]
fn names_are_asked_for_once() {
    let mut state = State::default();
    let task = |workflow: &str| Task { workflow_id: workflow.to_owned(), ..Task::default() };
    let running = || Ok(Page { items: vec![task("one"), task("deleted-meanwhile")], total: 2 });
    state.take(Answers { running: running(), ..well() }, at(1));
    assert!(state.wants_names());
    let names = HashMap::from([("one".to_owned(), "First".to_owned())]);
    state.take(Answers { running: running(), names: Some(names), ..well() }, at(2));
    assert!(!state.wants_names());
    assert_eq!((state.names["one"].as_str(), state.names["deleted-meanwhile"].as_str()), ("First", "deleted-"));
}

#[test]
fn panels_follow_one_another_in_a_circle() {
    let mut state = State::default();
    for expected in [Panel::Pools, Panel::Workers, Panel::Running, Panel::Sources, Panel::Checks, Panel::Queues] {
        assert_eq!((press(&mut state, Action::NextPanel), state.panel), (Next::Stay, expected));
    }
    press(&mut state, Action::PreviousPanel);
    assert_eq!(state.panel, Panel::Checks);
}

#[test]
fn each_panel_has_an_order_of_its_own() {
    let mut state = State::default();
    assert_eq!(state.order_name(Panel::Queues), "name");
    press(&mut state, Action::Sort);
    assert_eq!((state.order_name(Panel::Queues), state.order_name(Panel::Workers)), ("waiting", "pool"));
    for panel in Panel::ALL {
        state.panel = panel;
        for _ in 0..20 {
            press(&mut state, Action::Sort);
            assert!(!state.order_name(panel).is_empty());
        }
    }
}

#[test]
fn moving_ends_at_the_first_and_the_last_line() {
    let mut state = State::default();
    let offset = |state: &State| state.offset(Panel::Queues, 100, 10);
    for (action, expected) in [
        (Action::Up, 0),
        (Action::Down, 1),
        (Action::PageDown, 11),
        (Action::Last, 90),
        (Action::Down, 90),
        (Action::PageUp, 80),
        (Action::First, 0),
    ] {
        press(&mut state, action);
        assert_eq!(offset(&state), expected, "{action:?}");
    }
    press(&mut state, Action::Last);
    assert_eq!(state.offset(Panel::Queues, 5, 10), 0, "what got shorter is shown whole");
    state.apply(Action::Up, 12, 10);
    assert_eq!(state.offset(Panel::Queues, 12, 10), 1, "and moves at once");
}

#[test]
fn help_lies_on_top_and_the_next_key_closes_it() {
    let mut state = State::default();
    press(&mut state, Action::Help);
    assert!(state.shows_help);
    assert_eq!((press(&mut state, Action::Leave), state.shows_help), (Next::Stay, false));
    press(&mut state, Action::Help);
    assert_eq!(press(&mut state, Action::Quit), Next::End);
    assert_eq!(press(&mut state, Action::Leave), Next::End);
}

#[test]
fn pausing_is_undone_by_the_same_key() {
    let mut state = State::default();
    press(&mut state, Action::Pause);
    assert!(state.is_paused);
    press(&mut state, Action::Pause);
    assert!(!state.is_paused);
}
