//! Adapters: what a file says of how a kind of server is spoken to, for sources of type `http`. `docs/ADAPTERS.md`
//! describes the files; [`Adapter::read`] reads one. How requests are made of it is the business of `sources`.

mod body;
pub mod pointer;
mod read;
mod section;
mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use body::BodyTemplate;
pub use pointer::Pointers;
pub use section::Problem;
pub use template::{FillError, PathTemplate, Placeholder, Template, Values};

/// Where an adapter comes from that is built into the program.
pub const BUILT_IN: &str = "built in";

/// The files that are built into the program, by the names of their adapters.
const SHIPPED: [(&str, &str); 3] = [
    ("n8n", include_str!("../../../config/adapters/n8n.toml")),
    ("rest", include_str!("../../../config/adapters/rest.toml")),
    ("webhook", include_str!("../../../config/adapters/webhook.toml")),
];

/// How a kind of server is spoken to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adapter {
    /// The file's name without `.toml`; what a source names.
    pub name: String,
    /// What it is for, in a line.
    pub description: String,
    /// The file, or [`BUILT_IN`].
    pub file: String,
    /// How a source's key is sent; a source without a key is called without.
    pub auth: Option<Auth>,
    /// How a source is checked.
    pub validate: Option<Validate>,
    /// Which flows there are.
    pub flows: Flows,
    /// How a flow is run.
    pub run: Run,
}

/// How a source's key is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Auth {
    /// In a header.
    Header {
        /// The header.
        name: String,
        /// What stands before the key, as `Bearer ` with its blank.
        prefix: String,
    },
    /// As a parameter of the query.
    Query {
        /// The parameter.
        name: String,
    },
    /// As HTTP Basic: the key is the password of this user or, without one, `user:password`.
    Basic {
        /// The user.
        user: Option<String>,
    },
}

/// A method of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// GET.
    Get,
    /// OPTIONS.
    Options,
    /// PATCH.
    Patch,
    /// POST.
    Post,
    /// PUT.
    Put,
}

impl Method {
    /// As it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// A request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// What goes behind the source's url.
    pub path: PathTemplate,
    /// Parameters.
    pub query: Vec<(String, Template)>,
    /// Headers beside the one with the key.
    pub headers: Vec<(String, Template)>,
    /// JSON.
    pub body: Option<BodyTemplate>,
}

/// How a source is checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validate {
    /// The request.
    pub call: Call,
    /// Whether any answer will do that is not 401, 403 or 5xx: somebody listens.
    pub any_status: bool,
    /// What must be in the answer.
    pub expect: Option<Pointers>,
    /// Where it says its version.
    pub version: Option<Pointers>,
}

/// Which flows there are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Flows {
    /// Those that the file names.
    Fixed(Vec<FixedFlow>),
    /// Those that the server lists.
    Listed(Box<Listed>),
}

/// A flow that an adapter file names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedFlow {
    /// What `{{flow_id}}` is.
    pub id: String,
    /// Shown to people.
    pub name: String,
    /// What it does.
    pub description: String,
}

/// How flows are listed and shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// The request for the list.
    pub list: Call,
    /// The array of flows in the answer.
    pub items: Pointers,
    /// Where there may be further pages.
    pub next: Option<NextPage>,
    /// The request for one flow, and where in the answer the flow is; without, it is looked for in the list.
    pub get: Option<(Call, Pointers)>,
    /// Where in a flow its id is.
    pub id: Pointers,
    /// Its name.
    pub name: Pointers,
    /// Its description.
    pub description: Pointers,
    /// The parts of it that take input.
    pub inputs: Option<Inputs>,
}

/// How the next page of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextPage {
    /// What leads to it; nothing there means that this was the last.
    pub pointer: Pointers,
    /// The parameter that it goes into.
    pub query: String,
}

/// The parts of a flow that take input; the first is the workflow's input component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// The array of parts in a flow.
    pub items: Pointers,
    /// What a part must say at these places to be one.
    pub when: Vec<(Pointers, String)>,
    /// Where in a part its id is.
    pub id: Pointers,
    /// Its name.
    pub name: Pointers,
}

/// How a flow is run, and what its answer means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The request.
    pub call: Call,
    /// What may be answered besides JSON.
    pub accept: Accept,
    /// The result's text; the whole answer where none is named or found.
    pub result: Option<Pointers>,
    /// What went wrong. Without `state`, something here means a failure.
    pub error: Option<Pointers>,
    /// How the answer says what became of the run.
    pub state: Option<State>,
    /// How a run is followed that goes on after the answer.
    pub poll: Option<Poll>,
}

/// What may be answered to a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accept {
    /// Text that is no JSON.
    pub text: bool,
    /// Nothing.
    pub empty: bool,
}

/// How an answer says what became of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Where.
    pub status: Pointers,
    /// Values that mean success.
    pub success: Vec<String>,
    /// Values that mean failure. Any other means that it goes on, where it is followed, and else failure too.
    pub failure: Vec<String>,
}

/// How a run is followed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Poll {
    /// Where it is asked about.
    pub place: PollPlace,
    /// How long between two questions.
    pub every: Duration,
}

/// Where a run is asked about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PollPlace {
    /// At a request of its own, with the run's id from the first answer.
    Call {
        /// Where the first answer says the run's id.
        run_id: Pointers,
        /// The request.
        call: Call,
    },
    /// At the url that the first answer says, on the source's own server.
    Url(Pointers),
}

/// The adapters that a service knows, by name. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adapters(Arc<BTreeMap<String, Arc<Adapter>>>);

impl Adapters {
    /// Most bytes that they may be as JSON: every child is told them when it starts.
    pub const MAX_BYTES: usize = 1024 * 1024;

    /// Those that are built in.
    pub fn shipped() -> Self {
        let read = |(name, text): (&str, &str)| {
            let adapter = Adapter::read(name, BUILT_IN, text).expect("shipped adapters are sound: a test reads them");
            (name.to_owned(), Arc::new(adapter))
        };
        Self(Arc::new(SHIPPED.into_iter().map(read).collect()))
    }

    /// Adds an adapter, or puts it in the place of the one with its name.
    pub fn insert(&mut self, adapter: Adapter) {
        Arc::make_mut(&mut self.0).insert(adapter.name.clone(), Arc::new(adapter));
    }

    /// The adapter with a name.
    pub fn get(&self, name: &str) -> Option<&Arc<Adapter>> {
        self.0.get(name)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Adapter> {
        self.0.values().map(|adapter| &**adapter)
    }

    /// Their names, for people.
    pub fn names(&self) -> String {
        self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

impl Default for Adapters {
    fn default() -> Self {
        Self::shipped()
    }
}
