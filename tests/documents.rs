//! The pages against the tree: the tests that docs/GUARANTEES.md names are there, and every link within the repository
//! leads to a file and to a heading.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Fewer promises than this mean that the page's tables are not read any more.
const LEAST_NAMES: usize = 100;

#[test]
fn every_test_that_the_guarantees_name_is_there() {
    let page = fs::read_to_string(root().join("docs/GUARANTEES.md")).expect("the page");
    let names = tests_named(&page);
    assert!(names.len() > LEAST_NAMES, "the tables of docs/GUARANTEES.md are read: {}", names.len());
    let code = ["src", "tests"].iter().flat_map(|folder| files(&root().join(folder), "rs")).map(read);
    let there: BTreeSet<String> = code.flat_map(|text| functions(&text)).collect();
    let missing = names.difference(&there);
    report(missing.map(|name| format!("docs/GUARANTEES.md names `{name}`, which is no test")).collect());
}

#[test]
fn every_link_of_a_page_leads_somewhere() {
    let pages = files(&root(), "md");
    assert!(pages.len() > 10, "the pages are found");
    report(pages.iter().flat_map(|page| dead_links(page)).collect());
}

fn dead_links(page: &Path) -> Vec<String> {
    let text = read(page.to_owned());
    let is_dead = |link: &&str| {
        let (path, heading) = link.split_once('#').unwrap_or((link, ""));
        let target = if path.is_empty() { page.to_owned() } else { page.with_file_name(path) };
        let is_page = target.extension().is_some_and(|extension| extension == "md");
        !target.exists() || (is_page && !heading.is_empty() && !anchors(&read(target)).contains(heading))
    };
    let dead = links(&text).into_iter().filter(is_dead);
    dead.map(|link| format!("{}: the link {link} leads nowhere", page.display())).collect()
}

/// What stands in backticks in the columns of tests.
fn tests_named(page: &str) -> BTreeSet<String> {
    let (mut names, mut is_of_tests) = (BTreeSet::new(), false);
    let mut before = "";
    for line in page.lines() {
        let last = line.trim_end().trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        if line.starts_with('|') && !before.starts_with('|') {
            is_of_tests = matches!(last.trim(), "test" | "tests");
        } else if line.starts_with('|') && is_of_tests {
            let quoted = last.split('`').skip(1).step_by(2);
            let is_name = |text: &&str| text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            names.extend(quoted.filter(is_name).map(str::to_owned));
        }
        before = line;
    }
    names
}

/// The names of functions, and of what stands in a macro that makes some.
fn functions(code: &str) -> BTreeSet<String> {
    let is_of_a_name = |c: char| c.is_alphanumeric() || c == '_';
    let named = |line: &str| {
        let line = line.trim_start();
        let function = line.split_once("fn ").and_then(|(_, rest)| rest.split_once('('));
        let name = function.map_or_else(|| line.split_once(": ").map(|(name, _)| name), |(name, _)| Some(name))?;
        name.chars().all(is_of_a_name).then(|| name.to_owned())
    };
    code.lines().filter_map(named).collect()
}

/// The targets of the links within the repository.
fn links(page: &str) -> Vec<&str> {
    let mut is_code = false;
    let prose = page.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    let targets = prose.flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")).collect()
}

/// The names by which the headings of a page are linked to.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |heading: &str| {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
    };
    headings.map(anchor).collect()
}

/// Files with an ending, in a folder and all below it but what is built or hidden.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable").path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|known| known == extension) {
            found.push(path);
        }
    }
    found
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn report(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Each check finds what it is there for, and lets the rest pass.
mod each_check {
    use super::*;

    #[test]
    fn reads_the_columns_of_tests_and_no_other() {
        let page = "| promise | tests |\n| --- | --- |\n| `a_b` | `c_d`, `make x`; `e` |\n\n| tests | code |\n| --- | --- |\n| `f` | `g` |\n";
        assert_eq!(tests_named(page), BTreeSet::from(["c_d".to_owned(), "e".to_owned()]));
        let code = "    async fn a() {\n    b: AfterX,\nfn c(text in \".*\") {\n// d\nlet e = 1;\n\"f: x\"";
        assert_eq!(functions(code), ["a", "b", "c"].map(str::to_owned).into());
    }

    #[test]
    fn finds_links_outside_of_code_and_the_headings_they_mean() {
        let page = "[a](A.md#b-c) [w](https://x.y) and [d](../D.md)\n```sh\n[x](no)\n```\n[e](#e)";
        assert_eq!(links(page), ["A.md#b-c", "../D.md", "#e"]);
        assert_eq!(
            anchors("# When `x` is away, or not\ntext\n## B_c"),
            BTreeSet::from(["b_c".to_owned(), "when-x-is-away-or-not".to_owned()])
        );
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("documents-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("made");
        let page = directory.join("page.md");
        fs::write(&page, "# Here\n[a](#here) [b](page.md#there) [c](gone.md)\n").expect("written");
        assert_eq!(dead_links(&page).len(), 2);
        fs::remove_dir_all(&directory).expect("removed");
    }
}
