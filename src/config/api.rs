//! Section `[api]`, and who may reach it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::read::Reader;
use crate::domain::source::Secret;

/// How the API is served.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// Accepted API keys; none means that no key is asked for, which only loopback may have.
    pub keys: Vec<Secret>,
    /// Origins whose pages may call the API, without trailing slash; `*` is any, without credentials.
    pub cors_origins: Vec<String>,
    /// Threads that serve HTTP.
    pub workers: usize,
    /// Largest request body.
    pub max_body_bytes: usize,
    /// Most pending tasks at which more are accepted; 0 is no limit.
    pub max_pending: u64,
    /// The same for each queue.
    pub max_pending_per_queue: u64,
    /// Most open connections.
    pub max_connections: usize,
    /// Most open event streams.
    pub max_streams: usize,
    /// Whether metrics need no key.
    pub metrics_open: bool,
}

impl ApiConfig {
    /// Where to listen.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// `serves`: whether this node listens at all.
    pub(super) fn read(reader: &mut Reader, serves: bool) -> Self {
        let keys = keys(reader);
        let host = host(reader, !keys.is_empty(), serves);
        let cors_origins = cors_origins(reader, !keys.is_empty());
        Self {
            host,
            port: reader.whole("api.port", 0..=65535),
            keys,
            cors_origins,
            workers: usize::from(reader.whole::<u16>("api.workers", 1..=256)),
            max_body_bytes: reader.whole::<u32>("api.max_body_bytes", 1024..=1 << 30) as usize,
            max_pending: reader.whole::<u64>("api.max_pending", 0..=u64::from(u32::MAX)),
            max_pending_per_queue: reader.whole::<u64>("api.max_pending_per_queue", 0..=u64::from(u32::MAX)),
            max_connections: reader.whole::<u32>("api.max_connections", 16..=1_000_000) as usize,
            max_streams: usize::from(reader.whole::<u16>("api.max_streams", 0..=50_000)),
            metrics_open: reader.flag("api.metrics_open"),
        }
    }
}

fn keys(reader: &mut Reader) -> Vec<Secret> {
    let keys = reader.list("api.keys");
    // Other characters can't stand in a header, so such a key would never match.
    if keys.iter().any(|key| key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic())) {
        reader.problem("api.keys", "must be texts of visible ASCII characters; leave the list empty for no key");
    }
    if keys.iter().any(|key| (1..16).contains(&key.len())) {
        let origin = reader.origin("api.keys").to_owned();
        reader.warnings.push(format!("api.keys ({origin}) has a key of less than 16 characters: it can be guessed"));
    }
    keys.into_iter().map(Secret::new).collect()
}

fn host(reader: &mut Reader, has_key: bool, serves: bool) -> IpAddr {
    let host = match reader.unless_auto("api.host") {
        None => {
            let host = if has_key { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
            reader.resolve("api.host", host);
            host.into()
        }
        Some(text) if text.eq_ignore_ascii_case("localhost") => Ipv4Addr::LOCALHOST.into(),
        Some(text) => text.trim_matches(['[', ']']).parse().unwrap_or_else(|_| {
            reader.wrong("api.host", "an IP address such as 127.0.0.1, 0.0.0.0 or ::1, or localhost");
            IpAddr::from(Ipv4Addr::LOCALHOST)
        }),
    };
    // A problem with the keys themselves is not a missing key.
    if serves && !has_key && !host.is_loopback() && reader.is_sound(&["api.keys"]) {
        let message = format!(
            "without an API key the service listens on loopback only, and {host} is not loopback; set \
             AUTOMAGIK_SPARK_API_KEY (or api.keys), or use 127.0.0.1"
        );
        reader.problem("api.host", message);
    }
    host
}

/// What stands for every origin.
const ANY: &str = "*";

fn cors_origins(reader: &mut Reader, has_key: bool) -> Vec<String> {
    let origins = reader.list("api.cors_origins");
    let is_origin = |text: &str| {
        url::Url::parse(text).is_ok_and(|url| {
            ["http", "https"].contains(&url.scheme())
                && url.path() == "/"
                && url.query().is_none()
                && url.username().is_empty()
                && !text.contains(ANY)
        })
    };
    if let Some(bad) = origins.iter().find(|origin| *origin != ANY && !is_origin(origin)) {
        let message = format!("must be origins such as https://example.org, or `*` for all of them, not `{bad}`");
        reader.problem("api.cors_origins", message);
    }
    if origins.iter().any(|origin| origin == ANY) {
        let origin = reader.origin("api.cors_origins").to_owned();
        let danger = if has_key {
            "pages of every site may call the API with a key that they were given"
        } else {
            "no API key is configured, so unless one is stored every page that a browser on this machine opens may do \
             anything here; set a key"
        };
        reader.warnings.push(format!("api.cors_origins ({origin}) is `*`: {danger}; name the origins that are meant"));
    }
    origins.into_iter().map(|origin| origin.trim_end_matches('/').to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Config, LoadOptions};

    #[test]
    fn any_origin_is_accepted_as_the_python_service_did_and_warned_of() {
        let load = |variables: &[(&str, &str)]| {
            let env = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            Config::load(&LoadOptions { env, ..LoadOptions::default() }).expect("sound")
        };
        let any = ("AUTOMAGIK_SPARK_API_CORS", "*");
        let config = load(&[any, ("AUTOMAGIK_SPARK_API_KEY", "0123456789abcdef")]);
        assert_eq!(config.api.cors_origins, ["*"]);
        let [warning] = config.warnings.as_slice() else { panic!("one warning: {:?}", config.warnings) };
        assert!(warning.contains("AUTOMAGIK_SPARK_API_CORS") && warning.contains("with a key"), "{warning}");
        let [warning] = load(&[any]).warnings.try_into().expect("one warning");
        assert!(warning.contains("no API key is configured"), "{warning}");
    }
}
