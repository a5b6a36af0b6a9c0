//! A checkout on disk, read by the same rules as a commit.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::bundle::{self, Bundle, Layout};
use super::error::SourceError;
use super::files::{DirectoryEntry, EntryKind, FileTree, TreeError, locate};
use super::snapshot::{Limits, Refused, Snapshot, SourceFile, hex};
use super::walk::collect;
use crate::config::RepoPath;

/// Reads the manifest files under `path` of the directory `root`, as [`super::Remote::snapshot`]
/// would if everything in it were committed: untracked files count, and what `.gitignore` names counts too.
/// A nested repository counts as a submodule. `tree` is `local-` and 40 hexadecimal digits over names and content.
///
/// # Errors
/// [`SourceError::Refused`] by the rules, [`SourceError::Storage`] when a file cannot be read.
pub fn read_directory(root: &Path, path: &RepoPath, limits: &Limits) -> Result<Snapshot, SourceError> {
    let failed = |error| failed(root, error);
    let disk = Disk { root };
    let located = locate(&disk, path).map_err(failed)?;
    let (files, refused) = collect(&disk, &located, path, limits).map_err(failed)?;
    Ok(Snapshot { tree: content_id(&files, &refused), files, refused })
}

/// Everything below `below` in the directory `root`, up to so many bytes of files.
///
/// # Errors
/// As [`read_directory`].
pub fn bundle_directory(root: &Path, below: &RepoPath, bytes: usize) -> Result<Bundle, SourceError> {
    bundle::read(&Disk { root }, below, bytes).map_err(|error| failed(root, error))
}

/// What `path` in the directory `root` holds for renderers.
///
/// # Errors
/// As [`read_directory`].
pub fn directory_layout(root: &Path, path: &RepoPath) -> Result<Layout, SourceError> {
    bundle::layout(&Disk { root }, path).map_err(|error| failed(root, error))
}

fn failed(root: &Path, error: TreeError) -> SourceError {
    match error {
        TreeError::Refused(refusal) => SourceError::Refused { place: format!("directory {}", root.display()), refusal },
        TreeError::Damaged(detail) => SourceError::Storage {
            action: "read the directory",
            path: root.to_owned(),
            cause: io::Error::other(detail),
        },
    }
}

/// Lengths are hashed too, so that no two lists of files are hashed alike.
fn content_id(files: &[SourceFile], refused: &[Refused]) -> String {
    let mut hash = Sha256::new();
    for file in files {
        hash.update((file.path.len() as u64).to_be_bytes());
        hash.update(file.path.as_bytes());
        hash.update((file.bytes.len() as u64).to_be_bytes());
        hash.update(&file.bytes);
    }
    for Refused { path, refusal } in refused {
        hash.update(format!("{path}\0{refusal}\0"));
    }
    format!("local-{}", hex(&hash.finalize()[..20]))
}

struct Disk<'a> {
    root: &'a Path,
}

impl Disk<'_> {
    fn entry(path: PathBuf) -> io::Result<DirectoryEntry<PathBuf>> {
        let kind = fs::symlink_metadata(&path)?.file_type();
        let kind = if kind.is_symlink() {
            EntryKind::Link
        } else if kind.is_dir() {
            // What git would have recorded as a submodule.
            if fs::symlink_metadata(path.join(".git")).is_ok() { EntryKind::Submodule } else { EntryKind::Directory }
        } else if kind.is_file() {
            EntryKind::File
        } else {
            EntryKind::Other
        };
        let name = path.file_name().map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default();
        Ok(DirectoryEntry { name, kind, node: path })
    }
}

impl FileTree for Disk<'_> {
    type Node = PathBuf;

    fn root(&self) -> Result<PathBuf, TreeError> {
        Ok(self.root.to_owned())
    }

    fn list(&self, directory: &PathBuf) -> Result<Vec<DirectoryEntry<PathBuf>>, TreeError> {
        let entries = fs::read_dir(directory).map_err(|error| unreadable(directory, &error))?;
        let entry = |entry: io::Result<fs::DirEntry>| entry.and_then(|entry| Self::entry(entry.path()));
        entries.map(entry).collect::<io::Result<_>>().map_err(|error| unreadable(directory, &error))
    }

    fn find(&self, directory: &PathBuf, name: &str) -> Result<Option<DirectoryEntry<PathBuf>>, TreeError> {
        match Self::entry(directory.join(name)) {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(&directory.join(name), &error)),
        }
    }

    fn size(&self, file: &PathBuf) -> Result<u64, TreeError> {
        fs::symlink_metadata(file).map(|meta| meta.len()).map_err(|error| unreadable(file, &error))
    }

    fn read(&self, file: &PathBuf) -> Result<Vec<u8>, TreeError> {
        fs::read(file).map_err(|error| unreadable(file, &error))
    }

    fn target(&self, link: &PathBuf) -> Result<String, TreeError> {
        let target = fs::read_link(link).map_err(|error| unreadable(link, &error))?;
        Ok(target.to_string_lossy().into_owned())
    }
}

fn unreadable(path: &Path, error: &io::Error) -> TreeError {
    TreeError::Damaged(format!("{}: {error}", path.display()))
}
