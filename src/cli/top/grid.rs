//! Draws a table into a part of the screen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Span;

use super::super::table::{Column, GAP, hidden};
use super::rows::{Cell, Table};
use super::theme::Theme;

/// Columns narrower than this are no columns any more.
const NARROWEST: u16 = 3;

/// Draws a header and the rows that fit, passing so many over.
pub(super) fn draw(buffer: &mut Buffer, place: Rect, table: &Table, offset: usize, theme: &Theme) {
    let widths = widths(&table.columns, &table.rows, place.width);
    let mut lines = place.rows();
    let Some(header) = lines.next() else { return };
    if table.rows.is_empty() {
        put(buffer, header, table.none, theme.dim());
        return;
    }
    let names: Vec<Cell> = table.columns.iter().map(|column| Cell::plain(column.name())).collect();
    line(buffer, header, &names, &widths, |_| theme.head());
    for (place, row) in lines.zip(table.rows.iter().skip(offset)) {
        line(buffer, place, row, &widths, |cell| theme.mood(cell.mood));
    }
}

/// A text at the beginning of a line, cut with an ellipsis. Answers where it ends.
pub(super) fn put(buffer: &mut Buffer, place: Rect, text: &str, style: Style) -> u16 {
    if place.is_empty() {
        return place.x;
    }
    let width = usize::from(place.width);
    if columns(text) <= place.width {
        return buffer.set_stringn(place.x, place.y, text, width, style).0;
    }
    let (x, y) = buffer.set_stringn(place.x, place.y, text, width - 1, style);
    buffer.set_stringn(x, y, "…", 1, style).0
}

/// The columns of the screen that a text takes.
pub(super) fn columns(text: &str) -> u16 {
    u16::try_from(Span::raw(text).width()).unwrap_or(u16::MAX)
}

fn line(buffer: &mut Buffer, place: Rect, cells: &[Cell], widths: &[Option<u16>], style: impl Fn(&Cell) -> Style) {
    let mut left = place;
    for (cell, width) in cells.iter().zip(widths).filter_map(|(cell, width)| Some((cell, (*width)?))) {
        put(buffer, Rect { width: width.min(left.width), ..left }, &cell.text, style(cell));
        let taken = (width + GAP).min(left.width);
        left = Rect { x: left.x + taken, width: left.width - taken, ..left };
    }
}

/// The width of each column; none for those that are left out.
fn widths(titles: &[Column], rows: &[Vec<Cell>], room: u16) -> Vec<Option<u16>> {
    let of_cells = |at: usize| rows.iter().filter_map(move |row| row.get(at)).map(|cell| columns(&cell.text)).max();
    let natural: Vec<u16> =
        titles.iter().enumerate().map(|(at, title)| of_cells(at).unwrap_or(0).max(columns(title.name()))).collect();
    let hidden = hidden(titles, &natural, Some(room + GAP));
    let mut widths: Vec<Option<u16>> =
        natural.iter().enumerate().map(|(at, width)| (!hidden.contains(&at)).then_some(*width)).collect();
    let taken = |widths: &[Option<u16>]| widths.iter().flatten().map(|width| u32::from(width + GAP)).sum::<u32>();
    let mut excess = taken(&widths).saturating_sub(u32::from(room + GAP));
    // The last text gives way first: it is the longest and the least needed.
    for least in [10, NARROWEST] {
        for at in (0..titles.len()).rev().filter(|at| matches!(titles[*at], Column::Shrink(_))) {
            let Some(width) = &mut widths[at] else { continue };
            let given = u32::from(width.saturating_sub(least)).min(excess);
            *width -= u16::try_from(given).unwrap_or(0);
            excess -= given;
        }
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::super::super::table::Column::{Drop, Keep, Shrink};
    use super::*;

    fn given(room: u16) -> Vec<Option<u16>> {
        let row =
            vec![Cell::plain("0192f3a1-7b2c"), Cell::plain(&"x".repeat(30)), Cell::plain("3 s"), Cell::plain("direct")];
        widths(&[Keep("TASK"), Shrink("WORKFLOW"), Keep("FOR"), Drop("QUEUE")], &[row], room)
    }

    #[test]
    fn columns_shrink_then_go_as_the_room_does() {
        assert_eq!(given(100), [Some(13), Some(30), Some(3), Some(6)]);
        assert_eq!(given(50), [Some(13), Some(22), Some(3), Some(6)]);
        assert_eq!(given(36), [Some(13), Some(16), Some(3), None]);
        assert_eq!(given(24), [Some(13), Some(4), Some(3), None]);
    }

    #[test]
    fn a_text_that_is_cut_says_so() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 8, 1));
        put(&mut buffer, Rect::new(0, 0, 6, 1), "日本語です", Style::default());
        assert_eq!(buffer, Buffer::with_lines(["日本…   "]));
        let mut buffer = Buffer::empty(Rect::new(0, 0, 8, 1));
        assert_eq!(put(&mut buffer, Rect::new(1, 0, 7, 1), "fitting", Style::default()), 8);
        assert_eq!(buffer, Buffer::with_lines([" fitting"]));
        put(&mut buffer, Rect::new(0, 0, 0, 1), "nowhere", Style::default());
    }
}
