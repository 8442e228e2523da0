//! What LangFlow says of its flows, read into ours.

use serde::Deserialize;
use serde_json::Value;

use crate::domain::workflow::{FlowComponent, RemoteFlow};
use crate::sources::server::text;

/// A project, called a folder in flows and in older versions.
#[derive(Deserialize)]
pub(super) struct Project {
    id: Option<String>,
    name: Option<String>,
}

/// A list of flows, plain or as one page.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Flows {
    List(Vec<Value>),
    Page { items: Vec<Value> },
}

impl Flows {
    pub(super) fn into_items(self) -> Vec<Value> {
        match self {
            Self::List(items) | Self::Page { items } => items,
        }
    }
}

/// An item of a list: all but graph and components.
pub(super) fn read_header(flow: Value, projects: &[Project]) -> Option<RemoteFlow> {
    let folder_id = text(&flow, "folder_id");
    let folder = projects.iter().find(|project| project.id.is_some() && project.id == folder_id);
    Some(RemoteFlow {
        id: text(&flow, "id")?,
        name: text(&flow, "name").unwrap_or_default(),
        description: text(&flow, "description").unwrap_or_default(),
        is_component: flag(&flow, "is_component"),
        folder_name: folder.and_then(|project| project.name.clone()),
        folder_id,
        icon: text(&flow, "icon"),
        icon_bg_color: text(&flow, "icon_bg_color"),
        liked: flag(&flow, "liked"),
        tags: list(&flow, "tags").iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect(),
        raw: Some(flow),
        ..RemoteFlow::default()
    })
}

/// One flow, with graph and components.
pub(super) fn read(flow: Value, projects: &[Project]) -> Option<RemoteFlow> {
    let data = flow.get("data").filter(|data| data.is_object()).cloned();
    let components = data.as_ref().map(components).unwrap_or_default();
    let first = |kinds: [&str; 2]| {
        let of_kind = |kind| components.iter().find(|component| component.kind == kind);
        kinds.into_iter().find_map(of_kind).map(|component| component.id.clone())
    };
    Some(RemoteFlow {
        input_component: first(["ChatInput", "TextInput"]),
        output_component: first(["ChatOutput", "TextOutput"]),
        components,
        data,
        ..read_header(flow, projects)?
    })
}

/// Every node but the notes, which are remarks of the flow's author.
fn components(data: &Value) -> Vec<FlowComponent> {
    let nodes = list(data, "nodes").iter().filter(|node| node.get("type").and_then(Value::as_str) != Some("noteNode"));
    nodes
        .filter_map(|node| {
            let inner = node.get("data").unwrap_or(&Value::Null);
            let shown = inner.get("node").unwrap_or(&Value::Null);
            let id = text(node, "id").or_else(|| text(inner, "id"))?;
            let kind = text(inner, "type").unwrap_or_default();
            Some(FlowComponent {
                name: text(shown, "display_name").unwrap_or_else(|| kind.clone()),
                description: text(shown, "description").unwrap_or_default(),
                id,
                kind,
            })
        })
        .collect()
}

fn flag(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(false)
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn projects() -> Vec<Project> {
        serde_json::from_str(include_str!("../../../tests/fixtures/langflow/projects.json")).expect("projects")
    }

    #[test]
    fn a_recorded_list_is_read_with_the_names_of_its_folders() {
        let flows: Flows =
            serde_json::from_str(include_str!("../../../tests/fixtures/langflow/flows.json")).expect("flows");
        let flows: Vec<_> = flows.into_items().into_iter().filter_map(|flow| read_header(flow, &projects())).collect();
        assert_eq!(flows.len(), 3);
        assert_eq!(flows[0].name, "Spark probe");
        assert_eq!(flows[0].folder_name.as_deref(), Some("Starter Project"));
        assert!(flows.iter().all(|flow| flow.components.is_empty() && flow.data.is_none() && !flow.is_component));
    }

    #[test]
    fn a_recorded_flow_is_read_with_its_components() {
        let flow = serde_json::from_str(include_str!("../../../tests/fixtures/langflow/flow.json")).expect("a flow");
        let flow = read(flow, &projects()).expect("a flow");
        assert_eq!(flow.input_component.as_deref(), Some("ChatInput-aaaaa"));
        assert_eq!(flow.output_component.as_deref(), Some("ChatOutput-bbbbb"));
        let kinds: Vec<_> = flow.components.iter().map(|component| component.kind.as_str()).collect();
        assert_eq!(kinds, ["ChatInput", "Probe", "ChatOutput"]);
        assert_eq!(flow.components[0].name, "Chat Input");
        assert!(flow.data.is_some());
    }

    #[test]
    fn chat_nodes_come_before_text_nodes_and_notes_are_left_out() {
        let node = |id: &str, kind: &str| json!({"id": id, "type": "genericNode", "data": {"type": kind, "node": {}}});
        let note = json!({"id": "n", "type": "noteNode", "data": {"type": "note"}});
        let nodes = [note, node("t", "TextInput"), node("c", "ChatInput"), node("o", "TextOutput")];
        let flow = read(json!({"id": "f", "data": {"nodes": nodes}}), &[]).expect("a flow");
        assert_eq!(flow.input_component.as_deref(), Some("c"));
        assert_eq!(flow.output_component.as_deref(), Some("o"));
        assert_eq!(flow.components.len(), 3);
    }

    #[test]
    fn what_is_no_flow_is_none_and_oddities_are_survived() {
        assert!(read(json!([]), &[]).is_none());
        assert!(read(json!({"name": "no id"}), &[]).is_none());
        let odd = json!({"id": "f", "name": 5, "tags": [1, "a"], "data": {"nodes": [7, {"id": "x"}, {}]}});
        let flow = read(odd, &[]).expect("a flow");
        assert_eq!((flow.name.as_str(), flow.tags.len(), flow.components.len()), ("", 1, 1));
    }
}
