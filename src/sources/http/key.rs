//! A source's key, as an adapter has it sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use url::Url;

use crate::domain::adapter::Auth;
use crate::domain::source::Secret;
use crate::sources::Error;
use crate::sources::discreet::Secrets;

/// A key, ready to be sent.
pub(super) struct Key {
    pub(super) header: Option<(HeaderName, HeaderValue)>,
    parameter: Option<(String, String)>,
}

impl Key {
    /// The key as an adapter has it sent; what is made of it for that joins the secrets.
    ///
    /// # Errors
    /// There is a key and the adapter does not say how to send it, or it can't be sent that way.
    pub(super) fn new(auth: Option<&Auth>, key: &Secret, adapter: &str, secrets: &mut Secrets) -> Result<Self, Error> {
        let mut sent = Self { header: None, parameter: None };
        let key = key.expose();
        if key.is_empty() {
            return Ok(sent);
        }
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
                    secrets.add(password);
                }
                let encoded = STANDARD.encode(&pair);
                secrets.add(&encoded);
                sent.header = Some((AUTHORIZATION, secret_value(&format!("Basic {encoded}"))?));
            }
        }
        Ok(sent)
    }

    /// Puts the key into a url, where that is its place.
    pub(super) fn sign(&self, url: &mut Url) {
        if let Some((name, key)) = &self.parameter {
            url.query_pairs_mut().append_pair(name, key);
        }
    }
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
        Key::new(Some(auth), &Secret::new(key), "x", &mut Secrets::default()).expect("a key")
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
            let error = Key::new(auth, &Secret::new(secret), "mine", &mut Secrets::default()).err().expect("refused");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }

    #[test]
    fn what_http_basic_makes_of_a_key_is_a_secret_too() {
        let key = Secret::new("user:pass-word");
        let mut secrets = Secrets::of(&key);
        Key::new(Some(&Auth::Basic { user: None }), &key, "x", &mut secrets).expect("a key");
        assert_eq!(secrets.hide("user:pass-word pass-word dXNlcjpwYXNzLXdvcmQ=".to_owned()), "*** *** ***");
    }
}
