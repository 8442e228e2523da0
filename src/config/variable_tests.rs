//! `.env` and the environment together: which of several names for a key counts, wherever it stands.

use super::{Config, EncryptionKey, LoadOptions};
use crate::domain::source::Secret;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_KEY: &str = "HxIdHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=";

fn loaded(dotenv: &str, env: &[(&str, &str)]) -> Config {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join(".env");
    std::fs::write(&path, dotenv).expect("written");
    let env = env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Config::load(&LoadOptions { dotenv: Some(path), env, ..Default::default() }).expect("sound")
}

fn origin(config: &Config, key: &str) -> String {
    config.explain().iter().find(|line| line.key == key).expect("every key is explained").origin.clone()
}

#[test]
fn a_better_name_in_the_file_beats_another_one_in_the_environment() {
    let config = loaded("AUTOMAGIK_SPARK_LOG_LEVEL=debug\n", &[("LOG_LEVEL", "error")]);
    assert_eq!(config.log.level, log::LevelFilter::Debug);
    assert_eq!(origin(&config, "log.level"), ".env variable AUTOMAGIK_SPARK_LOG_LEVEL");

    let config = loaded("SPARK__LOG__LEVEL=debug\n", &[("AUTOMAGIK_SPARK_LOG_LEVEL", "error")]);
    assert_eq!(origin(&config, "log.level"), ".env variable SPARK__LOG__LEVEL");

    let backend = [("AUTOMAGIK_SPARK_CELERY_RESULT_BACKEND", "redis://results")];
    let config = loaded("AUTOMAGIK_SPARK_CELERY_BROKER_URL=redis://broker\n", &backend);
    assert_eq!(config.redis.url.expose(), "redis://broker");
    assert_eq!(origin(&config, "redis.url"), ".env variable AUTOMAGIK_SPARK_CELERY_BROKER_URL");
    assert_eq!(
        config.warnings,
        [
            "environment variable AUTOMAGIK_SPARK_CELERY_RESULT_BACKEND means nothing here: results are kept in PostgreSQL"
        ]
    );

    let file = format!("AUTOMAGIK_SPARK_ENCRYPTION_KEY={KEY}\n");
    let config = loaded(&file, &[("AUTOMAGIK_ENCRYPTION_KEY", OTHER_KEY)]);
    assert_eq!(config.encryption_key, EncryptionKey::Given(Secret::new(KEY)));
}

#[test]
fn the_environment_has_the_word_on_a_name_that_stands_in_both() {
    let file = "AUTOMAGIK_SPARK_LOG_LEVEL=debug\nSPARK__WORKER__THREADS=3\nDATABASE_URL=postgresql://u@file/x\n";
    let env = [
        ("AUTOMAGIK_SPARK_LOG_LEVEL", "error"),
        ("SPARK__WORKER__THREADS", "5"),
        ("DATABASE_URL", "postgresql://u@shell/x"),
    ];
    let config = loaded(file, &env);
    assert_eq!(origin(&config, "log.level"), "environment variable AUTOMAGIK_SPARK_LOG_LEVEL");
    assert_eq!((config.worker.threads, config.database.url.expose()), (5, "postgresql://u@shell/x"));
    assert_eq!(config.warnings.len(), 1, "the former name is told of once: {:?}", config.warnings);

    // What is set but empty is taken away, so another name speaks.
    let config = loaded(file, &[("AUTOMAGIK_SPARK_LOG_LEVEL", ""), ("LOG_LEVEL", "warn")]);
    assert_eq!(origin(&config, "log.level"), "environment variable LOG_LEVEL");
}
