//! Counts in sentences.

/// A count and what is said of it, in the number that it has: `1 attempt runs`, `2 attempts run`.
pub fn plural(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        assert_eq!([0, 1, 2].map(|count| plural(count, "is", "are")), ["0 are", "1 is", "2 are"]);
    }
}
