//! From an adapter file to what it means.

use std::time::Duration;

use toml::Table;

use super::section::{Problem, Section};
use super::{
    Accept, Adapter, Auth, BodyTemplate, Call, FixedFlow, Flows, Inputs, Listed, Method, NextPage, PathTemplate,
    Placeholder, Pointers, Poll, PollPlace, Run, State, Template, Validate,
};

const NAME_MAX: usize = 50;
/// What may stand in a request for one flow.
const OF_FLOW: &[Placeholder] = &[Placeholder::FlowId];
/// In one that runs a flow.
const OF_RUN: &[Placeholder] = &[
    Placeholder::Input,
    Placeholder::FlowId,
    Placeholder::SessionId,
    Placeholder::TaskId,
    Placeholder::InputComponent,
];
/// In one that asks about a run.
const OF_POLL: &[Placeholder] = &[Placeholder::RunId, Placeholder::FlowId, Placeholder::SessionId, Placeholder::TaskId];
/// Headers that the HTTP client sets itself.
const RESERVED: [&str; 5] = ["connection", "content-length", "content-type", "host", "transfer-encoding"];
const POLL_EVERY: Duration = Duration::from_secs(2);

/// What every request of a file has in common.
struct Common {
    headers: Vec<(String, Template)>,
    /// The header that carries the key.
    key_header: Option<String>,
}

impl Adapter {
    /// Reads an adapter file; its name is the file's without `.toml`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(name: &str, file: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let text = text.trim_start_matches('\u{feff}');
        let table: Table = text.parse().map_err(|error| vec![no_toml(text, &error)])?;
        let mut root = Section::root(table);
        if !is_name(name) {
            let rule = format!("at most {NAME_MAX} of a-z, 0-9, - and _, and begins with a letter or digit");
            root.problem("", format!("the file's name is the adapter's, which has {rule}; `{name}` does not"));
        }
        let description = root.required("description", "say in a line what it is for");
        let auth = root.section("auth").and_then(auth);
        let common = common(&mut root, auth.as_ref());
        let validate = root.section("validate").map(|section| validate(section, &common));
        let flows = flows(&mut root, &common, validate.is_some());
        let run = root.section("run").map(|section| run(section, &common));
        if run.is_none() {
            root.problem("run", "is missing: say how a flow is run");
        }
        root.finish();
        match (run, root.problems()) {
            (Some(run), problems) if problems.is_empty() => {
                Ok(Self { name: name.to_owned(), description, file: file.to_owned(), auth, validate, flows, run })
            }
            (_, problems) => Err(problems),
        }
    }
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    name.len() <= NAME_MAX && !name.starts_with(['-', '_']) && !name.is_empty() && name.chars().all(fits)
}

/// Where the mistake is, without the line itself: a header may hold a secret.
fn no_toml(text: &str, error: &toml::de::Error) -> Problem {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    Problem {
        key: String::new(),
        message: format!("line {line} is not TOML: {}; write name = \"text\" below a [section]", error.message()),
    }
}

fn auth(mut section: Section) -> Option<Auth> {
    #[derive(Clone, Copy)]
    enum Kind {
        Header,
        Query,
        Basic,
    }
    const KINDS: [(&str, Kind); 3] = [("header", Kind::Header), ("query", Kind::Query), ("basic", Kind::Basic)];
    let kind = section.word("type", &KINDS);
    let auth = match kind {
        Some(Kind::Header) => {
            let name = section.required("name", "say which header carries the key");
            check_header(&section, "name", &name);
            Some(Auth::Header { name: name.to_lowercase(), prefix: section.text("prefix").unwrap_or_default() })
        }
        Some(Kind::Query) => {
            Some(Auth::Query { name: section.required("name", "say which parameter carries the key") })
        }
        Some(Kind::Basic) => Some(Auth::Basic { user: section.text("user") }),
        None if section.is_sound("type") => {
            section.problem("type", "is missing: header, query or basic");
            None
        }
        None => None,
    };
    if auth.is_some() {
        section.finish();
    }
    auth
}

fn common(root: &mut Section, auth: Option<&Auth>) -> Common {
    let key_header = match auth {
        Some(Auth::Header { name, .. }) => Some(name.clone()),
        Some(Auth::Basic { .. }) => Some("authorization".to_owned()),
        _ => None,
    };
    let mut common = Common { headers: Vec::new(), key_header };
    common.headers = headers(root, &common, &[]);
    common
}

/// The headers of a section, over those that every request has.
fn headers(section: &mut Section, common: &Common, allowed: &[Placeholder]) -> Vec<(String, Template)> {
    let own = section.templates("headers", allowed);
    let own: Vec<(String, Template)> = own.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    for (name, _) in &own {
        let key = format!("headers.{name}");
        if common.key_header.as_ref() == Some(name) {
            section.problem(&key, "carries the key already (auth): leave it out here");
        } else {
            check_header(section, &key, name);
        }
    }
    let inherited = common.headers.iter().filter(|(name, _)| own.iter().all(|(other, _)| other != name));
    inherited.cloned().chain(own.iter().cloned()).collect()
}

fn check_header(section: &Section, key: &str, name: &str) {
    let is_sign = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if RESERVED.contains(&name.to_lowercase().as_str()) {
        section.problem(key, format!("Spark sets the header {name} itself: leave it out"));
    } else if !name.chars().all(is_sign) {
        section.problem(key, format!("`{name}` can't be the name of a header"));
    }
}

/// A request. `methods` are those that make sense, the usual one first.
fn call(section: &mut Section, common: &Common, methods: &[Method], allowed: &[Placeholder]) -> Call {
    let words: Vec<(&str, Method)> = methods.iter().map(|method| (method.as_str(), *method)).collect();
    let method = section.word("method", &words).unwrap_or(methods[0]);
    // An input is too long for a path or a header, and may hold anything.
    let short: Vec<Placeholder> = allowed.iter().copied().filter(|name| *name != Placeholder::Input).collect();
    let path = PathTemplate::parse(&section.text("path").unwrap_or_default(), &short).unwrap_or_else(|error| {
        section.problem("path", error);
        PathTemplate::default()
    });
    let query = section.templates("query", allowed);
    let headers = headers(section, common, &short);
    let body = section.text("body").and_then(|text| {
        let body = BodyTemplate::parse(&text, allowed);
        body.map_err(|error| section.problem("body", error)).ok()
    });
    if body.is_some() && matches!(method, Method::Get | Method::Options) {
        section.problem("body", format!("a {} has none: set method = \"POST\"", method.as_str()));
    }
    Call { method, path, query, headers, body }
}

fn validate(mut section: Section, common: &Common) -> Validate {
    let validate = Validate {
        call: call(&mut section, common, &[Method::Get, Method::Options, Method::Post], &[]),
        any_status: section.flag("any_status"),
        expect: section.pointers("expect"),
        version: section.pointers("version"),
    };
    if validate.any_status && (validate.expect.is_some() || validate.version.is_some()) {
        section.problem("any_status", "leaves nothing to look for in an answer: drop it, or expect and version");
    }
    section.finish();
    validate
}

fn flows(root: &mut Section, common: &Common, is_validated: bool) -> Flows {
    let fixed: Vec<FixedFlow> = root.sections("flows").into_iter().map(fixed_flow).collect();
    let list = root.section("list");
    let get = root.section("get");
    let flow = root.section("flow");
    if let Some(list) = list {
        if !fixed.is_empty() {
            root.problem("flows", "stands beside [list]: either the file names the flows, or the server lists them");
        }
        return Flows::Listed(Box::new(listed(list, get, flow, common)));
    }
    for (key, section) in [("get", get), ("flow", flow)] {
        if section.is_some() {
            root.problem(key, "says how flows are shown that [list] lists, and there is no [list]");
        }
    }
    if fixed.is_empty() && root.is_sound("flows") {
        root.problem("list", "is missing: say which flows there are, by [list] or by [[flows]]");
    } else if !is_validated {
        root.problem("validate", "is missing: without [list] there must be a request that checks a source");
    }
    for (index, flow) in fixed.iter().enumerate() {
        if fixed[..index].iter().any(|other| other.id == flow.id) {
            root.problem(&format!("flows[{index}].id"), format!("`{}` is there already", flow.id));
        }
    }
    Flows::Fixed(fixed)
}

fn fixed_flow(mut section: Section) -> FixedFlow {
    let id = section.required("id", "say what {{flow_id}} is");
    let name = section.text("name").unwrap_or_else(|| id.clone());
    let description = section.text("description").unwrap_or_default();
    section.finish();
    FixedFlow { id, name, description }
}

fn listed(mut list: Section, get: Option<Section>, flow: Option<Section>, common: &Common) -> Listed {
    let pointer = |text: &str| Pointers::parse([text]).unwrap_or_else(|_| Pointers::whole());
    let get = get.map(|mut section| {
        let call = call(&mut section, common, &[Method::Get, Method::Post], OF_FLOW);
        let place = section.pointers("flow").unwrap_or_else(Pointers::whole);
        section.finish();
        (call, place)
    });
    let mut listed = Listed {
        list: call(&mut list, common, &[Method::Get, Method::Post], &[]),
        items: list.pointers("items").unwrap_or_else(Pointers::whole),
        next: list.section("next").and_then(next_page),
        get,
        id: pointer("/id"),
        name: pointer("/name"),
        description: pointer("/description"),
        inputs: None,
    };
    list.finish();
    if let Some(mut flow) = flow {
        listed.id = flow.pointers("id").unwrap_or(listed.id);
        listed.name = flow.pointers("name").unwrap_or(listed.name);
        listed.description = flow.pointers("description").unwrap_or(listed.description);
        listed.inputs = flow.section("inputs").and_then(inputs);
        flow.finish();
    }
    listed
}

fn next_page(mut section: Section) -> Option<NextPage> {
    let pointer = section.pointers("pointer");
    if pointer.is_none() && section.is_sound("pointer") {
        section.problem("pointer", "is missing: say where an answer says what leads to the next page");
    }
    let query = section.required("query", "say which parameter asks for the next page");
    section.finish();
    pointer.map(|pointer| NextPage { pointer, query })
}

fn inputs(mut section: Section) -> Option<Inputs> {
    let items = section.pointers("items");
    if items.is_none() && section.is_sound("items") {
        section.problem("items", "is missing: say where in a flow its parts are");
    }
    let mut when = Vec::new();
    for (pointer, value) in section.pairs("when") {
        match Pointers::parse([pointer.as_str()]) {
            Ok(pointer) => when.push((pointer, value)),
            Err(error) => section.problem("when", error),
        }
    }
    let id = section.pointers("id");
    let name = section.pointers("name");
    section.finish();
    let default = |text| Pointers::parse([text]).unwrap_or_else(|_| Pointers::whole());
    Some(Inputs {
        items: items?,
        when,
        id: id.unwrap_or_else(|| default("/id")),
        name: name.unwrap_or_else(|| default("/name")),
    })
}

fn run(mut section: Section, common: &Common) -> Run {
    let methods = [Method::Post, Method::Put, Method::Patch, Method::Get];
    let call = call(&mut section, common, &methods, OF_RUN);
    let accept = accept(&mut section);
    let result = section.pointers("result");
    let error = section.pointers("error");
    let state = state(&mut section);
    let poll = section.section("poll").and_then(|section| poll(section, common));
    if poll.is_some() {
        if state.as_ref().is_none_or(|state| state.failure.is_empty()) {
            let message = "a run that is followed needs `status`, `success` and `failure`, which say when it is over";
            section.problem("poll", message);
        }
        if accept != Accept::default() {
            section.problem("accept", "a run that is followed says how it goes in JSON: leave it out");
        }
    }
    section.finish();
    Run { call, accept, result, error, state, poll }
}

fn accept(section: &mut Section) -> Accept {
    let mut accept = Accept::default();
    for word in section.texts("accept").unwrap_or_default() {
        match word.as_str() {
            "json" => {}
            "text" => accept.text = true,
            "empty" => accept.empty = true,
            other => section.problem("accept", format!("must be a list of json, text and empty, not `{other}`")),
        }
    }
    accept
}

fn state(section: &mut Section) -> Option<State> {
    let (status, success, failure) = (section.pointers("status"), section.texts("success"), section.texts("failure"));
    match status {
        Some(status) => {
            let success = success.unwrap_or_default();
            if success.is_empty() {
                section.problem("success", "is missing: say which values of `status` mean success");
            }
            let failure = failure.unwrap_or_default();
            if let Some(both) = failure.iter().find(|value| success.contains(value)) {
                section.problem("failure", format!("`{both}` stands under success too"));
            }
            Some(State { status, success, failure })
        }
        None => {
            if (success.is_some() || failure.is_some()) && section.is_sound("status") {
                section.problem("status", "is missing: say where the value is that success and failure name");
            }
            None
        }
    }
}

fn poll(mut section: Section, common: &Common) -> Option<Poll> {
    let every = section.seconds("every_s", 0.1..=3600.0).unwrap_or(POLL_EVERY);
    let url = section.pointers("url");
    let run_id = section.pointers("run_id");
    let place = match (url, run_id) {
        (Some(url), None) => Some(PollPlace::Url(url)),
        (None, Some(run_id)) => {
            Some(PollPlace::Call { run_id, call: call(&mut section, common, &[Method::Get], OF_POLL) })
        }
        (None, None) if !section.is_sound("url") || !section.is_sound("run_id") => return None,
        _ => {
            let message = "needs either `run_id` (where the first answer says it) and a `path`, or `url` (where the \
                           first answer says it)";
            section.problem("", message);
            return None;
        }
    };
    section.finish();
    place.map(|place| Poll { place, every })
}
