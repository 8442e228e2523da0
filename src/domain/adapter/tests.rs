//! Adapter files: the shipped ones, and what is said of wrong ones.

use super::*;

/// The least that works.
const SMALL: &str = r#"
description = "Reports"
[auth]
type = "header"
name = "X-Key"
[list]
path = "/reports"
[run]
path = "/reports/{{flow_id}}/run"
body = '{ "question": "{{input}}" }'
"#;

fn good(text: &str) -> Adapter {
    Adapter::read("mine", "mine.toml", text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
}

fn bad(text: &str) -> Vec<String> {
    let problems = Adapter::read("mine", "mine.toml", text).expect_err("an unsound file");
    problems.into_iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect()
}

#[test]
fn the_shipped_adapters_are_sound() {
    let shipped = Adapters::shipped();
    assert_eq!(shipped.names(), "n8n, rest, webhook");
    assert!(shipped.iter().all(|adapter| adapter.file == BUILT_IN && !adapter.description.is_empty()));
    let n8n = shipped.get("n8n").expect("shipped");
    assert_eq!(n8n.auth, Some(Auth::Header { name: "x-n8n-api-key".to_owned(), prefix: String::new() }));
    assert!(shipped.get("rest").is_some_and(|rest| rest.run.poll.is_some()));
    assert!(
        shipped.get("webhook").is_some_and(|webhook| matches!(&webhook.flows, Flows::Fixed(flows) if flows.len() == 1))
    );
}

#[test]
fn the_examples_of_the_documentation_are_sound() {
    let parts: Vec<&str> = include_str!("../../../docs/ADAPTERS.md").split("```toml\n").skip(1).collect();
    assert_eq!(parts.len(), 2);
    for part in parts {
        good(part.split("```").next().unwrap_or_default());
    }
}

#[test]
fn what_an_adapter_does_not_say_has_a_default() {
    let adapter = good(SMALL);
    let Flows::Listed(listed) = &adapter.flows else { panic!("{adapter:?}") };
    assert_eq!((listed.id.to_string(), listed.name.to_string()), ("/id".to_owned(), "/name".to_owned()));
    assert_eq!(listed.items, Pointers::whole());
    assert_eq!((listed.list.method, adapter.run.call.method), (Method::Get, Method::Post));
    assert_eq!(adapter.run.accept, Accept::default());
}

#[test]
fn adapters_reach_a_child_as_they_are() {
    let mut adapters = Adapters::shipped();
    adapters.insert(good(SMALL));
    let json = serde_json::to_string(&adapters).expect("JSON");
    assert_eq!(serde_json::from_str::<Adapters>(&json).expect("the same"), adapters);
}

#[test]
fn an_adapter_takes_the_place_of_the_one_with_its_name() {
    let mut adapters = Adapters::shipped();
    adapters.insert(Adapter { name: "n8n".to_owned(), ..good(SMALL) });
    assert_eq!(adapters.names(), "n8n, rest, webhook");
    assert_eq!(adapters.get("n8n").map(|adapter| adapter.description.as_str()), Some("Reports"));
}

#[test]
fn headers_of_a_request_stand_over_those_of_all() {
    let text = SMALL.replace("[auth]", "headers = { Accept = \"a/b\", X-A = 1 }\n[auth]");
    let adapter = good(&format!("{text}headers = {{ x-a = \"{{{{task_id}}}}\" }}"));
    let names = |call: &Call| call.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&adapter.run.call), ["accept", "x-a"]);
    let values = Values { task_id: Some("t"), ..Values::default() };
    assert_eq!(adapter.run.call.headers[1].1.fill(&values).as_deref(), Ok("t"));
}

#[test]
fn everything_wrong_is_told_at_once_with_its_place() {
    let text = r#"
descripton = "x"
[auth]
type = "bearer"
[list]
path = "reports"
items = "data.items"
next = { pointer = "/next" }
[flow]
idd = "/x"
[run]
pth = "/x"
body = "{"
query = { a = "{{run_id}}", b = [1] }
[run.poll]
every_s = 0
run_id = "/id"
"#;
    let found = bad(text);
    for expected in [
        "description: is missing",
        "descripton: there is no such key; did you mean `description`?",
        "auth.type: must be one of header, query, basic, not `bearer`",
        "list.path: `reports` must begin with a slash",
        "list.items: `data.items` is no JSON pointer; it begins with a slash: write `/data/items`",
        "list.next.query: is missing",
        "flow.idd: there is no such key; did you mean `id`?",
        "run.pth: there is no such key; did you mean `path`?",
        "run.body: is not JSON",
        "run.query.a: {{run_id}} can't stand here",
        "run.query.b: must be a text, a number or a boolean",
        "run.poll: a run that is followed needs",
        "run.poll.every_s: must be a number of seconds",
    ] {
        assert!(found.iter().any(|problem| problem.starts_with(expected)), "no `{expected}` in {found:#?}");
    }
    assert_eq!(found.len(), 13, "{found:#?}");
}

#[test]
fn contradictions_are_told() {
    let webhook = "description = \"x\"\n[run]\n";
    let validate = "[validate]\nmethod = \"OPTIONS\"\n";
    for (text, expected) in [
        (webhook.to_owned(), "list: is missing: say which flows there are"),
        (format!("{webhook}[[flows]]\nid = \"a\""), "validate: is missing"),
        (
            format!("{webhook}{validate}[[flows]]\nid = \"a\"\n[[flows]]\nid = \"a\""),
            "flows[1].id: `a` is there already",
        ),
        (format!("{webhook}{validate}[[flows]]\nname = \"a\""), "flows[0].id: is missing"),
        (format!("{webhook}{validate}[[flows]]\nid = \"a\"\n[get]\npath = \"/x\""), "get: says how flows are shown"),
        (format!("{SMALL}[[flows]]\nid = \"a\""), "flows: stands beside [list]"),
        (format!("{SMALL}[validate]\nany_status = true\nexpect = \"/a\""), "validate.any_status: leaves nothing"),
        (SMALL.replace("[list]\n", "[list]\nbody = '{}'\n"), "list.body: a GET has none"),
        (SMALL.replace("[list]\n", "[list]\nmethod = \"PUT\"\n"), "list.method: must be one of GET, POST"),
        (
            SMALL.replace("[list]\n", "[list]\nheaders = { X-Key = \"k\" }\n"),
            "list.headers.x-key: carries the key already",
        ),
        (SMALL.replace("[list]\n", "[list]\nheaders = { Host = \"k\" }\n"), "list.headers.host: Spark sets"),
        (SMALL.replace("X-Key", "X Key"), "auth.name: `X Key` can't be the name of a header"),
        (SMALL.replace("{{flow_id}}", "{{input}}"), "run.path: {{input}} can't stand here"),
        (format!("{SMALL}success = \"ok\""), "run.status: is missing"),
        (format!("{SMALL}status = \"/s\""), "run.success: is missing"),
        (
            format!("{SMALL}status = \"/s\"\nsuccess = [\"a\"]\nfailure = \"a\""),
            "run.failure: `a` stands under success",
        ),
        (format!("{SMALL}accept = \"xml\""), "run.accept: must be a list of json, text and empty"),
        (format!("{SMALL}[run.poll]\nurl = \"/a\"\nrun_id = \"/b\""), "run.poll: needs either"),
        (format!("{SMALL}[flow.inputs]\nwhen = {{ a = 1 }}"), "flow.inputs.items: is missing"),
        (SMALL.replace("[run]", "[run]]"), ": line 8 is not TOML"),
    ] {
        let found = bad(&text);
        assert!(found.iter().any(|problem| problem.starts_with(expected)), "no `{expected}` in {found:#?}\n{text}");
    }
}

#[test]
fn a_mistake_in_the_syntax_does_not_show_the_line() {
    let found = bad("description = \"x\"\nheaders = { X-Secret = \"hunter2\" hunter3");
    assert!(found[0].starts_with(": line 2 ") && !found[0].contains("hunter"), "{found:?}");
}

#[test]
fn names_are_those_that_a_file_and_a_command_line_can_hold() {
    for name in ["n8n", "my-engine_2", "0"] {
        assert!(Adapter::read(name, "x", SMALL).is_ok(), "{name}");
    }
    let long = "x".repeat(51);
    for name in ["", "N8N", "a b", "-a", "_", "a.b", "ü", long.as_str()] {
        assert!(Adapter::read(name, "x", SMALL).is_err(), "{name}");
    }
}
