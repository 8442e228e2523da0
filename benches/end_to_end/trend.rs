//! Does a figure grow? Its samples over time, fitted by a straight line (least squares). Pure; `tests/it/trend.rs`
//! tests it, for a bench without a harness runs no tests.

/// What became of a figure over a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Trend {
    /// Mean of the first third of the samples.
    pub(crate) first: f64,
    /// Mean of the last third.
    pub(crate) last: f64,
    /// What it grows by in an hour.
    pub(crate) slope: f64,
    /// Standard error of the slope, as if each sample were independent of the one before.
    pub(crate) error: f64,
}

impl Trend {
    /// Of samples (seconds, value), in order; nothing where there are too few for a line and its error.
    pub(crate) fn of(samples: &[(f64, f64)]) -> Option<Self> {
        if samples.len() < 3 {
            return None;
        }
        let hours: Vec<(f64, f64)> = samples.iter().map(|(seconds, value)| (seconds / 3600.0, *value)).collect();
        let (mean_x, mean_y) = (mean(hours.iter().map(|point| point.0)), mean(hours.iter().map(|point| point.1)));
        let spread: f64 = hours.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
        if spread == 0.0 {
            return None;
        }
        let slope = hours.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / spread;
        let rest: f64 = hours.iter().map(|(x, y)| (y - mean_y - slope * (x - mean_x)).powi(2)).sum();
        let error = (rest / (hours.len() - 2) as f64 / spread).sqrt();
        let third = samples.len() / 3;
        let part = |samples: &[(f64, f64)]| mean(samples.iter().map(|sample| sample.1));
        Some(Self { first: part(&samples[..third]), last: part(&samples[samples.len() - third..]), slope, error })
    }

    /// It rises more than chance explains (two standard errors), and by more than is allowed from the first third to the
    /// last. Samples follow each other closely, which makes the error too small: so the first alone is no proof.
    pub(crate) fn grows_beyond(&self, allowed: f64) -> bool {
        self.slope > 2.0 * self.error && self.last - self.first > allowed
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}
