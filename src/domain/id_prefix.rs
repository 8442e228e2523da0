//! The beginning of an id, as people type it.

use std::str::FromStr;

use uuid::Uuid;

/// The ids that begin alike. They are a range, which an index of ids answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdPrefix {
    /// The smallest of them.
    pub first: Uuid,
    /// The greatest of them.
    pub last: Uuid,
}

/// Why a text is no beginning of an id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("id_prefix must be the beginning of an id, such as 0192f3a1-7b2c")]
pub struct IdPrefixError;

impl FromStr for IdPrefix {
    type Err = IdPrefixError;

    /// Reads one with its dashes or without any, in either case of letters.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let typed = text.trim().to_ascii_lowercase();
        let digits: String = typed.chars().filter(|c| *c != '-').collect();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(IdPrefixError);
        }
        let filled = |fill: &str| {
            let missing = 32_usize.checked_sub(digits.len()).ok_or(IdPrefixError)?;
            Uuid::try_parse(&(digits.clone() + &fill.repeat(missing))).map_err(|_| IdPrefixError)
        };
        let (first, last) = (filled("0")?, filled("f")?);
        let has_its_dashes = first.to_string().starts_with(&typed) || !typed.contains('-');
        if has_its_dashes { Ok(Self { first, last }) } else { Err(IdPrefixError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Option<(String, String)> {
        text.parse::<IdPrefix>().ok().map(|prefix| (prefix.first.to_string(), prefix.last.to_string()))
    }

    #[test]
    fn a_beginning_is_a_range_of_ids() {
        let expected =
            ("0192f3a1-7b2c-0000-0000-000000000000".to_owned(), "0192f3a1-7b2c-ffff-ffff-ffffffffffff".to_owned());
        for text in ["0192f3a1-7b2c", "0192F3A17B2C", " 0192f3a1-7b2c- "] {
            assert_eq!(range(text), Some(expected.clone()), "{text}");
        }
        let whole = "0192f3a1-7b2c-7001-8000-000000000001";
        assert_eq!(range(whole), Some((whole.to_owned(), whole.to_owned())));
        assert_eq!(range("f").map(|(first, _)| first).as_deref(), Some("f0000000-0000-0000-0000-000000000000"));
    }

    #[test]
    fn what_no_id_begins_with_is_refused() {
        for bad in
            ["", "-", "x", "0192-", "0192f3a17b2c-", "0192f3a1--7b2c", "0192f3a1-7b2c-7001-8000-0000000000012", "é"]
        {
            assert_eq!(range(bad), None, "{bad}");
        }
    }
}
