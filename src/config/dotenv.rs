//! `.env` files, read the way python-dotenv reads them: a file that served the Python service serves this one, with the
//! same blanks, quotes and dollars.

use std::collections::HashMap;

/// Why a file is none: the number of the line. The line itself may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread(pub usize);

/// The variables of a file, in order. `${NAME}` and `${NAME:-default}` stand for a variable of the environment, else of
/// a line above; any other `$` is a dollar.
///
/// # Errors
/// A line is not `NAME=value`, or a quote is not closed.
pub fn parse(text: &str, environment: impl Fn(&str) -> Option<String>) -> Result<Vec<(String, String)>, Unread> {
    let mut known: HashMap<String, String> = HashMap::new();
    let mut variables = Vec::new();
    let text = text.trim_start_matches('\u{feff}');
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let line = text[..text.len() - rest.len()].matches('\n').count() + 1;
        if rest.is_empty() {
            return Ok(variables);
        }
        let (statement, after) = rest.split_once('\n').unwrap_or((rest, ""));
        if statement.starts_with('#') {
            rest = after;
            continue;
        }
        let Some((name, value_at)) = name_of(rest) else { return Err(Unread(line)) };
        let Some(value_at) = value_at else {
            // A name alone says nothing.
            rest = after;
            continue;
        };
        let (value, after) = value_of(value_at).ok_or(Unread(line))?;
        let value = expand(&value, |name| environment(name).or_else(|| known.get(name).cloned()));
        known.insert(name.clone(), value.clone());
        variables.push((name, value));
        rest = after;
    }
}

/// The name, and the text behind its `=`; `None` instead of that where there is no `=`.
fn name_of(text: &str) -> Option<(String, Option<&str>)> {
    let stripped = text.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).unwrap_or(text);
    let stripped = stripped.trim_start_matches([' ', '\t']);
    let (name, rest) = match stripped.strip_prefix('\'') {
        Some(quoted) => quoted.split_once('\'')?,
        None => stripped
            .split_at(stripped.find(|c: char| c == '=' || c == '#' || c.is_whitespace()).unwrap_or(stripped.len())),
    };
    if name.is_empty() {
        return None;
    }
    let rest = rest.trim_start_matches([' ', '\t']);
    match rest.strip_prefix('=') {
        Some(value) => Some((name.to_owned(), Some(value.trim_start_matches([' ', '\t'])))),
        None if rest.is_empty() || rest.starts_with(['\n', '\r', '#']) => Some((name.to_owned(), None)),
        None => None,
    }
}

/// The value, and what follows its line.
fn value_of(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|first| ['"', '\''].contains(first));
    let Some(quote) = quote else {
        let (line, after) = text.split_once('\n').unwrap_or((text, ""));
        return Some((without_comment(line).trim_end().to_owned(), after));
    };
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => {
                let (_, escaped) = characters.next()?;
                value.push_str(&unescape(quote, escaped));
            }
            _ if character == quote => {
                let (line, after) = text[at + 1..].split_once('\n').unwrap_or((&text[at + 1..], ""));
                let line = line.trim();
                return (line.is_empty() || line.starts_with('#')).then_some((value, after));
            }
            _ => value.push(character),
        }
    }
    None
}

/// A comment begins with a `#` after a blank.
fn without_comment(line: &str) -> &str {
    let is_comment = |(at, _): &(usize, &str)| *at == 0 || line[..*at].ends_with([' ', '\t']);
    line.match_indices('#').find(is_comment).map_or(line, |(at, _)| &line[..at])
}

fn unescape(quote: char, escaped: char) -> String {
    let meant = match (quote, escaped) {
        (_, '\\' | '\'') | ('"', '"') => Some(escaped),
        ('"', 'n') => Some('\n'),
        ('"', 'r') => Some('\r'),
        ('"', 't') => Some('\t'),
        _ => None,
    };
    meant.map_or_else(|| format!("\\{escaped}"), String::from)
}

fn expand(value: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        expanded.push_str(before);
        let Some((inner, behind)) = after.split_once('}') else {
            expanded.push_str("${");
            rest = after;
            continue;
        };
        let (name, default) = inner.split_once(":-").unwrap_or((inner, ""));
        expanded.push_str(&lookup(name).unwrap_or_else(|| default.to_owned()));
        rest = behind;
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        parse(text, |name| (name == "HOME").then(|| "/root".to_owned())).expect("a file")
    }

    #[test]
    fn values_are_read_as_python_reads_them() {
        for (line, value) in [
            ("A=b", "b"),
            ("  export A = b  ", "b"),
            ("A=", ""),
            ("A=http://a:1, http://b:2", "http://a:1, http://b:2"),
            ("A=key  # Change for a secure key", "key"),
            ("A=pa#ss", "pa#ss"),
            ("A=#comment", ""),
            ("A=pa$word$$x", "pa$word$$x"),
            ("A=[\"json\"]", "[\"json\"]"),
            ("A='a b' # c", "a b"),
            ("A='it\\'s \\n'", "it's \\n"),
            ("A=\"a\\\"b\\nc\\d\"", "a\"b\nc\\d"),
            ("A=\"two\nlines\"", "two\nlines"),
            ("A=\"\u{e4}\"\r", "\u{e4}"),
            ("'A'=b\r\n", "b"),
            ("A=${HOME}/x-${NONE:-y}-${NONE}", "/root/x-y-"),
            ("A=${open", "${open"),
        ] {
            assert_eq!(read(line), [("A".to_owned(), value.to_owned())], "{line:?}");
        }
    }

    #[test]
    fn files_have_comments_blank_lines_and_names_alone() {
        let text = "\u{feff}# note\n\nA=1\n\tB='2'\nC\n #=\nD=${A}${B}\nA=3";
        let names: Vec<_> = read(text).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(names, ["A=1", "B=2", "D=12", "A=3"]);
    }

    #[test]
    fn what_is_no_variable_is_told_by_its_line() {
        for (text, line) in [("A=1\nB C", 2), ("=x", 1), ("A=1\n\nB='open\nC=1", 3), ("A=\"x\" y", 1), ("A='x\\", 1)] {
            assert_eq!(parse(text, |_| None), Err(Unread(line)), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[\\PC\\n]{0,40}", shell in "[A-Z='\"#$\\{\\}\\\\ \\n:-]{0,40}") {
            let _ = parse(&text, |_| None);
            let _ = parse(&shell, |_| None);
        }
    }
}
