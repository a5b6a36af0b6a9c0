//! The files of a commit, straight from tree objects: there is no work tree.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use git2::{ErrorCode, Object, ObjectType, Oid, Repository, Tree, TreeEntry};
use sha2::{Digest, Sha256};

use super::bundle::{self, Bundle, Dependencies, Layout};
use super::files::{DirectoryEntry, EntryKind, FileTree, LocatedPath, TreeError, locate, rules_above};
use super::refusal::Refusal;
use super::snapshot::{Limits, Snapshot, hex};
use super::walk::{collect, is_manifest};
use crate::config::RepoPath;
use crate::object::{Commit, is_deceptive};

/// What git writes for a symbolic link, and for a submodule.
const LINK: i32 = 0o120_000;
/// Bytes of one tree object: some 300,000 names. It is parsed whole.
const MOST_TREE_BYTES: usize = 16 << 20;
/// Bytes of a commit or tag that is verified: its headers, message and signature.
const MOST_SIGNED_BYTES: usize = 1 << 20;
/// Trees that are kept parsed, since links lead through the same ones again and again.
const KEPT_TREES: usize = 64;
/// Bytes of the largest tree that is kept.
const KEPT_TREE_BYTES: usize = 256 << 10;
/// Bytes of trees that are parsed for one snapshot, those parsed again included: some ten seconds.
const MOST_PARSED_BYTES: usize = 1 << 30;

pub(super) fn read_snapshot(
    repository: &Repository,
    commit: Oid,
    path: &RepoPath,
    limits: &Limits,
) -> Result<Snapshot, TreeError> {
    let files = CommitFiles::open(repository, commit)?;
    let located = locate(&files, path)?;
    let (found, refused) = collect(&files, &located, path, limits)?;
    Ok(Snapshot { tree: key(&located, path), files: found, refused })
}

pub(super) fn read_key(
    repository: &Repository,
    commit: Oid,
    path: &RepoPath,
    limits: &Limits,
) -> Result<String, TreeError> {
    let files = CommitFiles::open(repository, commit)?;
    let located = locate(&files, path)?;
    rules_above(&files, &located, path, limits.file_bytes)?;
    Ok(key(&located, path))
}

pub(super) fn read_bundle(
    repository: &Repository,
    commit: Oid,
    root: &RepoPath,
    limit: usize,
) -> Result<Bundle, TreeError> {
    bundle::read(&CommitFiles::open(repository, commit)?, root, limit)
}

pub(super) fn read_layout(repository: &Repository, commit: Oid, path: &RepoPath) -> Result<Layout, TreeError> {
    bundle::layout(&CommitFiles::open(repository, commit)?, path)
}

/// A hash over where every path leads.
pub(super) fn fingerprint(
    repository: &Repository,
    commit: Oid,
    dependencies: &Dependencies,
) -> Result<String, TreeError> {
    let files = CommitFiles::open(repository, commit)?;
    let mut hash = Sha256::new();
    for path in &dependencies.paths {
        let (leads, id) = match bundle::follow(&files, path)? {
            // A link to another directory with the same content may lead elsewhere from there.
            Some((leads, node)) => (leads, node.as_bytes().to_vec()),
            None => (String::new(), vec![0]),
        };
        for text in [path, &leads] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        hash.update(id);
    }
    Ok(hex(&hash.finalize()))
}

/// `None` when the repository has no such object.
pub(super) fn read_commit(repository: &Repository, id: Oid) -> Result<Option<Commit>, TreeError> {
    let commit = match repository.find_commit(id) {
        Ok(commit) => commit,
        Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
        Err(error) => return Err(damaged(&error)),
    };
    let subject = commit.summary_bytes().map(String::from_utf8_lossy).unwrap_or_default();
    Ok(Some(Commit {
        id: id.to_string(),
        time: jiff::Timestamp::from_second(commit.time().seconds()).unwrap_or_default(),
        subject: subject.chars().filter(|c| !is_deceptive(*c)).take(Commit::SUBJECT).collect(),
    }))
}

/// A commit or an annotated tag as git hashes it.
pub(super) fn read_object(repository: &Repository, id: Oid) -> Result<Vec<u8>, TreeError> {
    let odb = repository.odb().map_err(|error| damaged(&error))?;
    let (bytes, _) = odb.read_header(id).map_err(|error| damaged(&error))?;
    if bytes > MOST_SIGNED_BYTES {
        return Err(Refusal::MessageTooLarge { object: id.to_string(), bytes, limit: MOST_SIGNED_BYTES }.into());
    }
    // libgit2 compares what it reads with the id.
    let object = odb.read(id).map_err(|error| damaged(&error))?;
    Ok(object.data().to_vec())
}

/// An annotated tag; `None` where there is none with this id, or it leads to another commit.
pub(super) fn read_tag(repository: &Repository, tag: Oid, commit: Oid) -> Result<Option<Vec<u8>>, TreeError> {
    let leads = repository.find_tag(tag).and_then(|found| found.into_object().peel_to_commit());
    if leads.is_ok_and(|found| found.id() == commit) { read_object(repository, tag).map(Some) } else { Ok(None) }
}

/// Whether everything that a snapshot would read is there: trees in full, of files at least the header.
pub(super) fn check(repository: &Repository, commit: Oid, path: &RepoPath) -> Result<(), TreeError> {
    let files = CommitFiles::open(repository, commit)?;
    let located = match locate(&files, path) {
        Ok(located) => located,
        // That is for the snapshot to report.
        Err(TreeError::Refused(_)) => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut pending = vec![(located.kind, located.node)];
    pending.extend(located.above.into_iter().map(|(_, node)| (EntryKind::File, node)));
    // A few small trees that hold each other many times over are billions of paths.
    let mut seen = HashSet::new();
    while let Some((kind, node)) = pending.pop() {
        if !seen.insert(node) {
            continue;
        }
        match kind {
            EntryKind::Directory => {
                let entries = match files.list(&node) {
                    // That is for the snapshot to report, too.
                    Err(TreeError::Refused(_)) => continue,
                    listed => listed?.into_iter(),
                };
                let counts = entries.filter(|entry| entry.kind != EntryKind::File || is_manifest(&entry.name));
                pending.extend(counts.map(|entry| (entry.kind, entry.node)));
            }
            EntryKind::File | EntryKind::Link => drop(files.size(&node)?),
            EntryKind::Submodule | EntryKind::Other => {}
        }
    }
    Ok(())
}

/// Whether every reference still has its object, and a tag what it points to: libgit2 trusts them, and fetches nothing that
/// they claim to have.
pub(super) fn is_intact(repository: &Repository) -> bool {
    let Ok(mut references) = repository.references() else { return false };
    let leads = |object: &Object<'_>| object.kind() != Some(ObjectType::Tag) || object.peel(ObjectType::Any).is_ok();
    let readable = |id: Oid| repository.find_object(id, None).is_ok_and(|object| leads(&object));
    references.all(|reference| reference.is_ok_and(|reference| reference.target().is_none_or(readable)))
}

/// The id of the tree, unless files of ignore rules above the path have a say in what it holds.
fn key(located: &LocatedPath<Oid>, path: &RepoPath) -> String {
    if located.above.is_empty() {
        return located.node.to_string();
    }
    let mut hash = Sha256::new();
    hash.update(path.as_str());
    hash.update([0]);
    hash.update(located.node.as_bytes());
    for (directory, rules) in &located.above {
        hash.update(directory);
        hash.update([0]);
        hash.update(rules.as_bytes());
    }
    hex(&hash.finalize()[..20])
}

struct CommitFiles<'a> {
    repository: &'a Repository,
    odb: git2::Odb<'a>,
    root: Oid,
    kept: RefCell<HashMap<Oid, Tree<'a>>>,
    /// Bytes.
    parsed: Cell<usize>,
}

impl<'a> CommitFiles<'a> {
    fn open(repository: &'a Repository, commit: Oid) -> Result<Self, TreeError> {
        let root = repository.find_commit(commit).map_err(|error| damaged(&error))?.tree_id();
        let odb = repository.odb().map_err(|error| damaged(&error))?;
        Ok(Self { repository, odb, root, kept: RefCell::default(), parsed: Cell::new(0) })
    }

    fn tree(&self, id: Oid) -> Result<Tree<'a>, TreeError> {
        if let Some(tree) = self.kept.borrow().get(&id) {
            return Ok(tree.clone());
        }
        let (bytes, _) = self.odb.read_header(id).map_err(|error| damaged(&error))?;
        if bytes > MOST_TREE_BYTES {
            return Err(Refusal::DirectoryTooLarge { tree: id.to_string(), bytes, limit: MOST_TREE_BYTES }.into());
        }
        self.parsed.set(self.parsed.get().saturating_add(bytes));
        if self.parsed.get() > MOST_PARSED_BYTES {
            return Err(Refusal::TooMuchWork { limit: MOST_PARSED_BYTES }.into());
        }
        let tree = self.repository.find_tree(id).map_err(|error| damaged(&error))?;
        if bytes <= KEPT_TREE_BYTES {
            let mut kept = self.kept.borrow_mut();
            if kept.len() >= KEPT_TREES {
                kept.clear();
            }
            kept.insert(id, tree.clone());
        }
        Ok(tree)
    }
}

impl FileTree for CommitFiles<'_> {
    type Node = Oid;

    fn root(&self) -> Result<Oid, TreeError> {
        Ok(self.root)
    }

    fn list(&self, directory: &Oid) -> Result<Vec<DirectoryEntry<Oid>>, TreeError> {
        let tree = self.tree(*directory)?;
        Ok(tree.iter().map(|entry| described(&entry)).collect())
    }

    fn find(&self, directory: &Oid, name: &str) -> Result<Option<DirectoryEntry<Oid>>, TreeError> {
        let tree = self.tree(*directory)?;
        Ok(tree.get_name(name).map(|entry| described(&entry)))
    }

    fn size(&self, file: &Oid) -> Result<u64, TreeError> {
        let (bytes, _) = self.odb.read_header(*file).map_err(|error| damaged(&error))?;
        Ok(bytes as u64)
    }

    fn read(&self, file: &Oid) -> Result<Vec<u8>, TreeError> {
        let blob = self.odb.read(*file).map_err(|error| damaged(&error))?;
        Ok(blob.data().to_vec())
    }

    fn target(&self, link: &Oid) -> Result<String, TreeError> {
        Ok(String::from_utf8_lossy(&self.read(link)?).into_owned())
    }
}

fn described(entry: &TreeEntry<'_>) -> DirectoryEntry<Oid> {
    let kind = match entry.kind() {
        Some(ObjectType::Tree) => EntryKind::Directory,
        Some(ObjectType::Commit) => EntryKind::Submodule,
        Some(ObjectType::Blob) if entry.filemode() == LINK => EntryKind::Link,
        Some(ObjectType::Blob) => EntryKind::File,
        _ => EntryKind::Other,
    };
    DirectoryEntry { name: entry.name_bytes().to_vec(), kind, node: entry.id() }
}

fn damaged(error: &git2::Error) -> TreeError {
    TreeError::Damaged(error.message().to_owned())
}
