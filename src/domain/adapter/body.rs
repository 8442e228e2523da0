//! Bodies of requests: JSON in whose strings placeholders stand. The JSON is parsed when the adapter is read, and
//! written anew with each request; so values are escaped, and none can change the structure around it.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::template::{FillError, Placeholder, Template, Values};

/// A string that is nothing but this takes an object as object, and text as string.
const INPUT_JSON: &str = "{{input_json}}";

/// A body with placeholders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BodyTemplate(Node);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Node {
    /// JSON without placeholders.
    Plain(Value),
    Text(Template),
    InputJson,
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl BodyTemplate {
    /// Reads JSON in which these placeholders may stand.
    ///
    /// # Errors
    /// It is no JSON, or what is wrong with a placeholder.
    pub fn parse(json: &str, allowed: &[Placeholder]) -> Result<Self, String> {
        let value = serde_json::from_str(json).map_err(|error| format!("is not JSON: {error}"))?;
        Node::read(value, allowed).map(Self)
    }

    /// The body with its values, to be written as JSON.
    ///
    /// # Errors
    /// A value is missing.
    pub fn fill<'a>(&'a self, values: &'a Values<'a>) -> Result<impl Serialize + 'a, FillError> {
        self.0.check(values)?;
        Ok(Filled { node: &self.0, values })
    }
}

impl Node {
    fn read(value: Value, allowed: &[Placeholder]) -> Result<Self, String> {
        let node = match value {
            Value::String(text) if text == INPUT_JSON && allowed.contains(&Placeholder::Input) => Self::InputJson,
            Value::String(text) => match Template::parse(&text, allowed)? {
                plain if plain.is_plain() => Self::Plain(Value::String(text)),
                template => Self::Text(template),
            },
            Value::Array(items) => {
                Self::List(items.into_iter().map(|item| Self::read(item, allowed)).collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                if let Some(name) = fields.keys().find(|name| name.contains("{{")) {
                    return Err(format!("placeholders stand in values, not in names such as `{name}`"));
                }
                let read = |(name, value)| Ok((name, Self::read(value, allowed)?));
                Self::Object(fields.into_iter().map(read).collect::<Result<_, String>>()?)
            }
            plain => Self::Plain(plain),
        };
        Ok(node)
    }

    /// Whether there is a value for each placeholder.
    fn check(&self, values: &Values<'_>) -> Result<(), FillError> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Text(template) => template.placeholders().try_for_each(|name| values.get(name).map(drop)),
            Self::InputJson => values.get(Placeholder::Input).map(drop),
            Self::List(items) => items.iter().try_for_each(|item| item.check(values)),
            Self::Object(fields) => fields.iter().try_for_each(|(_, field)| field.check(values)),
        }
    }
}

struct Filled<'a> {
    node: &'a Node,
    values: &'a Values<'a>,
}

impl Serialize for Filled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let values = self.values;
        match self.node {
            Node::Plain(value) => value.serialize(serializer),
            Node::Text(template) => {
                serializer.serialize_str(&template.fill(values).map_err(serde::ser::Error::custom)?)
            }
            Node::InputJson => {
                let input = values.get(Placeholder::Input).map_err(serde::ser::Error::custom)?;
                match object(input) {
                    Some(object) => object.serialize(serializer),
                    None => serializer.serialize_str(input),
                }
            }
            Node::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|node| list.serialize_element(&Filled { node, values }))?;
                list.end()
            }
            Node::Object(fields) => {
                let mut object = serializer.serialize_map(Some(fields.len()))?;
                fields.iter().try_for_each(|(name, node)| object.serialize_entry(name, &Filled { node, values }))?;
                object.end()
            }
        }
    }
}

/// An input that is an object, as it was written: large numbers stay what they are.
fn object(input: &str) -> Option<&RawValue> {
    input.trim_start().starts_with('{').then(|| serde_json::from_str(input).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const ALLOWED: &[Placeholder] = &[Placeholder::Input, Placeholder::SessionId];

    fn fill(body: &str, input: &str) -> String {
        let values = Values { input: Some(input), session_id: Some("s"), ..Values::default() };
        let body = BodyTemplate::parse(body, ALLOWED).expect("a body");
        serde_json::to_string(&body.fill(&values).expect("filled")).expect("JSON")
    }

    #[test]
    fn values_are_escaped_and_the_rest_stays() {
        let body = r#"{"b": "Say: {{input}}!", "a": [null, 1.5, true, "{{session_id}}"], "c": {}}"#;
        assert_eq!(
            fill(body, "\"}\n{{session_id}}"),
            r#"{"b":"Say: \"}\n{{session_id}}!","a":[null,1.5,true,"s"],"c":{}}"#
        );
        assert_eq!(fill(r#""{{input}}""#, "x"), r#""x""#);
    }

    #[test]
    fn an_object_is_passed_on_as_object_where_the_adapter_says_so() {
        let body = r#"{"in":"{{input_json}}"}"#;
        for (input, sent) in [
            (r#"{"n": 12345678901234567890123, "f": 1.0}"#, r#"{"in":{"n": 12345678901234567890123, "f": 1.0}}"#),
            ("text", r#"{"in":"text"}"#),
            ("[1]", r#"{"in":"[1]"}"#),
            ("5", r#"{"in":"5"}"#),
            ("{not json", r#"{"in":"{not json"}"#),
            (r#"{"a":1} {"b":2}"#, r#"{"in":"{\"a\":1} {\"b\":2}"}"#),
        ] {
            assert_eq!(fill(body, input), sent);
        }
    }

    #[test]
    fn bodies_that_can_not_be_meant_are_refused() {
        for (body, telling) in [
            ("{", "is not JSON"),
            (r#"{"{{input}}": 1}"#, "not in names"),
            (r#"{"a": "{{flow_id}}"}"#, "can't stand here"),
            (r#"{"a": "x{{input_json}}"}"#, "no placeholder {{input_json}}"),
        ] {
            let error = BodyTemplate::parse(body, ALLOWED).expect_err("refused");
            assert!(error.contains(telling), "{error}");
        }
        let body = BodyTemplate::parse(r#"["{{session_id}}"]"#, ALLOWED).expect("a body");
        assert_eq!(body.fill(&Values::default()).err(), Some(FillError::Missing("session_id")));
    }

    proptest! {
        #[test]
        fn no_input_changes_the_structure(input in any::<String>()) {
            let filled: Value = serde_json::from_str(&fill(r#"{"a":{"b":["<{{input}}>", 1]},"c":"{{session_id}}"}"#, &input))
                .expect("JSON");
            prop_assert_eq!(filled, json!({"a": {"b": [format!("<{input}>"), 1]}, "c": "s"}));
        }

        #[test]
        fn no_input_leaves_its_value(input in r#"[\[{}"a:,\]1 \\]{0,12}"#) {
            let filled: Value = serde_json::from_str(&fill(r#"{"in":"{{input_json}}","c":0}"#, &input)).expect("JSON");
            let object = serde_json::from_str::<Value>(&input).ok().filter(Value::is_object);
            prop_assert_eq!(filled, json!({"in": object.unwrap_or(Value::String(input)), "c": 0}));
        }
    }
}
