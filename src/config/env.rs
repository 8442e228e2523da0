//! What the environment says: the names of the Python service, and `SPARK__SECTION__KEY` for every key.

use config::Value;

use super::error::Problem;
use super::raw::{Layer, parse_toml, text};

/// The names of the Python service and the keys they set. Of several names for a key the last one wins.
pub(super) const ALIASES: [(&str, &str); 26] = [
    ("AUTOMAGIK_SPARK_ENV", "environment"),
    ("ENVIRONMENT", "environment"),
    ("AUTOMAGIK_TIMEZONE", "timezone"),
    ("AUTOMAGIK_SPARK_REMOTE_URL", "remote_url"),
    ("AUTOMAGIK_ENCRYPTION_KEY", "encryption_key"),
    ("AUTOMAGIK_SPARK_ENCRYPTION_KEY", "encryption_key"),
    ("AUTOMAGIK_SPARK_API_KEY", "api.keys"),
    ("AUTOMAGIK_SPARK_API_HOST", "api.host"),
    ("AUTOMAGIK_SPARK_API_PORT", "api.port"),
    ("AUTOMAGIK_SPARK_API_CORS", "api.cors_origins"),
    ("AUTOMAGIK_SPARK_DATABASE_URL", "database.url"),
    (RESULT_BACKEND, "redis.url"),
    (BROKER_URL, "redis.url"),
    (REDIS_URL, "redis.url"),
    ("AUTOMAGIK_SPARK_HTTP_TIMEOUT", "worker.http_timeout_s"),
    ("CELERY_WORKER_CONCURRENCY", "worker.threads"),
    ("CELERY_WORKER_PREFETCH_MULTIPLIER", "worker.prefetch_multiplier"),
    ("CELERY_WORKER_MAX_TASKS_PER_CHILD", "worker.max_tasks_per_child"),
    ("CELERY_WORKER_MAX_MEMORY_PER_CHILD", "worker.max_memory_per_child_kb"),
    ("CELERY_TASK_SOFT_TIME_LIMIT", "worker.soft_time_limit_s"),
    ("CELERY_TASK_TIME_LIMIT", "worker.time_limit_s"),
    ("CELERY_TASK_MAX_RETRIES", "worker.max_retries"),
    ("CELERY_TASK_RETRY_BACKOFF_MAX", "worker.retry_backoff_max_s"),
    ("AUTOMAGIK_SPARK_WORKER_LOG", "log.file"),
    ("LOG_LEVEL", "log.level"),
    ("AUTOMAGIK_SPARK_LOG_LEVEL", "log.level"),
];

const RESULT_BACKEND: &str = "AUTOMAGIK_SPARK_CELERY_RESULT_BACKEND";
const BROKER_URL: &str = "AUTOMAGIK_SPARK_CELERY_BROKER_URL";
const REDIS_URL: &str = "AUTOMAGIK_SPARK_REDIS_URL";

/// Names that the Python service or its compose files read and that mean nothing here, and why.
const MEANINGLESS: [(&str, &str); 12] = [
    ("AUTOMAGIK_SPARK_DISABLE_TELEMETRY", "nothing is collected, with it or without it"),
    ("AUTOMAGIK_SPARK_TELEMETRY_ENDPOINT", "nothing is collected, so nothing is sent"),
    ("AUTOMAGIK_SPARK_POSTGRES_HOST", "AUTOMAGIK_SPARK_DATABASE_URL says where PostgreSQL is"),
    ("AUTOMAGIK_SPARK_POSTGRES_PORT", "AUTOMAGIK_SPARK_DATABASE_URL says where PostgreSQL is"),
    ("AUTOMAGIK_SPARK_REDIS_HOST", "AUTOMAGIK_SPARK_CELERY_BROKER_URL says where Redis is"),
    ("AUTOMAGIK_SPARK_REDIS_PORT", "AUTOMAGIK_SPARK_CELERY_BROKER_URL says where Redis is"),
    ("CELERY_BROKER_URL", "the name is AUTOMAGIK_SPARK_CELERY_BROKER_URL"),
    ("CELERY_RESULT_BACKEND", "results are kept in PostgreSQL"),
    ("CELERY_TASK_RETRY_BACKOFF", "retries always wait 2, 4, 8 seconds and so on"),
    ("CELERY_TASK_TRACK_STARTED", "a running task always shows as running"),
    ("LANGFLOW_API_URL", "add the server with `automagik-spark sources add`"),
    ("LANGFLOW_API_KEY", "add the server and its key with `automagik-spark sources add`"),
];

/// What a set of variables says.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) layer: Layer,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
}

/// Reads variables. `label` says where they stand ("environment variable"). An empty value counts as not set: that is
/// how compose files pass on what nobody set.
pub(super) fn read(variables: &[(String, String)], label: &str) -> Outcome {
    let mut outcome = Outcome::default();
    let given = |name: &str| variables.iter().rev().find(|(n, v)| n == name && !v.trim().is_empty()).map(|(_, v)| v);
    for (name, key) in ALIASES {
        let Some(value) = given(name) else { continue };
        let origin = format!("{label} {name}");
        if name == "AUTOMAGIK_SPARK_HTTP_TIMEOUT" && value.trim().parse::<f64>().is_ok_and(|s| s < 30.0) {
            let message = format!("must be a number of seconds from 30 to 3600, not `{value}`");
            outcome.problems.push(Problem { key: key.to_owned(), origin: origin.clone(), message });
        }
        // A key is taken as it is: it may hold a comma.
        let value =
            if key == "api.keys" { Value::new(Some(&origin), vec![value.as_str()]) } else { text(value, &origin) };
        outcome.layer.insert(key.to_owned(), value);
    }
    if let (Some(backend), Some(broker)) = (given(RESULT_BACKEND), given(REDIS_URL).or_else(|| given(BROKER_URL)))
        && backend != broker
    {
        outcome.warnings.push(format!("{label} {RESULT_BACKEND} means nothing here: results are kept in PostgreSQL"));
    }
    for (name, value) in variables.iter().filter(|(_, value)| !value.trim().is_empty()) {
        if let Some(path) = name.strip_prefix("SPARK__") {
            generic(&mut outcome, name, &path.to_lowercase().replace("__", "."), value, label);
        } else if let Some((_, reason)) = MEANINGLESS.iter().find(|(known, _)| known == name) {
            outcome.warnings.push(format!("{label} {name} means nothing here: {reason}"));
        } else if name.starts_with("AUTOMAGIK_SPARK_") && !ALIASES.iter().any(|(known, _)| known == name) {
            let hint = super::load::closest(name, ALIASES.iter().map(|(known, _)| *known));
            let hint = hint.map(|known| format!("; did you mean {known}?")).unwrap_or_default();
            outcome.warnings.push(format!("{label} {name} is not known and means nothing here{hint}"));
        }
    }
    outcome
}

/// `SPARK__SECTION__KEY`. Pools are given as a whole, in TOML: `SPARK__POOLS=[{name = "a", queues = ["a"]}]`.
fn generic(outcome: &mut Outcome, name: &str, key: &str, value: &str, label: &str) {
    let origin = format!("{label} {name}");
    if key != "pools" {
        outcome.layer.insert(key.to_owned(), text(value, &origin));
        return;
    }
    match parse_toml(&format!("pools = {value}"), &origin) {
        Ok(pools) => outcome.layer.extend(pools),
        Err(error) => {
            let message = format!("must be a TOML array such as [{{name = \"a\", queues = [\"a\"]}}]: {error}");
            outcome.problems.push(Problem { key: key.to_owned(), origin, message });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_pairs(pairs: &[(&str, &str)]) -> Outcome {
        let pairs: Vec<_> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        read(&pairs, "environment variable")
    }

    #[test]
    fn aliases_set_keys_that_exist() {
        let defaults = super::super::load::defaults();
        for (name, key) in ALIASES {
            assert!(defaults.contains_key(key), "{name} sets {key}");
        }
    }

    #[test]
    fn of_several_names_the_more_telling_one_wins_and_the_full_path_beats_them_all() {
        let url = |pairs: &[(&str, &str)]| read_pairs(pairs).layer["redis.url"].to_string();
        let (result, broker, redis) =
            ((RESULT_BACKEND, "redis://r"), (BROKER_URL, "redis://b"), (REDIS_URL, "redis://u"));
        assert_eq!(url(&[result]), "redis://r");
        assert_eq!(url(&[broker, result]), "redis://b");
        assert_eq!(url(&[redis, broker, result]), "redis://u");
        assert_eq!(url(&[("SPARK__REDIS__URL", "redis://s"), redis, broker]), "redis://s");
        assert_eq!(
            read_pairs(&[("LOG_LEVEL", "debug"), ("AUTOMAGIK_SPARK_LOG_LEVEL", "")]).layer["log.level"].to_string(),
            "debug"
        );
    }

    #[test]
    fn names_without_meaning_are_warned_about_with_the_reason() {
        let warnings = read_pairs(&[
            ("LANGFLOW_API_URL", "http://x"),
            ("AUTOMAGIK_SPARK_DATABSE_URL", "postgresql://x"),
            (BROKER_URL, "redis://h/0"),
            (RESULT_BACKEND, "redis://h/1"),
            ("PATH", "/bin"),
        ])
        .warnings
        .join("\n");
        assert!(warnings.contains("LANGFLOW_API_URL means nothing here: add the server"), "{warnings}");
        assert!(warnings.contains("did you mean AUTOMAGIK_SPARK_DATABASE_URL?"), "{warnings}");
        assert!(warnings.contains("results are kept in PostgreSQL") && !warnings.contains("PATH"), "{warnings}");
    }

    #[test]
    fn pools_are_given_in_toml() {
        let outcome = read_pairs(&[("SPARK__POOLS", r#"[{name = "a", queues = ["b"]}]"#)]);
        assert!(outcome.problems.is_empty() && outcome.layer.contains_key("pools"));
        assert_eq!(read_pairs(&[("SPARK__POOLS", "a,b")]).problems.len(), 1);
    }
}
