//! Workflows: what a source offers to run.

use serde_json::Value;

/// An input or output node of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowComponent {
    /// The node's id in the source, e.g. `ChatOutput-bbbbb`.
    pub id: String,
    /// The node's type, e.g. `ChatOutput`.
    pub kind: String,
    /// The node's display name.
    pub name: String,
    /// The node's description.
    pub description: String,
}

/// A flow, agent or team as its source describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RemoteFlow {
    /// The id that `run` takes.
    pub id: String,
    /// Shown to people.
    pub name: String,
    /// Empty where the source has none.
    pub description: String,
    /// Nodes of the flow. Filled when one flow is read; empty in lists.
    pub components: Vec<FlowComponent>,
    /// The default input component, where the source has that notion.
    pub input_component: Option<String>,
    /// The default output component.
    pub output_component: Option<String>,
    /// A LangFlow component rather than a flow.
    pub is_component: bool,
    /// The project or folder it lies in.
    pub folder_id: Option<String>,
    /// Its name.
    pub folder_name: Option<String>,
    /// Name of an icon.
    pub icon: Option<String>,
    /// Its background.
    pub icon_bg_color: Option<String>,
    /// Marked by its owner.
    pub liked: bool,
    /// Labels.
    pub tags: Vec<String>,
    /// The graph (`data` in LangFlow).
    pub data: Option<Value>,
    /// All that the source said.
    pub raw: Option<Value>,
}

/// What to do where it is unknown whether the source ran the flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownPolicy {
    /// Run it again: at least once.
    #[default]
    Retry,
    /// Fail the task: at most once.
    Fail,
}

impl UnknownPolicy {
    /// Every policy.
    pub const ALL: [Self; 2] = [Self::Retry, Self::Fail];

    /// The policy's name in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Fail => "fail",
        }
    }

    /// Reads a stored name; what is unknown means the default.
    pub fn from_stored(name: &str) -> Self {
        if name == "fail" { Self::Fail } else { Self::Retry }
    }
}
