//! Reads a table of an adapter file by what its keys mean, and collects what is wrong instead of stopping at the
//! first: whoever writes an adapter mends all of it at once.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use toml::{Table, Value};

use super::pointer::Pointers;
use super::template::{Placeholder, Template};

/// One mistake in an adapter file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the key, as `run.path`; empty where the file as a whole is wrong.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// How alike an unknown key and a known one must be for the one to be meant.
const ALIKE: f64 = 0.8;

/// A table, of which each key is taken out as it is read.
pub(super) struct Section {
    path: String,
    table: Table,
    asked: Vec<&'static str>,
    problems: Rc<RefCell<Vec<Problem>>>,
}

impl Section {
    /// The whole file.
    pub(super) fn root(table: Table) -> Self {
        Self { path: String::new(), table, asked: Vec::new(), problems: Rc::default() }
    }

    fn below(&self, key: &str, table: Table) -> Self {
        Self { path: self.path(key), table, asked: Vec::new(), problems: Rc::clone(&self.problems) }
    }

    fn path(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    /// Notes what is wrong with a key, or (empty) with the section.
    pub(super) fn problem(&self, key: &str, message: impl Into<String>) {
        self.problems.borrow_mut().push(Problem { key: self.path(key), message: message.into() });
    }

    /// What was found wrong so far, here and everywhere else in the file.
    pub(super) fn problems(&self) -> Vec<Problem> {
        self.problems.borrow().clone()
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.asked.push(key);
        self.table.remove(key)
    }

    fn wrong(&self, key: &str, expected: &str, value: &Value) {
        self.problem(key, format!("must be {expected}, not {}", value.type_str()));
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => Some(text),
            other => {
                self.wrong(key, "a text", &other);
                None
            }
        }
    }

    /// A text, which must be there and say something.
    pub(super) fn required(&mut self, key: &'static str, what: &str) -> String {
        let is_there = self.table.contains_key(key);
        let text = self.text(key).unwrap_or_default();
        if !is_there || (text.is_empty() && self.is_sound(key)) {
            self.problem(key, format!("is missing: {what}"));
        }
        text
    }

    /// Whether nothing was found wrong with a key.
    pub(super) fn is_sound(&self, key: &str) -> bool {
        let path = self.path(key);
        !self.problems.borrow().iter().any(|problem| problem.key == path)
    }

    pub(super) fn flag(&mut self, key: &'static str) -> bool {
        match self.take(key) {
            None => false,
            Some(Value::Boolean(flag)) => flag,
            Some(other) => {
                self.wrong(key, "true or false", &other);
                false
            }
        }
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.problem(key, format!("must be one of {}, not `{text}`", words.join(", ")));
        }
        found
    }

    /// A text, number or boolean, or a list of them, each as text.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let value = self.take(key)?;
        let texts = match &value {
            Value::Array(items) => items.iter().map(scalar).collect(),
            single => scalar(single).map(|text| vec![text]),
        };
        if texts.is_none() {
            self.wrong(key, "a text or a list of texts", &value);
        }
        texts
    }

    pub(super) fn pointers(&mut self, key: &'static str) -> Option<Pointers> {
        let texts = self.texts(key)?;
        if texts.is_empty() {
            self.problem(key, "must name at least one JSON pointer");
        }
        let pointers = Pointers::parse(texts.iter().map(String::as_str));
        pointers.map_err(|error| self.problem(key, error)).ok()
    }

    /// A table of texts, numbers and booleans, each as text.
    pub(super) fn pairs(&mut self, key: &'static str) -> Vec<(String, String)> {
        let table = match self.take(key) {
            None => return Vec::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                self.wrong(key, "a table of names and values", &other);
                return Vec::new();
            }
        };
        let mut pairs = Vec::new();
        for (name, value) in table {
            match scalar(&value) {
                Some(text) => pairs.push((name, text)),
                None => self.wrong(&format!("{key}.{name}"), "a text, a number or a boolean", &value),
            }
        }
        pairs
    }

    /// A table of texts in which placeholders may stand.
    pub(super) fn templates(&mut self, key: &'static str, allowed: &[Placeholder]) -> Vec<(String, Template)> {
        let mut templates = Vec::new();
        for (name, text) in self.pairs(key) {
            match Template::parse(&text, allowed) {
                Ok(template) => templates.push((name, template)),
                Err(error) => self.problem(&format!("{key}.{name}"), error),
            }
        }
        templates
    }

    /// A time in seconds.
    pub(super) fn seconds(&mut self, key: &'static str, range: RangeInclusive<f64>) -> Option<Duration> {
        let value = self.take(key)?;
        let number = match &value {
            Value::Float(number) => Some(*number),
            #[expect(clippy::cast_precision_loss, reason = "a number that large is out of every range")]
            Value::Integer(number) => Some(*number as f64),
            _ => None,
        };
        let seconds = number.filter(|number| range.contains(number));
        if seconds.is_none() {
            self.problem(key, format!("must be a number of seconds from {} to {}", range.start(), range.end()));
        }
        seconds.map(Duration::from_secs_f64)
    }

    pub(super) fn section(&mut self, key: &'static str) -> Option<Self> {
        match self.take(key)? {
            Value::Table(table) => Some(self.below(key, table)),
            other => {
                self.wrong(key, "a section", &other);
                None
            }
        }
    }

    /// Sections of one name, each written with double brackets.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let tables: Option<Vec<Table>> = match &value {
            Value::Array(items) => items.iter().map(|item| item.as_table().cloned()).collect(),
            _ => None,
        };
        let Some(tables) = tables else {
            self.problem(key, format!("is a list: write [[{key}]]"));
            return Vec::new();
        };
        tables.into_iter().enumerate().map(|(index, table)| self.below(&format!("{key}[{index}]"), table)).collect()
    }

    /// Whatever nobody asked for does not exist.
    pub(super) fn finish(&self) {
        for key in self.table.keys() {
            let alike = self.asked.iter().map(|known| (strsim::jaro_winkler(key, known), *known));
            let alike = alike.filter(|(score, _)| *score > ALIKE).max_by(|a, b| a.0.total_cmp(&b.0));
            let hint = match alike {
                Some((_, known)) => format!("did you mean `{known}`?"),
                None => format!("what there is here: {}", self.asked.join(", ")),
            };
            self.problem(key, format!("there is no such key; {hint}"));
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    }
}
