//! `/dashboard/audit`: who changed what, and the keys that they have. For those who may read both over the API.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};
use serde_json::Value;

use super::super::audit::{self, AuditEntry};
use super::super::error::Error;
use super::super::key::ApiKey;
use super::super::page::Page;
use super::super::policy;
use super::super::query::Query;
use super::super::state::ApiState;
use super::asked::{Asked, refusals};
use super::element::{data, empty, pill, short, when, when_known};
use super::view::{Section, View};
use crate::store::api_key::KeyFilter;

/// What narrows, as the API calls it.
const NARROWING: [&str; 6] = ["actor", "action", "entity_type", "entity_id", "since", "until"];
/// Keys that are shown, the newest; the API has all.
const KEYS_SHOWN: i64 = 100;

/// The page.
pub(super) async fn page(state: Data<ApiState>, request: HttpRequest, view: View) -> Result<HttpResponse, Error> {
    view.require("GET", "/api/v1/audit")?;
    view.require("GET", "/api/v1/keys")?;
    let asked = Asked::of(&request, "/dashboard/audit", &NARROWING);
    let is_later_page = Query::of(&request).text("cursor").is_some();
    let (found, problems) = match audit::find(&state, Query::of(&request)).await {
        Ok(found) => (Some(found), Vec::new()),
        Err(Error::Invalid(problems)) => (None, problems),
        Err(error) => return Err(error),
    };
    let (keys, _) = state.store.keys(KeyFilter::default(), 0, KEYS_SHOWN).await?;
    let keys: Vec<ApiKey> = keys.into_iter().map(|key| ApiKey::of(key, view.now)).collect();
    let body = html! {
        (filter_form(&asked))
        (refusals(&problems))
        @if let Some(found) = &found { (list(&view, &asked, found, is_later_page)) }
        (key_card(&view, &keys))
    };
    Ok(view.page(Section::Audit, "Audit", body))
}

fn filter_form(asked: &Asked) -> Markup {
    html! {
        form.filter role="search" action="/dashboard/audit" {
            label { span { "Who" } input name="actor" value=(asked.get("actor")) placeholder="a key's name" data-search; }
            label { span { "Did" } input name="action" value=(asked.get("action")) list="actions" placeholder="source.update" autocomplete="off"; }
            datalist #actions { @for action in policy::actions() { option value=(action) {} } }
            details open[asked.has_any(&["since", "until"])] {
                summary { "More" }
                div.row {
                    label { span { "From (UTC)" } input type="datetime-local" name="since" value=(asked.get("since")); }
                    label { span { "Until (UTC)" } input type="datetime-local" name="until" value=(asked.get("until")); }
                }
            }
            (asked.kept(&["entity_type", "entity_id"]))
            button type="submit" { "Show" }
            @if !asked.is_empty() { a href="/dashboard/audit" { "Clear" } }
        }
    }
}

fn list(view: &View, asked: &Asked, found: &Page<AuditEntry>, is_later_page: bool) -> Markup {
    if found.items.is_empty() {
        return match (asked.is_empty(), is_later_page) {
            (true, false) => empty("Nothing was changed yet.", None),
            _ => empty("No change fits.", Some(("/dashboard/audit", "Show all"))),
        };
    }
    html! {
        table.cards {
            thead { tr { th { "When" } th { "Who" } th { "Did" } th { "To" } th { "What" } } }
            tbody { @for entry in &found.items { (row(view, entry)) } }
        }
        nav.pages aria-label="Pages" {
            span.muted { (found.total) @if found.total == 1 { " change" } @else { " changes" } }
            @if is_later_page { a.button href=(asked.href(None)) { "Newest" } }
            @if let Some(next) = &found.next_cursor { a.button href=(asked.href(Some(next))) rel="next" { "Older" } }
        }
    }
}

fn row(view: &View, entry: &AuditEntry) -> Markup {
    html! {
        tr {
            td data-label="When" { (when(view.now, entry.at)) }
            td data-label="Who" {
                (entry.actor) @if let Some(address) = entry.remote { " " small.muted { "from " (address) } }
            }
            td.mono data-label="Did" { (entry.action) }
            td data-label="To" { (thing(entry)) }
            td.wide data-label="What" { (what(&entry.summary)) }
        }
    }
}

/// What was changed, by its name where the trail has it; with a link where it has a page, unless it is gone by this.
fn thing(entry: &AuditEntry) -> Markup {
    let Some(id) = &entry.entity_id else { return html! { span.muted { "several" } } };
    let summary = &entry.summary;
    let name = [&summary["changed"]["name"], &summary["name"]].into_iter().find_map(Value::as_str);
    let has_page = ["source", "workflow", "schedule", "task"].contains(&entry.entity_type.as_str());
    let said = name.map_or_else(|| if has_page { short(id) } else { id.clone() }, ToOwned::to_owned);
    html! {
        (entry.entity_type) " "
        @if has_page && !entry.action.ends_with(".delete") {
            a href={ "/dashboard/" (entry.entity_type) "s/" (id) } { (said) }
        } @else { (said) }
    }
}

/// The names of what changed; the values where somebody wants them.
fn what(summary: &Value) -> Markup {
    let names = told(summary);
    html! {
        @if names.is_empty() { span.muted { "–" } } @else {
            details { summary { (names.join(", ")) } (data(&summary.to_string())) }
        }
    }
}

/// The fields that a summary tells of, whether it has their values or not.
fn told(summary: &Value) -> Vec<&str> {
    let fields = ["changed", "filter", "counts"].into_iter().filter_map(|part| summary[part].as_object());
    let secret = summary["not_shown"].as_array().into_iter().flatten().filter_map(Value::as_str);
    fields.flat_map(|fields| fields.keys().map(String::as_str)).chain(secret).collect()
}

fn key_card(view: &View, keys: &[ApiKey]) -> Markup {
    html! {
        section.card { h2 { "Keys" }
            @if keys.is_empty() { p.muted { "None is stored. Keys of the configuration are not listed." } } @else {
                table.cards {
                    thead { tr { th { "Name" } th { "Status" } th { "Scope" } th { "Begins with" } th { "Made" } th { "Last used" } th { "Ends" } } }
                    tbody { @for key in keys { tr {
                        td data-label="Name" { a href={ "/dashboard/audit?actor=" (key.name) } { (key.name) } }
                        td data-label="Status" { (pill(key.status)) }
                        td data-label="Scope" { (key.scope) }
                        td.mono data-label="Begins with" { (key.prefix) }
                        td data-label="Made" { (when(view.now, key.created_at)) " " small.muted { "by " (key.created_by) } }
                        td data-label="Last used" { (when_known(view.now, key.last_used_at)) }
                        td data-label="Ends" { @match key.expires_at { Some(end) => (when(view.now, end)), None => span.muted { "never" } } }
                    } } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_told_by_the_names_of_its_fields() {
        let summary = json!({"name": "x", "changed": {"rate": "2/s", "name": "y"}, "not_shown": ["api_key"]});
        assert_eq!(told(&summary), ["rate", "name", "api_key"]);
        assert_eq!(told(&json!({"filter": {"queue": "a"}, "counts": {"changed": 7}})), ["queue", "changed"]);
        for nothing in [json!({}), json!({"name": "x"}), json!({"changed": 1, "not_shown": {}}), Value::Null] {
            assert!(told(&nothing).is_empty(), "{nothing}");
        }
    }
}
