//! Section `[sources]`: the operator's adapter files, read when the configuration is, so that `config check` checks
//! them too and a service that starts has no doubtful one.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::error::Problem;
use super::load::whole_file;
use super::read::Reader;
use crate::domain::adapter::{Adapter, Adapters};

const DIRECTORY: &str = "sources.adapters_dir";
/// Largest file that is read: a hundred times what an adapter needs.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// The adapters that are built in, and over them those of the directory. `home` is where the operator's file stands.
pub(super) fn read(reader: &mut Reader, home: Option<&Path>) -> Adapters {
    let mut adapters = Adapters::shipped();
    for path in files(reader, home) {
        match read_file(&path) {
            Ok(adapter) => adapters.insert(adapter),
            Err(problems) => reader.problems.extend(problems),
        }
    }
    let is_small = serde_json::to_vec(&adapters).is_ok_and(|json| json.len() <= Adapters::MAX_BYTES);
    if !is_small {
        reader.problem(DIRECTORY, format!("all adapters together are larger than {} bytes", Adapters::MAX_BYTES));
    }
    adapters
}

/// The files of the directory; one that nobody named need not exist.
fn files(reader: &mut Reader, home: Option<&Path>) -> Vec<PathBuf> {
    let named = reader.unless_auto(DIRECTORY).map(PathBuf::from);
    let is_named = named.is_some();
    let Some(directory) = named.or_else(|| Some(home?.join("adapters"))) else { return Vec::new() };
    if !is_named {
        reader.resolve(DIRECTORY, directory.display());
        if !directory.exists() {
            return Vec::new();
        }
    }
    match list(&directory) {
        Ok(files) => files,
        Err(error) => {
            reader.problem(DIRECTORY, format!("{} can't be read: {error}", directory.display()));
            Vec::new()
        }
    }
}

fn list(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    let is_adapter = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "toml");
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(is_adapter).collect();
    files.sort();
    Ok(files)
}

fn read_file(path: &Path) -> Result<Adapter, Vec<Problem>> {
    let whole = |message: String| vec![whole_file(path, message)];
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| whole(format!("can't be read: {error}")))?;
    file.take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| whole(format!("can't be read: {error}")))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(whole(format!("is larger than {MAX_FILE_BYTES} bytes: is it an adapter?")));
    }
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let file = path.display().to_string();
    Adapter::read(&name, &file, &text).map_err(|problems| {
        let placed = |problem: crate::domain::adapter::Problem| match problem.key.as_str() {
            "" => whole_file(path, problem.message),
            _ => Problem { key: problem.key, origin: file.clone(), message: problem.message },
        };
        problems.into_iter().map(placed).collect()
    })
}
