//! Opens the files of a daemon, whose directory somebody else may be able to write to: a file there counts only if it is
//! what this program would have made.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::process::geteuid;

/// Opens, or makes, a file of this user's to write to. Never through a link, and nothing but a plain file with one name:
/// else whoever may write to the directory would choose what is written to.
pub(super) fn open_to_write(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = plain(options, path)?;
    let metadata = file.metadata()?;
    if metadata.uid() != geteuid().as_raw() {
        return Err(io::Error::other("it belongs to another user; remove it, or run this as that user"));
    }
    if metadata.nlink() != 1 {
        return Err(io::Error::other("it has more than one name (a hard link); remove it"));
    }
    Ok(file)
}

/// Opens a file to read, with the user who wrote it. Not through a link either.
pub(super) fn open_to_read(path: &Path) -> io::Result<(File, u32)> {
    let file = plain(OpenOptions::new().read(true), path)?;
    let owner = file.metadata()?.uid();
    Ok((file, owner))
}

fn plain(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    // Nor is a pipe waited for that nobody reads.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = options.custom_flags(flags).open(path).map_err(|error| match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => {
            io::Error::other("it is a symbolic link, which is not followed here; remove it")
        }
        _ => error,
    })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no plain file; remove it")) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn neither_a_link_nor_a_pipe_nor_a_second_name_is_written_to() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let append = |path: &Path| open_to_write(OpenOptions::new().create(true).append(true), path);
        fs::write(at("victim"), "kept").expect("written");
        symlink(at("victim"), at("link")).expect("made");
        symlink(at("new"), at("dangling")).expect("made");
        fs::hard_link(at("victim"), at("second")).expect("made");
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), 0o600.into()).expect("made");
        for (name, why) in
            [("link", "symbolic link"), ("dangling", "symbolic link"), ("second", "hard link"), ("pipe", ""), (".", "")]
        {
            let error = append(&at(name)).expect_err(name).to_string();
            assert!(error.contains(why), "{name}: {error}");
        }
        assert!(open_to_read(&at("link")).is_err() && open_to_read(&at("pipe")).is_err());
        assert!(!at("new").exists() && fs::read(at("victim")).expect("there") == b"kept");
        append(&at("own")).expect("made");
        append(&at("own")).expect("there already");
        assert_eq!(open_to_read(&at("own")).expect("there").1, geteuid().as_raw());
    }
}
