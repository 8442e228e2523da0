//! Reads a log's file, to its end and beyond: also when it is rotated, by renaming it or by cutting it off.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

const CHUNK: usize = 64 * 1024;

/// A log that is read line by line.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    /// What was read of a line that has not ended yet.
    begun: Vec<u8>,
}

impl LogFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: File::open(path)?, begun: Vec::new() })
    }

    /// Goes to where the last so many lines begin.
    pub(super) fn skip_to_last(&mut self, lines: usize) -> io::Result<()> {
        let mut end = self.file.metadata()?.len();
        // The line end of the last line ends it; each one before begins a line.
        let mut wanted = lines.saturating_add(1);
        let mut chunk = vec![0; CHUNK];
        let mut is_last_byte = true;
        while end > 0 {
            let length = usize::try_from(end).unwrap_or(usize::MAX).min(CHUNK);
            end -= length as u64;
            self.file.read_exact_at(&mut chunk[..length], end)?;
            for at in (0..length).rev() {
                // A line that is still being written counts, too.
                let ends_line = chunk[at] == b'\n' || is_last_byte;
                is_last_byte = false;
                if ends_line {
                    wanted -= 1;
                }
                if wanted == 0 {
                    return self.file.seek(SeekFrom::Start(end + at as u64 + 1)).map(|_| ());
                }
            }
        }
        self.file.seek(SeekFrom::Start(0)).map(|_| ())
    }

    /// Every whole line that has come. At a file's end there is no more for now.
    pub(super) fn lines<E: From<io::Error>>(&mut self, mut each: impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = self.file.read(&mut chunk)?;
            if length == 0 {
                return Ok(());
            }
            let mut rest = &chunk[..length];
            while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
                self.begun.extend_from_slice(&rest[..at]);
                each(&String::from_utf8_lossy(&self.begun))?;
                self.begun.clear();
                rest = &rest[at + 1..];
            }
            self.begun.extend_from_slice(rest);
        }
    }

    /// The line that has not ended, for whoever does not wait for its end.
    pub(super) fn begun_line(&mut self) -> Option<String> {
        let begun = std::mem::take(&mut self.begun);
        (!begun.is_empty()).then(|| String::from_utf8_lossy(&begun).into_owned())
    }

    /// Goes on with the file that is there now, if it is another one or was cut off. Says whether it did; what the old
    /// one got in its last moment must have been read by then.
    pub(super) fn follow_rotation(&mut self) -> io::Result<bool> {
        let now = match std::fs::metadata(&self.path) {
            Ok(now) => now,
            // Between the renaming of the old file and the making of the new one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let ours = self.file.metadata()?;
        if (now.dev(), now.ino()) != (ours.dev(), ours.ino()) {
            self.file = File::open(&self.path)?;
        } else if now.len() < self.file.stream_position()? {
            self.file.seek(SeekFrom::Start(0))?;
        } else {
            return Ok(false);
        }
        self.begun.clear();
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    fn read(log: &mut LogFile) -> Vec<String> {
        let mut lines = Vec::new();
        let each = |line: &str| {
            lines.push(line.to_owned());
            Ok::<(), io::Error>(())
        };
        log.lines(each).expect("readable");
        lines
    }

    fn append(path: &Path, text: &str) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).expect("writable");
        file.write_all(text.as_bytes()).expect("written");
    }

    #[test]
    fn the_last_lines_are_found_from_the_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let long = "x".repeat(CHUNK + 7);
        for (text, lines, expected) in [
            ("", 3, vec![]),
            ("a\nb\nc\n", 0, vec![]),
            ("a\nb\nc\n", 1, vec!["c"]),
            ("a\nb\nc\n", 2, vec!["b", "c"]),
            ("a\nb\nc\n", 3, vec!["a", "b", "c"]),
            ("a\nb\nc\n", 9, vec!["a", "b", "c"]),
            ("a\n\n\n", 2, vec!["", ""]),
            (format!("a\n{long}\nb\n").as_str(), 2, vec![long.as_str(), "b"]),
        ] {
            fs::write(&path, text).expect("written");
            let mut log = LogFile::open(&path).expect("there");
            log.skip_to_last(lines).expect("readable");
            assert_eq!(read(&mut log), expected, "{lines} of {} bytes", text.len());
        }
    }

    #[test]
    fn a_line_is_whole_or_waits() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        append(&path, "a\nb");
        let mut log = LogFile::open(&path).expect("there");
        log.skip_to_last(1).expect("readable");
        assert!(read(&mut log).is_empty());
        append(&path, "c\nd");
        assert_eq!(read(&mut log), ["bc"]);
        assert_eq!(log.begun_line().as_deref(), Some("d"));
        assert_eq!(log.begun_line(), None);
    }

    #[test]
    fn both_ways_of_rotation_are_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        append(&path, "a\nb\n");
        let mut log = LogFile::open(&path).expect("there");
        assert_eq!(read(&mut log), ["a", "b"]);
        assert!(!log.follow_rotation().expect("readable"));

        fs::rename(&path, directory.path().join("log.1")).expect("renamed");
        assert!(!log.follow_rotation().expect("no file yet"));
        append(&directory.path().join("log.1"), "last\n");
        assert_eq!(read(&mut log), ["last"]);
        append(&path, "new\n");
        assert!(log.follow_rotation().expect("readable"));
        assert_eq!(read(&mut log), ["new"]);

        fs::write(&path, "c\n").expect("cut off");
        assert!(log.follow_rotation().expect("readable"));
        assert_eq!(read(&mut log), ["c"]);
    }
}
