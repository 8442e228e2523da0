//! The encryption key: what forms it is written in, and the file that keeps one nobody has set.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE};

use super::error::Error;
use crate::domain::source::Secret;

/// Where the encryption key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncryptionKey {
    /// It was configured; canonical.
    Given(Secret),
    /// It is in this file, or will be.
    File(PathBuf),
}

const KEY_BYTES: usize = 32;

/// The canonical form of a Fernet key (padded url-safe base64). Accepts both alphabets of base64, with and without
/// padding, and a key of 32 raw characters as the Python service does. Quotes around it are stripped.
pub fn canonical_key(text: &str) -> Option<Secret> {
    let text = text.trim().trim_matches(['"', '\'']).trim();
    if text.len() == KEY_BYTES {
        return Some(Secret::new(URL_SAFE.encode(text)));
    }
    // Python's decoder ignores bits beyond the last byte too.
    let lenient = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let bytes =
        GeneralPurpose::new(&base64::alphabet::URL_SAFE, lenient).decode(text.replace('+', "-").replace('/', "_"));
    bytes.ok().filter(|bytes| bytes.len() == KEY_BYTES).map(|bytes| Secret::new(URL_SAFE.encode(bytes)))
}

impl EncryptionKey {
    /// The key as padded url-safe base64; reads its file, or makes one at the first start.
    ///
    /// # Errors
    /// The file can't be read or made, or holds something else.
    pub fn obtain(&self) -> Result<Secret, Error> {
        match self {
            Self::Given(key) => Ok(key.clone()),
            Self::File(path) => read_or_make(path)
                .map_err(|cause| Error::KeyFile { path: path.clone(), cause })?
                .ok_or_else(|| Error::KeyFileContent { path: path.clone() }),
        }
    }
}

/// None: the file holds no key.
fn read_or_make(path: &Path) -> io::Result<Option<Secret>> {
    match read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => make(path).and_then(|()| read(path)),
        found => found,
    }
}

fn read(path: &Path) -> io::Result<Option<Secret>> {
    let mut file = File::open(path)?;
    // Told and not refused: orchestrators mount secrets for a group, or for everybody in the container.
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        log::warn!("the encryption key's file {} can be read by others: run chmod 600 on it", path.display());
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(std::str::from_utf8(&text).ok().and_then(canonical_key))
}

/// Makes the file whole or not at all. Of several processes that do so at once, one wins and the others use its key:
/// a link, unlike a rename, never replaces a file.
fn make(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let draft = directory.join(format!(".encryption-key-{}", uuid::Uuid::new_v4()));
    let made = write_draft(&draft).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let removed = fs::remove_file(&draft);
    made?;
    removed?;
    File::open(directory)?.sync_all()
}

fn write_draft(draft: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    writeln!(file, "{}", fernet::Fernet::generate_key())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn all_forms_of_a_key_come_to_one() {
        let bytes: Vec<u8> = (0..32u8).map(|n| n * 8 + 7).collect();
        let url_safe = URL_SAFE.encode(&bytes);
        let standard = base64::engine::general_purpose::STANDARD.encode(&bytes);
        assert_ne!(url_safe, standard);
        let forms =
            [url_safe.clone(), standard.clone(), standard.trim_end_matches('=').to_owned(), format!("\"{url_safe}\" ")];
        for form in forms {
            let key = canonical_key(&form).expect("a key");
            assert_eq!(key.expose(), url_safe, "{form}");
            assert!(fernet::Fernet::new(key.expose()).is_some());
        }
        let raw = canonical_key("'0123456789abcdef0123456789abcdef'").expect("32 characters");
        assert_eq!(URL_SAFE.decode(raw.expose()).expect("base64"), b"0123456789abcdef0123456789abcdef");
        for bad in [
            "",
            "short",
            &url_safe[..40],
            &format!("{url_safe}{url_safe}"),
            "!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!=",
        ] {
            assert_eq!(canonical_key(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_key_is_made_once_and_for_its_owner_only() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("state/encryption.key");
        let key = EncryptionKey::File(path.clone());
        let first = key.obtain().expect("made");
        assert_eq!(key.obtain().expect("read"), first);
        assert!(fernet::Fernet::new(first.expose()).is_some());
        assert_eq!((mode(&path), mode(&directory.path().join("state"))), (0o600, 0o700));
        let names: Vec<_> = fs::read_dir(directory.path().join("state")).expect("listed").collect();
        assert_eq!(names.len(), 1, "no draft is left: {names:?}");
    }

    #[test]
    fn processes_that_start_together_agree_on_one_key() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let key = EncryptionKey::File(directory.path().join("encryption.key"));
        let start = std::sync::Barrier::new(8);
        let keys: Vec<Secret> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        key.obtain().expect("a key")
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(keys.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn a_file_with_something_else_is_kept_and_reported() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("encryption.key");
        for content in [b"".as_slice(), b"hunter2", &[0xff; 32]] {
            fs::write(&path, content).expect("written");
            let error = EncryptionKey::File(path.clone()).obtain().expect_err("no key");
            assert!(matches!(error, Error::KeyFileContent { .. }) && !error.to_string().contains("hunter2"));
            assert_eq!(fs::read(&path).expect("still there"), content);
        }
        let inside_a_file = EncryptionKey::File(path.join("encryption.key"));
        assert!(matches!(inside_a_file.obtain(), Err(Error::KeyFile { .. })));
    }
}
