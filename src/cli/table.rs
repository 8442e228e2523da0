//! Tables that fit the terminal they are read on.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Row, Table, Width};

use super::render::clean;

/// Characters between two columns.
pub(super) const GAP: u16 = 2;
/// A column that shrinks keeps at least so many characters, or its header.
const LEAST: u16 = 10;

/// A column: its name, and what happens to it where there is too little room.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column {
    /// Always whole.
    Keep(&'static str),
    /// Cut, with an ellipsis.
    Shrink(&'static str),
    /// Left out, the last such column first.
    Drop(&'static str),
}

impl Column {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Keep(name) | Self::Shrink(name) | Self::Drop(name) => name,
        }
    }

    /// The width it can't do without.
    fn need(self, natural: u16) -> u16 {
        match self {
            Self::Keep(_) | Self::Drop(_) => natural,
            Self::Shrink(name) => natural.min(LEAST.max(u16::try_from(name.len()).unwrap_or(LEAST))),
        }
    }
}

/// Rows under a header, one line a row. Without a width (into a pipe) everything is whole.
pub(super) fn rows(columns: &[Column], rows: Vec<Vec<String>>, width: Option<u16>) -> Table {
    let mut table = plain(width);
    // Cut at the last character that has room, not at a word: nothing has this character in it.
    table.set_delimiter('\0');
    table.set_header(columns.iter().map(|column| Cell::new(column.name())));
    for row in rows {
        let mut row = Row::from(row.into_iter().map(|text| cell(&clean(&text))).collect::<Vec<_>>());
        row.max_height(1);
        table.add_row(row);
    }
    table.set_truncation_indicator("…");
    let natural = table.column_max_content_widths();
    let hidden = hidden(columns, &natural, width);
    for (at, (column, natural)) in columns.iter().zip(&natural).enumerate() {
        let constraint = match column {
            _ if hidden.contains(&at) => ColumnConstraint::Hidden,
            Column::Keep(_) | Column::Drop(_) => ColumnConstraint::ContentWidth,
            Column::Shrink(_) => ColumnConstraint::LowerBoundary(Width::Fixed(column.need(*natural) + GAP)),
        };
        if let Some(column) = table.column_mut(at) {
            column.set_constraint(constraint);
        }
    }
    spaced(table)
}

/// One thing, a field a line; fields without a value are left out.
pub(super) fn fields(fields: &[(&str, String)], width: Option<u16>) -> Table {
    let mut table = plain(width);
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        table.add_row(vec![Cell::new(name), cell(&clean(value))]);
    }
    spaced(table)
}

fn plain(width: Option<u16>) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if let Some(width) = width {
        table.set_width(width);
    }
    table
}

fn spaced(mut table: Table) -> Table {
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    table
}

/// Which columns to leave out so that the others have what they need.
pub(super) fn hidden(columns: &[Column], natural: &[u16], width: Option<u16>) -> Vec<usize> {
    let Some(width) = width else { return Vec::new() };
    let need = |at: usize| u32::from(columns[at].need(natural[at]) + GAP);
    let mut total: u32 = (0..columns.len()).map(need).sum();
    let mut hidden = Vec::new();
    for at in (0..columns.len()).rev().filter(|at| matches!(columns[*at], Column::Drop(_))) {
        if total <= u32::from(width) {
            break;
        }
        total -= need(at);
        hidden.push(at);
    }
    hidden
}

/// A cell, coloured where it holds a status.
fn cell(text: &str) -> Cell {
    let color = match text.to_ascii_lowercase().as_str() {
        "completed" | "active" | "ready" => Some(Color::Green),
        "failed" => Some(Color::Red),
        "running" | "retrying" | "draining" => Some(Color::Yellow),
        "cancelled" | "paused" | "inactive" => Some(Color::DarkGrey),
        _ => None,
    };
    let cell = Cell::new(text);
    match color.filter(|_| wants_color()) {
        Some(color) => cell.fg(color),
        None => cell,
    }
}

/// comfy-table itself prints no colour into a pipe.
pub(super) fn wants_color() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::Column::{Drop, Keep, Shrink};
    use super::*;

    fn printed(width: Option<u16>) -> String {
        let columns = [Keep("ID"), Shrink("NAME"), Keep("STATUS"), Drop("QUEUE"), Drop("CREATED"), Shrink("ERROR")];
        let row =
            ["0192f3a1", "a rather long name", "completed", "celery", "16 min ago", "an error that takes its room"];
        let mut table = rows(&columns, vec![row.map(str::to_owned).to_vec()], width);
        table.force_no_tty();
        table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn without_a_width_all_is_whole() {
        let expected = "\
ID        NAME                STATUS     QUEUE   CREATED     ERROR
0192f3a1  a rather long name  completed  celery  16 min ago  an error that takes its room";
        assert_eq!(printed(None), expected);
    }

    #[test]
    fn every_line_fits_the_width_and_ids_stay_whole() {
        for width in 46..120 {
            let text = printed(Some(width));
            assert!(text.lines().all(|line| line.chars().count() <= usize::from(width)), "{width}:\n{text}");
            assert!(text.contains("0192f3a1") && text.contains("completed"), "{width}:\n{text}");
            assert_eq!(text.lines().count(), 2, "{width}:\n{text}");
        }
    }

    #[test]
    fn a_cut_text_fills_its_column() {
        let row = vec!["id".to_owned(), "0 8 * * 1-5 Europe/Berlin".to_owned()];
        let mut table = rows(&[Keep("ID"), Shrink("RULE")], vec![row], Some(24));
        table.force_no_tty();
        let text = table.lines().last().expect("a row").trim_end().to_owned();
        assert_eq!(text, "id  0 8 * * 1-5 Europ…");
    }

    #[test]
    fn columns_are_left_out_from_the_right() {
        assert!(printed(Some(80)).contains("CREATED"));
        let narrow = printed(Some(60));
        assert!(narrow.contains("QUEUE") && !narrow.contains("CREATED"), "{narrow}");
        assert!(!printed(Some(46)).contains("QUEUE"));
    }
}
