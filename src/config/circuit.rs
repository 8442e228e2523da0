//! Section `[sources]`: when a source is left alone, and for how long.

use super::read::Reader;
use crate::domain::circuit::CircuitOptions;

const WAIT: &str = "sources.circuit_wait_s";
const MAX_WAIT: &str = "sources.circuit_max_wait_s";

pub(super) fn read(reader: &mut Reader) -> CircuitOptions {
    let options = CircuitOptions {
        max_failures: reader.whole("sources.circuit_max_failures", 1..=10_000),
        wait: reader.duration(WAIT, 0.1..=86_400.0),
        max_wait: reader.duration(MAX_WAIT, 0.1..=86_400.0),
        max_retry_after: reader.duration("sources.circuit_max_retry_after_s", 0.1..=86_400.0),
    };
    if reader.is_sound(&[WAIT, MAX_WAIT]) && options.wait > options.max_wait {
        let origin = reader.origin(WAIT).to_owned();
        reader
            .problem(MAX_WAIT, format!("must not be less than circuit_wait_s, which is {:?} ({origin})", options.wait));
    }
    options
}
