//! The files of one commit under a path.

use std::sync::Arc;

/// One file, read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Path relative to the repository's root, with `/` between its parts.
    pub path: Arc<str>,
    pub bytes: Arc<[u8]>,
}

/// The files under one path of one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Object id of the tree under the path: 40 hexadecimal digits. The same id is the same content.
    pub tree: String,
    /// Manifests (`.yaml`, `.yml`, `.json`) and `.driftlessignore` files, in byte order of their paths.
    pub files: Vec<SourceFile>,
}

/// What a snapshot may hold, so that no repository can exhaust the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file.
    pub file_bytes: usize,
    pub files: usize,
    /// Bytes of all files together.
    pub total_bytes: usize,
}

impl Default for Limits {
    /// 4 MiB a file (an object in etcd is at most 1.5 MiB), 20,000 files, 256 MiB in all.
    fn default() -> Self {
        Self { file_bytes: 4 << 20, files: 20_000, total_bytes: 256 << 20 }
    }
}
