//! What the environment says: the names of the Python service and of OpenTelemetry, and `SPARK__SECTION__KEY` for every key.

use config::Value;

use super::error::Problem;
use super::raw::{Layer, parse_toml, text};

/// The names of the Python service and of OpenTelemetry, and the keys they set. Of several names for a key the last one wins.
pub(super) const ALIASES: [(&str, &str); 30] = [
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
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "tracing.endpoint"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "tracing.headers"),
    ("OTEL_SERVICE_NAME", "tracing.service_name"),
    ("OTEL_TRACES_SAMPLER_ARG", "tracing.sample_ratio"),
];

const RESULT_BACKEND: &str = "AUTOMAGIK_SPARK_CELERY_RESULT_BACKEND";
const BROKER_URL: &str = "AUTOMAGIK_SPARK_CELERY_BROKER_URL";
const REDIS_URL: &str = "AUTOMAGIK_SPARK_REDIS_URL";

/// Names that versions 0.2 to 0.3.2 of the Python service read. They stand below everything else, the operator's file
/// too: a `DATABASE_URL` of the shell must not overrule what was written for Spark. Of several names for a key the last
/// one wins.
pub(super) const FORMER: [(&str, &str, &str); 17] = [
    ("AUTOMAGIK_ENV", "environment", "AUTOMAGIK_SPARK_ENV"),
    ("AM_ENV", "environment", "AUTOMAGIK_SPARK_ENV"),
    ("AUTOMAGIK_SPARK_TIMEZONE", "timezone", "AUTOMAGIK_TIMEZONE"),
    ("AM_TIMEZONE", "timezone", "AUTOMAGIK_TIMEZONE"),
    ("AM_REMOTE_URL", "remote_url", "AUTOMAGIK_SPARK_REMOTE_URL"),
    ("SPARK_ENCRYPTION_KEY", "encryption_key", "AUTOMAGIK_SPARK_ENCRYPTION_KEY"),
    ("SPARK_API_KEY", "api.keys", "AUTOMAGIK_SPARK_API_KEY"),
    ("AM_API_HOST", "api.host", "AUTOMAGIK_SPARK_API_HOST"),
    ("AM_API_PORT", "api.port", "AUTOMAGIK_SPARK_API_PORT"),
    ("AM_API_CORS", "api.cors_origins", "AUTOMAGIK_SPARK_API_CORS"),
    ("DATABASE_URL", "database.url", "AUTOMAGIK_SPARK_DATABASE_URL"),
    ("CELERY_RESULT_BACKEND", "redis.url", BROKER_URL),
    ("CELERY_BROKER_URL", "redis.url", BROKER_URL),
    ("AUTOMAGIK_WORKER_LOG", "log.file", "AUTOMAGIK_SPARK_WORKER_LOG"),
    ("AM_WORKER_LOG", "log.file", "AUTOMAGIK_SPARK_WORKER_LOG"),
    ("AUTOMAGIK_LOG_LEVEL", "log.level", "AUTOMAGIK_SPARK_LOG_LEVEL"),
    ("AM_LOG_LEVEL", "log.level", "AUTOMAGIK_SPARK_LOG_LEVEL"),
];

const TWO_MEANINGS: &str = "before Spark 0.3 it was Spark's, since then it is Automagik Agents'; if Spark is meant, put \
                            SPARK into the name as in AUTOMAGIK_SPARK_API_KEY";
const COMPOSE: &str = "it is for the PostgreSQL container; AUTOMAGIK_SPARK_DATABASE_URL says where PostgreSQL is";
const NO_CELERY: &str = "there is no Celery here; docs/CONFIGURATION.md has the keys of workers and schedules";

/// Names that the Python service or its compose files read and that mean nothing here, and why.
const MEANINGLESS: [(&str, &str); 16] = [
    ("AUTOMAGIK_SPARK_DISABLE_TELEMETRY", "nothing is collected, with it or without it"),
    ("AUTOMAGIK_SPARK_TELEMETRY_ENDPOINT", "nothing is collected, so nothing is sent"),
    ("AUTOMAGIK_SPARK_POSTGRES_HOST", "AUTOMAGIK_SPARK_DATABASE_URL says where PostgreSQL is"),
    ("AUTOMAGIK_SPARK_POSTGRES_PORT", "AUTOMAGIK_SPARK_DATABASE_URL says where PostgreSQL is"),
    ("AUTOMAGIK_SPARK_REDIS_HOST", "AUTOMAGIK_SPARK_CELERY_BROKER_URL says where Redis is"),
    ("AUTOMAGIK_SPARK_REDIS_PORT", "AUTOMAGIK_SPARK_CELERY_BROKER_URL says where Redis is"),
    ("AUTOMAGIK_API_KEY", TWO_MEANINGS),
    ("AUTOMAGIK_API_HOST", TWO_MEANINGS),
    ("AUTOMAGIK_API_PORT", TWO_MEANINGS),
    ("AUTOMAGIK_API_CORS", TWO_MEANINGS),
    ("AUTOMAGIK_REMOTE_URL", TWO_MEANINGS),
    ("AUTOMAGIK_DEBUG", "AUTOMAGIK_SPARK_LOG_LEVEL=debug says more"),
    ("CELERY_TASK_RETRY_BACKOFF", "retries always wait 2, 4, 8 seconds and so on"),
    ("CELERY_TASK_TRACK_STARTED", "a running task always shows as running"),
    ("LANGFLOW_API_URL", "add the server with `automagik-spark sources add`"),
    ("LANGFLOW_API_KEY", "add the server and its key with `automagik-spark sources add`"),
];

/// The same, of names that somebody else may mean in an environment: told of only where they stand in `.env`.
const MEANINGLESS_IN_FILE: [(&str, &str); 7] = [
    ("POSTGRES_USER", COMPOSE),
    ("POSTGRES_PASSWORD", COMPOSE),
    ("POSTGRES_DB", COMPOSE),
    ("TEST_API_KEY", "it was for the Python project's tests"),
    ("ENV", "the name is AUTOMAGIK_SPARK_ENV"),
    ("TIMEZONE", "the name is AUTOMAGIK_TIMEZONE"),
    ("CORS_ORIGINS", "the name is AUTOMAGIK_SPARK_API_CORS"),
];

/// The label of variables that stand in a file.
pub(super) const IN_FILE: &str = ".env variable";
const IN_PROCESS: &str = "environment variable";

/// A variable that says something.
pub(super) struct Variable {
    name: String,
    value: String,
    /// Where it stands: [`IN_FILE`] or [`IN_PROCESS`].
    label: &'static str,
}

impl Variable {
    fn origin(&self) -> String {
        format!("{} {}", self.label, self.name)
    }
}

/// The variables of `.env` and of the environment as one set: what stands in both is the environment's. Only then is it
/// asked which of several names for a key counts, so that a better name in `.env` beats another one in the environment.
///
/// An empty value counts as not set: that is how compose files pass on what nobody set. One of the environment takes the
/// variable of `.env` away, as python-dotenv has it.
pub(super) fn merge(file: Vec<(String, String)>, environment: &[(String, String)]) -> Vec<Variable> {
    let of_file = file.into_iter().map(|(name, value)| Variable { name, value, label: IN_FILE });
    let of_process = environment.iter().cloned().map(|(name, value)| Variable { name, value, label: IN_PROCESS });
    let mut merged: Vec<Variable> = Vec::new();
    for variable in of_file.chain(of_process) {
        merged.retain(|known| known.name != variable.name);
        merged.push(variable);
    }
    merged.retain(|variable| !variable.value.trim().is_empty());
    merged
}

/// A former name that was given.
pub(super) struct Former {
    key: &'static str,
    now: &'static str,
    origin: String,
    value: Value,
}

/// What former names say.
pub(super) fn former_layer(former: &[Former]) -> Layer {
    former.iter().map(|given| (given.key.to_owned(), given.value.clone())).collect()
}

/// What became of each former name; the first of the layers is theirs.
pub(super) fn tell_former(former: &[Former], layers: &[Layer]) -> Vec<String> {
    let tell = |given: &Former| {
        let winner = layers.iter().rev().find_map(|layer| layer.get(given.key)).and_then(Value::origin);
        match winner {
            Some(origin) if origin != given.origin => {
                format!("{} means nothing here: {} is set by {origin}", given.origin, given.key)
            }
            _ => format!("{} is a former name and still works; the name is {} now", given.origin, given.now),
        }
    };
    former.iter().map(tell).collect()
}

/// What a set of variables says.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) layer: Layer,
    pub(super) former: Vec<Former>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
}

/// Reads variables.
pub(super) fn read(variables: &[Variable]) -> Outcome {
    let mut outcome = Outcome::default();
    let given = |name: &str| variables.iter().find(|variable| variable.name == name);
    for (name, key) in ALIASES {
        let Some(variable) = given(name) else { continue };
        let (value, origin) = (&variable.value, variable.origin());
        if name == "AUTOMAGIK_SPARK_HTTP_TIMEOUT" && value.trim().parse::<f64>().is_ok_and(|s| s < 30.0) {
            let message = format!("must be a number of seconds from 30 to 3600, not `{value}`");
            outcome.problems.push(Problem { key: key.to_owned(), origin: origin.clone(), message });
        }
        outcome.layer.insert(key.to_owned(), value_of(key, value, &origin));
    }
    for (name, key, now) in FORMER {
        let Some(variable) = given(name) else { continue };
        let origin = variable.origin();
        outcome.former.push(Former { key, now, value: value_of(key, &variable.value, &origin), origin });
    }
    if let (Some(backend), Some(broker)) = (given(RESULT_BACKEND), given(REDIS_URL).or_else(|| given(BROKER_URL)))
        && backend.value != broker.value
    {
        outcome.warnings.push(format!("{} means nothing here: results are kept in PostgreSQL", backend.origin()));
    }
    for variable in variables {
        if let Some(path) = variable.name.strip_prefix("SPARK__") {
            generic(&mut outcome, variable, &path.to_lowercase().replace("__", "."));
        } else {
            outcome.warnings.extend(meaningless(variable));
        }
    }
    outcome
}

/// What to say of a variable that means nothing here although it was meant for Spark.
fn meaningless(variable: &Variable) -> Option<String> {
    let (name, origin) = (variable.name.as_str(), variable.origin());
    let reason = |list: &[(&str, &'static str)]| list.iter().find(|(known, _)| *known == name).map(|(_, why)| *why);
    let of_file = || (variable.label == IN_FILE).then(|| reason(&MEANINGLESS_IN_FILE)).flatten();
    if let Some(reason) = reason(&MEANINGLESS).or_else(of_file) {
        return Some(format!("{origin} means nothing here: {reason}"));
    }
    if is_known(name) {
        return None;
    }
    if name.starts_with("CELERY_") {
        return Some(format!("{origin} means nothing here: {NO_CELERY}"));
    }
    name.starts_with("AUTOMAGIK_SPARK_").then(|| {
        let hint = super::load::closest(name, ALIASES.iter().map(|(known, _)| *known));
        let hint = hint.map(|known| format!("; did you mean {known}?")).unwrap_or_default();
        format!("{origin} is not known and means nothing here{hint}")
    })
}

fn is_known(name: &str) -> bool {
    ALIASES.iter().any(|(known, _)| *known == name) || FORMER.iter().any(|(known, ..)| *known == name)
}

/// A key of the API is taken as it is: it may hold a comma.
fn value_of(key: &str, value: &str, origin: &str) -> Value {
    if key == "api.keys" { Value::new(Some(&origin.to_owned()), vec![value]) } else { text(value, origin) }
}

/// `SPARK__SECTION__KEY`. Pools are given as a whole, in TOML: `SPARK__POOLS=[{name = "a", queues = ["a"]}]`.
fn generic(outcome: &mut Outcome, variable: &Variable, key: &str) {
    let (value, origin) = (&variable.value, variable.origin());
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
        read(&merge(Vec::new(), &pairs))
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
    fn celery_s_own_settings_are_told_of_and_compose_s_only_where_they_are_spark_s() {
        let pairs = [("CELERY_TASK_SERIALIZER", "json"), ("POSTGRES_USER", "u"), ("CELERY_BROKER_URL", "redis://h")];
        let owned: Vec<_> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let in_file = read(&merge(owned, &[])).warnings.join("\n");
        assert!(in_file.contains("CELERY_TASK_SERIALIZER") && in_file.contains("POSTGRES_USER"), "{in_file}");
        assert!(!in_file.contains("CELERY_BROKER_URL"), "{in_file}");
        assert!(!read_pairs(&pairs).warnings.join("\n").contains("POSTGRES_USER"));
    }

    #[test]
    fn pools_are_given_in_toml() {
        let outcome = read_pairs(&[("SPARK__POOLS", r#"[{name = "a", queues = ["b"]}]"#)]);
        assert!(outcome.problems.is_empty() && outcome.layer.contains_key("pools"));
        assert_eq!(read_pairs(&[("SPARK__POOLS", "a,b")]).problems.len(), 1);
    }
}
