//! JSON pointers (RFC 6901) into answers that are passed on byte for byte: only the way to a value is parsed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Names and positions from the outside in; none is the whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pointer(Vec<String>);

impl Pointer {
    fn parse(text: &str) -> Result<Self, String> {
        let mut tokens = text.split('/');
        if tokens.next() != Some("") {
            return Err(format!(
                "`{text}` is no JSON pointer; it begins with a slash: write `/{}`",
                dots_to_slashes(text)
            ));
        }
        tokens
            .map(unescape)
            .collect::<Option<Vec<_>>>()
            .map(Self)
            .ok_or_else(|| format!("`{text}` is no JSON pointer: after ~ comes 0 (for ~ itself) or 1 (for a slash)"))
    }

    fn find<'a>(&self, json: &'a RawValue) -> Option<&'a RawValue> {
        self.0.iter().try_fold(json, |json, token| step(json, token))
    }
}

/// What is one level down.
fn step<'a>(json: &'a RawValue, token: &str) -> Option<&'a RawValue> {
    match json.get().as_bytes().first()? {
        b'{' => serde_json::from_str::<BTreeMap<Cow<'a, str>, &'a RawValue>>(json.get()).ok()?.get(token).copied(),
        b'[' => {
            let is_position = token == "0" || !token.starts_with(['0', '+']);
            let position = token.parse::<usize>().ok().filter(|_| is_position)?;
            elements(json)?.get(position).copied()
        }
        _ => None,
    }
}

/// Like `data.items`, which people write for `/data/items`.
fn dots_to_slashes(text: &str) -> String {
    text.trim_start_matches("$.").replace('.', "/")
}

fn unescape(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut whole = parts.next()?.to_owned();
    for part in parts {
        let (sign, rest) = match part.as_bytes().first()? {
            b'0' => ('~', &part[1..]),
            b'1' => ('/', &part[1..]),
            _ => return None,
        };
        whole.push(sign);
        whole.push_str(rest);
    }
    Some(whole)
}

/// One pointer, or several of which the first counts that leads to something else than null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointers(Vec<Pointer>);

impl Pointers {
    /// Reads pointers.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        texts.into_iter().map(Pointer::parse).collect::<Result<_, _>>().map(Self)
    }

    /// The whole.
    pub fn whole() -> Self {
        Self(vec![Pointer(Vec::new())])
    }

    /// What they lead to; null counts as nothing.
    pub fn find<'a>(&self, json: &'a RawValue) -> Option<&'a RawValue> {
        self.0.iter().find_map(|pointer| pointer.find(json).filter(|found| found.get() != "null"))
    }

    /// What they lead to as text: a string without its quotes, anything else as JSON.
    pub fn text(&self, json: &RawValue) -> Option<String> {
        self.find(json).map(text)
    }
}

impl fmt::Display for Pointers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Pointer(tokens)) in self.0.iter().enumerate() {
            f.write_str(if index > 0 { " or " } else { "" })?;
            tokens.iter().try_for_each(|token| write!(f, "/{}", token.replace('~', "~0").replace('/', "~1")))?;
        }
        Ok(())
    }
}

/// A value as text: a string without its quotes, anything else as JSON.
pub fn text(json: &RawValue) -> String {
    serde_json::from_str(json.get()).unwrap_or_else(|_| json.get().to_owned())
}

/// The elements of an array.
pub fn elements(json: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(json.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pointers: &[&str], json: &str) -> Option<String> {
        let json = RawValue::from_string(json.to_owned()).expect("JSON");
        Pointers::parse(pointers.iter().copied()).expect("pointers").text(&json)
    }

    #[test]
    fn pointers_lead_where_rfc_6901_says() {
        let json = r#"{"foo":["bar",{"a":1.0}],"":0,"a/b":1,"m~n":8,"~1":9,"01":"x","n":null,"\u0065":"e"}"#;
        for (pointer, expected) in [
            ("/foo/0", Some("bar")),
            ("/foo/1/a", Some("1.0")),
            ("/foo/1", Some(r#"{"a":1.0}"#)),
            ("/", Some("0")),
            ("/a~1b", Some("1")),
            ("/m~0n", Some("8")),
            ("/~01", Some("9")),
            ("/01", Some("x")),
            ("/e", Some("e")),
            ("/n", None),
            ("/foo/2", None),
            ("/foo/00", None),
            ("/foo/+1", None),
            ("/foo/-", None),
            ("/foo/0/x", None),
            ("/nothing", None),
        ] {
            assert_eq!(found(&[pointer], json).as_deref(), expected, "{pointer}");
        }
        assert_eq!(found(&[""], " [1, 2] ").as_deref(), Some("[1, 2]"));
    }

    #[test]
    fn the_first_that_leads_to_something_counts() {
        assert_eq!(found(&["/a", "/b", "/c"], r#"{"a":null,"b":"","c":"x"}"#).as_deref(), Some(""));
        assert_eq!(found(&["/a", "/b"], "5"), None);
    }

    #[test]
    fn what_is_no_pointer_is_told_how_to_be_one() {
        for (text, telling) in [("data.id", "`/data/id`"), ("$.data.id", "`/data/id`"), ("/a~2", "after ~")] {
            let error = Pointers::parse([text]).expect_err("no pointer");
            assert!(error.contains(telling), "{error}");
        }
    }

    #[test]
    fn they_are_shown_as_they_are_written() {
        let pointers = Pointers::parse(["/a~1b/m~0n", "/c"]).expect("pointers");
        assert_eq!(pointers.to_string(), "/a~1b/m~0n or /c");
    }
}
