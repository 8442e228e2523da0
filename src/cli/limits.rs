//! Limits, as they are typed and shown.

use clap::Args;
use serde_json::{Map, Value};

use super::render::{field, text};
use crate::domain::limit::Rate;

/// Limits of a source or workflow.
#[derive(Args, Debug)]
pub(super) struct LimitArgs {
    /// How many of its tasks may run at one time, over all nodes; `none` for no limit
    #[arg(long, value_name = "N", value_parser = number)]
    max_concurrency: Option<Value>,
    /// How many may start a second, minute or hour, over all nodes: 2/s, 30/m, 100/h; `none` for no limit
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate: Option<Value>,
}

impl LimitArgs {
    /// Adds to a body what is given.
    pub(super) fn add_to(self, body: &mut Map<String, Value>) {
        for (name, value) in [("max_concurrency", self.max_concurrency), ("rate", self.rate)] {
            body.extend(value.map(|value| (name.to_owned(), value)));
        }
    }
}

fn number(text: &str) -> Result<Value, String> {
    match text {
        "none" => Ok(Value::Null),
        text => text.parse::<u32>().map(Value::from).map_err(|_| "it must be a number, or `none`".to_owned()),
    }
}

fn rate(text: &str) -> Result<Value, String> {
    match text {
        "none" => Ok(Value::Null),
        text => text.parse::<Rate>().map(|rate| rate.to_string().into()).map_err(|error| error.to_string()),
    }
}

/// The limits of a source or workflow in a few characters: `2 at once, 30/m`.
pub(super) fn shown(item: &Value) -> String {
    let most = text(&item["max_concurrency"]);
    let most = if most.is_empty() { most } else { format!("{most} at once") };
    [most, field(item, "rate")].into_iter().filter(|limit| !limit.is_empty()).collect::<Vec<_>>().join(", ")
}
