//! Keeps a source's key out of every text that is shown: a server may repeat what it was sent, in a refusal, in the
//! address of a redirect, in an answer that can't be used, or in one that can: an endpoint that answers with the headers
//! it got is a common one. Done once, around whatever speaks to the source.

use std::fmt::Write as _;

use async_trait::async_trait;
use serde_json::Value;
use serde_json::value::RawValue;
use url::form_urlencoded::byte_serialize;

use super::{Error, RunRequest, WorkflowSource};
use crate::domain::outcome::{Answer, Outcome};
use crate::domain::source::Secret;
use crate::domain::workflow::RemoteFlow;

/// What stands for a secret.
const MASK: &str = "***";
/// What stands where a text was cut.
const CUT: &str = "...";
/// Less of a secret than this, where a text was cut, tells nothing.
const TELLING: usize = 3;

/// Bytes from which on a secret is no ordinary part of a result. Errors are cleaned of shorter ones too; results, which
/// are passed on to the letter, are not.
const UNMISTAKABLE: usize = 16;

/// Secrets in every form in which a server may repeat them.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// A source's key, sent as it is.
    pub(super) fn of(key: &Secret) -> Self {
        let mut secrets = Self::default();
        secrets.add(key.expose());
        secrets
    }

    /// One more.
    pub(super) fn add(&mut self, secret: &str) {
        let json = Value::from(secret).to_string();
        let mut percent = String::new();
        for byte in secret.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                percent.push(char::from(byte));
            } else {
                // Writing to a String does not fail.
                let _ = write!(percent, "%{byte:02X}");
            }
        }
        let form: String = byte_serialize(secret.as_bytes()).collect();
        for text in [secret.to_owned(), json.trim_matches('"').to_owned(), form, percent] {
            if !text.is_empty() && !self.0.contains(&text) {
                self.0.push(text);
            }
        }
        // The longest first: what is left of it would not be found any more.
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// A text without the secrets; where it was cut, also without a part of one.
    pub(super) fn hide(&self, mut text: String) -> String {
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                text = text.replace(secret, MASK);
            }
        }
        let ends = text.match_indices(CUT).map(|(at, _)| at);
        let parts: Vec<_> = ends.filter_map(|end| Some(end - self.part_at_end(&text[..end])?..end)).collect();
        for part in parts.into_iter().rev() {
            text.replace_range(part, MASK);
        }
        text
    }

    /// How much of a secret's beginning stands at the end of a text.
    fn part_at_end(&self, text: &str) -> Option<usize> {
        self.0.iter().filter_map(|secret| part_of(secret, text)).max()
    }

    /// An answer without the secrets that can't be a part of it by chance.
    fn hide_in_answer(&self, mut answer: Answer) -> Answer {
        for secret in self.0.iter().filter(|secret| secret.len() >= UNMISTAKABLE) {
            if answer.text.contains(secret.as_str()) {
                answer.text = answer.text.replace(secret, MASK);
            }
            if answer.output.get().contains(secret.as_str()) {
                let hidden = answer.output.get().replace(secret, MASK);
                // Only a secret with quotes in it could leave what is no JSON: then nothing is kept.
                answer.output = RawValue::from_string(hidden).unwrap_or_else(|_| RawValue::NULL.to_owned());
            }
        }
        answer
    }

    fn hide_in(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.hide(text)),
            Value::Array(items) => items.into_iter().map(|item| self.hide_in(item)).collect(),
            Value::Object(fields) => {
                fields.into_iter().map(|(name, value)| (self.hide(name), self.hide_in(value))).collect()
            }
            other => other,
        }
    }
}

fn part_of(secret: &str, text: &str) -> Option<usize> {
    let ends = secret.char_indices().map(|(at, _)| at).filter(|at| *at >= TELLING);
    ends.filter(|at| text.ends_with(&secret[..*at])).max()
}

/// A source whose texts don't hold its secrets. What its flows are is passed on as it is.
pub(super) struct Discreet {
    pub(super) source: Box<dyn WorkflowSource>,
    pub(super) secrets: Secrets,
}

impl Discreet {
    fn hide(&self, error: Error) -> Error {
        error.map_text(|text| self.secrets.hide(text))
    }
}

#[async_trait]
impl WorkflowSource for Discreet {
    async fn validate(&self) -> Result<Value, Error> {
        match self.source.validate().await {
            Ok(version) => Ok(self.secrets.hide_in(version)),
            Err(error) => Err(self.hide(error)),
        }
    }

    async fn list(&self) -> Result<Vec<RemoteFlow>, Error> {
        self.source.list().await.map_err(|error| self.hide(error))
    }

    async fn get(&self, flow_id: &str) -> Result<RemoteFlow, Error> {
        self.source.get(flow_id).await.map_err(|error| self.hide(error))
    }

    async fn run(&self, run: &RunRequest) -> Outcome {
        match self.source.run(run).await {
            Outcome::Failed(mut failure) => {
                failure.message = self.secrets.hide(failure.message);
                Outcome::Failed(failure)
            }
            Outcome::Completed(answer) => Outcome::Completed(self.secrets.hide_in_answer(answer)),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_is_taken_out_in_every_form() {
        let secrets = Secrets::of(&Secret::new("s3 \"cret/x"));
        for form in ["s3 \"cret/x", "s3+%22cret%2Fx", "s3%20%22cret%2Fx", "s3 \\\"cret/x"] {
            assert_eq!(secrets.hide(format!("at /a?k={form}: no")), "at /a?k=***: no");
        }
        let version = json!({"version": "1", "sent": [{"s3 \"cret/x": "key s3 \"cret/x"}], "n": 3});
        assert_eq!(secrets.hide_in(version), json!({"version": "1", "sent": [{"***": "key ***"}], "n": 3}));
    }

    #[test]
    fn a_part_of_a_secret_is_taken_out_wherever_a_text_was_cut() {
        let secrets = Secrets::of(&Secret::new("sk-1234é5678"));
        assert_eq!(secrets.hide("the key sk-1234é...".to_owned()), "the key ***...");
        assert_eq!(secrets.hide("GET /a answers sk-12..., not a list".to_owned()), "GET /a answers ***..., not a list");
        assert_eq!(secrets.hide("sk-... or sk-1234...".to_owned()), "***... or ***...");
        assert_eq!(secrets.hide("is it sk...".to_owned()), "is it sk...", "what tells nothing stays");
    }

    #[test]
    fn a_result_that_repeats_a_long_key_loses_it_and_nothing_else() {
        let answer = |output: &str, text: &str| Answer {
            output: RawValue::from_string(output.to_owned()).expect("JSON"),
            text: text.to_owned(),
        };
        let secrets = Secrets::of(&Secret::new("sk-a \"long\" enough key"));
        let output =
            r#"{"n":1.0,"headers":{"x-api-key":"sk-a \"long\" enough key"},"url":"/?k=sk-a+%22long%22+enough+key"}"#;
        let hidden = secrets.hide_in_answer(answer(output, "you sent sk-a \"long\" enough key"));
        assert_eq!(hidden.output.get(), r#"{"n":1.0,"headers":{"x-api-key":"***"},"url":"/?k=***"}"#);
        assert_eq!(hidden.text, "you sent ***");
        let kept = Secrets::of(&Secret::new("word")).hide_in_answer(answer(r#""a word""#, "a word"));
        assert_eq!((kept.output.get(), kept.text.as_str()), (r#""a word""#, "a word"));
        let odd = Secrets::of(&Secret::new("123456789abcdef\"]"));
        let odd = odd.hide_in_answer(answer(r#"["123456789abcdef"]"#, ""));
        assert_eq!(odd.output.get(), "null");
    }

    #[test]
    fn no_key_takes_out_nothing() {
        assert_eq!(Secrets::of(&Secret::default()).hide("as it is...".to_owned()), "as it is...");
    }
}
