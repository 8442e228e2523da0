//! The layers and the rules, as tables: no process environment, no file but temporary ones.

use super::*;
use proptest::prelude::*;

/// Loads a text as spark.toml, with variables.
fn load(toml: &str, env: &[(&str, &str)]) -> Result<Config, Errors> {
    load_with(toml, env, Flags::default())
}

fn load_with(toml: &str, env: &[(&str, &str)], flags: Flags) -> Result<Config, Errors> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("spark.toml");
    std::fs::write(&file, toml).expect("written");
    let env = env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Config::load(&LoadOptions { file: Some(file), env, flags, ..Default::default() })
}

fn good(toml: &str, env: &[(&str, &str)]) -> Config {
    load(toml, env).expect("a sound configuration")
}

/// The lines of the problems.
fn bad(toml: &str, env: &[(&str, &str)]) -> Vec<String> {
    load(toml, env).expect_err("an unsound configuration").0.iter().map(ToString::to_string).collect()
}

#[test]
fn the_defaults_are_those_of_the_design() {
    let config = Config::load(&LoadOptions::default()).expect("the defaults are sound");
    assert_eq!(config.api.address().to_string(), "127.0.0.1:8883");
    assert_eq!(config.remote_url, "http://localhost:8883");
    assert_eq!((config.database.pool_size, config.database.max_connections()), (10, 30));
    let pools: Vec<_> = config.pools.iter().map(|pool| (pool.name.as_str(), pool.workers, pool.threads)).collect();
    assert_eq!(pools, [("high_priority", 1, 4), ("celery", 2, 4), ("low_priority", 1, 4)]);
    let queues: Vec<_> = config.pools[1].queues.names.iter().map(crate::domain::queue::QueueName::as_str).collect();
    assert_eq!(queues, ["celery", "direct"]);
    assert_eq!(config.pools[1].time_limit.as_secs(), 360);
    assert_eq!(config.janitor.completed, None);
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn the_shipped_file_loads_with_every_profile_and_the_profile_has_its_effect() {
    let shipped = include_str!("../../spark.toml");
    for profile in PROFILES {
        let toml = shipped.replace("profile = \"small\"", &format!("profile = \"{}\"", profile.name));
        let config = good(&toml, &[]);
        assert_eq!(config.profile, profile);
        assert_eq!((config.pools[1].workers, config.pools[1].threads), (profile.workers, profile.threads));
        assert_eq!(config.database.max_connections(), profile.pool_size * 3);
        assert_eq!(config.redis.memory_mb, profile.redis_memory_mb);
        assert_eq!(config.database.pool_recycle.as_secs(), u64::from(profile.pool_recycle_s));
    }
}

#[test]
fn the_shipped_file_loads_with_its_examples_uncommented() {
    let uncommented: Vec<String> = include_str!("../../spark.toml")
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with([' ', '#']) => rest.replace("\"...\"", "\"0123456789abcdef\""),
            _ => line.to_owned(),
        })
        .collect();
    let config = good(&uncommented.join("\n"), &[]);
    assert_eq!(config.pools.len(), 2);
    assert_eq!(config.api.host.to_string(), "0.0.0.0");
}

#[test]
fn each_layer_overrules_the_one_below() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let dotenv = directory.path().join(".env");
    std::fs::write(&dotenv, "\u{feff}CELERY_WORKER_CONCURRENCY=5\nSPARK__WORKER__WORKERS='6'\nLOG_LEVEL=debug\n")
        .expect("written");
    let file = directory.path().join("spark.toml");
    std::fs::write(&file, "profile = \"large\"\n[worker]\nthreads = 3\nmax_retries = 9\n").expect("written");
    let mut options = LoadOptions { file: Some(file), dotenv: Some(dotenv), ..Default::default() };
    options.env = vec![("LOG_LEVEL".into(), "ERROR".into())];
    options.flags.threads = Some(7);
    let config = Config::load(&options).expect("sound");
    let origin = |key: &str| config.explain().iter().find(|line| line.key == key).map(|line| line.origin.clone());
    assert_eq!((config.worker.threads, origin("worker.threads")), (7, Some("flag --threads".into())));
    assert_eq!(
        (config.worker.workers, origin("worker.workers")),
        (6, Some(".env variable SPARK__WORKER__WORKERS".into()))
    );
    assert_eq!(
        (config.log.level, origin("log.level")),
        (log::LevelFilter::Error, Some("environment variable LOG_LEVEL".into()))
    );
    assert_eq!((config.database.pool_size, origin("database.pool_size")), (40, Some("profile large".into())));
    assert_eq!((config.worker.max_lost, origin("worker.max_lost")), (3, Some("default".into())));
    assert!(config.worker.max_retries == 9 && origin("worker.max_retries").is_some_and(|o| o.ends_with("spark.toml")));
}

#[test]
fn every_key_is_documented_and_read() {
    let docs = include_str!("../../docs/CONFIGURATION.md");
    for (key, default) in load::defaults() {
        if key == "pools" {
            continue;
        }
        assert!(docs.contains(&format!("| `{key}` |")), "docs/CONFIGURATION.md has no row for {key}");
        let shown = default.to_string();
        let is_plain = !matches!(default.kind, ::config::ValueKind::Array(_));
        let row = docs.lines().find(|line| line.starts_with(&format!("| `{key}` |"))).unwrap_or_default();
        assert!(
            !is_plain || row.contains(&format!("{shown}` |")) || row.contains(&format!("{shown}\"` |")),
            "{key}: {row}"
        );
        // Nothing can be read from a list of tables, so a key that is read reports it.
        let problems = load(&format!("{key} = [{{}}]"), &[]).expect_err("no key takes this").0;
        assert!(problems.iter().any(|problem| problem.key == key), "{key} is read by nobody: {problems:?}");
    }
    for (name, key) in env::ALIASES {
        assert!(docs.contains(&format!("| `{name}` | `{key}` |")), "docs/CONFIGURATION.md has no row for {name}");
    }
}

#[test]
fn all_problems_are_reported_at_once_with_key_and_origin() {
    let toml = "
        timezone = \"Mars/Olympus\"
        [api]
        prot = 1
        port = 70000
        [worker]
        soft_time_limit_s = \"5m\"
        soft_time_limit_ms = 5
        [database]
        url = \"mysql://u:hunter2@h/d\"
        [node]
        heartbeat_s = 10
    ";
    let env =
        [("CELERY_WORKER_CONCURRENCY", "many"), ("SPARK__WORKR__THREADS", "4"), ("AUTOMAGIK_SPARK_HTTP_TIMEOUT", "20")];
    let lines = bad(toml, &env);
    let expected = [
        ("timezone (", "spark.toml): must be an IANA timezone such as UTC or Europe/Berlin, not `Mars/Olympus`"),
        ("api.prot (", "spark.toml): there is no such key; did you mean `api.port`?"),
        ("api.port (", "spark.toml): must be a whole number from 0 to 65535, not `70000`"),
        (
            "worker.soft_time_limit_s (",
            "spark.toml): must be a number of seconds from 0.05 to 604800, without a unit, not `5m`",
        ),
        ("worker.soft_time_limit_ms (", "did you mean `worker.soft_time_limit_s`?"),
        ("database.url (", "percent-encode @ : / in the password), not `mysql://u:***@h/d`"),
        ("node.lease_s (default)", "must be at least twice node.heartbeat_s, which is 10 ("),
        ("worker.threads (environment variable CELERY_WORKER_CONCURRENCY)", "not `many`"),
        ("workr.threads (environment variable SPARK__WORKR__THREADS)", "did you mean `worker.threads`?"),
        ("worker.http_timeout_s (environment variable AUTOMAGIK_SPARK_HTTP_TIMEOUT)", "from 30 to 3600, not `20`"),
    ];
    for (start, part) in expected {
        assert!(
            lines.iter().any(|line| line.starts_with(start) && line.contains(part)),
            "{start}...{part} in {lines:#?}"
        );
    }
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
}

#[test]
fn each_mistake_is_found() {
    let cases = [
        ("profile = \"huge\"", "profile", "must be one of small, medium, large, enterprise"),
        ("api = 5", "api", "is a section"),
        ("threads = 5", "threads", "did you mean `worker.threads`?"),
        (
            "[worker]\ntime_limit_s = 300",
            "worker.time_limit_s",
            "greater than worker.soft_time_limit_s, which is 300 (default)",
        ),
        ("[worker]\nsoft_time_limit_s = 900", "worker.time_limit_s", "greater than"),
        ("[worker]\nthreads = 0", "worker.threads", "from 1 to"),
        ("[worker]\nthreads = 1.5", "worker.threads", "whole number"),
        ("[worker]\nretry_jitter = nan", "worker.retry_jitter", "from 0 to 1"),
        ("[worker]\nhttp_timeout_s = inf", "worker.http_timeout_s", "from 0.1 to 3600"),
        ("[worker]\nhttp_timeout_s = 3601", "worker.http_timeout_s", "from 0.1 to 3600"),
        ("[worker]\nrestart_backoff_ms = 20000", "worker.restart_backoff_max_s", "must not be less"),
        ("[sources]\ncircuit_wait_s = 301", "sources.circuit_max_wait_s", "must not be less than circuit_wait_s"),
        ("[redis]\nurl = \"http://h\"", "redis.url", "redis://"),
        ("[redis]\nurl = \"redis://h/zero\"", "redis.url", "redis://"),
        ("[redis]\nkey_prefix = \"a b\"", "redis.key_prefix", "characters"),
        ("[node]\nroles = [\"cook\"]", "node.roles", "api, beat and worker"),
        ("[node]\nroles = []", "node.roles", "api, beat and worker"),
        ("[log]\nlevel = \"loud\"", "log.level", "one of off, error"),
        ("[api]\nhost = \"example.org\"", "api.host", "an IP address"),
        ("[api]\ncors_origins = [\"https://*.x\"]", "api.cors_origins", "not `https://*.x`"),
        ("[api]\nkeys = [\"a b\"]", "api.keys", "visible ASCII"),
        ("[api]\nmetrics_open = \"perhaps\"", "api.metrics_open", "true or false"),
        ("remote_url = \"localhost:8883\"", "remote_url", "http://"),
        ("encryption_key = \"short\"", "encryption_key", "a Fernet key"),
        ("pools = []", "pools", "at least one pool"),
        ("[pools.celery]\nqueues = [\"celery\"]", "pools.celery.queues", "[[pools]]"),
        ("[[pools]]\nname = \"a\"", "pools[0].queues", "is missing"),
        ("[[pools]]\nqueues = [\"a\"]", "pools[0].name", "is missing"),
        ("[[pools]]\nname = \"a\"\nqueues = []", "pools[0].queues", "at least one queue"),
        ("[[pools]]\nname = \"a\"\nqueues = [\"a\", \"a\"]", "pools[0].queues", "twice"),
        ("[[pools]]\nname = \"a\"\nqueues = [\"a b\"]", "pools[0].queues", "can't be a queue"),
        ("[[pools]]\nname = \"a/b\"\nqueues = [\"a\"]", "pools[0].name", "characters"),
        ("[[pools]]\nname = \"a\"\nqueues = [\"a\"]\nthread = 2", "pools[0].thread", "did you mean `threads`?"),
        ("[[pools]]\nname = \"a\"\nqueues = [\"a\"]\ntime_limit_s = 10", "pools[0].time_limit_s", "greater than"),
        (
            "[[pools]]\nname = \"a\"\nqueues = [\"a\"]\n[[pools]]\nname = \"a\"\nqueues = [\"b\"]",
            "pools[1].name",
            "another name",
        ),
    ];
    for (toml, key, part) in cases {
        let lines = bad(toml, &[]);
        let [line] = lines.as_slice() else { panic!("one problem in {toml}: {lines:#?}") };
        assert!(line.starts_with(&format!("{key} (")) && line.contains(part), "{toml}: {line}");
    }
}

#[test]
fn without_a_key_only_loopback_is_served() {
    let key = ("AUTOMAGIK_SPARK_API_KEY", "0123456789abcdef,x");
    let host = |host: &'static str| ("AUTOMAGIK_SPARK_API_HOST", host);
    let with_key = good("", &[key]);
    assert_eq!(with_key.api.host.to_string(), "0.0.0.0");
    assert_eq!(with_key.api.keys, [crate::domain::source::Secret::new("0123456789abcdef,x")]);
    for loopback in ["127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]"] {
        assert!(good("", &[host(loopback)]).api.host.is_loopback(), "{loopback}");
    }
    for open in ["0.0.0.0", "::", "10.0.0.1"] {
        assert!(good("", &[host(open), key]).api.keys.len() == 1);
        let lines = bad("", &[host(open)]);
        assert!(
            lines[0].contains("listens on loopback only") && lines[0].contains("AUTOMAGIK_SPARK_API_KEY"),
            "{lines:?}"
        );
    }
    // A worker alone serves nothing.
    good("[node]\nroles = [\"worker\"]", &[host("0.0.0.0")]);
}

#[test]
fn the_environment_of_a_python_service_is_understood() {
    let config = good(
        "",
        &[
            (
                "AUTOMAGIK_SPARK_DATABASE_URL",
                "postgresql+asyncpg://u:p@db/spark?pool_size=5&max_overflow=7&ssl=require",
            ),
            ("AUTOMAGIK_SPARK_CELERY_BROKER_URL", "redis://redis:6379/0"),
            ("AUTOMAGIK_SPARK_CELERY_RESULT_BACKEND", "redis://redis:6379/0"),
            ("AUTOMAGIK_SPARK_API_CORS", "http://localhost:3000/, https://x.example"),
            ("CELERY_TASK_SOFT_TIME_LIMIT", "10"),
            ("CELERY_TASK_TIME_LIMIT", "20"),
            ("CELERY_WORKER_CONCURRENCY", "8"),
            ("AUTOMAGIK_TIMEZONE", "America/Sao_Paulo"),
            ("AUTOMAGIK_SPARK_LOG_LEVEL", "WARNING"),
            ("AUTOMAGIK_SPARK_HTTP_TIMEOUT", "30"),
            ("ENVIRONMENT", ""),
        ],
    );
    assert_eq!((config.database.pool_size, config.database.max_overflow), (5, 7));
    assert_eq!(config.api.cors_origins, ["http://localhost:3000", "https://x.example"]);
    assert!(config.pools.iter().all(|pool| pool.threads == 8 && pool.time_limit.as_secs() == 20));
    assert_eq!(config.timezone, chrono_tz::America::Sao_Paulo);
    assert_eq!((config.log.level, config.environment.as_str()), (log::LevelFilter::Warn, "production"));
    assert_eq!(config.warnings, [""; 0]);
    let lines = bad("", &[("AUTOMAGIK_SPARK_DATABASE_URL", "postgresql://u@db/spark?pool_size=lots")]);
    assert!(lines[0].contains("AUTOMAGIK_SPARK_DATABASE_URL, in the url): must be a whole number"), "{lines:?}");
}

#[test]
fn flags_choose_queues_and_set_any_key() {
    let queues = vec!["high_priority".to_owned(), "celery".to_owned()];
    let set = vec![("worker.max_lost".to_owned(), "5".to_owned())];
    let config = load_with("", &[], Flags { queues, set, workers: Some(3), ..Default::default() }).expect("sound");
    let [pool] = config.pools.as_slice() else { panic!("one pool: {:?}", config.pools) };
    assert_eq!((pool.name.as_str(), pool.queues.names.len(), pool.workers), ("high_priority", 2, 3));
    assert_eq!(config.worker.max_lost, 5);
    let unknown = Flags { set: vec![("nonsense".into(), "1".into())], ..Default::default() };
    assert!(load_with("", &[], unknown).expect_err("unknown").to_string().starts_with("nonsense (flag --set)"));
}

#[test]
fn files_that_can_not_be_read_are_problems_of_their_own() {
    let missing = LoadOptions { file: Some("/nonexistent/spark.toml".into()), ..Default::default() };
    let text = Config::load(&missing).expect_err("missing").to_string();
    assert!(text.starts_with("/nonexistent/spark.toml: can't be read"), "{text}");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let dotenv = directory.path().join(".env");
    std::fs::write(&dotenv, "A=1\nhunter2 hunter2\n").expect("written");
    let text = Config::load(&LoadOptions { dotenv: Some(dotenv), ..Default::default() }).expect_err("bad").to_string();
    assert!(text.contains("line 2 is not NAME=value") && !text.contains("hunter2"), "{text}");
}

/// The examples of the Python project's versions, with values of ours: each works as it is, and each variable is used or
/// told of.
#[test]
fn env_files_of_every_python_version_work_unchanged() {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let newest = format!(
        "AUTOMAGIK_SPARK_DATABASE_URL=postgresql+asyncpg://u:pa$$w@db:15432/spark?ssl=require\n\
         AUTOMAGIK_SPARK_CELERY_BROKER_URL=redis://redis:16379/0\n\
         AUTOMAGIK_SPARK_CELERY_RESULT_BACKEND=redis://redis:16379/0\n\
         AUTOMAGIK_SPARK_API_KEY=key  # change it\nAUTOMAGIK_SPARK_API_HOST=0.0.0.0\nAUTOMAGIK_SPARK_API_PORT=8883\n\
         AUTOMAGIK_SPARK_API_CORS=http://localhost:3000, http://localhost:8883\n\
         AUTOMAGIK_SPARK_ENCRYPTION_KEY='{key}'\nAUTOMAGIK_TIMEZONE=America/Sao_Paulo\nENVIRONMENT=production\n\
         AUTOMAGIK_SPARK_WORKER_LOG=logs/worker.log\nAUTOMAGIK_SPARK_LOG_LEVEL=INFO\nLANGFLOW_API_URL=http://x:7860\n\
         LANGFLOW_API_KEY=\nAUTOMAGIK_SPARK_DISABLE_TELEMETRY=true\n"
    );
    let middle = format!(
        "AM_ENV=production\nPOSTGRES_USER=spark\nDATABASE_URL=postgresql+asyncpg://u:pa$$w@db:15432/spark\n\
         AM_API_HOST=0.0.0.0\nAM_API_PORT=8883\nAM_API_CORS=http://localhost:3000\nSPARK_API_KEY=key\n\
         TEST_API_KEY=key\nAM_TIMEZONE=America/Sao_Paulo\nAM_WORKER_LOG=logs/worker.log\nAM_LOG_LEVEL=INFO\n\
         SPARK_ENCRYPTION_KEY={key}\nCELERY_BROKER_URL=redis://redis:16379/0\nCELERY_ACCEPT_CONTENT=[\"json\"]\n\
         CELERY_RESULT_BACKEND=redis://redis:16379/0\nCELERY_BEAT_MAX_LOOP_INTERVAL=5\n"
    );
    let oldest = format!(
        "AUTOMAGIK_ENV=production\nDATABASE_URL=postgresql://u:pa$$w@db:15432/spark\nAUTOMAGIK_API_PORT=8888\n\
         AUTOMAGIK_API_KEY=key\nAUTOMAGIK_TIMEZONE=America/Sao_Paulo\nAUTOMAGIK_WORKER_LOG=logs/worker.log\n\
         AUTOMAGIK_LOG_LEVEL=INFO\nAUTOMAGIK_ENCRYPTION_KEY={key}\nCELERY_BROKER_URL=redis://redis:16379/0\n"
    );
    let directory = tempfile::tempdir().expect("a temporary directory");
    for text in [&newest, &middle, &oldest] {
        let dotenv = directory.path().join(".env");
        std::fs::write(&dotenv, text).expect("written");
        let config = Config::load(&LoadOptions { dotenv: Some(dotenv), ..Default::default() });
        let config = config.unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        assert!(config.database.url.expose().contains("u:pa$$w@db:15432"), "{text}");
        assert_eq!(config.redis.url.expose(), "redis://redis:16379/0");
        assert_eq!(config.timezone, chrono_tz::America::Sao_Paulo);
        assert_eq!(config.encryption_key, EncryptionKey::Given(crate::domain::source::Secret::new(key)));
        for (name, _) in text.lines().filter_map(|line| line.split_once('=')).filter(|(_, value)| !value.is_empty()) {
            let is_used = config.explain().iter().any(|key| key.origin == format!(".env variable {name}"));
            let is_told = config.warnings.iter().any(|warning| warning.contains(&format!("{name} ")));
            assert!(is_used || is_told || name == "AUTOMAGIK_SPARK_CELERY_RESULT_BACKEND", "{name}");
        }
    }
}

#[test]
fn a_former_name_overrules_nothing_that_was_written_for_spark() {
    let url = |toml: &str, env: &[(&str, &str)]| {
        let config = load(toml, env).expect("sound");
        (config.database.url.expose().to_owned(), config.warnings)
    };
    let shell = ("DATABASE_URL", "postgresql://u@shell/x");
    let (used, warnings) = url("", &[shell]);
    assert_eq!(used, "postgresql://u@shell/x");
    assert!(warnings[0].contains("DATABASE_URL is a former name and still works"), "{warnings:?}");
    let (used, warnings) = url("[database]\nurl = \"postgresql://u@file/x\"", &[shell]);
    assert_eq!(used, "postgresql://u@file/x");
    assert!(warnings[0].contains("DATABASE_URL means nothing here: database.url is set by"), "{warnings:?}");
}

#[test]
fn secrets_are_shown_nowhere() {
    let toml = "
        encryption_key = \"hunter2hunter2hunter2hunter2hunt\"
        [api]
        keys = [\"hunter2\"]
        [database]
        url = \"postgresql://u:hunter2@h/d\"
        [redis]
        url = \"redis://:hunter2@h\"
    ";
    let config = good(toml, &[]);
    let shown = format!("{config:?} {:?}", config.explain());
    assert!(!shown.contains("hunter2") && shown.contains("postgresql://u:***@h/d"), "{shown}");
    let broken = "
        encryption_key = \"hunter2\"
        [api]
        keys = [\"hunter2 hunter2\"]
        [database]
        url = \"postgresql://u:123/hunter2@h/d\"
        [redis]
        url = \"redis://:hunter2/h\"
    ";
    let lines = bad(broken, &[]);
    assert!(lines.len() == 4 && !lines.join("\n").contains("hunter2"), "{lines:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..Default::default() })]

    /// Whatever is written, loading ends with a configuration or with problems.
    #[test]
    fn no_text_makes_loading_panic(
        toml in "[a-z=\\[\\]\". \n#0-9]{0,60}",
        dotenv in "[A-B='\"#$\\\\{} \n\u{e9}]{0,40}",
        value in ".{1,30}",
    ) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (file, path) = (directory.path().join("spark.toml"), directory.path().join(".env"));
        std::fs::write(&file, toml).expect("written");
        std::fs::write(&path, dotenv).expect("written");
        let names = env::ALIASES.map(|(name, _)| name).into_iter().chain(["SPARK__POOLS", "SPARK____", "SPARK__API"]);
        let env = names.map(|name| (name.to_owned(), value.clone())).collect();
        let _ = Config::load(&LoadOptions { file: Some(file), dotenv: Some(path), env, ..Default::default() });
    }
}
