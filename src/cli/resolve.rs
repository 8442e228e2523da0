//! Completes what a user typed for an id: the id itself, a beginning of it, or a name.

use serde_json::Value;
use uuid::Uuid;

use super::Error;
use super::client::Client;
use super::render::{field, shorten};
use crate::domain::id_prefix::IdPrefix;
use crate::domain::source::trim_url;

const PAGE: usize = 100;
/// So many are named where several fit.
const SHOWN: usize = 5;

/// What kind of thing is looked for, and by which of its fields besides the id.
pub(super) struct Kind {
    path: &'static str,
    noun: &'static str,
    names: &'static [&'static str],
    /// Whether the service also finds it by an id that another server made.
    has_foreign_ids: bool,
}

pub(super) const SOURCE: Kind =
    Kind { path: "sources", noun: "source", names: &["name", "url"], has_foreign_ids: false };
pub(super) const WORKFLOW: Kind =
    Kind { path: "workflows", noun: "workflow", names: &["name", "remote_flow_id"], has_foreign_ids: true };
pub(super) const TASK: Kind = Kind { path: "tasks", noun: "task", names: &[], has_foreign_ids: false };
pub(super) const KEY: Kind = Kind { path: "keys", noun: "key", names: &["name"], has_foreign_ids: false };
pub(super) const NOTIFICATION: Kind =
    Kind { path: "notifications", noun: "notification", names: &["name"], has_foreign_ids: false };
pub(super) const SCHEDULE: Kind = Kind { path: "schedules", noun: "schedule", names: &[], has_foreign_ids: false };

/// The full id of what was typed.
pub(super) async fn id(client: &Client, kind: &Kind, typed: &str) -> Result<String, Error> {
    match full_id(typed) {
        // The service will say whether there is one.
        Some(id) if !kind.has_foreign_ids || is_ours(&id) => Ok(id.to_string()),
        _ => item(client, kind, typed).await.map(|item| field(&item, "id")),
    }
}

/// The thing that was typed, as lists show it.
pub(super) async fn item(client: &Client, kind: &Kind, typed: &str) -> Result<Value, Error> {
    if let Some(id) = full_id(typed) {
        return client.get(&[kind.path, &id.to_string()]).send().await.map(|answer| answer.value);
    }
    if typed.trim().is_empty() {
        return Err(Error::Usage(format!("the {}'s id is empty; give it or a beginning of it", kind.noun)));
    }
    let wanted = trim_url(typed);
    if !kind.names.is_empty() {
        let named = client.get(&[kind.path]).query("named", Some(wanted)).query("limit", Some(SHOWN)).send().await?;
        let is_named = |item: &&Value| kind.names.iter().any(|name| trim_url(&field(item, name)) == wanted);
        let fitting: Vec<&Value> = named.items().iter().filter(is_named).collect();
        if !fitting.is_empty() {
            return choose(kind, wanted, &fitting, named.has_more());
        }
    }
    let Ok(prefix) = wanted.parse::<IdPrefix>() else { return choose(kind, wanted, &[], false) };
    let begun = client.get(&[kind.path]).query("id_prefix", Some(wanted)).query("limit", Some(SHOWN)).send().await?;
    let begins =
        |item: &&Value| full_id(&field(item, "id")).is_some_and(|id| (prefix.first..=prefix.last).contains(&id));
    choose(kind, wanted, &begun.items().iter().filter(begins).collect::<Vec<_>>(), begun.has_more())
}

/// Everything of a kind, newest first, as far as that many pages reach; and whether that was everything.
pub(super) async fn all(client: &Client, path: &str, max_pages: usize) -> Result<(Vec<Value>, bool), Error> {
    let mut items: Vec<Value> = Vec::new();
    for page in 0..max_pages {
        let offset = (page > 0).then_some(page * PAGE);
        let answer = client.get(&[path]).query("limit", Some(PAGE)).query("offset", offset).send().await?;
        items.extend_from_slice(answer.items());
        if !answer.has_more() || answer.items().is_empty() {
            return Ok((items, true));
        }
    }
    Ok((items, false))
}

fn full_id(typed: &str) -> Option<Uuid> {
    Uuid::try_parse(typed.trim()).ok()
}

/// We make ids of version 7, sources and the Python service made none of those.
fn is_ours(id: &Uuid) -> bool {
    id.get_version_num() == 7
}

fn choose(kind: &Kind, wanted: &str, fitting: &[&Value], more: bool) -> Result<Value, Error> {
    let Kind { noun, path, .. } = kind;
    match fitting {
        [one] => Ok((*one).clone()),
        [] => Err(Error::Failed(format!(
            "no {noun} is `{wanted}`, by {}; `automagik-spark {path} list` shows them",
            fields_read(kind)
        ))),
        several => Err(Error::Failed(format!(
            "`{wanted}` fits {}{} {path}: {}; give more of the id",
            if more { "more than " } else { "" },
            several.len(),
            several.iter().map(|item| describe(item)).collect::<Vec<_>>().join(", ")
        ))),
    }
}

fn fields_read(kind: &Kind) -> String {
    if kind.names.is_empty() { "id".to_owned() } else { format!("id, {}", kind.names.join(" or ")) }
}

/// An id and what tells a person which thing it is; several sources may have the same name.
fn describe(item: &Value) -> String {
    let words: Vec<String> =
        ["name", "url"].iter().map(|of| shorten(&field(item, of), 40)).filter(|word| !word.is_empty()).collect();
    if words.is_empty() { field(item, "id") } else { format!("{} ({})", field(item, "id"), words.join(", ")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chosen(fitting: &[Value], more: bool) -> Result<String, String> {
        let chosen = choose(&WORKFLOW, "aaaa", &fitting.iter().collect::<Vec<_>>(), more);
        chosen.map(|item| field(&item, "name")).map_err(|error| error.to_string())
    }

    #[test]
    fn none_and_several_say_so() {
        let workflow = |name: &str| json!({"id": "aaaa1111-0000-7000-8000-000000000001", "name": name});
        assert_eq!(chosen(&[workflow("Greeter")], false), Ok("Greeter".to_owned()));
        let none = chosen(&[], false).expect_err("none");
        assert!(none.contains("no workflow is `aaaa`") && none.contains("workflows list"), "{none}");
        let several = chosen(&[workflow("Greeter"), workflow("Reporter")], false).expect_err("several");
        assert!(several.contains("fits 2 workflows") && several.contains("Reporter"), "{several}");
        let many = chosen(&[workflow("Greeter"), workflow("Reporter")], true).expect_err("several");
        assert!(many.contains("fits more than 2 workflows"), "{many}");
    }

    #[test]
    fn a_whole_id_is_taken_in_any_spelling() {
        let id = "0192f3a1-7b2c-7001-8000-000000000001";
        assert_eq!(full_id(&id.to_uppercase()).map(|id| id.to_string()).as_deref(), Some(id));
        assert_eq!(full_id("0192f3a1"), None);
    }
}
