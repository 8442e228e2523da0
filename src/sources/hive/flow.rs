//! What Hive says of its agents, teams and workflows, read into flows; and how a flow's id names one of them.

use serde_json::Value;

use crate::domain::workflow::RemoteFlow;
use crate::sources::reply::with_ends;
use crate::sources::server::text;

/// What Hive runs. Each kind has names of its own: an agent and a team may have one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Agent,
    Team,
    Workflow,
}

impl Kind {
    /// In the order in which an id without a kind is looked up; the Python service had the same.
    pub(super) const ALL: [Self; 3] = [Self::Agent, Self::Team, Self::Workflow];

    /// As it stands before an id: `agent:`.
    fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Team => "team",
            Self::Workflow => "workflow",
        }
    }

    /// The first part of its routes.
    pub(super) fn route(self) -> &'static str {
        match self {
            Self::Agent => "agents",
            Self::Team => "teams",
            Self::Workflow => "workflows",
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Agent => "Agents",
            Self::Team => "Teams",
            Self::Workflow => "Workflows",
        }
    }

    /// The id of a flow of this kind.
    fn flow_id(self, id: &str) -> String {
        format!("{}:{id}", self.name())
    }
}

/// Takes a flow's id apart. What the Python service synced has no kind.
pub(super) fn split(flow_id: &str) -> (Option<Kind>, &str) {
    let with_kind = || {
        let (name, id) = flow_id.split_once(':')?;
        Some((Kind::ALL.into_iter().find(|kind| kind.name() == name)?, id))
    };
    with_kind().map_or((None, flow_id), |(kind, id)| (Some(kind), id))
}

/// An item of a list, or one thing by itself.
pub(super) fn read(kind: Kind, item: Value) -> Option<RemoteFlow> {
    let id = text(&item, "id")?;
    // agno 2.0 has an agent's description only among its instructions.
    let described = text(&item, "description").or_else(|| text(item.get("system_message")?, "description"));
    Some(RemoteFlow {
        name: text(&item, "name").unwrap_or_else(|| id.clone()),
        description: described.unwrap_or_default(),
        folder_name: Some(kind.folder().to_owned()),
        tags: vec![kind.name().to_owned(), "hive".to_owned()],
        id: kind.flow_id(&id),
        raw: Some(item),
        ..RemoteFlow::default()
    })
}

/// One flow, with what a run is given and what it gives.
pub(super) fn read_whole(kind: Kind, item: Value) -> Option<RemoteFlow> {
    let mut data = item.clone();
    // How the Python service marks them.
    data.as_object_mut()?.insert("type".to_owned(), format!("hive_{}", kind.name()).into());
    Some(with_ends(RemoteFlow { data: Some(data), ..read(kind, item)? }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(json: &str, kind: Kind) -> Vec<RemoteFlow> {
        let items: Vec<Value> = serde_json::from_str(json).expect("a list");
        items.into_iter().filter_map(|item| read(kind, item)).collect()
    }

    #[test]
    fn an_id_says_its_kind_or_is_plain() {
        assert_eq!(split("agent:echo"), (Some(Kind::Agent), "echo"));
        assert_eq!(split("team:a:b"), (Some(Kind::Team), "a:b"));
        assert_eq!(split("workflow:"), (Some(Kind::Workflow), ""));
        for plain in ["echo", "gpt-4o:mini", "Agent:x", "agents:x", ":x", ""] {
            assert_eq!(split(plain), (None, plain));
        }
        for kind in Kind::ALL {
            assert_eq!(split(&kind.flow_id("a:b")), (Some(kind), "a:b"));
        }
    }

    #[test]
    fn recorded_lists_are_read() {
        for agents in [
            include_str!("../../../tests/fixtures/hive/agno2_agents.json"),
            include_str!("../../../tests/fixtures/hive/agno3_agents.json"),
        ] {
            let flows = list(agents, Kind::Agent);
            assert_eq!((flows[0].id.as_str(), flows[0].name.as_str()), ("agent:echo-agent", "Echo Agent"));
            assert_eq!(flows[0].description, "Upper-cases what it is told");
            assert_eq!((flows[1].id.as_str(), flows[1].description.as_str()), ("agent:twin", ""));
        }
        let teams = list(include_str!("../../../tests/fixtures/hive/agno3_teams.json"), Kind::Team);
        assert_eq!((teams[1].id.as_str(), teams[1].folder_name.as_deref()), ("team:twin", Some("Teams")));
        let workflows = list(include_str!("../../../tests/fixtures/hive/agno2_workflows.json"), Kind::Workflow);
        assert_eq!((workflows[0].id.as_str(), workflows[0].tags.len()), ("workflow:echo-flow", 2));
    }

    #[test]
    fn one_flow_has_all_that_was_said_of_it() {
        let detail = include_str!("../../../tests/fixtures/hive/agno3_workflow_detail.json");
        let flow = read_whole(Kind::Workflow, serde_json::from_str(detail).expect("JSON")).expect("a flow");
        assert_eq!(flow.input_component.as_deref(), Some("message"));
        assert_eq!(flow.output_component.as_deref(), Some("result"));
        assert_eq!(flow.components.len(), 2);
        let data = flow.data.expect("data");
        assert_eq!((&data["type"], &data["steps"][1]["name"]), (&json!("hive_workflow"), &json!("exclaim")));
        assert!(flow.raw.expect("raw").get("type").is_none());
        for odd in [json!([]), json!({"name": "no id"}), json!({"id": 5})] {
            assert!(read_whole(Kind::Agent, odd).is_none());
        }
        assert_eq!(read(Kind::Team, json!({"id": "x", "name": null})).expect("a flow").name, "x");
    }
}
