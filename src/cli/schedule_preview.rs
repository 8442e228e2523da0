//! `schedules preview`: the next runs of a schedule, or of a rule before it is one.

use chrono::DateTime;
use clap::Args;
use serde_json::{Value, json};

use super::render::field;
use super::schedule_form::Type;
use super::table::Column::Keep;
use super::{Error, Session, resolve};

/// What to look ahead at.
#[derive(Args, Debug)]
pub(super) struct PreviewArgs {
    /// The schedule's id or a beginning of it; without it, give a rule by --type and --expr
    #[arg(required_unless_present = "expr", conflicts_with_all = ["kind", "expr", "timezone"])]
    schedule: Option<String>,
    /// How the rule goes by the clock
    #[arg(
        short = 't',
        long = "type",
        visible_alias = "schedule-type",
        value_enum,
        value_name = "TYPE",
        requires = "expr"
    )]
    kind: Option<Type>,
    /// When: 30m, '0 8 * * 1-5', now, 2026-12-24T18:00
    #[arg(short, long, visible_aliases = ["expression", "schedule-expr"], value_name = "EXPRESSION",
          requires = "kind")]
    expr: Option<String>,
    /// The timezone the expression is read in, like Europe/Berlin; else the service's
    #[arg(long, value_name = "ZONE", requires = "expr")]
    timezone: Option<String>,
    /// How many runs
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    count: u32,
}

pub(super) async fn run(session: &Session, args: PreviewArgs) -> Result<(), Error> {
    let client = &session.client;
    let request = match &args.schedule {
        Some(schedule) => {
            let id = resolve::id(client, &resolve::SCHEDULE, schedule).await?;
            client.get(&["schedules", &id, "preview"]).query("count", Some(args.count))
        }
        None => client.post(&["schedules", "preview"]).json(&rule(&args)),
    };
    let answer = request.send().await?;
    if session.out.is_json() {
        return session.out.json(&answer);
    }
    let occurrences = answer.value["occurrences"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !occurrences.is_empty() {
        let [kind, expr, zone] = ["schedule_type", "schedule_expr", "timezone"].map(|name| field(&answer.value, name));
        session.out.say(&format!("{kind} {expr}, by the clock of {zone}"));
    }
    let columns = [Keep("LOCAL"), Keep("UTC"), Keep("CLOCK")];
    session.out.rows(&columns, rows(occurrences), "it has no runs to come")
}

fn rule(args: &PreviewArgs) -> Value {
    let mut rule = json!({
        "schedule_type": args.kind.map(Type::as_str), "schedule_expr": args.expr, "count": args.count,
    });
    if let Some(timezone) = &args.timezone {
        rule["timezone"] = timezone.as_str().into();
    }
    rule
}

fn rows(occurrences: &[Value]) -> Vec<Vec<String>> {
    let mut before = None;
    let row = |occurrence| {
        let local = DateTime::parse_from_rfc3339(&field(occurrence, "local")).ok();
        let offset = local.map(|local| local.offset().local_minus_utc());
        let change = if occurrence["clock_changed"] == true { change(before, offset) } else { String::new() };
        before = offset;
        // The day of the week is what many a mistake is about.
        let shown = local.map_or_else(|| field(occurrence, "local"), |local| local.format("%a %F %T %:z").to_string());
        vec![shown, field(occurrence, "utc"), change]
    };
    occurrences.iter().map(row).collect()
}

/// By how much the clock was changed since the run before.
fn change(before: Option<i32>, after: Option<i32>) -> String {
    match before.zip(after) {
        Some((before, after)) if (after - before) % 3600 == 0 => format!("{:+} h", (after - before) / 3600),
        Some((before, after)) => format!("{:+} min", (after - before) / 60),
        // The first one: since now.
        None => "changed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_the_clock_is_told_in_hours() {
        let occurrence =
            |local: &str, clock_changed: bool| json!({"local": local, "utc": "u", "clock_changed": clock_changed});
        let shown = rows(&[
            occurrence("2026-03-28T02:30:00+01:00", true),
            occurrence("2026-03-29T03:00:00+02:00", true),
            occurrence("2026-03-30T02:30:00+02:00", false),
            occurrence("2026-03-30T02:30:00+01:30", true),
        ]);
        let clocks: Vec<&str> = shown.iter().map(|row| row[2].as_str()).collect();
        assert_eq!(clocks, ["changed", "+1 h", "", "-30 min"]);
        assert_eq!(shown[1][0], "Sun 2026-03-29 03:00:00 +02:00");
    }
}
