//! `/api/v1/diagnosis`: what is wrong at this moment, why, and what to do.

use actix_web::web::{Data, Json};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::state::ApiState;
use crate::domain::clock;
use crate::domain::diagnosis::{self, Level};

/// What was found at this node, and at the servers that all nodes share.
#[derive(Debug, Serialize, ToSchema)]
pub struct Diagnosis {
    /// When.
    at: DateTime<Utc>,
    /// The worst of all levels: `ok`, `unknown`, `warning` or `critical`.
    level: &'static str,
    /// Every check, always in the same order.
    items: Vec<Finding>,
    /// How many there are.
    total: usize,
}

/// What one check found.
#[derive(Debug, Serialize, ToSchema)]
pub struct Finding {
    /// Name of the check.
    #[schema(example = "queue_depth")]
    check: &'static str,
    /// `ok`, `unknown` (it was not measured), `warning` or `critical`.
    level: &'static str,
    /// The figure; none where it was not measured.
    figure: Option<f64>,
    /// What figure and thresholds count: `servers`, `tasks`, `s`, `ms`, `percent`, `times` or `children`.
    unit: &'static str,
    /// Above this it is a warning.
    warning_above: f64,
    /// Above this it is critical.
    critical_above: f64,
    /// What one sees; none where all is well.
    symptom: Option<&'static str>,
    /// What most likely brings it about.
    cause: Option<String>,
    /// What to do.
    advice: Option<String>,
}

/// Say what is wrong at this moment, why, and what to do. It is made of what was measured last, without asking a server,
/// so that it answers while one hangs.
#[utoipa::path(
    get, path = "/api/v1/diagnosis", tag = "operations",
    responses((status = 200, description = "The findings", body = Diagnosis))
)]
pub(super) async fn get(state: Data<ApiState>) -> Json<Diagnosis> {
    let figures = state.dispatch.diagnosis_figures(state.options.redis_memory_bytes);
    let findings = diagnosis::diagnose(&figures);
    let level = diagnosis::worst(&findings).as_str();
    let items: Vec<Finding> = findings.into_iter().map(Finding::from).collect();
    Json(Diagnosis { at: clock::now(), level, total: items.len(), items })
}

impl From<diagnosis::Finding> for Finding {
    fn from(found: diagnosis::Finding) -> Self {
        let is_wrong = found.level >= Level::Warning;
        Self {
            check: found.check,
            level: found.level.as_str(),
            figure: found.figure.map(|figure| (figure * 10.0).round() / 10.0),
            unit: found.limits.unit,
            warning_above: found.limits.warning,
            critical_above: found.limits.critical,
            symptom: is_wrong.then_some(found.symptom),
            cause: is_wrong.then_some(found.cause),
            advice: is_wrong.then_some(found.advice),
        }
    }
}
