//! Nothing is lost, and nothing is changed without being written down.

use serde_json::Value;

use super::{NEWEST, TABLES, VERSIONS, rows, stage, upgrade};
use crate::harness::stage::Stage;

#[tokio::test]
async fn every_row_of_every_version_is_kept_and_every_change_is_written_down() {
    for version in VERSIONS {
        let stage = stage(version).await;
        let mut before = Vec::new();
        for table in TABLES {
            before.push(rows(&stage, table).await);
        }
        let alembic = alembic(&stage).await;

        let upgraded = upgrade(&stage).await;
        let taken = upgraded.taken_over.unwrap_or_else(|| panic!("{version} is not taken over"));
        match version {
            "models" => assert_eq!(taken.version, "without alembic_version"),
            "heads" => assert_eq!(taken.version, "9adb44ec69a7 and f7173038c3b4"),
            version => assert_eq!(taken.version, version),
        }
        let changes = changes(&stage).await;
        for (table, before) in TABLES.iter().zip(before) {
            let after = rows(&stage, table).await;
            assert_eq!(after.len(), before.len(), "{version}: {table} keeps its rows");
            for (id, old) in before {
                let new = &after[&id];
                for (column, old) in old.as_object().expect("a row") {
                    let new = new.get(column).unwrap_or_else(|| panic!("{version}: {table}.{column} is kept"));
                    let noted = changes.iter().any(|change| change.0 == id && change.1 == *column);
                    assert!(new == old || noted, "{version}: {table}.{column} of {id} was {old} and is {new}");
                }
            }
        }
        assert_eq!(self::alembic(&stage).await, alembic, "{version}: alembic's table is left alone");
        assert_eq!(
            super::upgrade(&stage).await,
            Default::default(),
            "{version}: the second time nothing is to be done"
        );
    }
}

#[tokio::test]
async fn what_was_changed_can_be_looked_up() {
    let stage = stage(NEWEST).await;
    let former = rows(&stage, "tasks").await;
    let taken = upgrade(&stage).await.taken_over.expect("taken over");
    for (entity, field, was) in changes(&stage).await {
        let Some(Value::String(old)) = former.get(&entity).map(|row| row[&field].clone()) else { continue };
        if !field.ends_with("_at") {
            assert_eq!(was, Some(old), "{field} of {entity}");
        }
    }
    let lines = taken.lines().join("\n");
    for telling in [
        "schema version 6e679733120",
        "kept every row: 3 workflow sources, 7 workflows, 1 workflow components, 13 schedules, 18 tasks, 1 task logs, 1 workers",
        "unfinished tasks older than a day, failed now: 3",
        "tasks with the status \"success\", which is completed now: 1",
        "workflows of a flow that was synced twice, kept; a sync updates the newest of them: 2",
        "(\"0 30 8 * * *\") is paused: it has 6 instead of five fields",
    ] {
        assert!(lines.contains(telling), "no `{telling}` in:\n{lines}");
    }
}

#[tokio::test]
async fn nodes_that_start_together_take_over_once() {
    let stage = stage(NEWEST).await;
    let all = futures_util::future::join_all((0..4).map(|_| upgrade(&stage))).await;
    assert_eq!(all.iter().filter(|upgraded| upgraded.taken_over.is_some()).count(), 1);
    assert_eq!(stage.count("SELECT count(*) FROM takeovers WHERE finished_at IS NOT NULL").await, 1);
}

#[tokio::test]
async fn a_takeover_that_broke_off_is_done_by_the_next_start() {
    let stage = stage(NEWEST).await;
    upgrade(&stage).await;
    // What a crash between the migrations and the takeover leaves.
    super::run(&stage, "UPDATE takeovers SET finished_at = NULL; DELETE FROM takeover_changes").await;
    super::run(&stage, "UPDATE schedules SET is_ours = false, status = 'stopped' WHERE schedule_type = 'cron'").await;
    assert!(upgrade(&stage).await.taken_over.is_some());
    assert_eq!(stage.count("SELECT count(*) FROM schedules WHERE status = 'stopped' OR NOT is_ours").await, 0);
}

async fn changes(stage: &Stage) -> Vec<(String, String, Option<String>)> {
    let sql = "SELECT entity_id::text, field, former FROM takeover_changes";
    stage.rows(sql, &[]).await.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

async fn alembic(stage: &Stage) -> Option<Vec<String>> {
    let sql = "SELECT to_regclass('alembic_version') IS NOT NULL";
    if !stage.rows(sql, &[]).await[0].get::<_, bool>(0) {
        return None;
    }
    let rows = stage.rows("SELECT version_num FROM alembic_version ORDER BY 1", &[]).await;
    Some(rows.iter().map(|row| row.get(0)).collect())
}
