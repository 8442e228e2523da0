//! Reads values by what they mean, and collects what is wrong with them instead of stopping at the first.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use config::{Value, ValueKind};

use super::error::Problem;
use super::raw::{Layer, origin};
use super::show::shown;

/// What Spark works out by itself.
const AUTO: &str = "auto";

/// The values and everything found about them. Reading a value that is wrong notes a problem and answers the nearest
/// thing that has the right type, so that the rest can be read too.
pub(super) struct Reader {
    pub(super) values: Layer,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
    /// What `auto` came to.
    pub(super) resolved: BTreeMap<String, String>,
}

impl Reader {
    pub(super) fn new(values: Layer, problems: Vec<Problem>, warnings: Vec<String>) -> Self {
        Self { values, problems, warnings, resolved: BTreeMap::new() }
    }

    /// The value of a key that default.toml has.
    fn value(&self, key: &str) -> &Value {
        self.values.get(key).expect("default.toml has every key: a test reads them all")
    }

    /// Where the value of a key came from.
    pub(super) fn origin(&self, key: &str) -> &str {
        origin(self.value(key))
    }

    /// Notes what is wrong with a key; the first word about a value is enough.
    pub(super) fn problem(&mut self, key: &str, message: impl Into<String>) {
        let origin = self.origin(key).to_owned();
        if !self.problems.iter().any(|problem| problem.key == key && problem.origin == origin) {
            self.problems.push(Problem { key: key.to_owned(), origin, message: message.into() });
        }
    }

    /// Notes that a value is not what it must be.
    pub(super) fn wrong(&mut self, key: &str, expected: &str) {
        let shown = shown(key, self.value(key));
        let message = if shown.is_empty() || shown == "***" {
            format!("must be {expected}")
        } else {
            format!("must be {expected}, not `{shown}`")
        };
        self.problem(key, message);
    }

    /// Whether nothing was found wrong with these keys.
    pub(super) fn is_sound(&self, keys: &[&str]) -> bool {
        !self.problems.iter().any(|problem| keys.contains(&problem.key.as_str()))
    }

    /// A text without the blanks around it.
    pub(super) fn text(&mut self, key: &str) -> String {
        match &self.value(key).kind {
            ValueKind::Array(_) | ValueKind::Table(_) | ValueKind::Nil => {
                self.wrong(key, "a text");
                String::new()
            }
            kind => kind.to_string().trim().to_owned(),
        }
    }

    /// A text that Spark works out where it is `auto` or empty.
    pub(super) fn unless_auto(&mut self, key: &str) -> Option<String> {
        Some(self.text(key)).filter(|text| !text.is_empty() && text != AUTO)
    }

    /// Notes what `auto` came to.
    pub(super) fn resolve(&mut self, key: &str, value: impl ToString) {
        self.resolved.insert(key.to_owned(), value.to_string());
    }

    /// A list: an array, or a text with commas.
    pub(super) fn list(&mut self, key: &str) -> Vec<String> {
        let items = match &self.value(key).kind {
            ValueKind::Array(items) => items.iter().map(|item| item.clone().into_string().ok()).collect(),
            ValueKind::String(text) => {
                Some(text.split(',').filter(|item| !item.trim().is_empty()).map(str::to_owned).collect())
            }
            _ => None,
        };
        let Some(items): Option<Vec<String>> = items else {
            self.wrong(key, "a list of texts");
            return Vec::new();
        };
        items.iter().map(|item| item.trim().to_owned()).collect()
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, key: &str) -> bool {
        let text = match &self.value(key).kind {
            ValueKind::Boolean(flag) => return *flag,
            ValueKind::String(text) => text.trim().to_lowercase(),
            _ => String::new(),
        };
        match text.as_str() {
            "true" | "yes" | "on" | "1" => true,
            "false" | "no" | "off" | "0" => false,
            _ => {
                self.wrong(key, "true or false");
                false
            }
        }
    }

    /// A whole number within a range.
    pub(super) fn whole<T: TryFrom<i128> + Into<i128> + Copy>(&mut self, key: &str, range: RangeInclusive<T>) -> T {
        let (least, most): (i128, i128) = ((*range.start()).into(), (*range.end()).into());
        let number = integer(self.value(key));
        let number =
            number.filter(|number| (least..=most).contains(number)).and_then(|number| T::try_from(number).ok());
        number.unwrap_or_else(|| {
            self.wrong(key, &format!("a whole number from {least} to {most}"));
            *range.start()
        })
    }

    /// A number within a range, which need not be whole.
    pub(super) fn number(&mut self, key: &str, range: RangeInclusive<f64>, unit: &str) -> f64 {
        let value = self.value(key);
        let number = match &value.kind {
            ValueKind::Float(number) => Some(*number),
            ValueKind::String(text) => text.trim().parse().ok(),
            #[expect(clippy::cast_precision_loss, reason = "a number that large is out of every range")]
            _ => integer(value).map(|number| number as f64),
        };
        number.filter(|number| range.contains(number)).unwrap_or_else(|| {
            self.wrong(key, &format!("a number{unit} from {} to {}, without a unit", range.start(), range.end()));
            *range.start()
        })
    }

    /// A time, in the unit that the key ends with.
    pub(super) fn duration(&mut self, key: &str, range: RangeInclusive<f64>) -> Duration {
        let (unit, seconds) = match key.rsplit('_').next() {
            Some("ms") => (" of milliseconds", 0.001),
            Some("hours") => (" of hours", 3600.0),
            Some("days") => (" of days", 86_400.0),
            _ => (" of seconds", 1.0),
        };
        Duration::from_secs_f64(self.number(key, range, unit) * seconds)
    }

    /// A text that a type knows how to read.
    pub(super) fn parsed<T: std::str::FromStr>(&mut self, key: &str, expected: &str, otherwise: T) -> T {
        let text = self.text(key);
        text.parse().unwrap_or_else(|_| {
            self.wrong(key, expected);
            otherwise
        })
    }

    /// One of some words.
    pub(super) fn one_of<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> T {
        let text = self.text(key).to_lowercase();
        words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning).unwrap_or_else(|| {
            let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(key, &format!("one of {}", names.join(", ")));
            words[0].1
        })
    }
}

/// The whole number that was written, also as a text.
fn integer(value: &Value) -> Option<i128> {
    match &value.kind {
        ValueKind::I64(number) => Some(i128::from(*number)),
        ValueKind::U64(number) => Some(i128::from(*number)),
        ValueKind::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
