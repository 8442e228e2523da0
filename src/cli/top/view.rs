//! Draws what is known. Pure: the screen is given, and the time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph, Widget};

use super::super::render::clean;
use super::bar;
use super::grid::{self, columns, put};
use super::key::HELP;
use super::place::{self, Places};
use super::rate::Event;
use super::reading::Times;
use super::rows::{Mood, Table, age, clock, seconds, table};
use super::state::{Panel, State};
use super::theme::Theme;

/// What belongs to the picture besides what is known of the service.
pub(super) struct Look {
    pub(super) theme: Theme,
    /// Where the service is.
    pub(super) url: String,
    pub(super) interval: Duration,
    pub(super) now: DateTime<Utc>,
}

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State, look: &Look) {
    let screen = frame.area();
    let (places, tables) = divided(screen, state, look);
    let buffer = frame.buffer_mut();
    header(buffer, places.header, state, look);
    if let Some(place) = places.banner {
        banner(buffer, place, state, look);
    }
    if let Some(place) = places.rates {
        rates(buffer, place, state, look);
    }
    if let Some(place) = places.tabs {
        tabs(buffer, place, state.panel, look);
    }
    for ((panel, table), place) in Panel::ALL.into_iter().zip(&tables).zip(&places.panels) {
        if let Some(place) = place {
            draw_panel(buffer, *place, panel, table, state, look);
        }
    }
    if let Some(place) = places.footer {
        put(buffer, place, "q end  p pause  ← → panel  s sort  ↑ ↓ move  ? help", look.theme.dim());
    }
    if state.shows_help {
        help(buffer, screen, look);
    }
}

/// How many lines the chosen panel has, and room for how many of them.
pub(super) fn lines_and_room(screen: Rect, state: &State, look: &Look) -> (usize, usize) {
    let (places, tables) = divided(screen, state, look);
    let chosen = state.panel as usize;
    (tables[chosen].rows.len(), places.panels[chosen].map_or(0, room))
}

/// Lines of entries: all but the title and the header.
fn room(place: Rect) -> usize {
    usize::from(place.height.saturating_sub(2))
}

fn divided(screen: Rect, state: &State, look: &Look) -> (Places, Vec<Table>) {
    let tables: Vec<Table> = Panel::ALL.iter().map(|panel| table(state, *panel, screen.width, look.now)).collect();
    let needs: Vec<u16> = tables.iter().map(|table| u16::try_from(table.rows.len() + 2).unwrap_or(u16::MAX)).collect();
    (place::places(screen, &needs, state.panel as usize, state.away_since.is_some()), tables)
}

fn header(buffer: &mut Buffer, place: Rect, state: &State, look: &Look) {
    let health = &state.health.value;
    let mut lines = place.rows();
    let Some(first) = lines.next() else { return };
    let rhythm = if state.is_paused { "paused".to_owned() } else { format!("every {} s", look.interval.as_secs_f64()) };
    // A screen of one line says the most important thing only.
    let is_short = place.height == 1;
    let status = if is_short {
        format!("Spark {}", health.status)
    } else {
        let version = health.services.api.version.as_str();
        format!("Spark{}{version} at {}", if version.is_empty() { "" } else { " " }, look.url)
    };
    let mut right = format!("{}  {rhythm}", clock(look.now));
    if is_short && columns(&status) + 2 + columns(&right) > first.width {
        right.clear();
    }
    let width = columns(&right).min(first.width);
    let left = Rect { width: first.width.saturating_sub(width + 2), ..first };
    put(buffer, left, &status, look.theme.head());
    let style = if state.is_paused { look.theme.mood(Mood::Warning) } else { look.theme.dim() };
    put(buffer, Rect { x: first.x + first.width - width, width, ..first }, &right, style);
    if let Some(line) = lines.next() {
        services(buffer, line, state, look);
    }
}

/// The service, its servers and its parts, each with a word.
fn services(buffer: &mut Buffer, place: Rect, state: &State, look: &Look) {
    let health = &state.health.value;
    if state.health.at.is_none() {
        return;
    }
    let services = &health.services;
    let parts = [
        ("node", &health.status),
        ("PostgreSQL", &services.database.status),
        ("Redis", &services.redis.status),
        ("workers", &services.worker.status),
        ("beat", &services.beat.status),
    ];
    let mut left = place;
    for (name, word) in parts {
        let mood = match word.as_str() {
            "healthy" => Mood::Good,
            "disabled" | "" => Mood::Dim,
            _ => Mood::Bad,
        };
        left = from(left, put(buffer, left, &format!("{name} "), Style::default()));
        left = from(left, put(buffer, left, word, look.theme.mood(mood)));
        left = from(left, left.x + 2);
    }
    if let Some(warning) = &services.redis.warning {
        put(buffer, left, &clean(warning), look.theme.mood(Mood::Warning));
    }
}

/// What is left of a line from a column on.
fn from(place: Rect, x: u16) -> Rect {
    let end = place.x + place.width;
    let x = x.min(end);
    Rect { x, width: end - x, ..place }
}

fn banner(buffer: &mut Buffer, place: Rect, state: &State, look: &Look) {
    let since = state.away_since.unwrap_or(look.now);
    let reason = state.health.trouble.as_deref().unwrap_or_default();
    let text = format!(" No answer for {}: {}", age(look.now - since), clean(reason));
    buffer.set_style(place, look.theme.alarm());
    put(buffer, place, &text, look.theme.alarm());
}

fn rates(buffer: &mut Buffer, place: Rect, state: &State, look: &Look) {
    let events = [(Event::Submitted, "submitted"), (Event::Completed, "completed"), (Event::Failed, "failed")];
    let rate =
        |event| state.rates.per_second(event).map_or_else(|| "…".to_owned(), |rate| format!("{}/s", number(rate)));
    if place.height == 1 {
        let text = events.map(|(event, name)| format!("{} {name}", rate(event))).join("  ");
        put(buffer, place, &text, Style::default());
        return;
    }
    let mut lines = place.rows();
    for ((event, name), line) in events.into_iter().zip(lines.by_ref()) {
        let by_minute = state.rates.per_minute(event).map(|rate| format!("{}/min", number(rate))).unwrap_or_default();
        let has_failed = event == Event::Failed && state.rates.per_minute(event).is_some_and(|rate| rate > 0.0);
        let style = look.theme.mood(if has_failed { Mood::Bad } else { Mood::Plain });
        let end = put(buffer, line, &format!("{name:<9} {:>9} {by_minute:>11}  ", rate(event)), style);
        let left = from(line, end);
        put(buffer, left, &bar::line(&state.rates.history(event, usize::from(left.width))), style);
    }
    let Some(line) = lines.next() else { return };
    match (&state.no_statistics, state.rates.statistics()) {
        (Some(trouble), _) => {
            let text = format!("no figures: {}", clean(trouble));
            put(buffer, line, &text, look.theme.mood(Mood::Bad));
        }
        (None, Some(told)) => {
            let (waited, ran) = (percentiles(&told.totals.wait_s), percentiles(&told.totals.run_s));
            put(buffer, line, &format!("last hour: waited {waited}; ran {ran}"), look.theme.dim());
        }
        (None, None) => {}
    }
}

fn percentiles(times: &Times) -> String {
    let [p50, p95, p99] = [times.p50, times.p95, times.p99].map(|time| time.map_or_else(|| "-".to_owned(), seconds));
    format!("p50 {p50}, p95 {p95}, p99 {p99}")
}

/// A rate with as many places as it has meaning.
fn number(rate: f64) -> String {
    match rate {
        0.0 => "0".to_owned(),
        ..0.995 => format!("{rate:.2}"),
        ..99.95 => format!("{rate:.1}"),
        _ => format!("{rate:.0}"),
    }
}

fn tabs(buffer: &mut Buffer, place: Rect, chosen: Panel, look: &Look) {
    let whole: u16 = Panel::ALL.iter().map(|panel| columns(panel.name()) + 2).sum();
    if whole > place.width {
        let text = format!("‹ {} ›  {} of {}", chosen.name(), chosen as usize + 1, Panel::ALL.len());
        put(buffer, place, &text, look.theme.head());
        return;
    }
    let mut left = place;
    for panel in Panel::ALL {
        let style = if panel == chosen { look.theme.chosen() } else { Style::default() };
        left = from(left, put(buffer, left, &format!(" {} ", panel.name()), style));
    }
}

fn draw_panel(buffer: &mut Buffer, place: Rect, panel: Panel, table: &Table, state: &State, look: &Look) {
    let (lines, room) = (table.rows.len(), room(place));
    let offset = state.offset(panel, lines, room);
    let mut left = place;
    left.height = left.height.min(1);
    buffer.set_stringn(left.x, left.y, "─".repeat(usize::from(left.width)), usize::from(left.width), look.theme.dim());
    let style = if panel == state.panel { look.theme.chosen() } else { look.theme.head() };
    left = from(left, left.x + 2);
    left = from(left, put(buffer, left, &format!(" {} ", panel.name()), style));
    let shown = room.min(lines - offset);
    let count = if lines == 0 {
        String::new()
    } else if shown < lines || (lines as u64) < table.total {
        format!("{}-{} of {} ", offset + 1, offset + shown, table.total)
    } else {
        format!("{lines} ")
    };
    left = from(left, put(buffer, left, &format!(" {count}by {} ", state.order_name(panel)), look.theme.dim()));
    if let Some(trouble) = &table.trouble {
        let when = table.at.map_or_else(String::new, |at| format!("as of {}: ", clock(at)));
        put(buffer, from(left, left.x + 1), &clean(&format!(" {when}{trouble} ")), look.theme.mood(Mood::Bad));
    }
    let body = Rect { y: place.y + 1, height: place.height.saturating_sub(1), ..place };
    // Before the first answer nothing is known, not even that there is nothing.
    if table.at.is_some() {
        grid::draw(buffer, body, table, offset, &look.theme);
    }
}

fn help(buffer: &mut Buffer, screen: Rect, look: &Look) {
    let keys = HELP.iter().map(|(keys, _)| columns(keys)).max().unwrap_or(0);
    let line = |(keys_of, what): &(&str, &str)| {
        let gap = " ".repeat(usize::from(keys - columns(keys_of)));
        Line::from(format!(" {keys_of}{gap}  {what} "))
    };
    let lines: Vec<Line<'_>> = HELP.iter().map(line).collect();
    let width = lines.iter().map(Line::width).max().unwrap_or(0);
    let width = (u16::try_from(width).unwrap_or(u16::MAX).saturating_add(2)).min(screen.width);
    let height = (u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2)).min(screen.height);
    let (x, y) = ((screen.width - width) / 2, (screen.height - height) / 2);
    let place = Rect { x: screen.x + x, y: screen.y + y, width, height };
    Clear.render(place, buffer);
    let block = Block::bordered().title(" Keys ").title_style(look.theme.head());
    Paragraph::new(lines).block(block).render(place, buffer);
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
