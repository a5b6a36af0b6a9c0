//! Which files under a path belong to a snapshot: the rules and limits, the same for git and disk.

use std::sync::Arc;

use super::error::Refusal;
use super::files::{Files, Kind, Listed, Located, ReadError, joined, read_rules, rules_above, rules_file};
use super::ignore::IgnoreStack;
use super::links::{Link, Resolved, read_target, resolve};
use super::snapshot::{Limits, Refused, SourceFile};
use crate::config::RepoPath;

/// Levels of directories, counted through links.
const DEEPEST: usize = 100;
/// Bytes of a path from the repository's root: `PATH_MAX` of Linux. Git itself would store gigabytes.
const LONGEST_PATH: usize = 4096;
/// Entries that cannot be taken and are reported one by one.
const MOST_REFUSED: usize = 1_000;
/// Entries examined, counted through links: bounds what links to directories that hold links can do.
const MOST_ENTRIES: usize = 1_000_000;

/// Reads the manifest files at or under a located path, and what is left out, each in byte order of the paths.
pub(super) fn collect<F: Files>(
    files: &F,
    located: &Located<F::Node>,
    path: &RepoPath,
    limits: &Limits,
) -> Result<(Vec<SourceFile>, Vec<Refused>), ReadError> {
    let ignored = rules_above(files, located, path, limits.file_bytes)?;
    let mut walk = Walk {
        files,
        base: &located.node,
        base_path: path.as_str(),
        limits,
        ignored,
        ancestors: Vec::new(),
        entries: 0,
        bytes: 0,
        found: Vec::new(),
        refused: Vec::new(),
    };
    if located.kind == Kind::Directory {
        walk.directory(&located.node, path.as_str(), &[])?;
    } else if is_manifest(path.as_str().as_bytes()) {
        walk.file(&located.node, path.as_str(), String::new())?;
    } else {
        return Err(Refusal::PathIsNoManifest { path: path.to_string() }.into());
    }
    walk.refused.sort_by(|a, b| a.path.cmp(&b.path));
    Ok((each_once(walk.found), walk.refused))
}

/// In byte order of the paths, each file once, by its own path where a link leads to it as well: its objects would be
/// declared twice otherwise.
fn each_once(mut found: Vec<Found>) -> Vec<SourceFile> {
    found.sort_by(|a, b| (&a.real, a.linked, &a.file.path).cmp(&(&b.real, b.linked, &b.file.path)));
    found.dedup_by(|later, first| later.real == first.real);
    let mut files: Vec<SourceFile> = found.into_iter().map(|found| found.file).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// A file that was read.
struct Found {
    file: SourceFile,
    /// Where it really is, below the base.
    real: String,
    /// The walk came to it by a link.
    linked: bool,
}

struct Walk<'a, F: Files> {
    files: &'a F,
    base: &'a F::Node,
    base_path: &'a str,
    limits: &'a Limits,
    ignored: IgnoreStack,
    /// The directories that the walk is in, by where they really are (parts below the base).
    ancestors: Vec<Vec<String>>,
    entries: usize,
    bytes: usize,
    found: Vec<Found>,
    refused: Vec<Refused>,
}

impl<F: Files> Walk<'_, F> {
    /// `path`: as the walk came here, from the repository's root. `real`: where the directory really
    /// is, its parts below the base; another place when a link led here.
    fn directory(&mut self, node: &F::Node, path: &str, real: &[String]) -> Result<(), ReadError> {
        if self.ancestors.len() >= DEEPEST {
            return Err(Refusal::TooDeep { path: path.to_owned(), limit: DEEPEST }.into());
        }
        let rules = self.ignored.len();
        if let Some(entry) = rules_file(self.files, node, path)? {
            let content = read_rules(self.files, &entry.node, path, self.limits.file_bytes)?;
            self.ignored.push(path, &content)?;
        }
        self.ancestors.push(real.to_vec());
        for entry in self.files.list(node)? {
            self.entries += 1;
            if self.entries > MOST_ENTRIES {
                return Err(Refusal::TooManyEntries { path: self.shown_base(), limit: MOST_ENTRIES }.into());
            }
            match self.entry(&entry, path, real) {
                Err(ReadError::Refused(refusal)) if refusal.is_of_one_entry() => {
                    self.leave_out(&joined(path, &String::from_utf8_lossy(&entry.name)), refusal)?;
                }
                done => done?,
            }
        }
        self.ancestors.pop();
        self.ignored.truncate(rules);
        Ok(())
    }

    fn entry(&mut self, entry: &Listed<F::Node>, directory: &str, real: &[String]) -> Result<(), ReadError> {
        if entry.name.starts_with(b".") {
            return Ok(());
        }
        let plain_file = matches!(entry.kind, Kind::File | Kind::Other);
        if plain_file && !is_manifest(&entry.name) {
            return Ok(());
        }
        let Ok(name) = std::str::from_utf8(&entry.name) else {
            let path = joined(directory, &String::from_utf8_lossy(&entry.name));
            return Err(Refusal::NotUtf8 { path }.into());
        };
        let path = joined(directory, name);
        if path.len() > LONGEST_PATH {
            return Err(Refusal::PathTooLong { bytes: path.len(), limit: LONGEST_PATH }.into());
        }
        // A link may lead to a directory, for which rules that end in a slash are meant.
        let maybe_directory = !plain_file;
        if self.ignored.ignores(&path, maybe_directory) {
            return Ok(());
        }
        match entry.kind {
            Kind::File => {
                let real: Vec<&str> = real.iter().map(String::as_str).chain([name]).collect();
                self.file(&entry.node, &path, real.join("/"))
            }
            Kind::Directory => {
                let real: Vec<String> = real.iter().cloned().chain([name.to_owned()]).collect();
                self.directory(&entry.node, &path, &real)
            }
            Kind::Link => self.link(&entry.node, &path, real),
            Kind::Submodule => Err(Refusal::Submodule { path }.into()),
            Kind::Other => Ok(()),
        }
    }

    fn link(&mut self, node: &F::Node, path: &str, inside: &[String]) -> Result<(), ReadError> {
        let target = read_target(self.files, node, path)?;
        let link = Link { path, target: &target, inside };
        let Resolved { parts, kind, node } = resolve(self.files, self.base, self.base_path, &link)?;
        if kind == Kind::File {
            return if is_manifest(path.as_bytes()) { self.file(&node, path, parts.join("/")) } else { Ok(()) };
        }
        if self.ancestors.contains(&parts) {
            return Err(Refusal::LinkLoop { link: path.to_owned(), target }.into());
        }
        self.directory(&node, path, &parts)
    }

    /// `real`: where it really is, below the base.
    fn file(&mut self, node: &F::Node, path: &str, real: String) -> Result<(), ReadError> {
        let Limits { file_bytes, files, total_bytes } = *self.limits;
        let bytes = self.files.size(node)?;
        if bytes > file_bytes as u64 {
            return Err(Refusal::FileTooLarge { path: path.to_owned(), bytes, limit: file_bytes }.into());
        }
        if self.found.len() >= files {
            return Err(Refusal::TooManyFiles { path: self.shown_base(), limit: files }.into());
        }
        let content = self.files.read(node)?;
        self.bytes += content.len();
        if self.bytes > total_bytes {
            return Err(Refusal::TotalTooLarge { path: self.shown_base(), limit: total_bytes }.into());
        }
        let linked = !real.is_empty() && path != joined(self.base_path, &real);
        self.found.push(Found { file: SourceFile { path: path.into(), bytes: Arc::from(content) }, real, linked });
        Ok(())
    }

    /// Notes an entry that is not taken; the others are, since nothing is pruned meanwhile.
    fn leave_out(&mut self, path: &str, refusal: Refusal) -> Result<(), ReadError> {
        if let Some(Refused { refusal: first, .. }) =
            self.refused.first().filter(|_| self.refused.len() >= MOST_REFUSED)
        {
            let first = Box::new(first.clone());
            return Err(Refusal::TooManyRefused { path: self.shown_base(), limit: MOST_REFUSED, first }.into());
        }
        let path = path.get(..path.floor_char_boundary(LONGEST_PATH)).unwrap_or_default().into();
        self.refused.push(Refused { path, refusal });
        Ok(())
    }

    fn shown_base(&self) -> String {
        if self.base_path.is_empty() { ".".to_owned() } else { self.base_path.to_owned() }
    }
}

pub(super) fn is_manifest(name: &[u8]) -> bool {
    [&b".yaml"[..], b".yml", b".json"].iter().any(|extension| name.ends_with(extension))
}
