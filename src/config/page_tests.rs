//! docs/CONFIGURATION.md against the code: what the page names is there. `tests.rs` has the other direction.

use super::{Config, LoadOptions, env, load};

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

#[test]
fn the_example_layouts_can_be_used_as_they_are() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/layouts");
    let mut seen = Vec::new();
    for file in std::fs::read_dir(directory).expect("shipped").map(|file| file.expect("a file").path()) {
        let config = Config::load(&LoadOptions { file: Some(file), ..Default::default() }).expect("sound");
        assert!(
            config.pools.iter().all(|pool| (pool.workers, pool.threads) != (2, 4)),
            "no number is left to a default"
        );
        seen.extend(config.pools.iter().map(|pool| (pool.queues.to_string(), pool.workers * pool.threads)));
    }
    seen.sort();
    let expected =
        [("celery, low_priority", 4), ("high_priority", 8), ("high_priority:8, celery:4, direct:3, low_priority:1", 8)];
    assert_eq!(seen, expected.map(|(queues, slots)| (queues.to_owned(), slots)));
}

#[test]
fn weights_are_one_for_each_queue() {
    let pool = |rest: &str| format!("[[pools]]\nname = \"a\"\nqueues = [\"x\", \"y\"]\n{rest}");
    let weights = |rest: &str| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("spark.toml");
        std::fs::write(&file, pool(rest)).expect("written");
        let loaded = Config::load(&LoadOptions { file: Some(file), ..Default::default() });
        loaded.map(|config| config.pools[0].queues.weights.clone()).map_err(|errors| errors.0[0].to_string())
    };
    assert_eq!(weights(""), Ok(None));
    assert_eq!(weights("weights = [3, 1]"), Ok(Some(vec![3, 1])));
    for wrong in ["weights = [3]", "weights = [3, 0]", "weights = [3, \"x\"]", "weights = [1, 2, 3]", "weights = 7"] {
        let problem = weights(wrong).expect_err(wrong);
        assert!(problem.contains("pools[0].weights"), "{wrong}: {problem}");
    }
}
