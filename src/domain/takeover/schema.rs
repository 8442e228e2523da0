//! Whose tables a database holds, judged by the columns that are there: versions are names, columns are facts.

use std::collections::BTreeMap;

/// The columns of each table of a database, with their types as PostgreSQL's `format_type` has them, without lengths.
pub type Catalog = BTreeMap<String, BTreeMap<String, String>>;

/// Who made the tables of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody yet.
    Empty,
    /// The Python service, in a form that can be taken over.
    Python,
    /// Somebody else, or the Python service in a form that is too old.
    Misfit(Misfit),
}

/// What keeps a database from being taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// What is missing or another thing, in words.
    pub faults: Vec<String>,
    /// Whether its tables look like the Python service's at all.
    pub is_python: bool,
}

const UUID: &str = "uuid";
const TEXT: &str = "text";
const TIME: &str = "timestamp with time zone";
const JSON: &str = "json";
const NUMBER: &str = "integer";

/// What every version of the Python service's schema since 0.2 has, and the migrations build upon.
const NEEDED: [(&str, &[(&str, &str)]); 4] = [
    (
        "workflow_sources",
        &[("id", UUID), ("source_type", TEXT), ("url", TEXT), ("encrypted_api_key", TEXT), ("status", TEXT)],
    ),
    (
        "workflows",
        &[
            ("id", UUID),
            ("name", TEXT),
            ("data", JSON),
            ("flow_raw_data", JSON),
            ("source", TEXT),
            ("remote_flow_id", TEXT),
            ("flow_version", NUMBER),
            ("workflow_source_id", UUID),
            ("input_component", TEXT),
            ("output_component", TEXT),
        ],
    ),
    (
        "schedules",
        &[
            ("id", UUID),
            ("workflow_id", UUID),
            ("schedule_type", TEXT),
            ("schedule_expr", TEXT),
            ("input_data", TEXT),
            ("status", TEXT),
            ("next_run_at", TIME),
            ("created_at", TIME),
            ("updated_at", TIME),
        ],
    ),
    (
        "tasks",
        &[
            ("id", UUID),
            ("workflow_id", UUID),
            ("schedule_id", UUID),
            ("status", TEXT),
            ("input_data", JSON),
            ("output_data", JSON),
            ("error", TEXT),
            ("tries", NUMBER),
            ("max_retries", NUMBER),
            ("next_retry_at", TIME),
            ("created_at", TIME),
            ("started_at", TIME),
            ("finished_at", TIME),
            ("updated_at", TIME),
        ],
    ),
];
/// Made by the migrations where they are missing; if they are there, they must fit.
const OPTIONAL: [(&str, &[(&str, &str)]); 3] = [
    ("workflow_components", &[("id", UUID), ("workflow_id", UUID)]),
    ("task_logs", &[("id", UUID), ("task_id", UUID), ("level", TEXT), ("message", TEXT), ("created_at", TIME)]),
    ("workers", &[("id", UUID), ("hostname", TEXT), ("pid", NUMBER), ("current_task_id", UUID)]),
];

/// Judges a database in which none of our migrations ran.
pub fn origin(catalog: &Catalog) -> Origin {
    let known = NEEDED.iter().chain(&OPTIONAL).filter(|(table, _)| catalog.contains_key(*table));
    if known.count() == 0 {
        return Origin::Empty;
    }
    let mut faults = Vec::new();
    for (table, columns) in NEEDED.iter().chain(&OPTIONAL) {
        match catalog.get(*table) {
            Some(found) => faults.extend(columns.iter().filter_map(|needed| fault(table, found, *needed))),
            None if NEEDED.iter().any(|(name, _)| name == table) => {
                faults.push(format!("the table {table} is missing"))
            }
            None => {}
        }
    }
    if faults.is_empty() {
        return Origin::Python;
    }
    let is_python = catalog.contains_key("alembic_version")
        && ["flows", "flow_components", "workflows", "workflow_sources"]
            .iter()
            .any(|table| catalog.contains_key(*table));
    Origin::Misfit(Misfit { faults, is_python })
}

fn fault(table: &str, found: &BTreeMap<String, String>, (column, kind): (&str, &str)) -> Option<String> {
    match found.get(column).map(String::as_str) {
        None => Some(format!("{table}.{column} is missing")),
        Some("character varying" | TEXT) if kind == TEXT => None,
        Some(is) if is == kind => None,
        Some(is) => Some(format!("{table}.{column} is {is} instead of {kind}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python() -> Catalog {
        let columns = |columns: &[(&str, &str)]| columns.iter().map(|(c, t)| ((*c).into(), (*t).into())).collect();
        NEEDED.iter().map(|(table, list)| ((*table).to_owned(), columns(list))).collect()
    }

    #[test]
    fn a_database_without_our_tables_is_empty() {
        assert_eq!(origin(&Catalog::new()), Origin::Empty);
        assert_eq!(origin(&BTreeMap::from([("customers".to_owned(), BTreeMap::new())])), Origin::Empty);
    }

    #[test]
    fn the_python_service_is_known_by_its_columns() {
        let mut catalog = python();
        assert_eq!(origin(&catalog), Origin::Python);
        catalog.get_mut("tasks").expect("a table").insert("status".into(), "character varying".into());
        assert_eq!(origin(&catalog), Origin::Python);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut old = python();
        let tasks = old.get_mut("tasks").expect("a table");
        tasks.remove("schedule_id");
        tasks.insert("created_at".into(), "timestamp without time zone".into());
        old.remove("workflow_sources");
        old.insert("alembic_version".into(), BTreeMap::new());
        let Origin::Misfit(misfit) = origin(&old) else { panic!("taken over") };
        assert!(misfit.is_python);
        assert_eq!(
            misfit.faults,
            [
                "the table workflow_sources is missing",
                "tasks.schedule_id is missing",
                "tasks.created_at is timestamp without time zone instead of timestamp with time zone",
            ]
        );
        let foreign = BTreeMap::from([("tasks".to_owned(), BTreeMap::from([("id".into(), "integer".into())]))]);
        assert!(matches!(origin(&foreign), Origin::Misfit(Misfit { is_python: false, .. })));
    }
}
