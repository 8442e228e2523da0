use chrono::TimeDelta;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use serde_json::{Value, json};

use super::super::key::Action;
use super::super::state::Answers;
use super::*;
use crate::cli::Error;

fn start() -> DateTime<Utc> {
    "2026-01-02T03:04:05Z".parse().expect("a time")
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Error> {
    Ok(serde_json::from_value(value).expect("readable"))
}

fn answers() -> Answers {
    let worker = |id: u64, pid: u32, rss_kb: u64| {
        json!({"id": id, "pool": "celery", "pid": pid, "state": "ready", "tasks_done": 41, "active_attempts": 1,
            "rss_kb": rss_kb, "cpu_percent": 3.2, "started_at": "2026-01-02T03:03:05Z"})
    };
    let queue = |name: &str, depth: u64| json!({"name": name, "depth": depth, "oldest_age_s": 3.5, "running": 2});
    let well = json!({"status": "healthy"});
    Answers {
        health: read(json!({"status": "degraded", "services": {"api": {"version": "0.1.0"}, "database": well,
            "redis": {"status": "unhealthy"}, "worker": well, "beat": well}})),
        workers: read(json!({
            "items": [worker(1, 4711, 51_200), worker(2, 4712, 190_000)],
            "pools": [{"name": "celery", "workers": 2, "threads": 4, "ready": 2, "ready_slots": 8, "active": 2,
                "queues": ["celery", "direct"], "max_tasks_per_child": 100, "max_memory_per_child_kb": 200_000,
                "restarts": {"max_tasks": 3}}],
        })),
        queues: read(json!({"items": [queue("celery", 12), queue("direct", 0)], "total": 2})),
        running: read(json!({"items": [{"id": "0192f3a1-7b2c-7001-8000-000000000001", "workflow_id": "w",
            "queue": "celery", "tries": 2, "max_retries": 3, "started_at": "2026-01-02T03:03:55Z"}], "total": 1})),
        sources: read(json!({"items": [{"name": "flow", "url": "http://flow", "source_type": "langflow",
            "status": "active", "circuit": {"state": "open", "until": "2026-01-02T03:04:35Z", "reason": "refused",
            "failures": 5}}], "total": 1})),
        checks: read(json!({"items": [{"check": "queue_depth", "level": "warning", "figure": 12.0, "unit": "tasks",
            "cause": "too few workers", "advice": "add some"}], "total": 1})),
        statistics: Ok((Default::default(), 0)),
        names: Some([("w".to_owned(), "Greeter".to_owned())].into()),
    }
}

fn seen() -> State {
    let mut state = State::default();
    state.take(answers(), start());
    state
}

fn look(has_color: bool) -> Look {
    Look {
        theme: Theme::new(has_color),
        url: "http://127.0.0.1:8883".to_owned(),
        interval: Duration::from_secs(2),
        now: start(),
    }
}

fn drawn_as(state: &State, width: u16, height: u16, look: &Look) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| draw(frame, state, look)).expect("drawn");
    terminal.backend().buffer().clone()
}

/// The lines of a screen.
fn drawn(state: &State, width: u16, height: u16) -> Vec<String> {
    let buffer = drawn_as(state, width, height, &look(true));
    let symbols: Vec<&str> = buffer.content().iter().map(|cell| cell.symbol()).collect();
    symbols.chunks(usize::from(width)).map(|line| line.concat().trim_end().to_owned()).collect()
}

#[track_caller]
fn assert_shows(lines: &[String], expected: &[&str]) {
    let text = lines.join("\n");
    for expected in expected {
        assert!(text.contains(expected), "no `{expected}` in:\n{text}");
    }
}

#[test]
fn the_usual_terminal_shows_the_chosen_panel() {
    let mut state = seen();
    let lines = drawn(&state, 80, 24);
    assert!(lines[0].starts_with("Spark 0.1.0 at http://127.0.0.1:8883") && lines[0].ends_with("every 2 s"));
    assert!(lines[1].starts_with("node degraded  PostgreSQL healthy  Redis unhealthy  workers healthy  beat"));
    assert_shows(&lines, &["submitted", "last hour: waited p50 -", " Queues  Pools  Workers ", "q end  p pause"]);
    assert_shows(&lines, &["Queues  2 by name", "celery  12       3.5 s   active  2"]);
    state.apply(Action::NextPanel, 2, 10);
    state.apply(Action::NextPanel, 2, 10);
    let lines = drawn(&state, 80, 24);
    assert_shows(&lines, &["celery  4711  ready  █··· 1/4  41/100  ██······ 50/195 MB   3 %"]);
}

#[test]
fn a_tall_terminal_shows_all_panels() {
    let lines = drawn(&seen(), 100, 45);
    assert_shows(&lines, &["Queues  2 by name", "Pools  1 by name", "██······ 2/8", "3 (3 max_tasks)"]);
    assert_shows(&lines, &["0192f3a1-7b2c  Greeter   10 s  celery  2 of 4"]);
    assert_shows(&lines, &["flow", "open, 30 s more", "5 times: refused"]);
    assert_shows(&lines, &["queue_depth  warning  12 tasks  too few workers: add some"]);
}

#[test]
fn a_service_that_is_away_is_told_and_what_was_known_stays() {
    let mut state = seen();
    state.take(Answers::none(), start() + TimeDelta::seconds(2));
    let mut look = look(true);
    look.now = start() + TimeDelta::seconds(14);
    let buffer = drawn_as(&state, 120, 24, &look);
    let text: String = buffer.content().iter().map(|cell| cell.symbol()).collect();
    assert!(text.contains("No answer for 12 s: no Spark service answers at http://h"), "{text}");
    assert!(text.contains("celery  12") && text.contains("as of "), "{text}");
    state.take(answers(), start());
    let text = drawn(&state, 120, 24).concat();
    assert!(!text.contains("No answer") && !text.contains("as of"), "{text}");
}

#[test]
fn before_the_first_answer_nothing_is_claimed() {
    let lines = drawn(&State::default(), 80, 24);
    assert_shows(&lines, &["Spark at http://127.0.0.1:8883", "…"]);
    assert!(!lines.concat().contains("no queues"));
}

#[test]
fn any_size_is_drawn_and_a_small_one_says_what_matters() {
    let mut state = seen();
    for shows_help in [false, true] {
        state.shows_help = shows_help;
        for (width, height) in (0..90).step_by(3).flat_map(|width| (0..30).map(move |height| (width, height))) {
            drawn_as(&state, width, height, &look(true));
        }
    }
    state.shows_help = false;
    let lines = drawn(&state, 40, 8);
    assert!(lines[0].starts_with("Spark degraded"), "{lines:?}");
    assert_shows(&lines, &["‹ Queues ›  1 of 6", "celery  12       3.5 s"]);
    assert_eq!(drawn(&state, 30, 2)[0].trim_end(), "Spark degraded", "the clock has no room");
}

#[test]
fn without_colours_there_are_none() {
    let mut state = seen();
    state.take(Answers::none(), start());
    let colours = |has_color| {
        let buffer = drawn_as(&state, 100, 45, &look(has_color));
        buffer.content().iter().filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset).count()
    };
    assert!(colours(true) > 0);
    assert_eq!(colours(false), 0);
}

#[test]
fn keys_are_explained() {
    let mut state = seen();
    state.apply(Action::Help, 0, 0);
    assert_shows(&drawn(&state, 80, 24), &[" Keys ", "q Esc Ctrl-C   end", "s              sort it by something else"]);
}

#[test]
fn what_does_not_fit_is_counted_and_moved_through() {
    let mut state = State::default();
    let queue = |number: u32| json!({"name": format!("q{number:02}"), "depth": 1});
    let queues = json!({"items": (0..40).map(queue).collect::<Vec<_>>(), "total": 40});
    state.take(Answers { queues: read(queues), ..answers() }, start());
    let (lines, room) = lines_and_room(Rect::new(0, 0, 80, 24), &state, &look(true));
    assert_eq!((lines, room), (40, 14));
    state.apply(Action::PageDown, lines, room);
    let lines = drawn(&state, 80, 24);
    assert_shows(&lines, &["15-28 of 40 by name", "q14 ", "q27 "]);
    assert!(!lines.concat().contains("q13") && !lines.concat().contains("q28"));
}

#[test]
fn rates_have_as_many_places_as_they_mean_something() {
    for (rate, expected) in [(0.0, "0"), (0.033, "0.03"), (1.0, "1.0"), (12.34, "12.3"), (1234.5, "1234")] {
        assert_eq!(number(rate), expected);
    }
}
