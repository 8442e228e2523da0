//! Completes what a user typed for an id: the id itself, a beginning of it, or a name.

use serde_json::Value;
use uuid::Uuid;

use super::Error;
use super::client::Client;
use super::render::{field, shorten};
use crate::domain::source::trim_url;

const PAGE: usize = 100;
const MAX_PAGES: usize = 20;
/// A beginning of this many characters is taken to be meant when not everything could be looked at.
const SURE_LENGTH: usize = 8;

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
    let (items, is_complete) = all(client, kind.path, MAX_PAGES).await?;
    choose(kind, typed, items, is_complete)
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

fn choose(kind: &Kind, typed: &str, items: Vec<Value>, is_complete: bool) -> Result<Value, Error> {
    let Kind { noun, path, .. } = kind;
    let looked_at = items.len();
    let wanted = trim_url(typed);
    let is_named = |item: &Value| kind.names.iter().any(|name| trim_url(&field(item, name)) == wanted);
    let start = wanted.to_ascii_lowercase();
    let begins = |item: &Value| field(item, "id").to_ascii_lowercase().starts_with(&start);

    let mut fitting: Vec<Value> = items.iter().filter(|item| is_named(item)).cloned().collect();
    let by_name = !fitting.is_empty();
    if !by_name {
        fitting = items.into_iter().filter(begins).collect();
    }
    // A list that grew while it was read shows an entry twice.
    fitting.sort_by_key(|item| field(item, "id"));
    fitting.dedup_by_key(|item| field(item, "id"));
    if !is_complete && !by_name && wanted.chars().count() < SURE_LENGTH {
        return Err(Error::Failed(format!(
            "there are more than {looked_at} {path}, too many to tell which one `{wanted}` is; give at least \
             {SURE_LENGTH} characters of the id"
        )));
    }
    match fitting.len() {
        1 => Ok(fitting.remove(0)),
        0 if is_complete => Err(Error::Failed(format!(
            "no {noun} is `{wanted}`, by {}; `automagik-spark {path} list` shows them",
            fields_read(kind)
        ))),
        0 => Err(Error::Failed(format!("none of the newest {looked_at} {path} is `{wanted}`; give the whole id"))),
        several => Err(Error::Failed(format!(
            "`{wanted}` fits {several} {path}: {}; give more of the id",
            fitting.iter().take(5).map(describe).collect::<Vec<_>>().join(", ")
        ))),
    }
}

fn fields_read(kind: &Kind) -> String {
    if kind.names.is_empty() { "id".to_owned() } else { format!("id, {}", kind.names.join(" or ")) }
}

fn describe(item: &Value) -> String {
    match field(item, "name") {
        name if name.is_empty() => field(item, "id"),
        name => format!("{} ({})", field(item, "id"), shorten(&name, 40)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workflows() -> Vec<Value> {
        vec![
            json!({"id": "aaaa1111-0000-7000-8000-000000000001", "name": "Greeter", "remote_flow_id": "flow-a"}),
            json!({"id": "aaaa2222-0000-7000-8000-000000000002", "name": "Reporter", "remote_flow_id": "flow-b"}),
            json!({"id": "bbbb3333-0000-7000-8000-000000000003", "name": "aaaa", "remote_flow_id": "flow-c"}),
        ]
    }

    fn chosen(typed: &str, is_complete: bool) -> Result<String, String> {
        choose(&WORKFLOW, typed, workflows(), is_complete)
            .map(|item| field(&item, "name"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_beginning_that_fits_one_is_enough() {
        assert_eq!(chosen("aaaa2", true), Ok("Reporter".to_owned()));
        assert_eq!(chosen("BBBB", true), Ok("aaaa".to_owned()));
        assert_eq!(chosen("flow-a", true), Ok("Greeter".to_owned()));
        assert_eq!(chosen("aaaa", true), Ok("aaaa".to_owned()), "a name goes before a beginning");
    }

    #[test]
    fn none_and_several_say_so() {
        let none = chosen("cc", true).expect_err("none");
        assert!(none.contains("no workflow is `cc`") && none.contains("workflows list"), "{none}");
        let several = chosen("aaa", true).expect_err("several");
        assert!(several.contains("fits 2 workflows") && several.contains("Reporter"), "{several}");
    }

    #[test]
    fn a_short_beginning_is_not_trusted_when_there_is_more() {
        assert!(chosen("bbbb", false).is_err());
        assert_eq!(chosen("bbbb3333", false), Ok("aaaa".to_owned()));
        assert!(chosen("bbbb4444", false).expect_err("none").contains("whole id"));
    }

    #[test]
    fn an_entry_that_two_pages_show_is_one() {
        let twice = [workflows(), workflows()].concat();
        assert!(choose(&WORKFLOW, "aaaa1", twice, true).is_ok());
    }

    #[test]
    fn a_whole_id_is_taken_in_any_spelling() {
        let id = "0192f3a1-7b2c-7001-8000-000000000001";
        assert_eq!(full_id(&id.to_uppercase()).map(|id| id.to_string()).as_deref(), Some(id));
        assert_eq!(full_id("0192f3a1"), None);
    }
}
