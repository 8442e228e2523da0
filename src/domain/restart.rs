//! How often a pool may replace children that crashed before it is called failed.

use std::collections::VecDeque;
use std::time::Duration;

/// Limits of restarting after crashes. A child that was replaced on purpose is no crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartOptions {
    /// Crashes within the window that a pool survives.
    pub max_restarts: usize,
    /// The window.
    pub window: Duration,
    /// The wait before the first restart that follows another crash within the window; doubles with each.
    pub backoff: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
}

impl Default for RestartOptions {
    fn default() -> Self {
        Self {
            max_restarts: 20,
            window: Duration::from_secs(60),
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
        }
    }
}

/// What a crash asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartVerdict {
    /// Start a replacement after this wait.
    After(Duration),
    /// The pool has failed; start a replacement after this wait all the same, so that it heals by itself.
    Failed(Duration),
}

/// The crashes of a pool's recent past. Time is given as the time since any fixed start.
#[derive(Clone, Debug, Default)]
pub struct CrashLog {
    crashes: VecDeque<Duration>,
}

impl CrashLog {
    /// Counts a crash and says what to do. The first crash in a window is replaced at once.
    pub fn record(&mut self, now: Duration, options: &RestartOptions) -> RestartVerdict {
        self.forget(now, options);
        self.crashes.push_back(now);
        // A log longer than the limit would tell nothing more.
        if self.crashes.len() > options.max_restarts + 1 {
            self.crashes.pop_front();
        }
        let repeats = self.crashes.len() - 1;
        if repeats >= options.max_restarts {
            return RestartVerdict::Failed(options.backoff_max);
        }
        let doublings = u32::try_from(repeats).unwrap_or(u32::MAX);
        let wait = match doublings {
            0 => Duration::ZERO,
            n => options.backoff.saturating_mul(2u32.saturating_pow(n - 1)).min(options.backoff_max),
        };
        RestartVerdict::After(wait)
    }

    /// Whether the pool still counts as failed.
    pub fn is_failed(&mut self, now: Duration, options: &RestartOptions) -> bool {
        self.forget(now, options);
        self.crashes.len() > options.max_restarts
    }

    fn forget(&mut self, now: Duration, options: &RestartOptions) {
        while self.crashes.front().is_some_and(|at| now.saturating_sub(*at) > options.window) {
            self.crashes.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn waits_double_up_to_the_limit_and_then_the_pool_has_failed() {
        let options = RestartOptions { max_restarts: 3, backoff_max: Duration::from_millis(150), ..Default::default() };
        let mut log = CrashLog::default();
        let verdicts: Vec<_> = (0..4).map(|_| log.record(secs(1), &options)).collect();
        use RestartVerdict::*;
        let ms = Duration::from_millis;
        assert_eq!(verdicts, [After(ms(0)), After(ms(100)), After(ms(150)), Failed(ms(150))]);
        assert!(log.is_failed(secs(60), &options));
        assert!(!log.is_failed(secs(62), &options));
        assert_eq!(log.record(secs(63), &options), After(ms(0)));
    }
}
