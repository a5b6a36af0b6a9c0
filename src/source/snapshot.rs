//! The files of one commit under a path.
//!
//! What counts: files whose names end in `.yaml`, `.yml` or `.json`. Files and directories whose names
//! start with a dot are skipped (`.git`, `.github`, `.gitlab-ci.yml`), and so is what a `.driftlessignore`
//! file names (gitignore rules, in the directory of the path, above it up to the root, or below it).
//! Symbolic links that stay inside of the path are followed, and the files behind one appear under the
//! link's own name. Everything else that could surprise is left out by name, or refuses the snapshot as a whole: see
//! [`super::Refusal`].

use std::sync::Arc;

use super::refusal::Refusal;

/// One file, read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Path relative to the repository's root, with `/` between its parts.
    pub path: Arc<str>,
    /// Its content, which need not be UTF-8.
    pub bytes: Arc<[u8]>,
}

/// The files under one path of one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// A key: for one path, the same key is the same files. 40 hexadecimal digits: the object id of the
    /// tree under the path, or, where `.driftlessignore` files above the path have a say, a hash over
    /// that id and theirs. Of a directory on disk: `local-` and a hash of the files.
    pub tree: String,
    /// Manifests (`.yaml`, `.yml`, `.json`), in byte order of their paths. Ignored files are not among them.
    pub files: Vec<SourceFile>,
    /// What should be among the files and is not taken, in byte order of the paths. Any means that
    /// `files` may lack something that git declares, so nothing may be pruned by them.
    pub refused: Vec<Refused>,
}

/// A file, link or directory that is left out, and why. The others are taken all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Path relative to the repository's root; its beginning where it is too long.
    pub path: Arc<str>,
    /// Why it is left out.
    pub refusal: Refusal,
}

/// What a snapshot may hold, so that no repository can exhaust the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file.
    pub file_bytes: usize,
    /// Number of manifest files.
    pub files: usize,
    /// Bytes of all files together.
    pub total_bytes: usize,
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

impl Default for Limits {
    /// 32 MiB a file (an object in etcd is at most 1.5 MiB, but a file may hold many), 20,000 files, and
    /// 128 MiB in all, which are in memory twice while they are rendered: as files and as manifests.
    fn default() -> Self {
        Self { file_bytes: 32 << 20, files: 20_000, total_bytes: 128 << 20 }
    }
}
