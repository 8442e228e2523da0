//! Which field of a cron expression is at fault: croner's own words are about croner.

use croner::parser::CronParser;

/// Says which field can't be read, by trying each alone. The fields are those of a whole expression, with their names.
pub(super) fn find<'a>(parser: &CronParser, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let fields = fields.into_iter();
    let fault = fields.enumerate().find(|(at, (field, _))| {
        let alone: Vec<&str> = (0..5).map(|place| if place == *at { *field } else { "*" }).collect();
        parser.parse(&alone.join(" ")).is_err()
    });
    match fault {
        Some((_, (field, name))) => format!("its {name} field can't be {field}"),
        None => "its fields don't go together".to_owned(),
    }
}
