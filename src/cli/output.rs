//! Prints: data on stdout as a table or as the service's JSON, words for the user on stderr.

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::Table;
use serde_json::Value;

use super::client::Answer;
use super::render::{clean, field};
use super::table::{self, Column};
use super::{Error, json_text};

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Tables to read
    Table,
    /// The service's JSON, indented
    Json,
}

/// Where a command's data and words go.
pub(super) struct Output {
    format: Format,
}

impl Output {
    pub(super) fn new(format: Format) -> Self {
        Self { format }
    }

    pub(super) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// The answer as it came, indented.
    pub(super) fn json(&self, answer: &Answer) -> Result<(), Error> {
        self.text(&json_text::indent(&answer.text))
    }

    /// Several answers as they came, as a page of them.
    pub(super) fn json_list(&self, answers: &[Answer]) -> Result<(), Error> {
        let texts: Vec<&str> = answers.iter().map(|answer| answer.text.as_str()).collect();
        self.text(&json_text::indent(&format!("{{\"items\":[{}]}}", texts.join(","))))
    }

    /// Data that is text. A line end is added where there is none.
    pub(super) fn text(&self, text: &str) -> Result<(), Error> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            stdout.write_all(b"\n")?;
        }
        Ok(stdout.flush()?)
    }

    /// Rows under a header; an empty list is said on stderr, so that stdout stays empty too.
    pub(super) fn rows(&self, columns: &[Column], rows: Vec<Vec<String>>, none: &str) -> Result<(), Error> {
        if rows.is_empty() {
            self.say(none);
            return Ok(());
        }
        self.table(&table::rows(columns, rows, terminal_width()))
    }

    /// One thing, a field a line.
    pub(super) fn fields(&self, fields: &[(&str, String)]) -> Result<(), Error> {
        self.table(&table::fields(fields, terminal_width()))
    }

    /// The end of a command whose answer tells a reader nothing: in words, or as JSON.
    pub(super) fn done(&self, answer: &Answer, words: &str) -> Result<(), Error> {
        if self.is_json() {
            return self.json(answer);
        }
        self.say(words);
        Ok(())
    }

    /// What to say under a page that is not the last one.
    pub(super) fn page_hint(&self, answer: &Answer) {
        if self.is_json() || !answer.has_more() {
            return;
        }
        let shown = answer.items().len();
        let offset = answer.value.get("offset").and_then(Value::as_u64).unwrap_or(0);
        let next = offset.saturating_add(u64::try_from(shown).unwrap_or(u64::MAX));
        self.say(&format!("{shown} of {} shown; --offset {next} shows more", field(&answer.value, "total")));
    }

    /// Tells the user something. A stderr that is gone is nobody's loss.
    #[expect(clippy::unused_self, reason = "commands speak through their output")]
    pub(super) fn say(&self, words: &str) {
        let _ = writeln!(io::stderr(), "{}", clean(words));
    }

    fn table(&self, table: &Table) -> Result<(), Error> {
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        self.text(&lines.join("\n"))
    }
}

/// The width of the terminal that stdout is; none for a file or a pipe.
fn terminal_width() -> Option<u16> {
    Table::new().width().filter(|width| *width > 0)
}
