//! What a list was asked to be narrowed to: shown in its form again, and kept from page to page.

use actix_web::HttpRequest;
use maud::{Markup, html};

use super::super::error::Problem;
use super::super::query::Query;

/// The parts of a query that narrow a list.
pub(super) struct Asked {
    path: &'static str,
    values: Vec<(&'static str, String)>,
}

impl Asked {
    /// What a request for the page at this path asks for, by the names that the API has for it.
    pub(super) fn of(request: &HttpRequest, path: &'static str, names: &[&'static str]) -> Self {
        let mut query = Query::of(request);
        Self { path, values: names.iter().filter_map(|name| Some((*name, query.text(name)?))).collect() }
    }

    /// What was asked for under a name; empty where nothing was.
    pub(super) fn get(&self, name: &str) -> &str {
        self.values.iter().find(|(found, _)| *found == name).map_or("", |(_, value)| value)
    }

    /// Whether any of these was asked for.
    pub(super) fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| !self.get(name).is_empty())
    }

    /// Whether nothing narrows.
    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Each name with what was asked for.
    pub(super) fn values(&self) -> &[(&'static str, String)] {
        &self.values
    }

    /// The address of the page that begins elsewhere.
    pub(super) fn href(&self, cursor: Option<&str>) -> String {
        let mut pairs = url::form_urlencoded::Serializer::new(String::new());
        pairs.extend_pairs(&self.values);
        pairs.extend_pairs(cursor.map(|cursor| ("cursor", cursor)));
        format!("{}?{}", self.path, pairs.finish())
    }

    /// Fields that nobody sees, so that what was asked for by a link stays when the form is sent.
    pub(super) fn kept(&self, names: &[&str]) -> Markup {
        html! {
            @for (name, value) in self.values.iter().filter(|(name, _)| names.contains(name)) {
                input type="hidden" name=(name) value=(value);
            }
        }
    }
}

/// What is wrong with a query, below its form.
pub(super) fn refusals(problems: &[Problem]) -> Markup {
    html! {
        @if !problems.is_empty() {
            ul.note.bad role="alert" { @for problem in problems { li { (problem.msg) } } }
        }
    }
}
