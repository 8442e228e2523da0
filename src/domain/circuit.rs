//! Circuit breakers: a source that is down, or asks to be left alone, is left alone for a while.
//!
//! ```text
//!            as many failures in a row as may be, or a 429 or 503 that says "not now"
//!   closed ------------------------------------------------------------------------> open
//!      ^                                                                            |  ^
//!      | it answers                                     the wait is over: one probe |  | it fails: a longer wait
//!      +------------------------------ half_open <----------------------------------+  |
//!                                          +-------------------------------------------+
//! ```

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::outcome::{Failure, FailureClass, Outcome};
use super::retry::{HARD_TIME_LIMIT, SOFT_TIME_LIMIT};

/// When a circuit opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitOptions {
    /// So many failures in a row open it.
    pub max_failures: u32,
    /// The first wait; each further one is twice as long.
    pub wait: Duration,
    /// The longest of them.
    pub max_wait: Duration,
    /// A source that asks for a longer wait is tried after this one.
    pub max_retry_after: Duration,
}

/// Whether a source is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CircuitState {
    /// It is.
    #[default]
    Closed,
    /// It is not, until the wait is over.
    Open,
    /// One attempt finds out whether it is back.
    HalfOpen,
}

impl CircuitState {
    /// The name in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// The circuit of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Circuit {
    /// Whether the source is called.
    #[serde(rename = "circuit")]
    pub state: CircuitState,
    /// Failures in a row.
    pub failures: u32,
    /// How often it opened since it was closed.
    pub openings: u32,
    /// When the wait is over.
    pub until: Option<DateTime<Utc>>,
    /// What opened it, or the latest failure.
    pub reason: Option<String>,
}

/// What the end of an attempt says of its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It answered.
    Up,
    /// It did not, for this reason.
    Down(String),
    /// It asked to be left alone, perhaps for so long.
    Busy(String, Option<Duration>),
}

impl Signal {
    /// What an outcome says; nothing where it is not about the source.
    ///
    /// A plain 500 counts as an answer: it is what LangFlow says where a flow fails, and one flow's fault must not pause
    /// the others. So do refusals (4xx), for whoever refuses is there.
    pub fn of(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::Completed(_) => Some(Self::Up),
            Outcome::Failed(failure) => Self::of_failure(failure),
            Outcome::Cancelled | Outcome::Lost(_) | Outcome::Released | Outcome::NotStarted => None,
        }
    }

    fn of_failure(failure: &Failure) -> Option<Self> {
        let reason = || failure.message.clone();
        if let Some(status) = failure.code.strip_prefix("source_http_") {
            return Some(match status {
                "429" => Self::Busy(reason(), failure.retry_after),
                "503" if failure.retry_after.is_some() => Self::Busy(reason(), failure.retry_after),
                "408" => Self::Down(reason()),
                _ if status.starts_with('5') && status != "500" => Self::Down(reason()),
                _ => Self::Up,
            });
        }
        match failure.code.as_str() {
            "source_unreachable" | "source_reset" | "source_timeout" | SOFT_TIME_LIMIT | HARD_TIME_LIMIT => {
                Some(Self::Down(reason()))
            }
            // It fails every task of the source alike, at once and for good: no retry waits until somebody has renewed it.
            // So it is the circuit that spares the tasks that are still waiting.
            "source_certificate" => Some(Self::Down(reason())),
            // What the source said, whatever it was, it said.
            "answer_too_large" | "unusable_answer" | "source_redirect" => Some(Self::Up),
            code if code.starts_with("source_") => None,
            _ if failure.class == FailureClass::Transient => Some(Self::Up),
            _ => None,
        }
    }
}

impl Circuit {
    /// The circuit after a signal. `is_probe`: of the attempt that was sent to find out.
    #[must_use]
    pub fn after(self, signal: &Signal, is_probe: bool, now: DateTime<Utc>, options: &CircuitOptions) -> Self {
        match (self.state, signal) {
            (CircuitState::Closed, Signal::Up) => Self::default(),
            (CircuitState::HalfOpen, Signal::Up) if is_probe => Self::default(),
            (CircuitState::Closed, Signal::Down(reason)) if self.failures + 1 < options.max_failures => {
                Self { failures: self.failures + 1, reason: Some(reason.clone()), ..self }
            }
            (CircuitState::Closed, Signal::Down(reason)) => self.opened(reason, None, now, options),
            (CircuitState::HalfOpen, Signal::Down(reason)) if is_probe => self.opened(reason, None, now, options),
            (CircuitState::Closed | CircuitState::HalfOpen, Signal::Busy(reason, wait)) => {
                self.opened(reason, *wait, now, options)
            }
            // Attempts that began before it opened end meanwhile. They tell nothing new, but for how long to wait.
            (CircuitState::Open, Signal::Busy(_, Some(wait))) => {
                let asked = now + (*wait).min(options.max_retry_after);
                Self { until: self.until.max(Some(asked)), ..self }
            }
            _ => self,
        }
    }

    fn opened(self, reason: &str, asked: Option<Duration>, now: DateTime<Utc>, options: &CircuitOptions) -> Self {
        let factor = 1u32.checked_shl(self.openings).unwrap_or(u32::MAX);
        let grown = options.wait.saturating_mul(factor).min(options.max_wait);
        let wait = asked.map_or(grown, |asked| asked.min(options.max_retry_after));
        Self {
            state: CircuitState::Open,
            failures: self.failures.saturating_add(1),
            openings: self.openings.saturating_add(1),
            until: Some(now + wait),
            reason: Some(reason.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    const OPTIONS: CircuitOptions = CircuitOptions {
        max_failures: 3,
        wait: Duration::from_secs(5),
        max_wait: Duration::from_secs(15),
        max_retry_after: Duration::from_secs(60),
    };

    fn down() -> Signal {
        Signal::Down("refused".to_owned())
    }

    fn busy(seconds: u64) -> Signal {
        Signal::Busy("429".to_owned(), Some(Duration::from_secs(seconds)))
    }

    fn after(circuit: Circuit, signal: &Signal, is_probe: bool) -> Circuit {
        circuit.after(signal, is_probe, DateTime::UNIX_EPOCH, &OPTIONS)
    }

    fn wait(circuit: &Circuit) -> i64 {
        (circuit.until.expect("it waits") - DateTime::UNIX_EPOCH).num_seconds()
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_in_between_does_not() {
        let twice = after(after(Circuit::default(), &down(), false), &down(), false);
        assert_eq!((twice.state, twice.failures), (CircuitState::Closed, 2));
        assert_eq!(after(twice.clone(), &Signal::Up, false), Circuit::default());
        let open = after(twice, &down(), false);
        assert_eq!((open.state, open.failures, wait(&open)), (CircuitState::Open, 3, 5));
        assert_eq!(after(open.clone(), &down(), false), open, "what began before tells nothing new");
        assert_eq!(after(open.clone(), &Signal::Up, false), open);
    }

    #[test]
    fn each_probe_that_fails_doubles_the_wait_up_to_the_longest_and_one_that_succeeds_closes() {
        let mut circuit = Circuit { failures: 2, ..Circuit::default() };
        let mut waits = Vec::new();
        for _ in 0..4 {
            circuit = after(circuit, &down(), true);
            waits.push(wait(&circuit));
            circuit.state = CircuitState::HalfOpen;
        }
        assert_eq!(waits, [5, 10, 15, 15]);
        assert_eq!(after(circuit.clone(), &Signal::Up, false), circuit, "an older attempt is no probe");
        assert_eq!(after(circuit, &Signal::Up, true), Circuit::default());
    }

    #[test]
    fn a_source_that_says_not_now_is_left_alone_for_as_long_as_it_asks() {
        let open = after(Circuit::default(), &busy(30), false);
        assert_eq!((open.state, wait(&open)), (CircuitState::Open, 30));
        assert_eq!(wait(&after(open.clone(), &busy(7), false)), 30);
        assert_eq!(wait(&after(open.clone(), &busy(90), false)), 60, "within limits");
        let unsaid = Signal::Busy("429".to_owned(), None);
        assert_eq!(wait(&after(Circuit::default(), &unsaid, false)), 5);
    }

    #[test]
    fn outcomes_tell_of_the_source_what_they_can() {
        let failed = |code: &str| Outcome::Failed(Failure::transient(code, "why"));
        let told = |outcome: &Outcome| Signal::of(outcome);
        let is_down = Some(Signal::Down("why".to_owned()));
        for code in ["source_unreachable", "source_reset", "source_timeout", "source_http_502", SOFT_TIME_LIMIT] {
            assert_eq!(told(&failed(code)), is_down, "{code}");
        }
        assert_eq!(told(&failed("source_http_503")), is_down);
        let expired = Outcome::Failed(Failure::permanent("source_certificate", "why"));
        assert_eq!(told(&expired), is_down, "its tasks wait until it is renewed");
        assert_eq!(told(&failed("source_http_429")), Some(Signal::Busy("why".to_owned(), None)));
        let asked = Some(Duration::from_secs(3));
        let later = Outcome::Failed(Failure::transient("source_http_503", "why").retry_after(asked));
        assert_eq!(told(&later), Some(Signal::Busy("why".to_owned(), asked)));
        for code in ["source_http_500", "source_http_404", "source_http_401", "unusable_answer", "flow_failed"] {
            assert_eq!(told(&failed(code)), Some(Signal::Up), "{code}");
        }
        for outcome in
            [failed("source_key"), failed("source_tls"), Outcome::Cancelled, Outcome::Released, Outcome::NotStarted]
        {
            assert_eq!(told(&outcome), None, "{outcome:?}");
        }
    }

    proptest! {
        #[test]
        fn an_open_circuit_always_has_an_end_within_the_limits(
            steps in prop::collection::vec((0u8..5, any::<bool>(), 0u64..10_000), 1..100),
        ) {
            let (mut circuit, mut now) = (Circuit::default(), DateTime::UNIX_EPOCH);
            for (step, is_probe, seconds) in steps {
                let signal = match step {
                    0 => Signal::Up,
                    1 => down(),
                    2 => busy(seconds),
                    3 => Signal::Busy("429".to_owned(), None),
                    _ => {
                        now += TimeDelta::seconds(i64::try_from(seconds % 20).expect("small"));
                        if circuit.state == CircuitState::Open && circuit.until <= Some(now) {
                            circuit.state = CircuitState::HalfOpen;
                        }
                        continue;
                    }
                };
                circuit = circuit.after(&signal, is_probe, now, &OPTIONS);
                if circuit.state == CircuitState::Open {
                    prop_assert!(circuit.until.expect("an end") <= now + TimeDelta::seconds(60));
                }
                prop_assert!(circuit.state != CircuitState::Closed || circuit.failures < OPTIONS.max_failures);
            }
        }
    }
}
