//! Directories with a file for each key, as a mounted Secret is one.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Bytes of one file: what is longer is no key, no certificates and no known hosts.
const MOST_FILE_BYTES: u64 = 1 << 20;

/// The directory, or a file in it, cannot be read.
#[derive(Debug, Error)]
#[error("cannot read {}: {cause}", path.display())]
pub(super) struct KeyFilesError {
    pub path: PathBuf,
    #[source]
    pub cause: io::Error,
}

/// The files of a directory that have the name of a key. Those of a mounted Secret are links, which are followed.
pub(super) fn read_key_files<'a>(
    directory: &Path,
    keys: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeMap<String, Vec<u8>>, KeyFilesError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| KeyFilesError { path, cause }
    };
    // Else a wrong path would be an empty Secret.
    std::fs::read_dir(directory).map_err(failed(directory))?;
    let mut data = BTreeMap::new();
    for key in keys {
        let path = directory.join(key);
        let size = match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            Ok(_) => return Err(failed(&path)(io::Error::other("it is no file"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(&path)(error)),
        };
        if size > MOST_FILE_BYTES {
            let cause = io::Error::other(format!("it has {size} bytes, and {MOST_FILE_BYTES} at most are read"));
            return Err(failed(&path)(cause));
        }
        data.insert(key.to_owned(), std::fs::read(&path).map_err(failed(&path))?);
    }
    Ok(data)
}
