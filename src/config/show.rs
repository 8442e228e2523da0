//! Values for people's eyes: what is secret is masked.

use config::{Value, ValueKind};
use url::Url;

/// What stands for a secret.
pub(super) const MASK: &str = "***";

/// The value of a key as it may be shown.
pub(super) fn shown(key: &str, value: &Value) -> String {
    match key {
        "encryption_key" | "api.keys" | "tracing.endpoint" | "tracing.headers" if is_empty(value) => String::new(),
        "encryption_key" | "api.keys" | "tracing.headers" => MASK.to_owned(),
        "database.url" | "redis.url" | "remote_url" | "tracing.endpoint" => masked_url(&plain(value)),
        _ => plain(value),
    }
}

fn is_empty(value: &Value) -> bool {
    match &value.kind {
        ValueKind::String(text) => text.is_empty(),
        ValueKind::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn plain(value: &Value) -> String {
    match &value.kind {
        ValueKind::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        ValueKind::Table(_) => "a table".to_owned(),
        ValueKind::Nil => String::new(),
        kind => kind.to_string(),
    }
}

/// The url without its password, wherever it carries it; nothing of it where that can't be told.
pub(super) fn masked_url(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return MASK.to_owned() };
    // Such an @ tells of a password that should have been percent-encoded.
    if (!url.has_host() && text.contains('@')) || url.path().contains('@') {
        return MASK.to_owned();
    }
    if url.password().is_some() && url.set_password(Some(MASK)).is_err() {
        return MASK.to_owned();
    }
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    if pairs.iter().any(|(name, _)| name.contains("pass")) {
        let mask =
            |(name, value): (String, String)| if name.contains("pass") { (name, MASK.into()) } else { (name, value) };
        url.query_pairs_mut().clear().extend_pairs(pairs.into_iter().map(mask));
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_wherever_a_url_carries_them() {
        let cases = [
            (
                "postgresql://u:hunter2@db:5432/spark?sslmode=require",
                "postgresql://u:***@db:5432/spark?sslmode=require",
            ),
            ("redis://:hunter2@h:6379/0", "redis://:***@h:6379/0"),
            ("postgresql:///spark?user=u&password=hunter2", "postgresql:///spark?user=u&password=***"),
            ("postgresql://u@db/spark", "postgresql://u@db/spark"),
            ("u:hunter2@db", "***"),
            ("postgresql://u:12/hunter2@db/x", "***"),
            ("hunter2", "***"),
            ("postgresql://u:hunter2@db:port/x", "***"),
        ];
        for (url, expected) in cases {
            assert_eq!(masked_url(url), expected, "{url}");
        }
    }

    #[test]
    fn keys_are_masked_and_their_absence_is_not() {
        assert_eq!(shown("encryption_key", &Value::new(None, "k")), "***");
        assert_eq!(shown("encryption_key", &Value::new(None, "")), "");
        assert_eq!(shown("api.keys", &Value::new(None, vec!["a", "b"])), "***");
        assert_eq!(shown("api.cors_origins", &Value::new(None, vec!["a", "b"])), "a, b");
    }
}
