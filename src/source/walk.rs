//! Which files under a path belong to a snapshot: the rules and limits, the same for git and disk. Directories wait on a
//! stack of their own, since a repository says how deep they are.

use std::rc::Rc;
use std::sync::Arc;

use super::files::{
    DirectoryEntry, EntryKind, FileTree, LocatedPath, TreeError, joined, read_rules, rules_above, rules_file,
};
use super::ignore::IgnoreStack;
use super::links::{Link, ResolvedLink, read_target, resolve};
use super::refusal::Refusal;
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
pub(super) fn collect<F: FileTree>(
    files: &F,
    located: &LocatedPath<F::Node>,
    path: &RepoPath,
    limits: &Limits,
) -> Result<(Vec<SourceFile>, Vec<Refused>), TreeError> {
    let ignored = rules_above(files, located, path, limits.file_bytes)?;
    let mut walk = Walk {
        files,
        base: &located.node,
        base_path: path.as_str(),
        limits,
        ignored,
        open: Vec::new(),
        entries: 0,
        bytes: 0,
        found: Vec::new(),
        refused: Vec::new(),
    };
    if located.kind == EntryKind::Directory {
        walk.all(Directory { node: located.node.clone(), path: path.as_str().to_owned(), real: Vec::new() })?;
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

/// A directory to walk.
struct Directory<Node> {
    node: Node,
    /// As the walk came here, from the repository's root.
    path: String,
    /// Where it really is, its parts below the base; another place when a link led here.
    real: Vec<String>,
}

/// A directory that the walk is in.
struct Open<Node> {
    directory: Rc<Directory<Node>>,
    /// What is left of it.
    entries: std::vec::IntoIter<DirectoryEntry<Node>>,
    /// Files of ignore rules outside of it.
    rules: usize,
}

struct Walk<'a, F: FileTree> {
    files: &'a F,
    base: &'a F::Node,
    base_path: &'a str,
    limits: &'a Limits,
    ignored: IgnoreStack,
    /// The directories that the walk is in, the innermost one last.
    open: Vec<Open<F::Node>>,
    entries: usize,
    bytes: usize,
    found: Vec<Found>,
    refused: Vec<Refused>,
}

impl<F: FileTree> Walk<'_, F> {
    /// Walks a directory and all that is below it, each directory as soon as its entry is met.
    fn all(&mut self, directory: Directory<F::Node>) -> Result<(), TreeError> {
        self.enter(directory)?;
        while let Some(open) = self.open.last_mut() {
            let Some(entry) = open.entries.next() else {
                self.ignored.truncate(open.rules);
                self.open.pop();
                continue;
            };
            let directory = Rc::clone(&open.directory);
            self.entries += 1;
            if self.entries > MOST_ENTRIES {
                return Err(Refusal::TooManyEntries { path: self.shown_base(), limit: MOST_ENTRIES }.into());
            }
            let taken = match self.entry(&entry, &directory) {
                Ok(Some(inner)) => self.enter(inner),
                taken => taken.map(drop),
            };
            match taken {
                Err(TreeError::Refused(refusal)) if refusal.is_of_one_entry() => {
                    self.leave_out(&joined(&directory.path, &String::from_utf8_lossy(&entry.name)), refusal)?;
                }
                taken => taken?,
            }
        }
        Ok(())
    }

    fn enter(&mut self, directory: Directory<F::Node>) -> Result<(), TreeError> {
        let Directory { node, path, .. } = &directory;
        if self.open.len() >= DEEPEST {
            return Err(Refusal::TooDeep { path: path.clone(), limit: DEEPEST }.into());
        }
        let content = match rules_file(self.files, node, path)? {
            Some(entry) => Some(read_rules(self.files, &entry.node, path, self.limits.file_bytes)?),
            None => None,
        };
        let entries = self.files.list(node)?.into_iter();
        let rules = self.ignored.len();
        if let Some(content) = content {
            self.ignored.push(path, &content)?;
        }
        self.open.push(Open { directory: Rc::new(directory), entries, rules });
        Ok(())
    }

    /// Takes an entry; gives the directory that it is or leads to.
    fn entry(
        &mut self,
        entry: &DirectoryEntry<F::Node>,
        directory: &Directory<F::Node>,
    ) -> Result<Option<Directory<F::Node>>, TreeError> {
        if entry.name.starts_with(b".") {
            return Ok(None);
        }
        let plain_file = matches!(entry.kind, EntryKind::File | EntryKind::Other);
        if plain_file && !is_manifest(&entry.name) {
            return Ok(None);
        }
        let Ok(name) = std::str::from_utf8(&entry.name) else {
            let path = joined(&directory.path, &String::from_utf8_lossy(&entry.name));
            return Err(Refusal::NotUtf8 { path }.into());
        };
        let path = joined(&directory.path, name);
        if path.len() > LONGEST_PATH {
            return Err(Refusal::PathTooLong { bytes: path.len(), limit: LONGEST_PATH }.into());
        }
        // A link may lead to a directory, for which rules that end in a slash are meant.
        let maybe_directory = !plain_file;
        if self.ignored.ignores(&path, maybe_directory) {
            return Ok(None);
        }
        let real = || directory.real.iter().map(String::as_str).chain([name]);
        match entry.kind {
            EntryKind::File => self.file(&entry.node, &path, real().collect::<Vec<_>>().join("/")).map(|()| None),
            EntryKind::Directory => {
                let real = real().map(str::to_owned).collect();
                Ok(Some(Directory { node: entry.node.clone(), path, real }))
            }
            EntryKind::Link => self.link(&entry.node, path, &directory.real),
            EntryKind::Submodule => Err(Refusal::Submodule { path }.into()),
            EntryKind::Other => Ok(None),
        }
    }

    /// Takes the file that a link leads to, or gives the directory.
    fn link(
        &mut self,
        node: &F::Node,
        path: String,
        inside: &[String],
    ) -> Result<Option<Directory<F::Node>>, TreeError> {
        let target = read_target(self.files, node, &path)?;
        let link = Link { path: &path, target: &target, inside };
        let ResolvedLink { parts, kind, node } = resolve(self.files, self.base, self.base_path, &link)?;
        if kind == EntryKind::File {
            if is_manifest(path.as_bytes()) {
                self.file(&node, &path, parts.join("/"))?;
            }
            return Ok(None);
        }
        if self.open.iter().any(|open| open.directory.real == parts) {
            return Err(Refusal::LinkLoop { link: path, target }.into());
        }
        Ok(Some(Directory { node, path, real: parts }))
    }

    /// `real`: where it really is, below the base.
    fn file(&mut self, node: &F::Node, path: &str, real: String) -> Result<(), TreeError> {
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
    fn leave_out(&mut self, path: &str, refusal: Refusal) -> Result<(), TreeError> {
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::super::files::locate;
    use super::*;

    #[derive(Clone)]
    enum Content {
        Directory,
        /// A directory that is refused when it is listed.
        Unlistable,
        File(&'static str),
        Link(&'static str),
    }
    use Content::{Directory, File, Link, Unlistable};

    /// Files by their paths, listed in this order.
    struct Given {
        entries: Vec<(String, Content)>,
        read: RefCell<Vec<String>>,
    }

    impl Given {
        fn new<P: Into<String>>(entries: impl IntoIterator<Item = (P, Content)>) -> Self {
            let entries = entries.into_iter().map(|(path, content)| (path.into(), content)).collect();
            Self { entries, read: RefCell::default() }
        }

        fn content(&self, path: &str) -> &Content {
            &self.entries.iter().find(|(found, _)| found == path).unwrap().1
        }

        fn walk(&self) -> (Vec<String>, Vec<Refused>) {
            let path = RepoPath::default();
            let located = locate(self, &path).unwrap();
            let (found, refused) = collect(self, &located, &path, &Limits::default()).unwrap();
            (found.iter().map(|file| file.path.to_string()).collect(), refused)
        }
    }

    impl FileTree for Given {
        type Node = String;

        fn root(&self) -> Result<String, TreeError> {
            Ok(String::new())
        }

        fn list(&self, directory: &String) -> Result<Vec<DirectoryEntry<String>>, TreeError> {
            if !directory.is_empty() && matches!(self.content(directory), Unlistable) {
                return Err(Refusal::DirectoryTooLarge { tree: directory.clone(), bytes: 2, limit: 1 }.into());
            }
            let listed = self.entries.iter().filter_map(|(path, content)| {
                let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
                let kind = match content {
                    Directory | Unlistable => EntryKind::Directory,
                    File(_) => EntryKind::File,
                    Content::Link(_) => EntryKind::Link,
                };
                let listed = DirectoryEntry { name: name.into(), kind, node: path.clone() };
                (parent == directory).then_some(listed)
            });
            Ok(listed.collect())
        }

        fn find(&self, directory: &String, name: &str) -> Result<Option<DirectoryEntry<String>>, TreeError> {
            if !directory.is_empty() && matches!(self.content(directory), Unlistable) {
                return Ok(None);
            }
            Ok(self.list(directory)?.into_iter().find(|entry| entry.name == name.as_bytes()))
        }

        fn size(&self, file: &String) -> Result<u64, TreeError> {
            Ok(self.target(file)?.len() as u64)
        }

        fn read(&self, file: &String) -> Result<Vec<u8>, TreeError> {
            self.read.borrow_mut().push(file.clone());
            Ok(self.target(file)?.into_bytes())
        }

        fn target(&self, link: &String) -> Result<String, TreeError> {
            match self.content(link) {
                File(text) | Content::Link(text) => Ok((*text).to_owned()),
                Directory | Unlistable => Err(TreeError::Damaged(link.clone())),
            }
        }
    }

    #[test]
    fn a_directory_is_walked_where_it_is_met_and_its_rules_end_with_it() {
        let given = Given::new([
            ("a", Directory),
            ("a/.driftlessignore", File("skip.yaml\n")),
            ("a/skip.yaml", File("1")),
            ("a/inner", Directory),
            ("a/inner/skip.yaml", File("2")),
            ("a/inner/x.yaml", File("3")),
            ("a/z.yaml", File("4")),
            ("skip.yaml", File("5")),
            ("c", Link("a/inner")),
            ("d.yaml", File("6")),
        ]);
        let (found, refused) = given.walk();
        assert_eq!(found, ["a/inner/x.yaml", "a/z.yaml", "c/skip.yaml", "d.yaml", "skip.yaml"]);
        assert!(refused.is_empty(), "{refused:?}");
        let read = ["a/.driftlessignore", "a/inner/x.yaml", "a/z.yaml", "skip.yaml"];
        let read = read.iter().chain(&["a/inner/skip.yaml", "a/inner/x.yaml", "d.yaml"]);
        assert!(given.read.borrow().iter().eq(read), "{:?}", given.read);
    }

    #[test]
    fn a_directory_that_is_too_deep_or_refused_is_left_out_and_the_walk_goes_on_behind_it() {
        let deep = |level: usize| vec!["d"; level].join("/");
        let mut entries: Vec<_> = (1..=DEEPEST).map(|level| (deep(level), Directory)).collect();
        let deepest = format!("{}/last.yaml", deep(DEEPEST - 1));
        entries.extend([
            (format!("{}/never.yaml", deep(DEEPEST)), File("1")),
            (deepest.clone(), File("2")),
            ("large".into(), Unlistable),
            // The walk is not in that directory any more.
            ("link".into(), Link("large")),
            ("loop".into(), Link(".")),
            ("z.yaml".into(), File("3")),
        ]);
        let (found, refused) = Given::new(entries).walk();
        assert_eq!(found, [deepest.as_str(), "z.yaml"]);
        let refused: Vec<(&str, Refusal)> = refused.iter().map(|one| (&*one.path, one.refusal.clone())).collect();
        let large = Refusal::DirectoryTooLarge { tree: "large".into(), bytes: 2, limit: 1 };
        let expected = [
            (&*deep(DEEPEST), Refusal::TooDeep { path: deep(DEEPEST), limit: DEEPEST }),
            ("large", large.clone()),
            ("link", large),
            ("loop", Refusal::LinkLoop { link: "loop".into(), target: ".".into() }),
        ];
        assert_eq!(refused, expected);
    }
}
