//! What a request says of a source, and whether that can be one.

use serde::Deserialize;
use utoipa::ToSchema;

use super::error::{Error, Problem};
use super::limits::LimitsBody;
use crate::domain::adapter::Adapters;
use crate::domain::source::{Secret, SourceKind, trim_url};
use crate::domain::workflow::UnknownPolicy;
use crate::sources::check_certificates;

const NAME_MAX: usize = 255;
const URL_MAX: usize = 2048;
const KEY_MAX: usize = 4096;
/// Some twenty certificates.
const CA_MAX: usize = 64 * 1024;

/// A source to add.
#[derive(Debug, Deserialize, ToSchema)]
pub struct NewSource {
    /// `langflow`, `automagik-hive`, `automagik-agents` or `http`.
    #[schema(value_type = String, example = "langflow")]
    pub(super) source_type: SourceKind,
    /// Where it is.
    #[schema(example = "http://localhost:7860")]
    pub(super) url: String,
    /// The adapter that describes it, by name: required for sources of type `http`, and only for those.
    #[schema(example = "n8n")]
    pub(super) adapter: Option<String>,
    /// Shown to people; made from the host where there is none.
    pub(super) name: Option<String>,
    /// The source's own key. It is stored encrypted and never shown.
    #[schema(value_type = Option<String>)]
    pub(super) api_key: Option<Secret>,
    /// What to do where it is unknown whether the source ran a flow.
    pub(super) unknown_policy: Option<Policy>,
    /// Whether the server's certificate is checked (true), where the url is `https`. Without that anybody who stands between
    /// can read the key and answer in the server's place.
    pub(super) tls_verify: Option<bool>,
    /// The certificates to check it by, PEM: of the authorities that signed it, or the server's own. They take the place of
    /// those that this machine trusts.
    pub(super) tls_ca: Option<String>,
    #[serde(flatten)]
    pub(super) limits: LimitsBody,
}

/// What to change of a source; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
pub struct SourcePatch {
    pub(super) name: Option<String>,
    #[schema(value_type = Option<String>)]
    pub(super) source_type: Option<SourceKind>,
    pub(super) url: Option<String>,
    pub(super) adapter: Option<String>,
    #[schema(value_type = Option<String>)]
    pub(super) api_key: Option<Secret>,
    pub(super) status: Option<Status>,
    pub(super) unknown_policy: Option<Policy>,
    pub(super) tls_verify: Option<bool>,
    /// Empty takes it away.
    pub(super) tls_ca: Option<String>,
    #[serde(flatten)]
    pub(super) limits: LimitsBody,
}

/// Whether a source is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is.
    Active,
    /// Its flows are not listed.
    Inactive,
}

/// What to do where it is unknown whether a source ran a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Run it again.
    Retry,
    /// Fail the task.
    Fail,
}

impl From<Policy> for UnknownPolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Retry => Self::Retry,
            Policy::Fail => Self::Fail,
        }
    }
}

pub(super) fn checked_url(text: &str) -> Result<String, Error> {
    let refuse = |msg: &str| Err(Error::invalid(Problem::body("url", msg)));
    let text = trim_url(text);
    let Ok(url) = url::Url::parse(text) else {
        return refuse("url must be an absolute url such as http://localhost:7860");
    };
    if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
        return refuse("url must begin with http:// or https:// and name a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("url must not hold a user or password, since urls are shown; use api_key");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("url must be the base url of the source, without ? or #");
    }
    if text.len() > URL_MAX {
        return refuse("url must not be longer than 2048 characters");
    }
    Ok(text.to_owned())
}

pub(super) fn checked_name(name: &str) -> Result<String, Error> {
    let refuse = |msg: &str| Err(Error::invalid(Problem::body("name", msg)));
    if !(1..=NAME_MAX).contains(&name.chars().count()) {
        return refuse("name must have 1 to 255 characters");
    }
    // Names stand in logs and on terminals, where a line end or an escape would say something of its own.
    if name.chars().any(char::is_control) {
        return refuse("name must not have control characters, such as line ends");
    }
    Ok(name.to_owned())
}

pub(super) fn checked_key(key: Secret) -> Result<Secret, Error> {
    let fits = key.expose().len() <= KEY_MAX;
    if fits {
        Ok(key)
    } else {
        Err(Error::invalid(Problem::body("api_key", "api_key must not be longer than 4096 bytes")))
    }
}

/// Certificates that a source's server is checked by; empty is none.
pub(super) fn checked_ca(pem: &str) -> Result<Option<String>, Error> {
    let refuse = |msg: String| Err(Error::invalid(Problem::body("tls_ca", msg)));
    let pem = pem.trim();
    if pem.is_empty() {
        return Ok(None);
    }
    if pem.len() > CA_MAX {
        return refuse(format!("tls_ca must not be longer than {CA_MAX} bytes: give only the authority that signs"));
    }
    match check_certificates(pem) {
        Ok(()) => Ok(Some(format!("{pem}\n"))),
        Err(why) => refuse(format!("tls_ca {why}")),
    }
}

/// A name for a source that was given none: its host, with the port where it says one.
pub(super) fn name_of(url: &str) -> String {
    let Ok(url) = url::Url::parse(url) else { return "source".to_owned() };
    let host = url.host_str().unwrap_or("source");
    let name = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    name.chars().take(NAME_MAX).collect()
}

/// A source of type `http` is spoken to as an adapter says, any other as its type says.
pub(super) fn checked_adapter(
    kind: SourceKind,
    adapter: Option<String>,
    adapters: &Adapters,
) -> Result<Option<String>, Error> {
    let refuse = |msg: String| Err(Error::invalid(Problem::body("adapter", msg)));
    match (kind, adapter) {
        (SourceKind::Http, None) => {
            refuse(format!("a source of type http needs an adapter, one of {}", adapters.names()))
        }
        (SourceKind::Http, Some(name)) if adapters.get(&name).is_none() => {
            refuse(format!("there is no adapter {name:?}; there are {}", adapters.names()))
        }
        (SourceKind::Http, name) => Ok(name),
        (_, None) => Ok(None),
        (kind, Some(_)) => refuse(format!("a source of type {kind} has no adapter; only those of type http have one")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked_and_kept_as_given() {
        assert_eq!(checked_url(" http://Host:7860/base// ").ok().as_deref(), Some("http://Host:7860/base"));
        let long = format!("http://h/{}", "x".repeat(URL_MAX));
        for bad in
            ["", "host:7860", "ftp://host", "http://", "http://u:p@host", "http://h/?a=1", "http://h/#a", "/x", &long]
        {
            assert!(checked_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_one_line_of_visible_characters() {
        assert_eq!(checked_name("flows of the möbius team").ok().as_deref(), Some("flows of the möbius team"));
        for bad in ["", "a\nb", "a\r\nX-Y: z", "\u{1b}[2J", "\u{85}", &"x".repeat(NAME_MAX + 1)] {
            assert!(checked_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_made_from_the_host() {
        assert_eq!(name_of("http://localhost:7860"), "localhost:7860");
        assert_eq!(name_of("https://flows.example.com/lf"), "flows.example.com");
        assert_eq!(name_of("http://[::1]:7860"), "[::1]:7860");
    }
}
