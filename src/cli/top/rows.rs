//! The lines of each panel: what of an entry stands in which column.

use chrono::{DateTime, Local, TimeDelta, Utc};

use super::super::render::{clean, short_task_ids};
use super::super::table::Column::{self, Drop, Keep, Shrink};
use super::bar;
use super::order;
use super::reading::{Finding, Pool, Queue, Source, Task, Worker};
use super::state::{Panel, Part, State};

/// How a text is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mood {
    #[default]
    Plain,
    Good,
    Warning,
    Bad,
    Dim,
}

/// A text in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) mood: Mood,
}

impl Cell {
    pub(super) fn plain(text: &str) -> Self {
        moody(text, Mood::Plain)
    }
}

/// What a panel shows.
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Cell>>,
    /// How many there are, on this page and others.
    pub(super) total: u64,
    /// Said where there are no rows.
    pub(super) none: &'static str,
    /// When it was answered, and why not just now.
    pub(super) at: Option<DateTime<Utc>>,
    pub(super) trouble: Option<String>,
}

/// The table of a panel, for a screen of that width.
pub(super) fn table(state: &State, panel: Panel, width: u16, now: DateTime<Utc>) -> Table {
    let by = state.order(panel);
    let is_narrow = width < 60;
    match panel {
        Panel::Queues => {
            let queues = &state.queues;
            let rows = order::sorted(&queues.value.items, order::QUEUES, by).into_iter().map(queue).collect();
            made(QUEUES, rows, queues.value.total, "no queues: nothing waits, and no pool serves any", queues)
        }
        Panel::Pools => {
            let pools = &state.workers.value.pools;
            let rows = order::sorted(pools, order::POOLS, by).into_iter().map(|one| pool(one, is_narrow)).collect();
            made(POOLS, rows, pools.len() as u64, "no pools: the node that answers runs no tasks", &state.workers)
        }
        Panel::Workers => {
            let workers = &state.workers.value;
            let row =
                |one: &Worker| worker(one, workers.pools.iter().find(|pool| pool.name == one.pool), is_narrow, now);
            let rows = order::sorted(&workers.items, order::WORKERS, by).into_iter().map(row).collect();
            made(WORKERS, rows, workers.items.len() as u64, "no workers on the node that answers", &state.workers)
        }
        Panel::Running => {
            let tasks = order::sorted(&state.running.value.items, order::RUNNING, by);
            let ids = short_task_ids(&tasks.iter().map(|task| task.id.clone()).collect::<Vec<_>>());
            let rows = ids.into_iter().zip(tasks).map(|(id, task)| running(id, task, state, now)).collect();
            made(RUNNING, rows, state.running.value.total, "nothing runs", &state.running)
        }
        Panel::Sources => {
            let sources = &state.sources;
            let row = |one: &Source| source(one, now);
            let rows = order::sorted(&sources.value.items, order::SOURCES, by).into_iter().map(row).collect();
            made(SOURCES, rows, sources.value.total, "no sources; `automagik-spark sources add` adds one", sources)
        }
        Panel::Checks => {
            let checks = &state.checks;
            let rows = order::sorted(&checks.value.items, order::CHECKS, by).into_iter().map(check).collect();
            made(CHECKS, rows, checks.value.total, "nothing is checked", checks)
        }
    }
}

const QUEUES: &[Column] = &[
    Shrink("QUEUE"),
    Keep("WAITING"),
    Keep("OLDEST"),
    Drop("STATE"),
    Drop("RUNNING"),
    Drop("DONE/MIN"),
    Drop("LIMITED"),
    Drop("DELAYED"),
];
const POOLS: &[Column] =
    &[Shrink("POOL"), Keep("WORKERS"), Keep("SLOTS"), Drop("STATE"), Drop("RESTARTS"), Drop("QUEUES")];
const WORKERS: &[Column] = &[
    Shrink("POOL"),
    Keep("PID"),
    Drop("STATE"),
    Keep("SLOTS"),
    Drop("TASKS"),
    Keep("MEMORY"),
    Drop("CPU"),
    Drop("AGE"),
];
const RUNNING: &[Column] = &[Keep("TASK"), Shrink("WORKFLOW"), Keep("FOR"), Drop("QUEUE"), Drop("ATTEMPT")];
const SOURCES: &[Column] = &[Shrink("SOURCE"), Keep("STATE"), Drop("TYPE"), Drop("LIMITS"), Shrink("LATEST FAILURE")];
const CHECKS: &[Column] = &[Keep("CHECK"), Keep("LEVEL"), Keep("FIGURE"), Shrink("CAUSE AND WHAT TO DO")];

fn made<T>(columns: &[Column], rows: Vec<Vec<Cell>>, total: u64, none: &'static str, part: &Part<T>) -> Table {
    Table { columns: columns.to_vec(), rows, total, none, at: part.at, trouble: part.trouble.clone() }
}

fn cell(text: impl Into<String>) -> Cell {
    moody(text, Mood::Plain)
}

fn moody(text: impl Into<String>, mood: Mood) -> Cell {
    Cell { text: clean(&text.into()), mood }
}

/// A number that is worth a look where it is not zero.
fn count(number: u64) -> Cell {
    moody(number.to_string(), if number == 0 { Mood::Dim } else { Mood::Plain })
}

fn queue(queue: &Queue) -> Vec<Cell> {
    let state = if queue.paused { moody("paused", Mood::Warning) } else { moody("active", Mood::Good) };
    vec![
        moody(&queue.name, if queue.paused { Mood::Warning } else { Mood::Plain }),
        count(queue.depth),
        cell(queue.oldest_age_s.map(seconds).unwrap_or_default()),
        state,
        count(queue.running),
        count(queue.rate_per_min),
        count(queue.limited),
        count(queue.delayed),
    ]
}

fn pool(pool: &Pool, is_narrow: bool) -> Vec<Cell> {
    let state = match (pool.failed, pool.ready < pool.workers) {
        (true, _) => moody("failed", Mood::Bad),
        (false, true) => moody("starting", Mood::Warning),
        (false, false) => moody("ready", Mood::Good),
    };
    let restarts = match (order::restarts(pool), reasons(pool)) {
        (0, _) => "0".to_owned(),
        (total, reasons) => format!("{total} ({reasons})"),
    };
    let has_crashed = pool.restarts.contains_key("crashed");
    vec![
        moody(&pool.name, if pool.failed { Mood::Bad } else { Mood::Plain }),
        cell(format!("{}/{}", pool.ready, pool.workers)),
        used(pool.active, pool.ready_slots, if is_narrow { 0 } else { 8 }),
        state,
        moody(restarts, if has_crashed { Mood::Warning } else { Mood::Plain }),
        cell(pool.queues.join(", ")),
    ]
}

fn reasons(pool: &Pool) -> String {
    let mut reasons: Vec<(&String, &u64)> = pool.restarts.iter().collect();
    reasons.sort_by(|one, other| other.1.cmp(one.1));
    reasons.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>().join(", ")
}

fn worker(worker: &Worker, pool: Option<&Pool>, is_narrow: bool, now: DateTime<Utc>) -> Vec<Cell> {
    let state = match worker.state.as_str() {
        "ready" => Mood::Good,
        _ => Mood::Warning,
    };
    let slots = pool.map_or(0, |pool| pool.threads);
    let most = pool.and_then(|pool| pool.max_tasks_per_child);
    vec![
        cell(&worker.pool),
        cell(worker.pid.map(|pid| pid.to_string()).unwrap_or_default()),
        moody(&worker.state, state),
        used(worker.active_attempts, slots, if is_narrow { 0 } else { 4 }),
        cell(most.map_or_else(|| worker.tasks_done.to_string(), |most| format!("{}/{most}", worker.tasks_done))),
        memory(worker.rss_kb, pool.and_then(|pool| pool.max_memory_per_child_kb), if is_narrow { 4 } else { 8 }),
        cell(worker.cpu_percent.map(|percent| format!("{percent:.0} %")).unwrap_or_default()),
        cell(worker.started_at.map(|at| age(now - at)).unwrap_or_default()),
    ]
}

/// How many of so many, with a bar.
fn used(part: u64, whole: u64, width: usize) -> Cell {
    let text = format!("{part}/{whole}");
    let mood = if whole > 0 && part >= whole { Mood::Warning } else { Mood::Plain };
    if width == 0 {
        moody(text, mood)
    } else {
        moody(format!("{} {text}", bar::level(part as f64, whole as f64, width)), mood)
    }
}

/// What a child takes of what it may: above that it is replaced.
fn memory(rss_kb: Option<u64>, most_kb: Option<u64>, width: usize) -> Cell {
    let Some(rss) = rss_kb else { return cell("") };
    let Some(most) = most_kb.filter(|most| *most > 0) else { return cell(format!("{} MB", rss / 1024)) };
    let mood = match rss.saturating_mul(100) / most {
        100.. => Mood::Bad,
        80.. => Mood::Warning,
        _ => Mood::Plain,
    };
    moody(format!("{} {}/{} MB", bar::level(rss as f64, most as f64, width), rss / 1024, most / 1024), mood)
}

fn running(id: String, task: &Task, state: &State, now: DateTime<Utc>) -> Vec<Cell> {
    let name = state.names.get(&task.workflow_id).map_or("", String::as_str);
    vec![
        cell(id),
        cell(name),
        cell(task.started_at.map(|at| age(now - at)).unwrap_or_default()),
        cell(&task.queue),
        moody(
            format!("{} of {}", task.tries, task.max_retries + 1),
            if task.tries > 1 { Mood::Warning } else { Mood::Plain },
        ),
    ]
}

fn source(source: &Source, now: DateTime<Utc>) -> Vec<Cell> {
    let circuit = &source.circuit;
    let state = match (circuit.state.as_str(), circuit.until) {
        ("open", Some(until)) if until > now => moody(format!("open, {} more", age(until - now)), Mood::Bad),
        ("open", _) => moody("open", Mood::Bad),
        ("half_open", _) => moody("tried again", Mood::Warning),
        _ if source.status == "active" => moody("active", Mood::Good),
        _ => moody(&source.status, Mood::Dim),
    };
    let limits = [source.max_concurrency.map(|most| format!("{most} at once")), source.rate.clone()];
    let failure = match (&circuit.reason, circuit.failures) {
        (Some(reason), failures @ 2..) => format!("{failures} times: {reason}"),
        (Some(reason), _) => reason.clone(),
        (None, _) => String::new(),
    };
    vec![
        moody(source.label(), if source.is_troubled() { Mood::Bad } else { Mood::Plain }),
        state,
        cell(&source.source_type),
        cell(limits.into_iter().flatten().collect::<Vec<_>>().join(", ")),
        cell(failure),
    ]
}

fn check(found: &Finding) -> Vec<Cell> {
    let mood = match found.level.as_str() {
        "ok" => Mood::Good,
        "warning" => Mood::Warning,
        "critical" => Mood::Bad,
        _ => Mood::Dim,
    };
    let figure = found.figure.map(|figure| format!("{figure} {}", found.unit.replace("percent", "%")));
    let advice = match (&found.cause, &found.advice) {
        (Some(cause), Some(advice)) => format!("{cause}: {advice}"),
        (cause, advice) => cause.clone().or_else(|| advice.clone()).unwrap_or_default(),
    };
    vec![
        moody(&found.check, if found.severity() > 1 { mood } else { Mood::Plain }),
        moody(&found.level, mood),
        cell(figure.unwrap_or_default()),
        cell(advice),
    ]
}

/// How long something has lasted, in five characters or little more.
pub(super) fn age(time: TimeDelta) -> String {
    let seconds = time.num_seconds().max(0);
    match seconds {
        ..100 => format!("{seconds} s"),
        100..6_000 => format!("{} min", seconds / 60),
        6_000..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Seconds as they read best.
pub(super) fn seconds(seconds: f64) -> String {
    match seconds {
        ..0.9995 => format!("{:.0} ms", seconds.max(0.0) * 1000.0),
        ..9.95 => format!("{seconds:.1} s"),
        _ => age(TimeDelta::milliseconds((seconds * 1000.0) as i64)),
    }
}

/// A moment by the clock of this machine.
pub(super) fn clock(at: DateTime<Utc>) -> String {
    at.with_timezone(&Local).format("%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn texts(cells: &[Cell]) -> Vec<&str> {
        cells.iter().map(|cell| cell.text.as_str()).collect()
    }

    fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).expect("readable")
    }

    fn now() -> DateTime<Utc> {
        "2026-01-02T03:04:05Z".parse().expect("a time")
    }

    #[test]
    fn a_worker_shows_what_it_uses_of_what_it_may() {
        let one: Worker = read(json!({"id": 1, "pool": "celery", "pid": 42, "state": "ready", "tasks_done": 41,
            "active_attempts": 2, "rss_kb": 102_400, "cpu_percent": 12.4, "started_at": "2026-01-02T03:03:05Z"}));
        let its: Pool = read(json!({"name": "celery", "threads": 4, "max_tasks_per_child": 100,
            "max_memory_per_child_kb": 204_800}));
        let cells = worker(&one, Some(&its), false, now());
        assert_eq!(
            texts(&cells),
            ["celery", "42", "ready", "██·· 2/4", "41/100", "████···· 100/200 MB", "12 %", "60 s"]
        );
        // A service that tells no limits.
        let cells = worker(&one, None, true, now());
        assert_eq!(texts(&cells)[3..6], ["2/0", "41", "100 MB"]);
    }

    #[test]
    fn memory_near_and_above_the_ceiling_stands_out() {
        for (rss, mood) in [(79, Mood::Plain), (80, Mood::Warning), (100, Mood::Bad), (250, Mood::Bad)] {
            assert_eq!(memory(Some(rss), Some(100), 4).mood, mood, "{rss}");
        }
        assert_eq!(memory(None, Some(100), 4), cell(""));
    }

    #[test]
    fn a_pool_tells_why_its_children_went() {
        let one: Pool = read(json!({"name": "celery", "workers": 2, "ready": 1, "ready_slots": 4, "active": 4,
            "queues": ["celery", "direct"], "restarts": {"crashed": 1, "max_tasks": 12}}));
        let cells = pool(&one, false);
        assert_eq!(
            texts(&cells),
            ["celery", "1/2", "████████ 4/4", "starting", "13 (12 max_tasks, 1 crashed)", "celery, direct"]
        );
        assert_eq!((cells[2].mood, cells[4].mood), (Mood::Warning, Mood::Warning));
    }

    #[test]
    fn a_source_that_is_left_alone_says_for_how_long_and_why() {
        let one: Source =
            read(json!({"name": "flow", "url": "http://h", "source_type": "langflow", "status": "active",
            "max_concurrency": 2, "rate": "30/m",
            "circuit": {"state": "open", "until": "2026-01-02T03:04:35Z", "reason": "refused\n", "failures": 5}}));
        assert_eq!(
            texts(&source(&one, now())),
            ["flow", "open, 30 s more", "langflow", "2 at once, 30/m", "5 times: refused"]
        );
    }

    #[test]
    fn what_steers_a_terminal_is_not_passed_on() {
        let one: Queue = read(json!({"name": "a\u{1b}[2Jb"}));
        assert_eq!(queue(&one)[0].text, "a\u{fffd}[2Jb");
    }

    #[test]
    fn times_read_at_a_glance() {
        for (value, expected) in
            [(0.0213, "21 ms"), (0.9999, "1.0 s"), (9.97, "9 s"), (64.0, "64 s"), (600.0, "10 min"), (9e4, "25 h")]
        {
            assert_eq!(seconds(value), expected, "{value}");
        }
        assert_eq!(age(TimeDelta::days(3)), "3 d");
        assert_eq!(age(TimeDelta::seconds(-3)), "0 s", "clocks differ");
    }
}
