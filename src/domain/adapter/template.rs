//! Texts with placeholders, and paths made of them. A value takes the place of its placeholder and nothing else: in a
//! path it is percent-encoded, in a query, a header and a body it goes where its kind of value goes (see
//! [`super::body`]). So no input can reach beyond the place that an adapter gives it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// What may stand between `{{` and `}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placeholder {
    /// The flow's id in the source.
    FlowId,
    /// The task's input, text.
    Input,
    /// The flow's component that takes the input.
    InputComponent,
    /// What the source calls a run that it has begun.
    RunId,
    /// The session to run in.
    SessionId,
    /// The task's id, the same in every attempt.
    TaskId,
}

impl Placeholder {
    const ALL: [Self; 6] =
        [Self::FlowId, Self::Input, Self::InputComponent, Self::RunId, Self::SessionId, Self::TaskId];

    /// Its name in an adapter file.
    pub fn name(self) -> &'static str {
        match self {
            Self::FlowId => "flow_id",
            Self::Input => "input",
            Self::InputComponent => "input_component",
            Self::RunId => "run_id",
            Self::SessionId => "session_id",
            Self::TaskId => "task_id",
        }
    }
}

/// The values of one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Values<'a> {
    /// For [`Placeholder::FlowId`].
    pub flow_id: Option<&'a str>,
    /// For [`Placeholder::Input`].
    pub input: Option<&'a str>,
    /// For [`Placeholder::InputComponent`].
    pub input_component: Option<&'a str>,
    /// For [`Placeholder::RunId`].
    pub run_id: Option<&'a str>,
    /// For [`Placeholder::SessionId`].
    pub session_id: Option<&'a str>,
    /// For [`Placeholder::TaskId`].
    pub task_id: Option<&'a str>,
}

impl<'a> Values<'a> {
    pub(super) fn get(&self, placeholder: Placeholder) -> Result<&'a str, FillError> {
        let value = match placeholder {
            Placeholder::FlowId => self.flow_id,
            Placeholder::Input => self.input,
            Placeholder::InputComponent => self.input_component,
            Placeholder::RunId => self.run_id,
            Placeholder::SessionId => self.session_id,
            Placeholder::TaskId => self.task_id,
        };
        value.ok_or(FillError::Missing(placeholder.name()))
    }
}

/// Why values don't make a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    /// There is no value for a placeholder.
    #[error(
        "the workflow has no {0}, which its adapter needs; sync it again once its flow has one, or name one with the sync"
    )]
    Missing(&'static str),
    /// The value would change which path is called.
    #[error("the {name} {value:?} can't be part of a path")]
    Path {
        /// The placeholder.
        name: &'static str,
        /// Its value.
        value: String,
    },
}

/// A text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Piece {
    Text(String),
    Value(Placeholder),
}

impl Template {
    /// Reads a text in which these placeholders may stand.
    ///
    /// # Errors
    /// What is wrong with a placeholder.
    pub fn parse(text: &str, allowed: &[Placeholder]) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").ok_or_else(|| format!("`{text}` has {{{{ without }}}}"))?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::Value(placeholder(name.trim(), allowed)?));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// Whether there is no placeholder in it.
    pub fn is_plain(&self) -> bool {
        self.placeholders().next().is_none()
    }

    /// The text with its values.
    ///
    /// # Errors
    /// A value is missing.
    pub fn fill(&self, values: &Values<'_>) -> Result<String, FillError> {
        let mut filled = String::new();
        for piece in &self.0 {
            filled.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Value(placeholder) => values.get(*placeholder)?,
            });
        }
        Ok(filled)
    }

    pub(super) fn placeholders(&self) -> impl Iterator<Item = Placeholder> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Value(placeholder) => Some(*placeholder),
        })
    }
}

fn placeholder(name: &str, allowed: &[Placeholder]) -> Result<Placeholder, String> {
    if let Some(found) = allowed.iter().find(|placeholder| placeholder.name() == name) {
        return Ok(*found);
    }
    let names: Vec<String> = allowed.iter().map(|placeholder| format!("{{{{{}}}}}", placeholder.name())).collect();
    let choice = if names.is_empty() { "no placeholder stands here".to_owned() } else { names.join(", ") };
    Err(match Placeholder::ALL.iter().find(|placeholder| placeholder.name() == name) {
        Some(_) => format!("{{{{{name}}}}} can't stand here; what can: {choice}"),
        None => format!("there is no placeholder {{{{{name}}}}}; what can stand here: {choice}"),
    })
}

/// A path below a source's url. Empty is the url itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathTemplate(Vec<Segment>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Segment {
    /// What is between two slashes.
    One(Template),
    /// A value that may be several segments.
    Many(Placeholder),
}

/// What a placeholder begins with that may be several segments.
const MANY: &str = "path:";

impl PathTemplate {
    /// Reads a path in which these placeholders may stand, each as a part of one segment, or as `{{path:NAME}}` as
    /// several.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, allowed: &[Placeholder]) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let mut segments = text.split('/');
        if segments.next() != Some("") {
            return Err(format!("`{text}` must begin with a slash: it goes behind the source's url"));
        }
        if let Some(sign) = text.chars().find(|c| matches!(c, '?' | '#' | '%' | '\\') || c.is_control()) {
            return Err(format!(
                "`{text}` must not hold {sign:?}: parameters go under `query`, and what needs it is percent-encoded by Spark"
            ));
        }
        let segments: Vec<&str> = segments.collect();
        let last = segments.len().saturating_sub(1);
        let read = |(index, segment): (usize, &&str)| match *segment {
            "." | ".." => Err(format!("`{text}` must not hold the segment `{segment}`")),
            "" if index < last => Err(format!("`{text}` has an empty segment")),
            segment => Segment::parse(segment, allowed),
        };
        segments.iter().enumerate().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The path with its values, percent-encoded.
    ///
    /// # Errors
    /// A value is missing, or would lead to another path than the adapter names.
    pub fn fill(&self, values: &Values<'_>) -> Result<String, FillError> {
        let mut path = String::new();
        for segment in &self.0 {
            match segment {
                Segment::One(template) => template.push_segment(values, &mut path)?,
                Segment::Many(placeholder) => {
                    let whole = values.get(*placeholder)?;
                    for part in whole.trim_matches('/').split('/') {
                        if is_no_segment(part) {
                            return Err(FillError::Path { name: placeholder.name(), value: whole.to_owned() });
                        }
                        path.push('/');
                        encode(part, "", &mut path);
                    }
                }
            }
        }
        Ok(path)
    }
}

impl Segment {
    fn parse(segment: &str, allowed: &[Placeholder]) -> Result<Self, String> {
        let inner = segment.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).map(str::trim);
        match inner.and_then(|inner| inner.strip_prefix(MANY)) {
            Some(name) => placeholder(name, allowed).map(Self::Many),
            None => Template::parse(segment, allowed).map(Self::One),
        }
    }
}

impl Template {
    fn push_segment(&self, values: &Values<'_>, path: &mut String) -> Result<(), FillError> {
        if let Some(placeholder) = self.placeholders().next()
            && is_no_segment(&self.fill(values)?)
        {
            return Err(FillError::Path { name: placeholder.name(), value: values.get(placeholder)?.to_owned() });
        }
        path.push('/');
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => encode(text, "!$&'()*+,;=:@", path),
                Piece::Value(placeholder) => encode(values.get(*placeholder)?, "", path),
            }
        }
        Ok(())
    }
}

/// Urls drop these, and what is left is another path.
fn is_no_segment(text: &str) -> bool {
    matches!(text, "" | "." | "..")
}

/// Percent-encodes all but what no part of a url means something else by, and `more`.
fn encode(text: &str, more: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || more.as_bytes().contains(&byte) {
            into.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: &[Placeholder] = &Placeholder::ALL;

    fn path(text: &str, flow_id: &str) -> Result<String, FillError> {
        let values = Values { flow_id: Some(flow_id), ..Values::default() };
        PathTemplate::parse(text, ALL).expect("a path").fill(&values)
    }

    #[test]
    fn values_take_the_place_of_their_placeholders() {
        let values = Values { flow_id: Some("a"), input: Some("{{flow_id}}"), ..Values::default() };
        let fill = |text: &str| Template::parse(text, ALL).expect("a template").fill(&values);
        assert_eq!(fill("{{flow_id}}-{{ flow_id }}: {{input}} }}").as_deref(), Ok("a-a: {{flow_id}} }}"));
        assert_eq!(fill(""), Ok(String::new()));
        assert_eq!(fill("{{run_id}}"), Err(FillError::Missing("run_id")));
    }

    #[test]
    fn wrong_placeholders_are_told_what_can_stand_there() {
        for (text, allowed, telling) in [
            (
                "{{inptu}}",
                &[Placeholder::Input][..],
                "there is no placeholder {{inptu}}; what can stand here: {{input}}",
            ),
            ("{{input}}", &[Placeholder::FlowId], "can't stand here; what can: {{flow_id}}"),
            ("{{input}}", &[], "no placeholder"),
            ("{{input", ALL, "without }}"),
        ] {
            let error = Template::parse(text, allowed).expect_err("refused");
            assert!(error.contains(telling), "{error}");
        }
    }

    #[test]
    fn paths_are_encoded_segment_by_segment() {
        assert_eq!(path("/runs/{{flow_id}}", "a/b?c#d %ü"), Ok("/runs/a%2Fb%3Fc%23d%20%25%C3%BC".to_owned()));
        assert_eq!(path("/flows/{{flow_id}}:run", "x"), Ok("/flows/x:run".to_owned()));
        assert_eq!(path("/hook/{{path:flow_id}}", "/a b/c/"), Ok("/hook/a%20b/c".to_owned()));
        assert_eq!(path("/flows/", "x"), Ok("/flows/".to_owned()));
        assert_eq!(path("", "x"), Ok(String::new()));
    }

    #[test]
    fn values_that_would_lead_elsewhere_are_refused() {
        for id in ["", ".", ".."] {
            assert!(path("/runs/{{flow_id}}", id).is_err(), "{id}");
        }
        for id in ["", "a/../b", "..", "a//b", "/", "a/."] {
            assert!(path("/hook/{{path:flow_id}}", id).is_err(), "{id}");
        }
        assert!(path("/x{{flow_id}}", "..").is_ok());
    }

    #[test]
    fn paths_that_can_not_be_meant_are_refused() {
        for text in
            ["runs", "http://h/x", "/a//b", "/a/../b", "/a?b=1", "/a#b", "/a%20b", "/{{nothing}}", "/{{path:no}}"]
        {
            assert!(PathTemplate::parse(text, ALL).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_value_escapes_its_segment(id in any::<String>(), tail in prop_oneof![Just(""), Just("/end"), Just("/")]) {
            let Ok(path) = path(&format!("/runs/{{{{flow_id}}}}{tail}"), &id) else { return Ok(()) };
            let url = url::Url::parse(&format!("http://host/base{path}")).expect("a url");
            let whole = format!("/base/runs/X{tail}");
            let segments: Vec<_> = url.path().split('/').collect();
            let expected: Vec<_> = whole.split('/').collect();
            prop_assert_eq!(segments.len(), expected.len());
            prop_assert!(segments.iter().zip(&expected).enumerate().all(|(at, (is, was))| at == 3 || is == was));
            prop_assert!(url.query().is_none() && url.fragment().is_none() && url.host_str() == Some("host"));
        }

        #[test]
        fn no_value_leaves_its_place_below_a_path(id in any::<String>()) {
            let Ok(path) = path("/hook/{{path:flow_id}}", &id) else { return Ok(()) };
            let url = url::Url::parse(&format!("http://host/base{path}")).expect("a url");
            prop_assert!(url.path().starts_with("/base/hook/") && url.query().is_none());
        }
    }
}
