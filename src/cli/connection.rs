//! Which service to talk to, and with which key.

use clap::{Args, Subcommand};
use url::Url;

use super::Error;
use super::environment::Environment;
use crate::domain::source::Secret;

const DEFAULT_URL: &str = "http://localhost:8883";
const URL_VARIABLE: &str = "AUTOMAGIK_SPARK_REMOTE_URL";
/// The variable that holds the key; named in messages.
pub(super) const KEY_VARIABLE: &str = "AUTOMAGIK_SPARK_API_KEY";

/// Their names in versions 0.3.1 and 0.3.2 of the Python service.
const FORMER_URL_VARIABLE: &str = "AM_REMOTE_URL";
const FORMER_KEY_VARIABLE: &str = "SPARK_API_KEY";

/// The service, as typed.
///
/// These two are not clap's global options: `sources add` has a `--url` and an `--api-key` of its own, those of the
/// source, as the Python CLI had. So each place that takes them says so.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Remote {
    /// The service's address [env: AUTOMAGIK_SPARK_REMOTE_URL, default: http://localhost:8883]
    #[arg(long, value_name = "URL", help_heading = "Service")]
    pub(super) url: Option<String>,
    /// The service's key [env: AUTOMAGIK_SPARK_API_KEY]
    #[arg(long, value_name = "KEY", value_parser = secret, help_heading = "Service")]
    pub(super) api_key: Option<Secret>,
}

impl Remote {
    /// What was typed here, else there.
    pub(super) fn or(self, other: Self) -> Self {
        Self { url: other.url.or(self.url), api_key: other.api_key.or(self.api_key) }
    }
}

/// A group of commands of which each may be told the service.
#[derive(Args, Debug)]
pub(super) struct Group<C: Subcommand> {
    /// The service's address [env: AUTOMAGIK_SPARK_REMOTE_URL, default: http://localhost:8883]
    #[arg(id = "group_url", long = "url", value_name = "URL", global = true, help_heading = "Service")]
    url: Option<String>,
    /// The service's key [env: AUTOMAGIK_SPARK_API_KEY]
    #[arg(id = "group_api_key", long = "api-key", value_name = "KEY", value_parser = secret, global = true,
          help_heading = "Service")]
    api_key: Option<Secret>,
    #[command(subcommand)]
    pub(super) command: C,
}

impl<C: Subcommand> Group<C> {
    pub(super) fn remote(&self) -> Remote {
        Remote { url: self.url.clone(), api_key: self.api_key.clone() }
    }
}

/// Reads a key off the command line.
pub(super) fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

/// A service that can be talked to.
#[derive(Debug)]
pub(super) struct Target {
    /// Without query and fragment, its path without a trailing slash.
    pub(super) url: Url,
    pub(super) api_key: Option<Secret>,
}

/// Flags, then environment, then the default.
pub(super) fn target(remote: &Remote, environment: &Environment) -> Result<Target, Error> {
    let named = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((environment.get(name)?, name)));
    let (text, origin) = match (&remote.url, named([URL_VARIABLE, FORMER_URL_VARIABLE])) {
        (Some(url), _) => (url.as_str(), "--url"),
        (None, Some(found)) => found,
        (None, None) => (DEFAULT_URL, "the default url"),
    };
    let unusable =
        |reason: &str| Error::Usage(format!("{origin} can't be used: {reason}; it looks like http://localhost:8883"));
    let mut url = Url::parse(text.trim()).map_err(|error| unusable(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(unusable("it must begin with http:// or https://"));
    }
    url.set_query(None);
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    let written = named([KEY_VARIABLE, FORMER_KEY_VARIABLE]).map(|(key, _)| Secret::new(key));
    let api_key = remote.api_key.clone().or(written);
    Ok(Target { url, api_key: api_key.filter(|key| !key.expose().is_empty()) })
}

/// The service, after a command that has no `--url` of its own.
#[derive(Args, Debug)]
pub(super) struct ServiceRemote {
    /// The service's address
    #[arg(id = "service_url", long = "url", value_name = "URL", help_heading = "Service")]
    url: Option<String>,
    /// The service's key
    #[arg(id = "service_key", long = "api-key", value_name = "KEY", value_parser = secret, help_heading = "Service")]
    api_key: Option<Secret>,
}

impl ServiceRemote {
    pub(super) fn remote(&self) -> Remote {
        Remote { url: self.url.clone(), api_key: self.api_key.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(url: &str) -> Result<Target, Error> {
        target(&Remote { url: Some(url.to_owned()), api_key: None }, &Environment::default())
    }

    #[test]
    fn the_default_is_the_service_on_this_machine() {
        let target = target(&Remote::default(), &Environment::default()).expect("usable");
        assert_eq!(target.url.as_str(), "http://localhost:8883/");
        assert!(target.api_key.is_none());
    }

    #[test]
    fn a_path_before_the_api_is_kept() {
        assert_eq!(typed("https://gate/spark/?x#y").expect("usable").url.as_str(), "https://gate/spark");
    }

    #[test]
    fn what_is_no_address_is_a_usage_error_that_names_its_origin() {
        for bad in ["localhost:8883", "ftp://x", "", "http://"] {
            let error = typed(bad).expect_err(bad);
            assert_eq!(error.exit_code(), 2, "{bad}");
            assert!(error.to_string().starts_with("--url"), "{error}");
        }
    }
}
