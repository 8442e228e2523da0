//! What may be kept of JSON that is passed on as it was written.
//!
//! JSON that is kept as its text is not understood, only read over. So it may hold what nobody can read later: half a
//! character, a number beyond all bounds, brackets within brackets until a reader's stack ends, and U+0000, which
//! PostgreSQL can't give out again.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Why a text is not kept.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unsound {
    /// It has the character U+0000.
    #[error("the character U+0000 can't be stored; leave it out")]
    Nul,
    /// It is no JSON, or JSON that can't be read.
    #[error("{0}")]
    Unreadable(String),
}

/// Reads a text to its end, keeping nothing of it.
///
/// # Errors
/// See [`Unsound`].
pub fn check(json: &str) -> Result<(), Unsound> {
    serde_json::from_str::<Sound>(json).map(drop).map_err(|error| {
        // The only data that is refused.
        if error.is_data() { Unsound::Nul } else { Unsound::Unreadable(error.to_string()) }
    })
}

struct Sound;

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Sound;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Sound, E> {
        if text.contains('\0') { Err(E::custom(Unsound::Nul)) } else { Ok(Sound) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Sound, A::Error> {
        while items.next_element::<Sound>()?.is_some() {}
        Ok(Sound)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Sound, A::Error> {
        while entries.next_entry::<Sound, Sound>()?.is_some() {}
        Ok(Sound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_that_can_be_read_is_sound_however_large_its_numbers() {
        for sound in [
            "null",
            "true",
            "-1",
            "1.5e3",
            r#""a\\u0000 \ud83d\ude00""#,
            r#"{"a":[123456789012345678901234567890,{}]}"#,
        ] {
            assert_eq!(check(sound), Ok(()), "{sound}");
        }
    }

    #[test]
    fn what_nobody_can_read_later_is_not() {
        for nul in [r#""a\u0000b""#, r#"{"a":["\u0000"]}"#, r#"{"\u0000":1}"#] {
            assert_eq!(check(nul), Err(Unsound::Nul), "{nul}");
        }
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        for bad in ["", "{", r#"{"a":1} x"#, r#"{"a":"\ud800"}"#, r#"{"a":1e999}"#, &deep] {
            assert!(matches!(check(bad), Err(Unsound::Unreadable(_))), "{bad}");
        }
    }
}
