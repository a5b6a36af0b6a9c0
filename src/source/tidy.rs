//! Removing clones that no sync uses any more: of a sync that left the configuration, of a repository
//! that a sync followed before, and those that older versions named after the URL with its credentials.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::clone::{CloneDir, DIGITS, LOCK, NEW, all};
use super::error::SourceError;
use crate::config::{SyncConfig, SyncName};

/// What became of the clones that no sync uses.
#[derive(Debug, Default)]
pub struct Tidied {
    /// Clones that were removed.
    pub removed: Vec<PathBuf>,
    /// In use right now: by a sync that is about to end, or by another process.
    pub busy: Vec<PathBuf>,
    /// One for each clone of which not everything could be removed.
    pub failed: Vec<SourceError>,
}

/// Removes every clone in a data directory that is none of these syncs', and is not in use right now.
///
/// What is removed is surely ours: it has the name of a clone, and nothing is in it but what a bare
/// clone has that driftless fetched into. Blocks for as long as the disk takes.
pub fn remove_unused_clones<'a>(data_dir: &Path, syncs: impl IntoIterator<Item = &'a SyncConfig>) -> Tidied {
    let used = |sync: &SyncConfig| CloneDir::new(data_dir, &sync.name, &sync.source).path().to_owned();
    let used: BTreeSet<PathBuf> = syncs.into_iter().map(used).collect();
    // No directory, or one that cannot be read: nothing to remove.
    let entries = fs::read_dir(all(data_dir)).into_iter().flatten().filter_map(Result::ok);
    let found: BTreeSet<PathBuf> = entries.filter_map(|entry| clone_of(&entry.path())).collect();
    let mut tidied = Tidied::default();
    for path in found.difference(&used).filter(|path| is_ours(path)) {
        match CloneDir::at(path.clone()).remove() {
            Ok(true) => tidied.removed.push(path.clone()),
            Ok(false) => tidied.busy.push(path.clone()),
            Err(error) => tidied.failed.push(error),
        }
    }
    tidied
}

/// The clone to which an entry belongs, by its name: the clone itself, its lock, its successor.
fn clone_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let name = [LOCK, NEW].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
    let (sync, digits) = name.rsplit_once('-')?;
    let hex = digits.len() == DIGITS && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    SyncName::parse(sync).filter(|_| hex)?;
    Some(path.with_file_name(name))
}

/// Whether what is at the path, and beside it, can only come from us. A link leads elsewhere.
fn is_ours(path: &Path) -> bool {
    let beside = |suffix: &str| {
        let mut path = path.to_owned().into_os_string();
        path.push(suffix);
        PathBuf::from(path)
    };
    let nothing_or = |path: &Path, ours: fn(&Path) -> bool| match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.is_dir() && ours(path),
        Err(_) => true,
    };
    let lock = fs::symlink_metadata(beside(LOCK));
    nothing_or(path, is_clone)
        && nothing_or(&beside(NEW), may_become_bare)
        && lock.is_ok_and(|lock| lock.is_file() && lock.len() == 0)
}

/// A bare repository into which driftless has fetched.
fn is_clone(path: &Path) -> bool {
    let packed = || fs::read_to_string(path.join("packed-refs")).is_ok_and(|refs| refs.contains(" refs/driftless/"));
    is_bare(path) && (path.join("refs/driftless").is_dir() || packed())
}

/// The beginning of a bare repository: nothing is in it but what one has.
fn may_become_bare(path: &Path) -> bool {
    const PARTS: [&str; 10] =
        ["FETCH_HEAD", "HEAD", "config", "description", "hooks", "info", "objects", "packed-refs", "refs", "shallow"];
    let part = |name: &str| PARTS.contains(&name.strip_suffix(".lock").unwrap_or(name));
    let known = |entry: fs::DirEntry| entry.file_name().to_str().is_some_and(part);
    fs::read_dir(path).is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(known)))
}

fn is_bare(path: &Path) -> bool {
    path.join("HEAD").is_file() && path.join("objects").is_dir() && !path.join(".git").exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    /// Makes what a fetch leaves.
    fn clone(data: &Path, name: &str) -> PathBuf {
        let path = all(data).join(name);
        for directory in ["objects/pack", "refs/driftless"] {
            fs::create_dir_all(path.join(directory)).unwrap();
        }
        fs::write(path.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::write(all(data).join(format!("{name}.lock")), "").unwrap();
        path
    }

    #[test]
    fn what_no_sync_uses_is_removed_and_what_is_not_surely_ours_stays() {
        let data = tempfile::tempdir().unwrap();
        let config = parse(
            "syncs:\n- {name: shop, source: {url: 'https://bob:x@git.example.com/shop.git', branch: main}}\n",
            "driftless.yaml",
        )
        .unwrap();
        let sync = &config.syncs[0];
        let used = CloneDir::new(data.path(), &sync.name, &sync.source).path().to_owned();
        let used = clone(data.path(), used.file_name().unwrap().to_str().unwrap());
        let old = clone(data.path(), "shop-0123456789abcdef");
        let other = clone(data.path(), "gone-with-dashes-0123456789abcdef");
        let half = all(data.path()).join("gone-1111111111111111.new");
        fs::create_dir_all(half.join("objects")).unwrap();
        fs::write(all(data.path()).join("gone-1111111111111111.lock"), "").unwrap();

        let strange = ["shop-0123456789abcde", "shop-0123456789ABCDEF", "Shop-0123456789abcdef", "0123456789abcdef"];
        let strange = strange.map(|name| clone(data.path(), name));
        let unlike = all(data.path()).join("shop-2222222222222222");
        fs::create_dir_all(&unlike).unwrap();
        fs::write(unlike.join("notes.txt"), "somebody's").unwrap();
        fs::write(all(data.path()).join("shop-2222222222222222.lock"), "").unwrap();
        let new = all(data.path()).join("shop-5555555555555555.new");
        fs::create_dir_all(new.join("notes")).unwrap();
        fs::write(all(data.path()).join("shop-5555555555555555.lock"), "").unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let target = clone(elsewhere.path(), "shop-3333333333333333");
        std::os::unix::fs::symlink(&target, all(data.path()).join("shop-3333333333333333")).unwrap();
        let busy = clone(data.path(), "busy-4444444444444444");
        let lock = CloneDir::at(busy.clone()).lock("url", &std::sync::atomic::AtomicBool::new(false)).unwrap();

        let Tidied { removed, busy: in_use, failed } = remove_unused_clones(data.path(), [&**sync]);
        assert!(failed.is_empty(), "{failed:?}");
        let half_of = all(data.path()).join("gone-1111111111111111");
        assert_eq!(removed, [half_of, other.clone(), old.clone()]);
        assert_eq!(in_use, std::slice::from_ref(&busy));
        for gone in [&old, &other, &half] {
            assert!(!gone.exists(), "{}", gone.display());
        }
        assert!(!all(data.path()).join("shop-0123456789abcdef.lock").exists());
        for stays in strange.iter().chain([&used, &unlike, &new, &target, &busy]) {
            assert!(stays.exists(), "{}", stays.display());
        }
        drop(lock);
        assert_eq!(remove_unused_clones(data.path(), [&**sync]).removed, [busy]);
        assert!(remove_unused_clones(&data.path().join("nothing"), []).removed.is_empty());
    }
}
