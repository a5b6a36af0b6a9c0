//! A bare clone in the data directory: a cache, which may be deleted at any time.
//!
//! Each sync has a clone of its own, also where two syncs name the same URL: then a fetch of one can never
//! delete what the other reads, at the price of a second shallow copy. A lock on a file beside it keeps
//! two processes, or the old and the new life of a sync after a configuration change, from using it at once.
//! A new clone is made beside the old one and takes its place only when it is complete. Its name follows from the
//! sync and the repository, however the URL spells that: a new token in it makes no new clone.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use git2::{Repository, RepositoryInitOptions, RepositoryOpenFlags};
use sha2::{Digest, Sha256};

use super::error::SourceError;
use super::snapshot::hex;
use crate::config::{Source, SyncName};

/// A clone grows by a pack with every fetch, and its list of shallow commits by a line, which every later fetch
/// has to send. libgit2 cannot shrink either, so from here on the clone is made anew.
const MOST_PACKS: usize = 50;
/// Bytes of all packs when there are several.
const MOST_BYTES: u64 = 2 << 30;
/// How long to wait for another user of the clone.
const LOCK_WAIT: Duration = Duration::from_secs(20);
/// Hexadecimal digits at the end of a clone's name.
pub(super) const DIGITS: usize = 16;
/// Behind the name of a clone: its lock, and the clone that is to take its place.
pub(super) const LOCK: &str = ".lock";
pub(super) const NEW: &str = ".new";

pub(super) struct CloneDir {
    path: PathBuf,
}

/// Released when it is dropped, and by the system when the process ends.
pub(super) struct CloneLock {
    _file: File,
}

impl CloneDir {
    /// `<data_dir>/git/<sync>-<16 digits of the SHA-256 of the repository's key>`.
    pub fn new(data_dir: &Path, sync: &SyncName, source: &Source) -> Self {
        let digest = hex(&Sha256::digest(source.key().as_str().as_bytes())[..DIGITS / 2]);
        Self { path: all(data_dir).join(format!("{sync}-{digest}")) }
    }

    /// The one at a path that [`CloneDir::new`] gave.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    /// # Errors
    /// [`SourceError::Busy`] when another user does not let go, or when `cancel` is set meanwhile.
    pub fn lock(&self, url: &str, cancel: &AtomicBool) -> Result<CloneLock, SourceError> {
        let path = self.beside(LOCK);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(storage("create the directory", parent))?;
        }
        let open = || File::options().create(true).append(true).open(&path).map_err(storage("open", &path));
        let mut file = open()?;
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match file.try_lock() {
                Ok(()) if is_at(&file, &path) => return Ok(CloneLock { _file: file }),
                // Who had it has removed the clone, and the file with it.
                Ok(()) => file = open()?,
                Err(TryLockError::Error(error)) => return Err(storage("lock", &path)(error)),
                Err(TryLockError::WouldBlock) if Instant::now() > deadline || cancel.load(Ordering::Relaxed) => {
                    return Err(SourceError::Busy { url: url.to_owned() });
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Removes the clone, and its lock last, unless somebody is using it. `Ok(false)`: somebody is.
    ///
    /// # Errors
    /// It cannot be removed, or not all of it.
    pub fn remove(&self) -> Result<bool, SourceError> {
        let path = self.beside(LOCK);
        let file = File::options().create(true).append(true).open(&path).map_err(storage("open", &path))?;
        match file.try_lock() {
            Ok(()) if is_at(&file, &path) => {}
            Ok(()) | Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(storage("lock", &path)(error)),
        }
        for path in [self.beside(NEW), self.path.clone(), path] {
            remove(&path)?;
        }
        Ok(true)
    }

    /// `None` when there is no clone, or none that libgit2 recognises.
    pub fn open(&self, _lock: &CloneLock) -> Option<Repository> {
        open(&self.path).ok()
    }

    /// The clone, if it is fit to be fetched into.
    pub fn open_to_grow(&self, lock: &CloneLock) -> Option<Repository> {
        let (packs, bytes) = self.clear_away(lock)?;
        let outgrown = packs >= MOST_PACKS || (packs > 1 && bytes > MOST_BYTES);
        if outgrown { None } else { self.open(lock) }
    }

    /// Removes what an interrupted fetch left behind; gives the number and the size of the packs.
    pub fn clear_away(&self, _lock: &CloneLock) -> Option<(usize, u64)> {
        let (mut packs, mut bytes) = (0, 0);
        for entry in fs::read_dir(self.path.join("objects/pack")).ok()? {
            let entry = entry.ok()?;
            let path = entry.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("pack") => {
                    packs += 1;
                    bytes += entry.metadata().ok()?.len();
                }
                Some("idx" | "lock" | "keep" | "rev") => {}
                // It may be large, and nobody else removes it.
                _ => fs::remove_file(&path).ok()?,
            }
        }
        Some((packs, bytes))
    }

    /// An empty clone beside the present one. What an earlier try left there is removed.
    pub fn begin_anew(&self, _lock: &CloneLock) -> Result<Repository, SourceError> {
        let path = self.beside(NEW);
        remove(&path)?;
        let mut options = RepositoryInitOptions::new();
        // No templates: they bring hooks and whatever else the machine has there.
        options.bare(true).no_reinit(true).external_template(false);
        Repository::init_opts(&path, &options)
            .map_err(|error| storage("create the clone in", &path)(io::Error::other(error.message().to_owned())))
    }

    /// Removes a new clone that did not become one: it may be what fills the disk.
    pub fn give_up_anew(&self, fresh: Repository, _lock: &CloneLock) {
        drop(fresh);
        // Else the next try does.
        let _ = remove(&self.beside(NEW));
    }

    /// Puts the new clone in the place of the old one. Killed in between, there is none, which is no harm.
    pub fn finish_anew(&self, fresh: Repository, lock: &CloneLock) -> Result<Repository, SourceError> {
        let path = self.beside(NEW);
        // libgit2 keeps packs open under the path they had.
        drop(fresh);
        remove(&self.path)?;
        fs::rename(&path, &self.path).map_err(storage("rename", &path))?;
        self.open(lock).ok_or_else(|| {
            storage("open the clone in", &self.path)(io::Error::other("it vanished just after it was made"))
        })
    }
}

/// Where clones are.
pub(super) fn all(data_dir: &Path) -> PathBuf {
    data_dir.join("git")
}

/// Whether an open file is the one that has this path.
fn is_at(file: &File, path: &Path) -> bool {
    let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let (open, there) = (file.metadata().map(place), fs::metadata(path).map(place));
    open.is_ok_and(|open| there.is_ok_and(|there| open == there))
}

/// Exactly this directory, whatever the environment says of other ones.
fn open(path: &Path) -> Result<Repository, git2::Error> {
    Repository::open_ext(path, RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::BARE, [] as [&Path; 0])
}

fn remove(path: &Path) -> Result<(), SourceError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => fs::remove_file(path),
        done => done,
    }
    .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
    .map_err(storage("remove", path))
}

fn storage(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SourceError {
    let path = path.to_owned();
    move |cause| SourceError::Storage { action, path, cause }
}
