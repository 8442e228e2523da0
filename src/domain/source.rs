//! Sources: external servers that hold workflows.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// The kind of a source; decides the adapter that talks to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// A LangFlow server.
    Langflow,
    /// Automagik Hive, and AgentOS of agno 2 and 3.
    AutomagikHive,
    /// Automagik Agents.
    AutomagikAgents,
    /// Any HTTP endpoint, described by an adapter file.
    Http,
}

impl SourceKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Langflow, Self::AutomagikHive, Self::AutomagikAgents, Self::Http];

    /// The kind's name in the database, the API and the CLI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Langflow => "langflow",
            Self::AutomagikHive => "automagik-hive",
            Self::AutomagikAgents => "automagik-agents",
            Self::Http => "http",
        }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is no kind of source.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("source_type must be one of langflow, automagik-hive, automagik-agents, http")]
pub struct SourceKindError;

impl FromStr for SourceKind {
    type Err = SourceKindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(SourceKindError)
    }
}

/// A text that must not be shown: `Debug` prints no part of it, there is no `Display`, and its memory is overwritten
/// when it is dropped. What was made of it meanwhile, a header or a sealed form, has a life of its own.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends or compares it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How the certificate of a source's server is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// By the authorities that this machine trusts.
    #[default]
    Machine,
    /// By these alone: certificates in PEM, of authorities or of the server itself.
    Only(Arc<str>),
    /// Not at all: whoever answers is believed.
    Unchecked,
}

impl Trust {
    /// What a source's two settings mean together.
    pub fn of(verify: bool, ca: Option<&str>) -> Self {
        match (verify, ca) {
            (false, _) => Self::Unchecked,
            (true, Some(ca)) => Self::Only(ca.into()),
            (true, None) => Self::Machine,
        }
    }
}

/// Where a source is and how to open it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    /// What speaks there.
    pub kind: SourceKind,
    /// Without a trailing slash.
    pub url: String,
    /// The source's own API key; empty where it needs none.
    pub api_key: Secret,
    /// The name of the adapter that describes it; only sources of kind `http` have one.
    pub adapter: Option<String>,
    /// How the server's certificate is checked, where the url is `https`.
    pub trust: Trust,
}

/// A url without its trailing slashes: how urls are stored and compared.
pub fn trim_url(url: &str) -> &str {
    url.trim().trim_end_matches('/')
}
