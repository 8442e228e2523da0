//! Bars over time, as SVG that the server draws. Pure.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

/// The drawing's own measure; the page stretches it.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 120.0;
/// What a bar that is not empty is high at least, so that one failure among thousands is seen.
const LEAST: f64 = 2.0;

/// One moment.
pub(super) struct Bar {
    /// When it begins.
    pub(super) at: DateTime<Utc>,
    /// What is stacked: the class of its colour, and how much.
    pub(super) parts: Vec<(&'static str, f64)>,
}

impl Bar {
    fn sum(&self) -> f64 {
        self.parts.iter().map(|(_, value)| value).sum()
    }
}

/// Bars with a title, what they come to in words, and the same as a table.
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) note: String,
    pub(super) unit: &'static str,
    pub(super) bars: Vec<Bar>,
    pub(super) until: DateTime<Utc>,
}

impl Chart {
    /// The chart.
    pub(super) fn show(&self) -> Markup {
        let top = ceiling(self.bars.iter().map(Bar::sum).fold(0.0, f64::max));
        let from = self.bars.first().map_or(self.until, |bar| bar.at);
        let busy: Vec<&Bar> = self.bars.iter().filter(|bar| bar.sum() > 0.0).collect();
        html! {
            figure.card.chart {
                figcaption { b { (self.title) } span.muted { (self.note) } }
                div.plot {
                    span.top-label.muted { (number(top)) " " (self.unit) }
                    svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                        aria-label={ (self.title) ": " (self.note) } {
                        @for line in [0.0, 0.5] {
                            line.grid x1="0" x2=(WIDTH) y1=(HEIGHT * line + 0.5) y2=(HEIGHT * line + 0.5) {}
                        }
                        @for (at, bar) in self.bars.iter().enumerate() { (self.bar(at, bar, top)) }
                        line.axis x1="0" x2=(WIDTH) y1=(HEIGHT) y2=(HEIGHT) {}
                    }
                    div.row.between.muted { small { (from.format("%H:%M")) } small { "now (UTC)" } }
                }
                details {
                    summary { "As a table" }
                    @if busy.is_empty() { p.muted { "Nothing in this time." } } @else {
                        table { thead { tr { th { "From (UTC)" } th.number { (self.unit) } } }
                            tbody { @for bar in busy { tr { td { (bar.at.format("%a %H:%M")) } td.number { (number(bar.sum())) } } } } }
                    }
                }
            }
        }
    }

    fn bar(&self, at: usize, bar: &Bar, top: f64) -> Markup {
        let width = WIDTH / self.bars.len().max(1) as f64;
        let mut y = HEIGHT;
        html! {
            @if bar.sum() > 0.0 {
                g {
                    title { (bar.at.format("%a %H:%M")) ": " (number(bar.sum())) " " (self.unit) }
                    @for (class, value) in bar.parts.iter().filter(|(_, value)| *value > 0.0) {
                        @let height = (value / top * HEIGHT).max(LEAST);
                        @let base = { y -= height; y };
                        rect class=(class) x=(fixed(at as f64 * width + width * 0.1)) y=(fixed(base.max(0.0)))
                            width=(fixed(width * 0.8)) height=(fixed(height)) {}
                    }
                }
            }
        }
    }
}

fn fixed(value: f64) -> String {
    format!("{value:.1}")
}

/// A figure as people write it: whole where it is whole or large.
fn number(value: f64) -> String {
    if value.fract() == 0.0 || value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// The next round figure that is not below: 1, 2 or 5 and zeros.
fn ceiling(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(most.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().find(|step| most <= step * power);
    step.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_of_a_chart_is_the_next_round_figure() {
        let tops = [0.0, 0.03, 1.0, 1.2, 3.0, 5.0, 6.0, 1001.0].map(ceiling);
        assert_eq!(tops.map(number), ["1", "0.05", "1", "2", "5", "5", "10", "2000"]);
    }

    #[test]
    fn what_is_small_is_seen_and_what_is_nothing_is_not() {
        let at = "2026-06-10T12:00:00Z".parse().expect("an instant");
        let bar = |parts: &[(&'static str, f64)]| Bar { at, parts: parts.to_vec() };
        let bars = vec![bar(&[("good", 1000.0), ("calm", 0.0)]), bar(&[("good", 1.0)]), bar(&[("good", 0.0)])];
        let chart = Chart { title: "T", note: "n".into(), unit: "tasks", bars, until: at };
        let shown = chart.show().into_string();
        assert_eq!(shown.matches("<rect").count(), 2, "{shown}");
        assert!(shown.contains("height=\"120.0\"") && shown.contains("height=\"2.0\""), "{shown}");
        assert!(!shown.contains("NaN") && !shown.contains("style="));
    }
}
