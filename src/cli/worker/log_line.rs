//! Which lines of a log are severe enough. Pure.

use std::collections::VecDeque;

use log::{Level, LevelFilter};
use serde_json::Value;

/// Lets pass what is at least as severe. A line that names no level goes with the one before it: a panic has many.
pub(super) struct Filter {
    least: LevelFilter,
    passes: bool,
}

impl Filter {
    pub(super) fn new(least: LevelFilter) -> Self {
        Self { least, passes: false }
    }

    pub(super) fn passes(&mut self, line: &str) -> bool {
        if let Some(level) = level(line) {
            self.passes = level <= self.least;
        }
        self.passes
    }
}

/// The last lines of those that come by.
pub(super) struct Last {
    limit: usize,
    lines: VecDeque<String>,
}

impl Last {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, lines: VecDeque::new() }
    }

    pub(super) fn push(&mut self, line: &str) {
        if self.lines.len() == self.limit {
            self.lines.pop_front();
        }
        if self.limit > 0 {
            self.lines.push_back(line.to_owned());
        }
    }

    pub(super) fn into_lines(self) -> VecDeque<String> {
        self.lines
    }
}

/// The level that a line of either form names: `[time LEVEL target] ...`, or an object with a `level`.
fn level(line: &str) -> Option<Level> {
    if line.starts_with("error: ") {
        // The last word of a service that could not start.
        return Some(Level::Error);
    }
    if line.starts_with('{') {
        let object: Value = serde_json::from_str(line).ok()?;
        return object["level"].as_str()?.parse().ok();
    }
    let mut words = line.strip_prefix('[')?.split_ascii_whitespace();
    // Only what begins with a time is a line of ours.
    words.next()?.parse::<chrono::DateTime<chrono::Utc>>().ok()?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_name_their_level() {
        for (line, expected) in [
            ("[2026-11-24T08:00:00Z INFO  automagik_spark::node] ready", Some(Level::Info)),
            ("[2026-11-24T08:00:00Z ERROR automagik_spark] no", Some(Level::Error)),
            (r#"{"ts":"2026-11-24T08:00:00.000Z","level":"warn","message":"x"}"#, Some(Level::Warn)),
            ("error: PostgreSQL does not answer", Some(Level::Error)),
            ("[ERROR in a name] x", None),
            ("{broken", None),
            ("", None),
        ] {
            assert_eq!(level(line), expected, "{line}");
        }
    }

    #[test]
    fn a_line_without_a_level_goes_with_the_one_before() {
        let mut filter = Filter::new(LevelFilter::Warn);
        let lines = [
            ("from a rotated file", false),
            ("[2026-11-24T08:00:00Z INFO  a] x", false),
            ("more of it", false),
            ("[2026-11-24T08:00:00Z ERROR a] thread panicked:", true),
            ("at a/b.rs:1", true),
            ("[2026-11-24T08:00:00Z WARN  a] x", true),
            ("[2026-11-24T08:00:00Z DEBUG a] x", false),
        ];
        for (line, expected) in lines {
            assert_eq!(filter.passes(line), expected, "{line}");
        }
    }

    #[test]
    fn only_the_last_are_kept() {
        let mut last = Last::new(2);
        ["a", "b", "c"].iter().for_each(|line| last.push(line));
        assert_eq!(last.into_lines(), ["b", "c"]);
        let mut none = Last::new(0);
        none.push("a");
        assert!(none.into_lines().is_empty());
    }
}
