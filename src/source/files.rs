//! What the walk needs of a tree of files, be it in git or on disk, so that both obey the same rules.

use super::ignore::{IGNORE_FILE, IgnoreStack};
use super::refusal::Refusal;
use crate::config::RepoPath;

/// A tree of files in which symbolic links are entries, never followed by the tree itself.
pub(super) trait FileTree {
    /// Names one entry for good: an object id, a path on disk.
    type Node: Clone;

    fn root(&self) -> Result<Self::Node, TreeError>;

    /// In any order.
    fn list(&self, directory: &Self::Node) -> Result<Vec<DirectoryEntry<Self::Node>>, TreeError>;

    /// `None` when the directory has no such entry.
    fn find(&self, directory: &Self::Node, name: &str) -> Result<Option<DirectoryEntry<Self::Node>>, TreeError>;

    /// In bytes, without reading the file.
    fn size(&self, file: &Self::Node) -> Result<u64, TreeError>;

    fn read(&self, file: &Self::Node) -> Result<Vec<u8>, TreeError>;

    /// What a symbolic link says.
    fn target(&self, link: &Self::Node) -> Result<String, TreeError>;
}

#[derive(Clone, Debug)]
pub(super) struct DirectoryEntry<Node> {
    pub name: Vec<u8>,
    pub kind: EntryKind,
    pub node: Node,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    Directory,
    Link,
    Submodule,
    /// A device or a socket on disk: nobody's manifest.
    Other,
}

#[derive(Debug)]
pub(super) enum TreeError {
    /// The content breaks a rule; reading again changes nothing.
    Refused(Refusal),
    /// What should be there cannot be read.
    Damaged(String),
}

impl From<Refusal> for TreeError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Where a sync's path leads.
pub(super) struct LocatedPath<Node> {
    pub node: Node,
    /// [`EntryKind::File`] or [`EntryKind::Directory`].
    pub kind: EntryKind,
    /// The files of ignore rules in the directories above the path, from the root on:
    /// the directory (empty for the root) and the file.
    pub above: Vec<(String, Node)>,
}

/// Finds a path without following any link: what is behind a link outside of the path could change
/// while the tree under the path stays the same.
pub(super) fn locate<F: FileTree>(files: &F, path: &RepoPath) -> Result<LocatedPath<F::Node>, TreeError> {
    let mut found = LocatedPath { node: files.root()?, kind: EntryKind::Directory, above: Vec::new() };
    let missing = || Refusal::NoSuchPath { path: path.to_string() };
    let mut directory = String::new();
    for part in path.as_str().split('/').filter(|part| !part.is_empty()) {
        if found.kind != EntryKind::Directory {
            return Err(missing().into());
        }
        if let Some(entry) = rules_file(files, &found.node, &directory)? {
            found.above.push((directory.clone(), entry.node));
        }
        let entry = files.find(&found.node, part)?.ok_or_else(missing)?;
        directory = joined(&directory, part);
        match entry.kind {
            EntryKind::File | EntryKind::Directory => (found.node, found.kind) = (entry.node, entry.kind),
            EntryKind::Link => {
                return Err(Refusal::PathThroughLink { path: path.to_string(), link: directory }.into());
            }
            EntryKind::Submodule => return Err(Refusal::Submodule { path: directory }.into()),
            EntryKind::Other => return Err(missing().into()),
        }
    }
    Ok(found)
}

/// The rules above the path, once it is certain that they do not ignore the path itself: that would
/// appear as a commit that removed everything.
pub(super) fn rules_above<F: FileTree>(
    files: &F,
    located: &LocatedPath<F::Node>,
    path: &RepoPath,
    limit: usize,
) -> Result<IgnoreStack, TreeError> {
    let mut stack = IgnoreStack::default();
    for (directory, node) in &located.above {
        stack.push(directory, &read_rules(files, node, directory, limit)?)?;
    }
    let parts: Vec<&str> = path.as_str().split('/').filter(|part| !part.is_empty()).collect();
    for depth in 1..=parts.len() {
        let is_dir = depth < parts.len() || located.kind == EntryKind::Directory;
        if stack.ignores(&parts[..depth].join("/"), is_dir) {
            return Err(Refusal::PathIgnored { path: path.to_string() }.into());
        }
    }
    Ok(stack)
}

/// The file of rules in a directory.
pub(super) fn rules_file<F: FileTree>(
    files: &F,
    node: &F::Node,
    directory: &str,
) -> Result<Option<DirectoryEntry<F::Node>>, TreeError> {
    let found = files.find(node, IGNORE_FILE)?;
    if found.as_ref().is_some_and(|entry| entry.kind == EntryKind::Link) {
        // Not followed, it would silently ignore nothing.
        let detail = "is a symbolic link, and rules are read from files only; put the file itself there".to_owned();
        return Err(Refusal::IgnoreFile { path: joined(directory, IGNORE_FILE), detail }.into());
    }
    Ok(found.filter(|entry| entry.kind == EntryKind::File))
}

pub(super) fn read_rules<F: FileTree>(
    files: &F,
    node: &F::Node,
    directory: &str,
    limit: usize,
) -> Result<Vec<u8>, TreeError> {
    let bytes = files.size(node)?;
    if bytes > limit as u64 {
        return Err(Refusal::FileTooLarge { path: joined(directory, IGNORE_FILE), bytes, limit }.into());
    }
    files.read(node)
}

/// `directory/name`, or the name alone in the root.
pub(super) fn joined(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}
