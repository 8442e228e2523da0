//! The shape of the code, read off the code. `docs/ARCHITECTURE.md` says why; a change of shape changes both.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Who may use whom: a top-level module of `src/`, and the modules that its files may name.
const TABLE: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["node", "shutdown", "child", "config", "http", "dev", "simulate", "domain"]),
    (
        "node",
        &[
            "shutdown", "config", "actors", "http", "dispatch", "store", "mailbox", "sources", "child", "dev",
            "simulate", "otlp", "domain",
        ],
    ),
    ("shutdown", &["config", "domain"]),
    ("actors", &["dispatch", "store", "mailbox", "child", "sources", "otlp", "fault", "domain"]),
    ("http", &["dispatch", "store", "sources", "domain"]),
    ("dispatch", &["store", "mailbox", "fault", "domain"]),
    ("child", &["sources", "fault", "domain"]),
    ("store", &["fault", "domain"]),
    ("mailbox", &["domain"]),
    ("sources", &["domain"]),
    ("otlp", &["domain"]),
    ("config", &["domain"]),
    ("dev", &["domain"]),
    ("simulate", &["domain"]),
    ("fault", &[]),
    ("domain", &[]),
    ("fuzz", &["child", "config", "http", "sources", "domain"]),
];
/// Single files that may use more than their module: migrations need no running service, and their errors are shown.
const TABLE_OF_FILES: &[(&str, &[&str])] = &[("cli/db.rs", &["store"]), ("cli/error.rs", &["store"])];

/// Test files that may sleep, each with its reason.
const SLEEPERS: &[(&str, &str)] = &[
    ("it/faults/suffering.rs", "an outage lasts a given time; no test waits by it"),
    ("it/harness/proxy.rs", "a proxy that delays what passes waits a given time; no test waits by it"),
];

const LONGEST_FILE: usize = 400;
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "models", "manager", "misc"];

#[test]
fn modules_use_only_what_the_table_allows() {
    check("src", dependencies);
}

#[test]
fn the_domain_and_the_pool_are_pure() {
    check("src", purity);
}

#[test]
fn actix_stays_where_it_belongs() {
    check("src", actix);
}

#[test]
fn files_are_short_and_named_after_what_they_do() {
    let files = sources("src");
    assert!(files.len() > 10, "the files of src/ are found");
    report(files.iter().flat_map(|(path, text)| size_and_name(path, text)).collect());
}

#[test]
fn nothing_is_silenced_without_a_reason() {
    check("src", silenced);
    check("tests", silenced);
}

#[test]
fn tests_wait_for_conditions_not_for_time() {
    let mut found = BTreeSet::new();
    for (path, text) in sources("tests") {
        found.extend(sleeps(&code_of(&text)).then_some(path));
    }
    for (path, text) in sources("src") {
        found.extend(sleeps(test_part(&code_of(&text))).then_some(path));
    }
    let allowed: BTreeSet<String> = SLEEPERS.iter().map(|(path, _)| (*path).to_owned()).collect();
    report(found.difference(&allowed).map(|path| format!("{path}: sleeps; wait for a condition")).collect());
    report(allowed.difference(&found).map(|path| format!("{path}: sleeps no more, take it off SLEEPERS")).collect());
}

// The checks: a path below the scanned folder and text in, complaints out.

fn dependencies(path: &str, code: &str) -> Vec<String> {
    let module = top(path);
    if module == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = TABLE.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{path}: module `{module}` is not in the table of tests/architecture.rs")];
    };
    let more = TABLE_OF_FILES.iter().filter(|(file, _)| *file == path).flat_map(|(_, modules)| *modules);
    let allowed: BTreeSet<&str> = allowed.iter().chain(more).copied().collect();
    let mut used = segments_after(code, "crate::");
    used.extend(segments_after(code, "automagik_spark::"));
    used.extend(reached_by_super(path, code));
    used.into_iter()
        .filter(|used| used != module && !allowed.contains(used.as_str()))
        .map(|used| format!("{path}: `{module}` may not use `{used}`"))
        .collect()
}

fn purity(path: &str, code: &str) -> Vec<String> {
    let is_pure = (top(path) == "domain" && path != "domain/clock.rs")
        || path == "actors/pool.rs"
        || path.starts_with("actors/pool/");
    if !is_pure {
        return Vec::new();
    }
    let clocks = ["Instant::now", "clock::now", "SystemTime", "Utc::now", "Local::now"];
    let mut found: Vec<String> = clocks.iter().filter(|clock| code.contains(*clock)).map(ToString::to_string).collect();
    found
        .extend(["tokio", "actix", "actix_rt", "actix_web"].iter().filter(|c| names(code, c)).map(ToString::to_string));
    let std = segments_after(code, "std::");
    found.extend(["fs", "net", "process", "env"].iter().filter(|m| std.contains(**m)).map(|m| format!("std::{m}")));
    found.iter().map(|what| format!("{path}: pure code uses {what}")).collect()
}

fn actix(path: &str, code: &str) -> Vec<String> {
    let module = top(path);
    let mut complaints = Vec::new();
    for runtime in ["actix", "actix_rt"] {
        if names(code, runtime) && !["actors", "node"].contains(&module) {
            complaints.push(format!("{path}: only `actors` and `node` use {runtime}"));
        }
    }
    if names(code, "actix_web") && !(["http", "simulate"].contains(&module) || path == "actors/gateway.rs") {
        complaints.push(format!("{path}: only `http`, `simulate` and actors/gateway.rs use actix_web"));
    }
    complaints
}

fn size_and_name(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let lines = text.lines().count();
    if lines > LONGEST_FILE {
        complaints.push(format!("{path}: {lines} lines, more than {LONGEST_FILE}; split it by responsibility"));
    }
    let mut parts = path.trim_end_matches(".rs").split('/');
    if let Some(name) = parts.find(|part| EMPTY_NAMES.contains(part)) {
        complaints.push(format!("{path}: `{name}` says nothing; name the responsibility"));
    }
    complaints
}

fn silenced(path: &str, code: &str) -> Vec<String> {
    let is_silenced = |line: &str| {
        let line: String = line.split_whitespace().collect();
        line.contains("#[allow(")
            || line.contains("#![allow(")
            || (line.contains("cfg_attr(") && line.contains(",allow("))
    };
    let found = code.lines().enumerate().filter(|(_, line)| is_silenced(line));
    found.map(|(n, _)| format!("{path}:{}: use #[expect(lint, reason = ...)]", n + 1)).collect()
}

fn sleeps(code: &str) -> bool {
    ["sleep(", "sleep_until("].iter().any(|call| code.match_indices(call).any(|(at, _)| starts_a_word(code, at)))
}

// Reading Rust, as far as the checks need it.

/// The names that follow a path's beginning: `crate::a::X` and `use crate::{a, b::{c, d}}` name a and b.
fn segments_after(code: &str, root: &str) -> BTreeSet<String> {
    let starts = code.match_indices(root).filter(|(at, _)| starts_a_word(code, *at));
    starts.flat_map(|(at, _)| heads(&code[at + root.len()..])).collect()
}

/// The first name of a path, or of each member of a group.
fn heads(rest: &str) -> Vec<String> {
    let rest = rest.trim_start();
    let Some(group) = rest.strip_prefix('{') else { return Vec::from_iter(word(rest)) };
    let mut found = Vec::new();
    let (mut depth, mut is_member_start) = (0, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => is_member_start = true,
            _ if c.is_whitespace() => {}
            _ if is_member_start => {
                found.extend(word(&group[at..]));
                is_member_start = false;
            }
            _ => {}
        }
    }
    found
}

/// What a chain of `super::` reaches when it climbs to the root of the crate. Test modules are one level deeper.
fn reached_by_super(path: &str, code: &str) -> BTreeSet<String> {
    let level = path.trim_end_matches("/mod.rs").split('/').count();
    let tests = code.len() - test_part(code).len();
    let mut found = BTreeSet::new();
    let mut at = 0;
    while let Some(offset) = code[at..].find("super::") {
        let start = at + offset;
        let rest = code[start..].trim_start_matches("super::");
        at = code.len() - rest.len();
        let climbed = (at - start) / "super::".len();
        let level = if start >= tests { level + 1 } else { level };
        if climbed >= level {
            found.extend(heads(rest));
        }
    }
    found
}

fn names(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| starts_a_word(code, at) && word(&code[at..]).as_deref() == Some(name))
}

fn starts_a_word(code: &str, at: usize) -> bool {
    !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$')
}

fn word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

fn test_part(code: &str) -> &str {
    code.find("#[cfg(test)]\nmod ").map_or("", |at| &code[at..])
}

fn top(path: &str) -> &str {
    path.split('/').next().unwrap_or(path).trim_end_matches(".rs")
}

/// The text without comments, and with empty strings: what is left is code. Lines stay lines.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = length_of_text(rest, code.ends_with(|c: char| c.is_alphanumeric() || c == '_'));
        let (taken, tail) = rest.split_at(skipped.max(c.len_utf8()));
        if skipped == 0 {
            code.push(c);
        } else {
            code.push_str(if taken.starts_with('/') { "" } else { "\"\"" });
            code.extend(taken.matches('\n'));
        }
        rest = tail;
    }
    code
}

/// How long the comment, string or character is that begins here; 0 if none does.
fn length_of_text(rest: &str, is_inside_word: bool) -> usize {
    let until = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return until("*/", 2);
    }
    if !is_inside_word && let Some(raw) = rest.strip_prefix('r').or_else(|| rest.strip_prefix("br")) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let from = rest.len() - raw.len() + hashes + 1;
            return until(&format!("\"{}", "#".repeat(hashes)), from);
        }
    }
    if let Some(string) = rest.strip_prefix('"') {
        return 1 + after_escapes(string, '"');
    }
    // A lifetime has no closing quote two characters on.
    let mut after = rest.chars().skip(1);
    if rest.starts_with('\'') && (after.next() == Some('\\') || after.next() == Some('\'')) {
        return 1 + after_escapes(&rest[1..], '\'');
    }
    0
}

fn after_escapes(text: &str, end: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if c == end => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

fn check(folder: &str, complain: impl Fn(&str, &str) -> Vec<String>) {
    report(sources(folder).iter().flat_map(|(path, text)| complain(path, &code_of(text))).collect());
}

fn report(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Every Rust file below a folder of the package, by its path in there.
fn sources(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Vec::new();
    let mut dirs: Vec<PathBuf> = vec![root.clone()];
    while let Some(dir) = dirs.pop() {
        for path in fs::read_dir(&dir).expect("readable").map(|entry| entry.expect("readable").path()) {
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).expect("below it").to_string_lossy().into_owned();
                files.push((name, fs::read_to_string(&path).expect("UTF-8")));
            }
        }
    }
    files.sort();
    files
}

/// Each check finds what it is there for, and lets the rest pass.
mod each_check {
    use super::*;

    #[test]
    fn follows_every_way_to_name_a_module() {
        for bad in [
            "use crate::store::Task;",
            "use crate::{domain::ids, store::{self, Pool}};",
            "fn f() { let x = crate::store::open(); }",
            "use automagik_spark::store;",
            "use super::super::store::Task;",
        ] {
            assert_eq!(
                dependencies("child/frames.rs", &code_of(bad)),
                ["child/frames.rs: `child` may not use `store`"]
            );
        }
        for good in [
            "use crate::{domain::{ids, store}, sources};",
            "/// [`crate::store::Task`]\nuse super::store;",
            "const TEXT: &str = \"crate::store::x\";",
            "use crate::child::main_loop; use mycrate::store;",
            "#[cfg(test)]\nmod tests { use super::super::store; }",
        ] {
            assert_eq!(dependencies("child/frames.rs", &code_of(good)), [""; 0], "{good}");
        }
        assert_eq!(dependencies("store/mod.rs", "use super::mailbox::x;").len(), 1);
        assert_eq!(dependencies("cli/db.rs", "use crate::store::migrate;"), [""; 0]);
        assert_eq!(dependencies("cli/task.rs", "use crate::store::migrate;").len(), 1);
        assert_eq!(dependencies("extras/mod.rs", "").len(), 1, "a module that the table does not know");
    }

    #[test]
    fn finds_clocks_and_io_in_pure_code() {
        let bad = "use std::{fmt, fs}; use tokio::x; fn f() { clock::now(); Instant::now(); }";
        assert_eq!(purity("domain/task.rs", bad).len(), 4);
        assert_eq!(purity("actors/pool.rs", bad).len(), 4);
        assert_eq!(purity("actors/pool/scale.rs", bad).len(), 4);
        assert_eq!(purity("actors/beat.rs", bad), [""; 0]);
        assert_eq!(purity("domain/clock.rs", bad), [""; 0]);
        assert_eq!(purity("domain/task.rs", &code_of("use std::fmt; struct Tokio; // Instant::now")), [""; 0]);
    }

    #[test]
    fn finds_actix_outside_its_modules() {
        assert_eq!(actix("store/pool.rs", "use actix::Actor;").len(), 1);
        assert_eq!(actix("http/mod.rs", "use actix_web::web; use actix::Addr;").len(), 1);
        assert_eq!(actix("actors/beat.rs", "use actix_web::web;").len(), 1);
        assert_eq!(actix("actors/gateway.rs", "use actix::Actor; use actix_web::web;"), [""; 0]);
        assert_eq!(actix("node.rs", "#[actix::main]"), [""; 0]);
    }

    #[test]
    fn finds_long_files_and_empty_names() {
        assert_eq!(size_and_name("a.rs", &"\n".repeat(401)).len(), 1);
        assert_eq!(size_and_name("a.rs", &"\n".repeat(400)), [""; 0]);
        assert_eq!(size_and_name("http/utils.rs", "").len(), 1);
        assert_eq!(size_and_name("models/task.rs", "").len(), 1);
    }

    #[test]
    fn finds_silenced_lints_and_sleeps() {
        let bad = "#[allow(dead_code)]\n#![allow(x)]\n#[cfg_attr(test, allow(x))]\n#[expect(x, reason = \"y\")]";
        assert_eq!(silenced("a.rs", bad).len(), 3);
        for bad in ["tokio::time::sleep(d).await", "sleep(d)", "time::sleep_until(t)"] {
            assert!(sleeps(bad), "{bad}");
        }
        assert!(!sleeps("fn oversleep(x: u8) {}") && !sleeps(&code_of("// sleep(1)\nlet a = \"sleep(1)\";")));
        assert!(sleeps(test_part("fn f() {}\n#[cfg(test)]\nmod tests { sleep(x) }")));
        assert!(!sleeps(test_part("fn f() { sleep(x) }\n#[cfg(test)]\nmod tests {}")));
    }

    #[test]
    fn reads_code_and_nothing_else() {
        let text = "a /* b */ c // d\n\"e \\\" f\" g r#\"h \" i\"# 'j' '\\'' &'k l br\"m\" for\"n\"";
        assert_eq!(code_of(text), "a  c \n\"\" g \"\" \"\" \"\" &'k l \"\" for\"\"");
        assert_eq!(code_of("\"two\nlines\" x").lines().count(), 2);
    }
}
