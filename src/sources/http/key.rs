//! A source's key: how an adapter has it sent, and how it is kept out of every text that is shown.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use url::Url;
use url::form_urlencoded::byte_serialize;

use crate::domain::adapter::Auth;
use crate::domain::source::Secret;
use crate::sources::Error;

/// What stands for a secret.
const MASK: &str = "***";
/// How a text ends that was cut.
const CUT: &str = "...";
/// Less of a key than this, at the end of a text that was cut, tells nothing.
const TELLING: usize = 3;

/// A key, ready to be sent.
pub(super) struct Key {
    pub(super) header: Option<(HeaderName, HeaderValue)>,
    parameter: Option<(String, String)>,
    /// The key in every form in which a server may repeat it.
    secrets: Vec<String>,
}

impl Key {
    /// The key as an adapter has it sent.
    ///
    /// # Errors
    /// There is a key and the adapter does not say how to send it, or it can't be sent that way.
    pub(super) fn new(auth: Option<&Auth>, key: &Secret, adapter: &str) -> Result<Self, Error> {
        let mut sent = Self { header: None, parameter: None, secrets: Vec::new() };
        let key = key.expose();
        if key.is_empty() {
            return Ok(sent);
        }
        sent.add_secret(key);
        match auth {
            None => {
                let message = format!(
                    "the adapter {adapter} sends no key: leave the source's api_key empty, or say in the adapter's \
                     [auth] how it is sent"
                );
                return Err(Error::Adapter(message));
            }
            Some(Auth::Header { name, prefix }) => {
                let name = HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| Error::Adapter(format!("`{name}` can't be the name of a header")))?;
                sent.header = Some((name, secret_value(&format!("{prefix}{key}"))?));
            }
            Some(Auth::Query { name }) => sent.parameter = Some((name.clone(), key.to_owned())),
            Some(Auth::Basic { user }) => {
                let pair = match user {
                    Some(user) => format!("{user}:{key}"),
                    None if key.contains(':') => key.to_owned(),
                    None => {
                        let message =
                            format!("the adapter {adapter} sends the api_key as HTTP Basic: write it as user:password");
                        return Err(Error::Adapter(message));
                    }
                };
                if let Some((_, password)) = pair.split_once(':') {
                    sent.add_secret(password);
                }
                let encoded = STANDARD.encode(&pair);
                sent.add_secret(&encoded);
                sent.header = Some((AUTHORIZATION, secret_value(&format!("Basic {encoded}"))?));
            }
        }
        // The longest first: what is left of it would not be found any more.
        sent.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Ok(sent)
    }

    /// Puts the key into a url, where that is its place.
    pub(super) fn sign(&self, url: &mut Url) {
        if let Some((name, key)) = &self.parameter {
            url.query_pairs_mut().append_pair(name, key);
        }
    }

    fn add_secret(&mut self, secret: &str) {
        let json = serde_json::Value::from(secret).to_string();
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
            if !text.is_empty() && !self.secrets.contains(&text) {
                self.secrets.push(text);
            }
        }
    }

    /// A text without the key. Servers repeat what they were sent; where the text was cut, also a part of it.
    pub(super) fn hide(&self, mut text: String) -> String {
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret, MASK);
            }
        }
        let Some(kept) = text.strip_suffix(CUT) else { return text };
        let tail = self.secrets.iter().filter_map(|secret| tail_of(kept, secret)).max();
        match tail {
            Some(length) => format!("{}{MASK}{CUT}", &kept[..kept.len() - length]),
            None => text,
        }
    }
}

/// How much of a secret's beginning stands at the end of a text.
fn tail_of(text: &str, secret: &str) -> Option<usize> {
    let ends = secret.char_indices().map(|(at, _)| at).filter(|at| *at >= TELLING);
    ends.filter(|at| text.ends_with(&secret[..*at])).max()
}

fn secret_value(text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(text).map_err(|_| Error::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(auth: &Auth, key: &str) -> Key {
        Key::new(Some(auth), &Secret::new(key), "x").expect("a key")
    }

    fn header(auth: &Auth, text: &str) -> String {
        let (name, value) = key(auth, text).header.expect("a header");
        assert!(value.is_sensitive());
        format!("{name}: {}", value.to_str().expect("ASCII"))
    }

    #[test]
    fn a_key_is_sent_as_the_adapter_says() {
        let bearer = Auth::Header { name: "authorization".to_owned(), prefix: "Bearer ".to_owned() };
        assert_eq!(header(&bearer, "k"), "authorization: Bearer k");
        assert_eq!(header(&Auth::Basic { user: Some("api".to_owned()) }, "k"), "authorization: Basic YXBpOms=");
        assert_eq!(header(&Auth::Basic { user: None }, "u:p"), "authorization: Basic dTpw");
        let mut url = Url::parse("http://h/a?b=1").expect("a url");
        key(&Auth::Query { name: "api key".to_owned() }, "a&b=c").sign(&mut url);
        assert_eq!(url.as_str(), "http://h/a?b=1&api+key=a%26b%3Dc");
    }

    #[test]
    fn a_key_that_can_not_be_sent_is_an_error_without_it() {
        let header = Auth::Header { name: "x-key".to_owned(), prefix: String::new() };
        for (auth, secret) in
            [(Some(&header), "hush\nhush"), (None, "hush"), (Some(&Auth::Basic { user: None }), "hush")]
        {
            let error = Key::new(auth, &Secret::new(secret), "mine").err().expect("refused");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }

    #[test]
    fn the_key_is_taken_out_of_texts_in_every_form() {
        let sent = key(&Auth::Query { name: "k".to_owned() }, "s3 \"cret/x");
        for form in ["s3 \"cret/x", "s3+%22cret%2Fx", "s3%20%22cret%2Fx", "s3 \\\"cret/x"] {
            assert_eq!(sent.hide(format!("at /a?k={form}: no")), "at /a?k=***: no");
        }
        assert_eq!(sent.hide("the key s3 \"cr...".to_owned()), "the key ***...");
        assert_eq!(sent.hide("is it s3...".to_owned()), "is it s3...");
        let basic = key(&Auth::Basic { user: None }, "user:pass-word");
        assert_eq!(basic.hide("user:pass-word pass-word dXNlcjpwYXNzLXdvcmQ=".to_owned()), "*** *** ***");
        let none = Key::new(None, &Secret::default(), "x").expect("no key");
        assert_eq!(none.hide("as it is...".to_owned()), "as it is...");
    }
}
