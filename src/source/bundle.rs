//! Everything of one commit below a directory, for renderers: bases, charts, values files and templates lie outside of a
//! sync's path and have any name. What a render did read is compared between commits by the ids of git's objects.

use std::path::Path;
use std::sync::Arc;

use super::files::{EntryKind, FileTree, TreeError, joined, locate, read_rules, rules_above, rules_file};
use super::links::{Link, read_target, resolve};
use super::refusal::Refusal;
use crate::config::RepoPath;

/// Bytes that a renderer is given at most, as it bounds its own input.
pub const MOST_BUNDLE_BYTES: usize = 256 << 20;
/// Entries likewise.
const MOST_ENTRIES: usize = 100_000;
/// Bytes of a file of ignore rules.
const RULES_BYTES: usize = 1 << 20;
/// Levels of directories.
const DEEPEST: usize = 100;
/// The names by which kustomize knows its file, in its order.
const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Files, directories and symbolic links below one directory of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// In no order but that a directory comes before what is in it.
    pub entries: Vec<BundleEntry>,
    /// Of all files together.
    pub bytes: usize,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleEntry {
    /// Path relative to the repository's root.
    pub path: Arc<str>,
    /// What is at the path.
    pub content: BundleContent,
}

/// What an entry of a bundle is, with its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleContent {
    /// The bytes of a file, whatever their encoding.
    File(Arc<[u8]>),
    /// What the link says. It is not followed here.
    Link(String),
    /// What is in it comes as entries of its own; a submodule has none.
    Directory,
}

/// What a path holds for renderers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A kustomization, whatever else is there.
    Kustomization,
    /// `Chart.yaml`, or the path itself is a `.tgz` file.
    Chart,
    /// Anything else: files of manifests.
    Plain,
}

/// What a rendering depends on beside its settings: paths relative to the repository's root. As long as each leads to
/// the same content, or still to nothing, so does the rendering.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependencies {
    /// Files that were read, paths that were not there and directories that were listed: sorted, each once.
    pub paths: Vec<String>,
}

/// Reads everything below `root`, up to so many bytes. Submodules are directories without content, as in a clone without
/// `--recurse-submodules`; names that are not UTF-8 are left out, since no file can name them.
pub(super) fn read<F: FileTree>(files: &F, root: &RepoPath, limit: usize) -> Result<Bundle, TreeError> {
    let shown = || root.to_string();
    let no_root = || TreeError::from(Refusal::NoSuchRoot { root: shown() });
    let located = locate(files, root).map_err(|error| match error {
        TreeError::Refused(Refusal::NoSuchPath { .. }) => no_root(),
        error => error,
    })?;
    let mut bundle = Bundle { entries: Vec::new(), bytes: 0 };
    if located.kind == EntryKind::File {
        return Err(no_root());
    }
    let mut pending = vec![(located.node, root.as_str().to_owned(), 0_usize)];
    while let Some((directory, path, depth)) = pending.pop() {
        if depth > DEEPEST {
            return Err(Refusal::TooDeep { path, limit: DEEPEST }.into());
        }
        for entry in files.list(&directory)? {
            let Ok(name) = std::str::from_utf8(&entry.name) else { continue };
            if name == ".git" {
                continue;
            }
            if bundle.entries.len() >= MOST_ENTRIES {
                return Err(Refusal::BundleEntries { path: shown(), limit: MOST_ENTRIES }.into());
            }
            let inside = joined(&path, name);
            let content = match entry.kind {
                EntryKind::File => {
                    let bytes = usize::try_from(files.size(&entry.node)?).unwrap_or(usize::MAX);
                    bundle.bytes = bundle.bytes.saturating_add(bytes);
                    if bundle.bytes > limit {
                        return Err(Refusal::BundleTooLarge { path: shown(), limit }.into());
                    }
                    BundleContent::File(files.read(&entry.node)?.into())
                }
                EntryKind::Link => BundleContent::Link(read_target(files, &entry.node, &inside)?),
                EntryKind::Directory => {
                    pending.push((entry.node, inside.clone(), depth + 1));
                    BundleContent::Directory
                }
                EntryKind::Submodule => BundleContent::Directory,
                EntryKind::Other => continue,
            };
            bundle.entries.push(BundleEntry { path: inside.into(), content });
        }
    }
    Ok(bundle)
}

/// What the path holds.
pub(super) fn layout<F: FileTree>(files: &F, path: &RepoPath) -> Result<Layout, TreeError> {
    let located = locate(files, path)?;
    if located.kind == EntryKind::File {
        let archive = Path::new(path.as_str()).extension().is_some_and(|extension| extension == "tgz");
        return Ok(if archive { Layout::Chart } else { Layout::Plain });
    }
    // A file that the rules name is there for somebody else: so it was said of kustomizations that nobody builds here.
    let mut rules = rules_above(files, &located, path, RULES_BYTES)?;
    if let Some(entry) = rules_file(files, &located.node, path.as_str())? {
        rules.push(path.as_str(), &read_rules(files, &entry.node, path.as_str(), RULES_BYTES)?)?;
    }
    let has = |name: &str| -> Result<bool, TreeError> {
        let found = files.find(&located.node, name)?;
        let found = found.is_some_and(|entry| matches!(entry.kind, EntryKind::File | EntryKind::Link));
        Ok(found && !rules.ignores(&joined(path.as_str(), name), false))
    };
    for name in KUSTOMIZATIONS {
        if has(name)? {
            return Ok(Layout::Kustomization);
        }
    }
    Ok(if has("Chart.yaml")? { Layout::Chart } else { Layout::Plain })
}

/// Where a path leads, through any links, and what is there; `None` where it leads to nothing in the repository.
pub(super) fn follow<F: FileTree>(files: &F, path: &str) -> Result<Option<(String, F::Node)>, TreeError> {
    let link = Link { path, target: path, inside: &[] };
    match resolve(files, &files.root()?, "", &link) {
        Ok(resolved) => Ok(Some((resolved.parts.join("/"), resolved.node))),
        Err(TreeError::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
