//! What was fetched, on disk: a cache in the data directory, which may be thrown away at any time. Each entry is a file named
//! by the hash of its key. The ones that were used longest ago go when there is too much.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use super::error::FetchError;

/// Bytes of all entries together.
const MOST_BYTES: u64 = 512 << 20;

/// Clones share the directory.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
    most_bytes: u64,
}

impl Store {
    /// Does no I/O. The directory is made with the first entry.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self { directory: data_dir.join("fetched"), most_bytes: MOST_BYTES }
    }

    fn path(&self, key: &str) -> PathBuf {
        let digest = Sha256::digest(key.as_bytes());
        let name = digest.iter().fold(String::new(), |name, byte| name + &format!("{byte:02x}"));
        self.directory.join(name)
    }

    /// The entry, if there is one that can be read.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        let path = self.path(key);
        let bytes = fs::read(&path).ok()?;
        // When it was used last decides which one goes; where that cannot be noted, another one may go.
        let _ = File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Some(bytes)
    }

    /// Keeps an entry in place of the former one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&self, key: &str, bytes: &[u8]) -> Result<(), FetchError> {
        let path = self.path(key);
        let failed = |action| {
            let path = self.directory.clone();
            move |cause| FetchError::Storage { action, path, cause }
        };
        fs::create_dir_all(&self.directory).map_err(failed("create the directory"))?;
        self.make_room(bytes.len() as u64);
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
            file.write_all(bytes)?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(failed("write what was fetched to"))
    }

    /// Removes entries until so many more bytes fit.
    fn make_room(&self, bytes: u64) {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().filter_map(Result::ok);
        let mut known: Vec<(SystemTime, u64, PathBuf)> = entries
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        known.sort();
        let mut total: u64 = known.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, size, path) in known {
            if total + bytes <= self.most_bytes {
                break;
            }
            // What cannot be removed keeps its room; the next one goes.
            if fs::remove_file(&path).is_ok() {
                total -= size;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn entries_are_kept_until_there_are_too_many_bytes_of_them() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store { most_bytes: 10, ..Store::new(directory.path()) };
        assert!(store.get("a").is_none());
        store.put("a", b"1234").unwrap();
        store.put("b", b"5678").unwrap();
        assert_eq!(store.get("b").as_deref(), Some(&b"5678"[..]));
        store.put("b", b"90").unwrap();
        assert_eq!(store.get("b").as_deref(), Some(&b"90"[..]));
        // `a` was used last.
        let past = SystemTime::now() - Duration::from_mins(1);
        File::options().append(true).open(store.path("b")).unwrap().set_modified(past).unwrap();
        store.put("c", b"123456").unwrap();
        assert!(store.get("a").is_some() && store.get("b").is_none() && store.get("c").is_some());
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Store::new(file.path()).put("a", b"x").unwrap_err().to_string();
        assert!(error.contains("cannot create the directory") && error.contains("fetched"), "{error}");
    }
}
