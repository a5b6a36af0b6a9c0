//! What was fetched, on disk: a cache in the data directory, which may be deleted at any time. Each entry is a file named
//! by the hash of its key. The ones that were used longest ago go when there is too much.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use super::error::FetchError;

/// Bytes of all entries together.
const MOST_BYTES: u64 = 512 << 20;

/// Bytes of the SHA-256 at the beginning of an entry, over what follows: a disk that was full, or a machine that went down,
/// leaves halves.
const DIGEST: usize = 32;

/// What was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedFile {
    /// The content, as it was fetched or packed.
    pub bytes: Vec<u8>,
    /// What its source calls this content: an `ETag`, or a commit.
    pub validator: Option<String>,
}

/// Clones share the directory.
#[derive(Clone, Debug)]
pub struct FetchCache {
    directory: PathBuf,
    most_bytes: u64,
}

impl FetchCache {
    /// Does no I/O. The directory is made with the first entry.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self { directory: data_dir.join("fetched"), most_bytes: MOST_BYTES }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.directory.join(super::sha256(key.as_bytes()))
    }

    /// The entry, if there is one and it is as it was written.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<CachedFile> {
        let path = self.path(key);
        let stored = fs::read(&path).ok()?;
        let (digest, rest) = stored.split_at_checked(DIGEST)?;
        if *Sha256::digest(rest) != *digest {
            return None;
        }
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (validator, bytes) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let validator = std::str::from_utf8(validator).ok().filter(|validator| !validator.is_empty());
        // When it was used last decides which one goes; where that cannot be noted, another one may go.
        let _ = File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Some(CachedFile { bytes: bytes.to_vec(), validator: validator.map(str::to_owned) })
    }

    /// Keeps an entry in place of the former one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&self, key: &str, entry: &CachedFile) -> Result<(), FetchError> {
        let path = self.path(key);
        let failed = |action| {
            let path = self.directory.clone();
            move |cause| FetchError::Storage { action, path, cause }
        };
        let validator = entry.validator.as_deref().unwrap_or_default().as_bytes();
        let length = u16::try_from(validator.len()).ok();
        let (length, validator) = length.map_or((0, &[][..]), |length| (length, validator));
        let body = [&length.to_be_bytes()[..], validator, &entry.bytes].concat();
        fs::create_dir_all(&self.directory).map_err(failed("create the directory"))?;
        self.make_room((DIGEST + body.len()) as u64, &path);
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
            file.write_all(&Sha256::digest(&body))?;
            file.write_all(&body)?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(failed("write what was fetched to"))
    }

    /// Removes entries until so many more bytes fit in place of what is at the path.
    fn make_room(&self, bytes: u64, replaced: &Path) {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().filter_map(Result::ok);
        let mut known: Vec<(SystemTime, u64, PathBuf)> = entries
            .filter_map(|entry| {
                let metadata = entry.metadata().ok().filter(|_| entry.path() != replaced)?;
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

    fn entry(text: &str, validator: Option<&str>) -> CachedFile {
        CachedFile { bytes: text.as_bytes().to_vec(), validator: validator.map(str::to_owned) }
    }

    #[test]
    fn entries_are_kept_until_there_are_too_many_bytes_of_them() {
        let directory = tempfile::tempdir().unwrap();
        let store = FetchCache { most_bytes: 90, ..FetchCache::new(directory.path()) };
        let put = |key: &str, text: &str| store.put(key, &entry(text, None)).unwrap();
        assert!(store.get("a").is_none());
        put("a", "1234");
        put("b", "5678");
        assert_eq!(store.get("b"), Some(entry("5678", None)));
        put("b", "90");
        assert_eq!(store.get("b"), Some(entry("90", None)));
        // `a` was used last.
        let past = SystemTime::now() - Duration::from_mins(1);
        File::options().append(true).open(store.path("b")).unwrap().set_modified(past).unwrap();
        put("c", "123456");
        assert!(store.get("a").is_some() && store.get("b").is_none() && store.get("c").is_some());
    }

    #[test]
    fn an_entry_that_was_cut_off_or_changed_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let store = FetchCache::new(directory.path());
        let kept = entry("what was fetched", Some("\"etag\""));
        store.put("a", &kept).unwrap();
        assert_eq!(store.get("a"), Some(kept));
        let whole = fs::read(store.path("a")).unwrap();
        for damaged in [&whole[..whole.len() - 1], &whole[..20], &[], &[&whole[..], b"x"].concat()] {
            fs::write(store.path("a"), damaged).unwrap();
            assert_eq!(store.get("a"), None);
        }
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = FetchCache::new(file.path()).put("a", &entry("x", None)).unwrap_err().to_string();
        assert!(error.contains("cannot create the directory") && error.contains("fetched"), "{error}");
    }
}
