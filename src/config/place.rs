//! Where things are that the configuration leaves to Spark: the state directory, the encryption key, the service.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::error::Problem;
use super::load::Loaded;
use super::raw;
use super::read::Reader;
use super::secret_file::{EncryptionKey, canonical_key};

/// Where a service's package keeps its state.
const SYSTEM_STATE: &str = "/var/lib/automagik-spark";
const NAME: &str = "automagik-spark";

pub(super) fn state_dir(reader: &mut Reader, env: &[(String, String)]) -> PathBuf {
    if let Some(path) = reader.unless_auto("state_dir") {
        return path.into();
    }
    let path = choose_state_dir(env, Path::new(SYSTEM_STATE));
    reader.resolve("state_dir", path.display());
    path
}

fn choose_state_dir(env: &[(String, String)], system: &Path) -> PathBuf {
    let given = |name: &str| env.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str());
    // systemd sets it for StateDirectory=; several are separated by colons.
    if let Some(directory) = given("STATE_DIRECTORY").and_then(|list| list.split(':').next()) {
        return directory.into();
    }
    if can_write(system) {
        return system.into();
    }
    // The XDG rules ignore relative paths.
    let xdg = given("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || given("HOME").map(|home| Path::new(home).join(".local/state"));
    xdg.or_else(home).map_or_else(|| PathBuf::from(".spark"), |base| base.join(NAME))
}

/// Whether files can be made in a directory, or the directory itself can be made.
fn can_write(directory: &Path) -> bool {
    let nearest = if directory.exists() { Some(directory) } else { directory.parent() };
    nearest.is_some_and(|path| access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok())
}

pub(super) fn encryption_key(reader: &mut Reader, state_dir: &Path) -> EncryptionKey {
    let file = reader.unless_auto("encryption_key_file").map(PathBuf::from).unwrap_or_else(|| {
        let file = state_dir.join("encryption.key");
        reader.resolve("encryption_key_file", file.display());
        file
    });
    let written = reader.text("encryption_key");
    if written.is_empty() {
        return EncryptionKey::File(file);
    }
    canonical_key(&written).map(EncryptionKey::Given).unwrap_or_else(|| {
        reader.wrong("encryption_key", "a Fernet key: base64 of 32 bytes (44 characters), or 32 characters");
        EncryptionKey::File(file)
    })
}

pub(super) fn remote_url(reader: &mut Reader, port: u16) -> String {
    let Some(text) = reader.unless_auto("remote_url") else {
        let url = format!("http://localhost:{port}");
        reader.resolve("remote_url", &url);
        return url;
    };
    if !url::Url::parse(&text).is_ok_and(|url| ["http", "https"].contains(&url.scheme())) {
        reader.wrong("remote_url", "a url http://host:port or https://...");
    }
    text.trim_end_matches('/').to_owned()
}

/// The same for whoever wants nothing else of the configuration.
pub(super) fn remote_url_alone(loaded: Loaded) -> Result<String, Vec<Problem>> {
    let is_written = loaded.values.get("remote_url").is_some_and(|value| raw::origin(value) != raw::DEFAULT);
    let mut reader = Reader::new(loaded.values, loaded.problems, Vec::new());
    // A file that can't be read may have said it; where something else did, the file is of no interest.
    reader.problems.retain(|problem| problem.is_of_a_whole_file() && !is_written);
    let port = if reader.unless_auto("remote_url").is_some() { 0 } else { known_port(&mut reader) };
    let url = remote_url(&mut reader, port);
    if reader.problems.is_empty() { Ok(url) } else { Err(reader.problems) }
}

fn known_port(reader: &mut Reader) -> u16 {
    let port = reader.whole("api.port", 0..=65535);
    if port == 0 && reader.is_sound(&["api.port"]) {
        reader.problem("api.port", "is 0, so the service takes any free port: write where it is into remote_url");
    }
    port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_stands_where_the_system_keeps_it_or_else_at_home() {
        let env =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
        let choose =
            |pairs: &[(&str, &str)], system: &Path| choose_state_dir(&env(pairs), system).display().to_string();
        let (xdg, home) = (("XDG_STATE_HOME", "/x"), ("HOME", "/h"));
        let nowhere = Path::new("/nonexistent/a/b");
        assert_eq!(choose(&[("STATE_DIRECTORY", "/s:/t"), xdg], nowhere), "/s");
        assert_eq!(choose(&[xdg, home], nowhere), "/x/automagik-spark");
        assert_eq!(choose(&[("XDG_STATE_HOME", "x"), home], nowhere), "/h/.local/state/automagik-spark");
        assert_eq!(choose(&[], nowhere), ".spark");
        let directory = tempfile::tempdir().expect("a temporary directory");
        for system in [directory.path().to_owned(), directory.path().join("new")] {
            assert_eq!(choose(&[xdg, home], &system), system.display().to_string());
        }
    }
}
