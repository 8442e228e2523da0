//! Section `[tracing]`: where traces go.

use url::Url;

use super::read::Reader;
use crate::domain::source::Secret;

/// Where OTLP has traces below a collector's url.
const PATH: &str = "/v1/traces";
/// The port that collectors use for gRPC, which is not spoken here.
const GRPC_PORT: u16 = 4317;

/// What is told of tasks, and to whom.
#[derive(Clone, Debug)]
pub struct TracingConfig {
    /// The url that takes traces, with its path; none switches them off. It may hold a password.
    pub url: Option<Secret>,
    /// Headers that the collector wants.
    pub headers: Vec<(String, Secret)>,
    /// Under which name this service shows there.
    pub service_name: String,
    /// The share of traces that is told.
    pub sample_ratio: f64,
}

impl TracingConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            url: url(reader),
            headers: headers(reader),
            service_name: service_name(reader),
            sample_ratio: reader.number("tracing.sample_ratio", 0.0..=1.0, ""),
        }
    }
}

fn url(reader: &mut Reader) -> Option<Secret> {
    let key = "tracing.endpoint";
    let text = reader.text(key);
    if text.is_empty() {
        return None;
    }
    let url = Url::parse(&text).ok();
    let usable = url.filter(|url| {
        // An @ behind the host tells of a password that should have been percent-encoded.
        ["http", "https"].contains(&url.scheme())
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
            && !url.path().contains('@')
    });
    let Some(mut url) = usable else {
        // Without the value: a query may hold a key.
        let message =
            "must be a url such as http://localhost:4318, without ? and #, to which /v1/traces is added; or empty";
        reader.problem(key, message);
        return None;
    };
    if url.port() == Some(GRPC_PORT) {
        let origin = reader.origin(key);
        let told =
            format!("{key} ({origin}): port 4317 is OTLP over gRPC as a rule; Spark sends it over HTTP, port 4318");
        reader.warnings.push(told);
    }
    let path = url.path().trim_end_matches('/').to_owned();
    if !path.ends_with(PATH) {
        url.set_path(&format!("{path}{PATH}"));
    }
    Some(Secret::new(url))
}

/// `NAME=value` each, the values percent-encoded, as `OTEL_EXPORTER_OTLP_HEADERS` has them.
fn headers(reader: &mut Reader) -> Vec<(String, Secret)> {
    let key = "tracing.headers";
    let read = |item: &String| {
        let (name, value) = item.split_once('=')?;
        let value = percent_decoded(value.trim())?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let name = name.trim();
        let fits =
            !name.is_empty() && name.bytes().all(is_name) && value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        fits.then(|| (name.to_owned(), Secret::new(value)))
    };
    let items = reader.list(key);
    let headers: Option<Vec<_>> = items.iter().map(read).collect();
    headers.unwrap_or_else(|| {
        reader.wrong(key, "a list of NAME=value, with characters that a header can carry (percent-encode others)");
        Vec::new()
    })
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let (taken, tail) = match byte {
            b'%' => {
                let (digits, tail) = tail.split_at_checked(2)?;
                (u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?, tail)
            }
            byte => (byte, tail),
        };
        bytes.push(taken);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

fn service_name(reader: &mut Reader) -> String {
    let name = reader.text("tracing.service_name");
    if !(1..=255).contains(&name.chars().count()) {
        reader.wrong("tracing.service_name", "a text of 1 to 255 characters");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Errors, LoadOptions};
    use super::*;

    fn load(env: &[(&str, &str)]) -> Result<Config, Errors> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::load(&LoadOptions { env, ..LoadOptions::default() })
    }

    fn url(endpoint: &str) -> Option<String> {
        let config = load(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]).expect("sound");
        config.tracing.url.map(|url| url.expose().to_owned())
    }

    #[test]
    fn traces_go_nowhere_until_somebody_says_where() {
        assert_eq!(url(""), None);
        for (endpoint, expected) in [
            ("http://localhost:4318", "http://localhost:4318/v1/traces"),
            ("http://localhost:4318/", "http://localhost:4318/v1/traces"),
            ("https://otlp.example/otlp/", "https://otlp.example/otlp/v1/traces"),
            ("https://tempo.example/v1/traces", "https://tempo.example/v1/traces"),
        ] {
            assert_eq!(url(endpoint).as_deref(), Some(expected));
        }
    }

    #[test]
    fn the_variables_of_opentelemetry_count() {
        let config = load(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Basic%20aHVzaDo%3D, X-Tenant=a"),
            ("OTEL_SERVICE_NAME", "spark-west"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ])
        .expect("sound");
        let TracingConfig { headers, service_name, sample_ratio, .. } = config.tracing;
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(headers, [("Authorization", "Basic aHVzaDo="), ("X-Tenant", "a")]);
        assert_eq!((service_name.as_str(), sample_ratio), ("spark-west", 0.25));
    }

    #[test]
    fn what_can_not_be_used_is_told_and_secrets_are_not() {
        for (name, value, key) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", "tracing.endpoint"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:hunter2/x@c:4318", "tracing.endpoint"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318?key=hunter2", "tracing.endpoint"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2", "tracing.headers"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=hunter2%0a", "tracing.headers"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=hunter2%zz", "tracing.headers"),
            ("OTEL_TRACES_SAMPLER_ARG", "1.5", "tracing.sample_ratio"),
        ] {
            let problems = load(&[(name, value)]).expect_err(value).0;
            let [problem] = problems.as_slice() else { panic!("{value}: {problems:?}") };
            assert!(problem.key == key && !problem.to_string().contains("hunter2"), "{value}: {problem}");
        }
        let config = load(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:hunter2@c:4317"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=hunter2"),
        ])
        .expect("sound");
        assert!(config.warnings.iter().any(|warning| warning.contains("port 4317 is OTLP over gRPC")));
        let shown = format!("{config:?} {:?}", config.explain());
        assert!(shown.contains("http://u:***@c:4317") && !shown.contains("hunter2"), "{shown}");
    }
}
