//! What was written, before anybody asked what it means: values by the path of their key, each with its origin.

use std::collections::BTreeMap;

use config::{File, FileFormat, Source, Value, ValueKind};

/// The values of one source of configuration, or of several laid over each other. Tables are taken apart
/// (`worker.threads`); arrays are whole.
pub(super) type Layer = BTreeMap<String, Value>;

/// Reads a TOML text.
///
/// # Errors
/// What is wrong with its syntax and where, without the text itself: it may hold a password.
pub(super) fn parse_toml(text: &str, origin: &str) -> Result<Layer, String> {
    let table = File::from_str(text, FileFormat::Toml).collect().map_err(|error| {
        let fault = without_excerpt(&error.to_string());
        format!("{fault}; write name = \"text\", name = 5, name = true or name = [\"a\", \"b\"]")
    })?;
    let mut layer = Layer::new();
    for (key, value) in table {
        flatten(&mut layer, key, value, origin);
    }
    Ok(layer)
}

/// Takes tables apart and writes the origin on each value.
pub(super) fn flatten(layer: &mut Layer, key: String, value: Value, origin: &str) {
    match value.kind {
        ValueKind::Table(table) if !table.is_empty() => {
            for (name, value) in table {
                flatten(layer, format!("{key}.{name}"), value, origin);
            }
        }
        kind => {
            layer.insert(key, Value::new(Some(&origin.to_owned()), kind));
        }
    }
}

/// A text given by an environment variable or a flag; what it means is decided where it is read.
pub(super) fn text(text: &str, origin: &str) -> Value {
    Value::new(Some(&origin.to_owned()), text)
}

/// Where a value came from that nobody wrote.
pub(super) const DEFAULT: &str = "default";

/// Where a value came from.
pub(super) fn origin(value: &Value) -> &str {
    value.origin().unwrap_or(DEFAULT)
}

/// toml shows the line with the mistake, framed by lines that begin with a line number and `|`.
fn without_excerpt(error: &str) -> String {
    let is_excerpt = |line: &&str| line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit()).starts_with('|');
    error.lines().map(str::trim_end).filter(|line| !line.is_empty() && !is_excerpt(line)).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_become_paths_and_origins_stay() {
        let layer = parse_toml("a = 1\n[b]\nc = [1, 2]\n[b.d]\ne = true\n[empty]\n", "x.toml").expect("valid");
        assert_eq!(layer.keys().collect::<Vec<_>>(), ["a", "b.c", "b.d.e", "empty"]);
        assert!(layer.values().all(|value| origin(value) == "x.toml"));
    }

    #[test]
    fn a_syntax_error_says_where_and_shows_no_secret() {
        for text in ["a = 1\nurl = \"redis://:hunter2@h\" x", "url = \"hunter2", "hunter2 = 1\nhunter2x = "] {
            let error = parse_toml(text, "x.toml").expect_err("no TOML");
            assert!(error.contains("line ") && !error.contains("hunter2"), "{error}");
        }
    }
}
