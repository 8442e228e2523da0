//! How an input steers the simulated source. Pure.

use std::time::Duration;

const MAX_SLEEP_S: f64 = 3600.0;
const MAX_BIG_BYTES: usize = 64 * 1024 * 1024;

/// What a run shall do.
#[derive(Debug, PartialEq)]
pub(super) enum Steer<'a> {
    Echo,
    Fail(&'a str),
    Sleep(Duration),
    Status { status: u16, retry_after: Option<&'a str> },
    Hang,
    Reset,
    Big(usize),
    Html,
    Flaky(u64),
}

/// Reads an input; what is not a well-formed command is echoed.
pub(super) fn read(input: &str) -> Steer<'_> {
    match input {
        "hang" => return Steer::Hang,
        "reset" => return Steer::Reset,
        "html" => return Steer::Html,
        _ => {}
    }
    let Some((command, argument)) = input.split_once(':') else { return Steer::Echo };
    match command {
        "fail" => Steer::Fail(argument),
        "sleep" => match argument.parse::<f64>() {
            Ok(seconds) if (0.0..=MAX_SLEEP_S).contains(&seconds) => Steer::Sleep(Duration::from_secs_f64(seconds)),
            _ => Steer::Echo,
        },
        "status" => {
            let (status, retry_after) = match argument.split_once(':') {
                Some((status, wait)) => (status, Some(wait)),
                None => (argument, None),
            };
            match status.parse() {
                Ok(status @ 200..=599) => Steer::Status { status, retry_after },
                _ => Steer::Echo,
            }
        }
        "flaky" => argument.parse().map_or(Steer::Echo, Steer::Flaky),
        "big" => match argument.parse() {
            Ok(bytes) if bytes <= MAX_BIG_BYTES => Steer::Big(bytes),
            _ => Steer::Echo,
        },
        _ => Steer::Echo,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_steer_and_everything_else_is_echoed() {
        let date = "Tue, 24 Nov 2026 04:01:30 GMT";
        let dated = format!("status:503:{date}");
        let cases = [
            ("hello: you", Steer::Echo),
            ("", Steer::Echo),
            ("fail:a:b", Steer::Fail("a:b")),
            ("sleep:0.5", Steer::Sleep(Duration::from_millis(500))),
            ("sleep:-1", Steer::Echo),
            ("sleep:NaN", Steer::Echo),
            ("sleep:soon", Steer::Echo),
            ("status:429:30", Steer::Status { status: 429, retry_after: Some("30") }),
            (&dated, Steer::Status { status: 503, retry_after: Some(date) }),
            ("status:404", Steer::Status { status: 404, retry_after: None }),
            ("status:100", Steer::Echo),
            ("hang", Steer::Hang),
            ("reset", Steer::Reset),
            ("big:100", Steer::Big(100)),
            ("big:99999999999", Steer::Echo),
            ("html", Steer::Html),
            ("flaky:2", Steer::Flaky(2)),
            ("flaky:", Steer::Echo),
        ];
        for (input, steer) in cases {
            assert_eq!(read(input), steer, "{input}");
        }
    }
}
