//! Bars of characters.

const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How full something is, in so many characters. What is more than full is full; anything at all shows.
pub(super) fn level(part: f64, whole: f64, width: usize) -> String {
    let share = if whole > 0.0 { (part / whole).clamp(0.0, 1.0) } else { 0.0 };
    let mut eighths = (share * (width * 8) as f64).round() as usize;
    if part > 0.0 && whole > 0.0 && width > 0 {
        eighths = eighths.max(1);
    }
    let mut bar: String = std::iter::repeat_n('█', eighths / 8).collect();
    if !eighths.is_multiple_of(8) {
        bar.push(EIGHTHS[eighths % 8 - 1]);
    }
    bar.extend(std::iter::repeat_n('·', width.saturating_sub(eighths.div_ceil(8))));
    bar
}

/// Values over time, one a character; the greatest has the full height, and what is not zero more than the lowest.
pub(super) fn line(values: &[f64]) -> String {
    let greatest = values.iter().copied().fold(0.0, f64::max);
    let height = |value: f64| {
        let share = if greatest > 0.0 { (value / greatest).clamp(0.0, 1.0) } else { 0.0 };
        let height = if value > 0.0 { (share * 7.0).ceil() } else { 0.0 };
        HEIGHTS[height as usize]
    };
    values.iter().copied().map(height).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_has_its_width_whatever_it_tells() {
        for (part, whole, expected) in [
            (0.0, 100.0, "····"),
            (0.1, 100.0, "▏···"),
            (50.0, 100.0, "██··"),
            (59.0, 100.0, "██▍·"),
            (100.0, 100.0, "████"),
            (300.0, 100.0, "████"),
            (1.0, 0.0, "····"),
        ] {
            assert_eq!(level(part, whole, 4), expected, "{part} of {whole}");
        }
        assert_eq!(level(1.0, 1.0, 0), "");
    }

    #[test]
    fn a_line_is_relative_to_its_greatest_value() {
        assert_eq!(line(&[0.0, 0.01, 4.0, 8.0]), "▁▂▅█");
        assert_eq!(line(&[0.0, 0.0]), "▁▁");
        assert_eq!(line(&[]), "");
    }
}
