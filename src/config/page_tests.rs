//! docs/CONFIGURATION.md against the code: what the page names is there. `tests.rs` has the other direction.

use super::{env, load};

#[test]
fn what_the_page_names_is_there() {
    let page = include_str!("../../docs/CONFIGURATION.md");
    let keys: Vec<String> = load::defaults().into_keys().collect();
    let (mut keys_seen, mut variables_seen) = (0, 0);
    // Tables of keys and of variables only; a pool's keys are not in default.toml one by one.
    let (mut head, mut before) = ("", "");
    for line in page.lines() {
        let begins = !before.starts_with('|');
        before = line;
        let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let Some(first) = cells.get(1).filter(|_| line.starts_with('|')) else { continue };
        match (*first, head) {
            (name, _) if begins => head = name,
            (key, "key") if key.contains(|c: char| c.is_ascii_lowercase()) && !key.starts_with("pools.") => {
                assert!(keys.iter().any(|known| known == key), "the page has a row for {key}, which is no key");
                keys_seen += 1;
            }
            (name, "variable") if name.contains(|c: char| c.is_ascii_uppercase()) => {
                let known = env::ALIASES.iter().any(|(alias, key)| (*alias, *key) == (name, cells[2]));
                assert!(known, "the page has a row for {name}, which is no name of {}", cells[2]);
                variables_seen += 1;
            }
            _ => {}
        }
    }
    assert_eq!((keys_seen, variables_seen), (keys.len() - 1, env::ALIASES.len()), "pools stand apart");
}
