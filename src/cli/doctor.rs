//! `doctor`: what is wrong at this moment, why, and what to do.

use serde_json::Value;

use super::render::field;
use super::table::Column::{Keep, Shrink};
use super::{Error, Session};

pub(super) async fn run(session: &Session) -> Result<(), Error> {
    let answer = session.client.get(&["diagnosis"]).send().await.map_err(where_to_look)?;
    if session.out.is_json() {
        session.out.json(&answer)?;
    } else {
        let rows = answer.items().iter().map(|found| {
            let limits = format!("{} / {}", field(found, "warning_above"), field(found, "critical_above"));
            vec![field(found, "check"), field(found, "level"), figure(found), limits, advice(found)]
        });
        let columns = [Keep("CHECK"), Keep("STATE"), Keep("FIGURE"), Keep("LIMITS"), Shrink("CAUSE AND WHAT TO DO")];
        session.out.rows(&columns, rows.collect(), "the service checked nothing")?;
    }
    verdict(&answer.value)
}

/// A script is told by the exit code, a reader by the last line too.
fn verdict(diagnosis: &Value) -> Result<(), Error> {
    let names = |level: &str| -> Vec<String> {
        let items = diagnosis["items"].as_array().into_iter().flatten();
        items.filter(|found| found["level"] == level).map(|found| field(found, "check")).collect()
    };
    let (critical, warnings) = (names("critical"), names("warning"));
    match (critical.is_empty(), warnings.is_empty()) {
        (true, true) => Ok(()),
        (true, false) => Err(Error::Warning(format!("warning: {}", warnings.join(", ")))),
        (false, true) => Err(Error::Critical(format!("critical: {}", critical.join(", ")))),
        (false, false) => {
            Err(Error::Critical(format!("critical: {}; warning: {}", critical.join(", "), warnings.join(", "))))
        }
    }
}

fn figure(found: &Value) -> String {
    match found["figure"].as_f64() {
        Some(figure) => format!("{figure} {}", field(found, "unit").replace("percent", "%")),
        None => String::new(),
    }
}

fn advice(found: &Value) -> String {
    match (field(found, "cause"), field(found, "advice")) {
        (cause, advice) if cause.is_empty() => advice,
        (cause, advice) => format!("{cause}: {advice}"),
    }
}

/// A service that is not there can't say what is wrong with it.
fn where_to_look(error: Error) -> Error {
    match error {
        Error::Unavailable(message) => Error::Unavailable(format!(
            "{message}. Look at `systemctl status automagik-spark` and `journalctl -u automagik-spark -n 50`; a service \
             that does not start says there why, and PostgreSQL and Redis must run"
        )),
        other => other,
    }
}
