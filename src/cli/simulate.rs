//! `simulate`: a server on loopback that behaves like LangFlow.

use std::net::Ipv4Addr;
use std::time::Duration;

use clap::Args;

use super::connection::secret;
use super::output::Output;
use super::{Error, block_on};
use crate::domain::source::Secret;
use crate::shutdown::StopSignals;
use crate::simulate::{self, SimulateOptions};

/// How the simulated server behaves.
#[derive(Args, Debug)]
pub(super) struct SimulateArgs {
    /// The port on 127.0.0.1; a free one if not given
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// How long a run takes: 5ms, 2s
    #[arg(long, value_name = "TIME", value_parser = latency, default_value = "0ms", conflicts_with = "latency_ms")]
    latency: Duration,
    /// The same in milliseconds
    #[arg(long, value_name = "N")]
    latency_ms: Option<u64>,
    /// Which share of the runs fails, from 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = share, default_value_t = 0.0)]
    failure_rate: f64,
    /// How long the text of an answer is; the input is answered if not given
    #[arg(long, value_name = "N")]
    answer_bytes: Option<usize>,
    /// The key that requests must bring; any will do if not given
    #[arg(long = "api-key", id = "simulated_key", value_name = "KEY", value_parser = secret)]
    api_key: Option<Secret>,
}

impl SimulateArgs {
    fn latency(&self) -> Duration {
        self.latency_ms.map_or(self.latency, Duration::from_millis)
    }
}

/// Serves until Ctrl-C or SIGTERM.
pub(super) fn run(out: &Output, args: &SimulateArgs) -> Result<(), Error> {
    let options = SimulateOptions {
        bind: (Ipv4Addr::LOCALHOST, args.port).into(),
        latency: args.latency(),
        failure_rate: args.failure_rate,
        answer_bytes: args.answer_bytes.unwrap_or(0),
        api_key: args.api_key.clone().unwrap_or_default(),
        workers: 1,
        keep_calls: false,
    };
    block_on(async {
        let signals = StopSignals::listen()?;
        let ready =
            |server: &simulate::Simulated| out.say(&format!("a simulated LangFlow answers at {}", server.url()));
        let counts = simulate::run_until(options, ready, signals.next())
            .await
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        out.say(&format!("{} runs in {} sessions", counts.total, counts.distinct_sessions));
        Ok(())
    })
}

fn latency(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no length of time; write 5ms, 2s or 1m");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit.trim() {
        "ms" => number / 1_000.0,
        "s" => number,
        "m" => number * 60.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("`{text}` is no share; write a number from 0 to 1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_shares_are_read() {
        assert_eq!(latency("5ms"), Ok(Duration::from_millis(5)));
        assert_eq!(latency("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(latency("1m"), Ok(Duration::from_secs(60)));
        for bad in ["5", "ms", "-1s", "1h", "1e99s", "9999999999999999999999s"] {
            assert!(latency(bad).is_err(), "{bad}");
        }
        assert_eq!(share("0.1"), Ok(0.1));
        assert!(["1.1", "-0.1", "NaN", "x"].into_iter().all(|bad| share(bad).is_err()));
    }
}
