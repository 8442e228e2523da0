//! Which service to talk to, and with which key.

use clap::{Args, Subcommand};
use url::Url;

use super::Error;
use super::environment::Environment;
use crate::config::{Config, LoadOptions};
use crate::domain::source::Secret;

/// The variable that holds the key; named in messages.
pub(super) const KEY_VARIABLE: &str = "AUTOMAGIK_SPARK_API_KEY";
/// Its name in versions 0.3.1 and 0.3.2 of the Python service.
const FORMER_KEY_VARIABLE: &str = "SPARK_API_KEY";

/// The service, as typed.
///
/// These two are not clap's global options: `sources add` has a `--url` and an `--api-key` of its own, those of the
/// source, as the Python CLI had. So each place that takes them says so.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Remote {
    /// The service's address [env: AUTOMAGIK_SPARK_REMOTE_URL, else remote_url in spark.toml, else http://localhost:8883]
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
    /// The service's address [env: AUTOMAGIK_SPARK_REMOTE_URL, else remote_url in spark.toml, else http://localhost:8883]
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

/// The address of the flag, else of the configuration, which is read only then; the key of the flag, else of the
/// environment.
pub(super) fn target(remote: &Remote, environment: &Environment, options: &LoadOptions) -> Result<Target, Error> {
    let (text, origin) = match &remote.url {
        Some(url) => (url.clone(), "--url"),
        None => (configured_url(options)?, "remote_url"),
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
    let written = [KEY_VARIABLE, FORMER_KEY_VARIABLE].into_iter().find_map(|name| environment.get(name));
    let api_key = remote.api_key.clone().or(written.map(Secret::new));
    Ok(Target { url, api_key: api_key.filter(|key| !key.expose().is_empty()) })
}

fn configured_url(options: &LoadOptions) -> Result<String, Error> {
    Config::remote_url(options).map_err(|errors| {
        Error::Usage(format!(
            "where the service is can't be read off the configuration; mend it, or give --url:\n{errors}"
        ))
    })
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
        target(&Remote { url: Some(url.to_owned()), api_key: None }, &Environment::default(), &LoadOptions::default())
    }

    #[test]
    fn the_default_is_the_service_on_this_machine() {
        let target = target(&Remote::default(), &Environment::default(), &LoadOptions::default()).expect("usable");
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

    #[test]
    fn the_configuration_is_asked_where_no_flag_says_it_and_a_bad_value_is_told_with_its_origin() {
        let with = |text: &str, env: &[(&str, &str)], url: Option<&str>| {
            let directory = tempfile::tempdir().expect("a directory");
            let file = directory.path().join("spark.toml");
            std::fs::write(&file, text).expect("written");
            let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let options = LoadOptions { search: vec![file], env, ..LoadOptions::default() };
            let remote = Remote { url: url.map(str::to_owned), api_key: None };
            let target = target(&remote, &Environment::default(), &options);
            target.map(|target| target.url.to_string()).map_err(|error| (error.exit_code(), error.to_string()))
        };
        let at = |url: &str| Ok(format!("{url}/"));
        let (file, named) = ("remote_url = \"http://file:1/\"", ("AUTOMAGIK_SPARK_REMOTE_URL", "http://named:2"));
        assert_eq!(with(file, &[], None), at("http://file:1"));
        assert_eq!(with("[api]\nport = 9000", &[], None), at("http://localhost:9000"));
        assert_eq!(with(file, &[named], None), at("http://named:2"));
        assert_eq!(with(file, &[named, ("SPARK__REMOTE_URL", "http://path:3")], None), at("http://path:3"));
        assert_eq!(with(file, &[("AM_REMOTE_URL", "http://former:4")], None), at("http://file:1"));
        assert_eq!(with("", &[("AM_REMOTE_URL", "http://former:4")], None), at("http://former:4"));
        assert_eq!(with(file, &[named], Some("http://flag:5")), at("http://flag:5"));

        // What is wrong elsewhere is the service's affair.
        assert_eq!(
            with("[worker]\nthreads = 0\n[api]\nport = 9000\nhoost = 1", &[], None),
            at("http://localhost:9000")
        );
        for (broken, part) in [
            ("remote_url = \"file:1\"", "spark.toml): must be a url"),
            ("[api]\nport = 70000", "spark.toml): must be a whole number"),
            ("[api]\nport = 0", "spark.toml): is 0"),
            ("remote_url = http", "spark.toml: "),
        ] {
            let (code, text) = with(broken, &[], None).expect_err(broken);
            assert!(code == 2 && text.contains(part) && text.contains("--url"), "{broken}: {text}");
            assert_eq!(with(broken, &[named], None), at("http://named:2"), "{broken}");
            assert_eq!(with(broken, &[], Some("http://flag:5")), at("http://flag:5"), "{broken}");
        }
        let (_, text) = with(file, &[("AUTOMAGIK_SPARK_REMOTE_URL", "named:2")], None).expect_err("no address");
        assert!(text.contains("remote_url (environment variable AUTOMAGIK_SPARK_REMOTE_URL)"), "{text}");
    }
}
