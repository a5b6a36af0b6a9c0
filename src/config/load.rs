//! Reading the file: its bytes, their hash, and what they mean.

use std::path::Path;

use crate::object::Digest;

use super::error::{ConfigError, ConfigProblem};
use super::parse::parse;
use super::types::Config;

/// A configuration and the hash of the bytes it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// What the file says, validated.
    pub config: Config,
    /// The first 12 hexadecimal digits of the file's SHA-256: enough to distinguish two versions.
    pub hash: String,
}

/// Reads and parses the file. Blocks for as long as the file system does.
///
/// # Errors
/// [`ConfigError::Read`] when the file cannot be read, [`ConfigError::Invalid`] when it is wrong.
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    FileContent::read(path)?.parse(path)
}

/// A file that was read and not yet understood.
pub(super) struct FileContent {
    bytes: Vec<u8>,
    pub digest: Digest,
}

impl FileContent {
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let bytes =
            std::fs::read(path).map_err(|source| ConfigError::Read { file: path.display().to_string(), source })?;
        Ok(Self { digest: Digest::of(&bytes), bytes })
    }

    pub fn parse(&self, path: &Path) -> Result<Loaded, ConfigError> {
        let file = path.display().to_string();
        match std::str::from_utf8(&self.bytes) {
            Ok(text) => Ok(Loaded { config: parse(text, &file)?, hash: self.hash() }),
            Err(error) => {
                let problems = vec![not_utf8(self.bytes.get(..error.valid_up_to()).unwrap_or_default())];
                Err(ConfigError::Invalid { file, problems })
            }
        }
    }

    fn hash(&self) -> String {
        let digest = self.digest.to_string();
        digest.trim_start_matches("sha256:").chars().take(12).collect()
    }
}

/// The place is right after what could be read.
fn not_utf8(valid: &[u8]) -> ConfigProblem {
    let text = String::from_utf8_lossy(valid);
    let last = text.rsplit('\n').next().unwrap_or_default();
    let count = |number: usize| u32::try_from(number + 1).unwrap_or(u32::MAX);
    ConfigProblem {
        line: count(text.matches('\n').count()),
        column: count(last.chars().count()),
        message: "this is no UTF-8 text; save the file as UTF-8".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn the_same_bytes_have_the_same_hash() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.yaml");
        std::fs::write(&path, "syncs: []\n").unwrap();
        let first = load(&path).unwrap();
        assert_eq!(first.hash.len(), 12);
        assert_eq!(load(&path).unwrap(), first);
        std::fs::write(&path, "syncs: []\n\n").unwrap();
        assert_ne!(load(&path).unwrap().hash, first.hash);
    }

    #[test]
    fn a_missing_file_is_named_with_its_cause() {
        let error = load(Path::new("/nowhere/config.yaml")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the configuration file /nowhere/config.yaml");
        assert!(error.source().unwrap().to_string().contains("No such file"));
    }

    #[test]
    fn bytes_that_are_no_text_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.yaml");
        std::fs::write(&path, b"syncs: []\n# caf\xe9\n").unwrap();
        let error = load(&path).unwrap_err();
        assert_eq!((error.problems()[0].line, error.problems()[0].column), (2, 6));
    }
}
