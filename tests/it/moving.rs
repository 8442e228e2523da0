//! Moving over from Python automagik-spark: its databases, recorded from that project's own migrations and models
//! (tests/fixtures/python/README.md), upgraded in place.

mod earlier;
mod kept;
mod keys;
mod refused;
mod returned;
mod served;
mod states;

use std::collections::BTreeMap;
use std::path::Path;

use automagik_spark::domain::source::Secret;
use automagik_spark::simulate::SimulateOptions;
use automagik_spark::store::migrate::{self, Upgraded};
use serde_json::Value;

use crate::harness::servers::{TestServers, pool_options};
use crate::harness::stage::Stage;

/// The schema versions of the Python service; two of its heads at once; tables made by its models without migrations.
const VERSIONS: [&str; 9] = [
    "d2f7d449b382",
    "4b7033ec9033",
    "f7173038c3b4",
    "9adb44ec69a7",
    "heads",
    "1e9250ec4418",
    "886dc60e4271",
    "6e679733120",
    "models",
];
const NEWEST: &str = "6e679733120";
const TABLES: [&str; 7] =
    ["workflow_sources", "workflows", "workflow_components", "schedules", "tasks", "task_logs", "workers"];
/// The key that sealed the first source's key.
const ENCRYPTION_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// The first source's key.
const SOURCE_KEY: &str = "sk-python-langflow";

/// Moves every time of the recording, which was made "at" noon of that day, so that it was made now.
const SHIFT: &str = "
    DO $$
    DECLARE c record;
    BEGIN
        FOR c IN SELECT table_name, column_name FROM information_schema.columns
                  WHERE table_schema = 'public' AND data_type = 'timestamp with time zone' LOOP
            EXECUTE format('UPDATE %I SET %I = %I + (now() - timestamptz ''2026-11-01 12:00Z'') WHERE %I < ''2090-01-01''',
                           c.table_name, c.column_name, c.column_name, c.column_name);
        END LOOP;
    END $$";

/// A stage whose database a Python service of this version has left.
async fn stage(version: &str) -> Stage {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/python/{version}.sql"));
    let sql = std::fs::read_to_string(path).expect("a recording");
    let servers = Box::pin(TestServers::with_script(&sql)).await;
    let stage =
        Stage::with(servers, SimulateOptions { api_key: Secret::new(SOURCE_KEY), ..SimulateOptions::default() });
    run(&stage, SHIFT).await;
    // The recorded source is the one that runs now.
    let (from, to) = ("http://127.0.0.1:17860", stage.source.url());
    run(&stage, &format!("UPDATE workflow_sources SET url = '{to}' WHERE url = '{from}'")).await;
    run(&stage, &format!("UPDATE workflows SET source = '{to}' WHERE source = '{from}'")).await;
    stage
}

async fn run(stage: &Stage, sql: &str) {
    let client = crate::harness::stage::connect(&stage.servers.database_url).await;
    client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

async fn upgrade(stage: &Stage) -> Upgraded {
    let upgraded = migrate::upgrade(&pool_options(&stage.servers.service_url), chrono_tz::Tz::Europe__Berlin).await;
    upgraded.unwrap_or_else(|error| panic!("{error}"))
}

/// Rows by id, as JSON.
type Rows = BTreeMap<String, Value>;

/// All rows of a table; none where there is no table.
async fn rows(stage: &Stage, table: &str) -> Rows {
    let exists = stage.rows("SELECT to_regclass($1) IS NOT NULL", &[&table]).await[0].get::<_, bool>(0);
    if !exists {
        return Rows::new();
    }
    let rows = stage.rows(&format!("SELECT id::text, to_jsonb(t) FROM {table} t"), &[]).await;
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// The id of a recorded row: `a` sources, `b` workflows, `c` schedules, `d` tasks.
fn id(kind: char, number: u32) -> String {
    format!("{kind}0000000-0000-4000-8000-{number:012}")
}
