//! Answers of sources, as far as a fuzz target can have them: bodies.

use std::sync::LazyLock;

use super::{agents, detail, hive, http, langflow};
use crate::domain::adapter::Adapters;
use crate::domain::clock;
use crate::domain::outcome::{Answer, Failure};

/// Longest text of an error, in characters: what is kept of a server's, and our own words.
const ERROR_MAX: usize = 1500;

static ADAPTERS: LazyLock<Adapters> = LazyLock::new(Adapters::shipped);

/// Bodies of answers, read as every kind of source would answer, and as a refusal.
pub fn answers(data: &[u8]) {
    langflow::read_any(data);
    hive::read_any(data);
    agents::read_any(data);
    for adapter in ADAPTERS.iter() {
        http::read_any(adapter, data);
    }
    is_short(&detail::unwrap(data));
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = detail::retry_after(text, clock::now());
    }
}

/// An answer that is taken is JSON, and one that is not is refused in few words.
pub(super) fn is_usable(read: Result<Answer, Failure>) {
    match read {
        Ok(answer) => assert!(
            serde_json::from_str::<serde::de::IgnoredAny>(answer.output.get()).is_ok(),
            "{} is not JSON",
            answer.output
        ),
        Err(failure) => is_short(&failure.message),
    }
}

fn is_short(text: &str) {
    assert!(text.chars().count() <= ERROR_MAX, "an error of {} bytes: {text}", text.len());
}
