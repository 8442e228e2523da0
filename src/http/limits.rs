//! Limits of sources and workflows, as requests give them and answers show them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::error::{Error, Problem};
use crate::domain::limit::{Limits, MOST, Rate};
use crate::store::gate::GateRecord;

/// Limits as a request has them: absent leaves one as it is, null takes it away.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct LimitsBody {
    /// Attempts that may run at one time, over all nodes; null is no limit.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 10_000, example = 2)]
    max_concurrency: Option<Option<i64>>,
    /// Attempts that may start, over all nodes: so many a second (`2/s`), minute (`30/m`) or hour (`100/h`); null is no
    /// limit.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, example = "30/m")]
    rate: Option<Option<String>>,
}

/// Tells null (`Some(None)`) from absent (`None`).
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl LimitsBody {
    /// The limits after the change.
    ///
    /// # Errors
    /// One is no limit.
    pub(super) fn applied_to(&self, former: Limits) -> Result<Limits, Error> {
        let refuse = |field: &'static str, msg: String| Error::invalid(Problem::body(field, msg));
        let max_concurrency = match self.max_concurrency {
            None => former.max_concurrency,
            Some(None) => None,
            Some(Some(most)) => {
                let most = u32::try_from(most).ok().filter(|most| (1..=MOST).contains(most)).ok_or_else(|| {
                    refuse("max_concurrency", format!("max_concurrency must be from 1 to {MOST}, or null for no limit"))
                })?;
                Some(most)
            }
        };
        let rate = match &self.rate {
            None => former.rate,
            Some(None) => None,
            Some(Some(text)) => Some(text.parse::<Rate>().map_err(|error| refuse("rate", error.to_string()))?),
        };
        Ok(Limits { max_concurrency, rate })
    }
}

/// Limits as they are shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct LimitsShown {
    /// Attempts that may run at one time, over all nodes.
    #[schema(example = 2)]
    max_concurrency: Option<u32>,
    /// Attempts that may start, over all nodes.
    #[schema(example = "30/m")]
    rate: Option<String>,
}

impl From<Limits> for LimitsShown {
    fn from(limits: Limits) -> Self {
        Self { max_concurrency: limits.max_concurrency, rate: limits.rate.map(|rate| rate.to_string()) }
    }
}

/// Whether a source is called.
#[derive(Debug, Serialize, ToSchema)]
pub struct CircuitShown {
    /// `closed`: it is; `open`: it is left alone, and its tasks wait; `half_open`: one attempt finds out whether it is
    /// back.
    #[schema(example = "closed")]
    state: &'static str,
    /// When it is tried again; only while it is open.
    until: Option<DateTime<Utc>>,
    /// The latest failure.
    reason: Option<String>,
    /// How many attempts in a row did not get through.
    failures: u32,
}

impl From<GateRecord> for CircuitShown {
    fn from(gate: GateRecord) -> Self {
        let circuit = gate.circuit;
        let is_open = circuit.state == crate::domain::circuit::CircuitState::Open;
        Self {
            state: circuit.state.as_str(),
            until: circuit.until.filter(|_| is_open),
            reason: circuit.reason,
            failures: circuit.failures,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn applied(body: Value) -> Option<Limits> {
        let former = Limits { max_concurrency: Some(4), rate: "2/s".parse().ok() };
        serde_json::from_value::<LimitsBody>(body).expect("a body").applied_to(former).ok()
    }

    #[test]
    fn absent_keeps_null_takes_away_and_nonsense_is_refused() {
        let limits = |most, rate: Option<&str>| {
            Some(Limits { max_concurrency: most, rate: rate.map(|rate| rate.parse().expect("a rate")) })
        };
        assert_eq!(applied(json!({})), limits(Some(4), Some("2/s")));
        assert_eq!(applied(json!({"max_concurrency": null, "rate": "30/m"})), limits(None, Some("30/m")));
        assert_eq!(applied(json!({"max_concurrency": 1, "rate": null})), limits(Some(1), None));
        for bad in [json!({"max_concurrency": 0}), json!({"max_concurrency": 10_001}), json!({"rate": "often"})] {
            assert_eq!(applied(bad.clone()), None, "{bad}");
        }
    }
}
