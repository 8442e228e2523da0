//! What the fuzz targets in `fuzz/` call: whatever bytes come, a reader must neither panic nor break what it promises. This
//! is compiled for them, and for the test that gives every target what is saved in `fuzz/corpus/`.

mod schedule;

use bytes::BytesMut;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::codec::Decoder;

use crate::child::frames::{FromChild, ToChild, codec, decode, encode};
use crate::config::dotenv;
use crate::domain::adapter::{Adapter, Flows, Values};

pub use crate::http::fuzz::bodies;
pub use crate::sources::fuzz::answers;
pub use schedule::schedules;

/// A target: it takes any bytes.
pub type Target = fn(&[u8]);

/// Every target, by its name in `fuzz/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("adapter_files", adapter_files),
    ("answers", answers),
    ("bodies", bodies),
    ("dotenv", dotenv),
    ("frames", frames),
    ("schedules", schedules),
];

/// Frames between an executor and its child: what can be read is written and read again as the same.
pub fn frames(data: &[u8]) {
    let mut codec = codec(1024);
    let mut bytes = BytesMut::from(data);
    while let Ok(Some(frame)) = codec.decode(&mut bytes) {
        reads(&frame);
    }
    reads(data);
}

fn reads(frame: &[u8]) {
    is_kept::<ToChild>(frame);
    is_kept::<FromChild>(frame);
}

fn is_kept<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let Ok(frame) = decode::<T>(bytes) else { return };
    let written = encode(&frame).expect("what was read can be written");
    let again: T = decode(&written).expect("what was written can be read");
    assert_eq!(encode(&again).expect("and written again"), written, "a frame is another after a journey");
}

/// Adapter files: one that is taken reaches a child as it is, and no value of a task leads to another path.
pub fn adapter_files(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let adapter = match Adapter::read("mine", "mine.toml", text) {
        Ok(adapter) => adapter,
        Err(problems) => {
            assert!(!problems.is_empty(), "a file is refused for nothing");
            return;
        }
    };
    let json = serde_json::to_vec(&adapter).expect("an adapter can be written");
    assert_eq!(serde_json::from_slice::<Adapter>(&json).expect("and read"), adapter);
    for value in ["id", "../../admin", "a/b", "..", "?x=1#y", "\u{0}\r\n", "%2e%2e", "\\"] {
        let values = Values { flow_id: Some(value), input: Some(value), ..Values::default() };
        if let Ok(path) = adapter.run.call.path.fill(&values) {
            let dots = |segment: &str| matches!(segment.replace("%2E", ".").replace("%2e", ".").as_str(), "." | "..");
            assert!(!path.split('/').any(dots), "{path} leads elsewhere");
            assert!(path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\".contains(&byte)), "{path:?}");
        }
        if let Some(body) = &adapter.run.call.body {
            let _ = body.fill(&values).map(|body| serde_json::to_vec(&body).expect("JSON"));
        }
    }
    assert!(!matches!(&adapter.flows, Flows::Fixed(flows) if flows.is_empty()), "an adapter without a flow");
}

/// `.env` files: every variable has a name, and a mistake is in one of the lines.
pub fn dotenv(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match dotenv::parse(text, |name| (name == "HOME").then(|| "/root".to_owned())) {
        Ok(variables) => assert!(variables.iter().all(|(name, _)| !name.is_empty())),
        Err(dotenv::Unread(line)) => assert!((1..=text.matches('\n').count() + 1).contains(&line), "line {line}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn names(directory: &Path) -> BTreeSet<String> {
        let entries = std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        let stem = |entry: std::fs::DirEntry| entry.path().file_stem().map(|stem| stem.to_string_lossy().into_owned());
        entries.filter_map(|entry| stem(entry.expect("an entry"))).collect()
    }

    #[test]
    fn what_fuzzing_found_and_began_with_is_read_without_a_panic() {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        let named: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names(&home.join("fuzz_targets")), named, "the targets of fuzz/ are those of TARGETS");
        for (name, target) in TARGETS {
            let files = std::fs::read_dir(home.join("corpus").join(name)).expect("a target has a corpus");
            let paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
            assert!(paths.len() > 1, "{name} has a corpus");
            for path in paths {
                target(&std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
            }
            // And what no corpus has to say.
            target(b"");
            target(&[0xff; 64]);
        }
    }
}
