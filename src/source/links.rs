//! Where a symbolic link leads, decided part by part inside the tree and never by the operating system.

use std::collections::VecDeque;

use super::files::{EntryKind, FileTree, TreeError, joined};
use super::refusal::Refusal;

/// As many links as Linux follows in one path.
const FOLLOWED: usize = 40;

/// The longest target in bytes: `PATH_MAX` of Linux. Git itself would store gigabytes.
const LONGEST: u64 = 4096;

/// What a link says. `path` is the link's own.
pub(super) fn read_target<F: FileTree>(files: &F, node: &F::Node, path: &str) -> Result<String, TreeError> {
    let bytes = files.size(node)?;
    if bytes > LONGEST {
        let target = format!("a name of {bytes} bytes");
        return Err(Refusal::LinkBroken { link: path.to_owned(), target }.into());
    }
    files.target(node)
}

/// What a link finally leads to.
pub(super) struct ResolvedLink<Node> {
    /// Where it really is: its parts below the base.
    pub parts: Vec<String>,
    pub kind: EntryKind,
    pub node: Node,
}

/// The link to resolve, and the words to complain with.
pub(super) struct Link<'a> {
    /// As the walk came to it, from the repository's root.
    pub path: &'a str,
    pub target: &'a str,
    /// The directory that really holds it: its parts below the base.
    pub inside: &'a [String],
}

/// Resolves a link that must stay below `base`, with every link on the way.
pub(super) fn resolve<F: FileTree>(
    files: &F,
    base: &F::Node,
    base_path: &str,
    link: &Link<'_>,
) -> Result<ResolvedLink<F::Node>, TreeError> {
    let named = || (link.path.to_owned(), link.target.to_owned());
    let leaves = || {
        let (link, target) = named();
        Refusal::LinkLeaves { link, target, base: if base_path.is_empty() { ".".into() } else { base_path.into() } }
    };
    let broken = || {
        let (link, target) = named();
        Refusal::LinkBroken { link, target }
    };
    let mut pending: VecDeque<String> = link.inside.iter().cloned().collect();
    if link.target.starts_with('/') {
        return Err(leaves().into());
    }
    pending.extend(link.target.split('/').map(str::to_owned));
    let mut walked: Vec<(String, F::Node)> = Vec::new();
    let mut kind = EntryKind::Directory;
    let mut followed = 0;
    while let Some(part) = pending.pop_front() {
        if part.is_empty() || part == "." {
            continue;
        }
        if kind != EntryKind::Directory {
            return Err(broken().into());
        }
        if part == ".." {
            walked.pop().ok_or_else(leaves)?;
            continue;
        }
        let here = walked.last().map_or(base, |(_, node)| node);
        let entry = files.find(here, &part)?.ok_or_else(broken)?;
        match entry.kind {
            EntryKind::File | EntryKind::Directory => {
                kind = entry.kind;
                walked.push((part, entry.node));
            }
            EntryKind::Link => {
                followed += 1;
                if followed > FOLLOWED {
                    let (link, target) = named();
                    return Err(Refusal::LinkLoop { link, target }.into());
                }
                let target = read_target(files, &entry.node, link.path)?;
                if target.starts_with('/') {
                    return Err(leaves().into());
                }
                for part in target.split('/').rev() {
                    pending.push_front(part.to_owned());
                }
            }
            EntryKind::Submodule => {
                let parts: Vec<&str> = walked.iter().map(|(part, _)| part.as_str()).collect();
                let inside = joined(base_path, &parts.join("/"));
                return Err(Refusal::Submodule { path: joined(&inside, &part) }.into());
            }
            EntryKind::Other => return Err(broken().into()),
        }
    }
    let node = walked.last().map_or(base, |(_, node)| node).clone();
    Ok(ResolvedLink { parts: walked.into_iter().map(|(part, _)| part).collect(), kind, node })
}
