//! What pages are made of: times, states, forms that change something, lists that are empty.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use maud::{Markup, html};
use serde_json::Value;

use super::view::View;
use crate::domain::circuit::CircuitState;
use crate::store::source::SourceRecord;

/// A time: how long ago or ahead it is, and exactly.
pub(super) fn when(now: DateTime<Utc>, at: DateTime<Utc>) -> Markup {
    let exact = at.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    let machine = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    html! { time datetime=(machine) title=(exact) { (relative(at - now)) } }
}

/// A time that may not be there.
pub(super) fn when_known(now: DateTime<Utc>, at: Option<DateTime<Utc>>) -> Markup {
    at.map_or_else(|| html! { span.muted { "–" } }, |at| when(now, at))
}

/// The word for a distance in time. `app.js` says it the same way while a page is open.
fn relative(from_now: TimeDelta) -> String {
    let seconds = from_now.num_seconds();
    let text = match seconds.abs() {
        0..5 => return "now".to_owned(),
        s @ 5..60 => format!("{s} s"),
        s @ 60..3600 => format!("{} min", s / 60),
        s @ 3600..86_400 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86_400),
    };
    if seconds < 0 { format!("{text} ago") } else { format!("in {text}") }
}

/// How long something took.
pub(super) fn span(took: TimeDelta) -> String {
    let ms = took.num_milliseconds().max(0);
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

/// A state as a word in its colour.
pub(super) fn pill(status: &str) -> Markup {
    let class = match status {
        "completed" | "active" | "ready" | "made" | "healthy" => "good",
        "failed" | "error" | "lost" | "timed_out" | "unhealthy" | "killed" => "bad",
        "running" | "starting" => "busy",
        "retrying" | "warning" | "draining" | "late" | "missed" => "warn",
        _ => "calm",
    };
    html! { span class={ "pill " (class) } { (status) } }
}

/// How a source is: in use or not, and whether it is left alone because it failed again and again.
pub(super) fn source_state(source: &SourceRecord) -> Markup {
    html! {
        (pill(&source.status))
        @match source.gate.circuit.state {
            CircuitState::Closed => {},
            CircuitState::Open => { " " span.pill.bad { "left alone" } },
            CircuitState::HalfOpen => { " " span.pill.warn { "being tried" } },
        }
    }
}

/// The beginning of an id, for people.
pub(super) fn short(id: impl ToString) -> String {
    let mut text = id.to_string();
    // The last group of an id differs between ids of the same moment; the first does not.
    if let Some(at) = text.rfind('-') {
        text.drain(..=at);
    }
    text
}

/// An operation of the API as a button.
pub(super) struct Action<'a> {
    method: &'static str,
    path: &'static str,
    id: &'a str,
    label: &'static str,
    body: Option<Value>,
    confirm: Option<&'static str>,
    then: Option<&'static str>,
}

impl<'a> Action<'a> {
    /// An operation by its method and path, as `policy.rs` has it, what stands for the part in braces, and the word on
    /// its button.
    pub(super) fn new(method: &'static str, path: &'static str, id: &'a str, label: &'static str) -> Self {
        Self { method, path, id, label, body: None, confirm: None, then: None }
    }

    /// What it sends.
    pub(super) fn body(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    /// What is asked before it is done.
    pub(super) fn confirm(self, question: &'static str) -> Self {
        Self { confirm: Some(question), ..self }
    }

    /// Where to go afterwards, `{id}` is the answer's id; else the page is shown anew.
    pub(super) fn then(self, path: &'static str) -> Self {
        Self { then: Some(path), ..self }
    }

    /// The button, where whoever looks may press it.
    pub(super) fn button(self, view: &View) -> Markup {
        if !view.may(self.method, self.path) {
            return html! {};
        }
        let path = match self.path.split_once('{').zip(self.path.split_once('}')) {
            Some(((before, _), (_, after))) => format!("{before}{}{after}", segment(self.id)),
            None => self.path.to_owned(),
        };
        html! {
            form.action data-method=(self.method) data-path=(path)
                data-body=[self.body] data-confirm=[self.confirm] data-then=[self.then] {
                button.danger[self.confirm.is_some()] type="submit" { (self.label) }
            }
        }
    }
}

/// A text as one segment of a path.
fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'-' | b'_' | b'.' | b'~' => segment.push(byte.into()),
            byte if byte.is_ascii_alphanumeric() => segment.push(byte.into()),
            byte => segment.push_str(&format!("%{byte:02X}")),
        }
    }
    segment
}

/// A field of a form with its place for what is wrong.
pub(super) fn field(name: &str, label: &str, hint: &str, input: Markup) -> Markup {
    html! {
        label.field data-field=(name) {
            span { (label) }
            (input)
            @if !hint.is_empty() { small.muted { (hint) } }
            span.error role="alert" {}
        }
    }
}

/// A choice of several.
pub(super) fn choice<'a>(name: &str, chosen: &str, options: impl IntoIterator<Item = (&'a str, &'a str)>) -> Markup {
    html! {
        select name=(name) {
            @for (value, label) in options { option value=(value) selected[value == chosen] { (label) } }
        }
    }
}

/// A list that is empty, and what to do about it.
pub(super) fn empty(text: &str, link: Option<(&str, &str)>) -> Markup {
    html! {
        div.empty {
            p { (text) }
            @if let Some((href, label)) = link { p { a.button.primary href=(href) { (label) } } }
        }
    }
}

/// Stored JSON or text, laid out for reading. JSON that is too large to lay out is shown as it is.
pub(super) fn data(text: &str) -> Markup {
    const LAID_OUT_MAX: usize = 256 * 1024;
    const SHOWN_MAX: usize = 1024 * 1024;
    let laid_out = (text.len() <= LAID_OUT_MAX)
        .then(|| serde_json::from_str::<Value>(text).ok())
        .flatten()
        .and_then(|value| serde_json::to_string_pretty(&value).ok());
    let whole = laid_out.as_deref().unwrap_or(text);
    let shown = &whole[..whole.floor_char_boundary(SHOWN_MAX)];
    html! {
        pre tabindex="0" { (shown) }
        @if shown.len() < whole.len() {
            p.muted { "The first " (SHOWN_MAX / 1024) " kB of " (whole.len() / 1024) " kB; the API has all of it." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_in_time_are_said_in_the_largest_unit_that_fits() {
        let said = |seconds| relative(TimeDelta::seconds(seconds));
        assert_eq!(
            [0, -4, 5, -59, 60, -3599, 7200, -86_400 * 3].map(said),
            ["now", "now", "in 5 s", "59 s ago", "in 1 min", "59 min ago", "in 2 h", "3 d ago"]
        );
        let took = |ms| span(TimeDelta::milliseconds(ms));
        assert_eq!([-5, 999, 1250, 61_000, 7_260_000].map(took), ["0 ms", "999 ms", "1.2 s", "1 min 1 s", "2 h 1 min"]);
    }

    #[test]
    fn what_others_wrote_is_shown_as_text() {
        let shown = data("<script>alert(1)</script>").into_string();
        assert!(shown.contains("&lt;script&gt;") && !shown.contains("<script>"), "{shown}");
        assert!(pill("<b>").into_string().contains("&lt;b&gt;"));
        assert!(data(r#"{"a":"\"><img src=x>"}"#).into_string().contains("&lt;img"));
    }

    #[test]
    fn an_id_of_others_stays_one_segment() {
        assert_eq!(segment("a-b_c.d~1"), "a-b_c.d~1");
        assert_eq!(segment("../x?y#z/ü"), "..%2Fx%3Fy%23z%2F%C3%BC");
    }

    #[test]
    fn large_texts_are_cut_between_characters() {
        let shown = data(&"ü".repeat(1024 * 1024)).into_string();
        assert!(shown.len() < 1024 * 1024 + 500 && shown.contains("The first 1024 kB of 2048 kB"));
    }
}
