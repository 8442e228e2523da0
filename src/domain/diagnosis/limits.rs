//! The two thresholds of a figure.

use super::Level;

/// Thresholds: what is greater than one of them has that level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Above this it is a warning.
    pub warning: f64,
    /// Above this it is critical.
    pub critical: f64,
    /// What the figure counts: `servers`, `tasks`, `percent`, `s`, `ms`, `times` or `children`.
    pub unit: &'static str,
}

impl Limits {
    pub(super) const fn new(warning: f64, critical: f64, unit: &'static str) -> Self {
        Self { warning, critical, unit }
    }

    /// The level of a figure.
    pub fn judge(&self, figure: f64) -> Level {
        if figure > self.critical {
            Level::Critical
        } else if figure > self.warning {
            Level::Warning
        } else {
            Level::Ok
        }
    }
}
