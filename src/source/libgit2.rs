//! The remote that is one: libgit2 and a bare clone.

mod pull;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use git2::{Oid, Repository};

use super::bundle::{Bundle, Dependencies, Layout, MOST_BUNDLE_BYTES};
use super::clone::{CloneDir, CloneLock};
use super::error::SourceError;
use super::files::TreeError;
use super::login::Login;
use super::reference::{Head, choose, names};
use super::refusal::Refusal;
use super::remote::{Remote, Revision};
use super::scrub::Scrubber;
use super::snapshot::{Limits, Snapshot};
use super::transport::Transport;
use super::tree;
use crate::config::{Reference, RepoPath, Source, SyncConfig, VerifyMode};
use crate::object::Commit;

/// What a fetch writes in the clone; the next one announces to the server that it has this.
const FETCHED: &str = "refs/driftless/head";

/// One reference of one repository, by way of libgit2.
///
/// Fetches are shallow where the transport can do it (http and ssh can, `file` cannot). A clone that turns out
/// to be damaged, half-written, or older than 50 fetches is made anew and replaced once the new one is complete.
/// A commit named by its id is fetched by a branch or tag that is at it, else by the id if the server allows
/// that, else with all branches and tags and all of their history. Remote bases are fetched without history, or not at all.
pub struct GitRemote {
    source: Source,
    path: RepoPath,
    scrub: Scrubber,
    clone: CloneDir,
    limits: Limits,
    purpose: Purpose,
    cancel: Arc<AtomicBool>,
    login: Mutex<Option<Arc<Login>>>,
    /// The last revision that was fetched, to clone it anew by its name when the clone breaks.
    fetched: Mutex<Option<Revision>>,
    /// What a reference to a commit means, once the clone has shown that: nobody can move it.
    pinned: OnceLock<Revision>,
}

/// Whom a repository is fetched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A sync, whose source the configuration names.
    Sync,
    /// A render of one: a repository names it, as a remote base.
    Base,
}

impl Purpose {
    /// Bytes of one pack. For a base twice what its files may have, since a pack has them compressed.
    fn most_bytes(self) -> usize {
        match self {
            Self::Sync => 2 << 30,
            Self::Base => 256 << 20,
        }
    }
}

impl GitRemote {
    /// Does no I/O.
    #[must_use]
    pub fn new(sync: &SyncConfig, data_dir: &Path, limits: Limits) -> Self {
        let clone = CloneDir::new(data_dir, &sync.name, &sync.source);
        Self::of(sync.source.clone(), sync.path.clone(), clone, limits, Purpose::Sync)
    }

    /// With a clone in its own place.
    pub(super) fn of(source: Source, path: RepoPath, clone: CloneDir, limits: Limits, purpose: Purpose) -> Self {
        Self {
            scrub: Scrubber::new(&source),
            source,
            path,
            clone,
            limits,
            purpose,
            cancel: Arc::default(),
            login: Mutex::new(None),
            fetched: Mutex::new(None),
            pinned: OnceLock::new(),
        }
    }

    fn url(&self) -> String {
        self.scrub.display_url().to_owned()
    }

    fn transport<'a>(&'a self, login: Option<&'a Login>) -> Transport<'a> {
        let most_bytes = self.purpose.most_bytes();
        Transport { url: &self.source.url, scrub: &self.scrub, login, cancel: &self.cancel, most_bytes }
    }

    /// At least the references whose names begin so.
    fn list(&self, wanted: &[String]) -> Result<Vec<Head>, SourceError> {
        self.transport(self.login().as_deref()).list(wanted)
    }

    /// The newest login: a call that is under way goes on with the one that it began with.
    fn login(&self) -> Option<Arc<Login>> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lock(&self) -> Result<CloneLock, SourceError> {
        self.clone.lock(self.scrub.display_url(), &self.cancel)
    }

    fn oid(&self, commit: &str) -> Result<Oid, SourceError> {
        Oid::from_str(commit).ok().filter(|_| commit.len() == 40).ok_or_else(|| self.not_found(commit))
    }

    /// The commit that an id means, be it its own or that of an annotated tag; `None` where the clone does not have it.
    fn peeled(&self, id: &str) -> Result<Option<String>, SourceError> {
        let id = self.oid(id)?;
        let lock = self.lock()?;
        let Some(clone) = self.clone.open(&lock) else { return Ok(None) };
        let commit = clone.find_object(id, None).and_then(|object| object.peel_to_commit());
        Ok(commit.ok().map(|commit| commit.id().to_string()))
    }

    /// The id that the reference names, where it names one.
    fn named(&self) -> Option<Oid> {
        let Reference::Commit(id) = &self.source.reference else { return None };
        self.oid(id).ok()
    }

    /// Whether a commit in the clone is what the reference names, where that is an id: its own one, or that of an annotated
    /// tag which is there and leads to it. What a server says of its tags is no proof.
    fn is_named(&self, repository: &Repository, commit: Oid) -> bool {
        let known = |pinned: &Revision| self.oid(&pinned.commit).is_ok_and(|pinned| pinned == commit);
        let leads = |id: Oid| repository.find_object(id, None).and_then(|object| object.peel_to_commit());
        !matches!(self.source.reference, Reference::Commit(_))
            || self.pinned.get().is_some_and(known)
            || self.named().is_some_and(|id| leads(id).is_ok_and(|found| found.id() == commit))
    }

    /// Whether the clone has the tag whose signature counts: one may be made anew for a commit that is there already.
    fn has_tag(&self, repository: &Repository, revision: &Revision) -> bool {
        let demanded = self.source.verify.as_ref().is_some_and(|verify| verify.mode == VerifyMode::Tag);
        let tag = revision.tag.as_ref().filter(|_| demanded);
        tag.is_none_or(|tag| self.oid(tag).is_ok_and(|id| repository.find_tag(id).is_ok()))
    }

    /// Keeps what the clone has shown the reference to mean.
    fn pin(&self, commit: &str) -> Revision {
        let revision = || Revision { commit: commit.to_owned(), name: commit.to_owned(), tag: None };
        self.pinned.get_or_init(revision).clone()
    }

    fn not_tagged(&self, commit: &str) -> SourceError {
        let id = self.named().map(|id| id.to_string()).unwrap_or_default();
        SourceError::NotTagged { url: self.url(), id, commit: commit.to_owned() }
    }

    fn not_found(&self, commit: &str) -> SourceError {
        SourceError::CommitNotFound { url: self.url(), commit: commit.to_owned() }
    }

    /// `Ok(None)`: the commit is not there.
    fn readable(&self, repository: &Repository, id: Oid) -> Result<Option<Commit>, TreeError> {
        let info = tree::read_commit(repository, id)?;
        if info.is_some() {
            tree::check(repository, id, &self.path)?;
        }
        Ok(info)
    }

    /// Reads from the clone; when it is damaged, clones anew and reads once more.
    fn read<T>(&self, commit: &str, read: impl Fn(&Repository, Oid) -> Result<T, TreeError>) -> Result<T, SourceError> {
        let id = self.oid(commit)?;
        let lock = self.lock()?;
        let first = match self.clone.open(&lock) {
            Some(repository) => read(&repository, id),
            None => Err(TreeError::Damaged("there is no clone".to_owned())),
        };
        let detail = match first {
            Ok(value) => return Ok(value),
            Err(TreeError::Refused(refusal)) => return Err(self.refused(commit, refusal)),
            Err(TreeError::Damaged(detail)) => self.scrub.scrub(&detail),
        };
        tracing::warn!(url = self.scrub.display_url(), commit, detail, "the clone cannot be read; cloning anew");
        let repository = self.clone_commit_anew(commit, &lock)?;
        read(&repository, id).map_err(|error| match error {
            TreeError::Refused(refusal) => self.refused(commit, refusal),
            TreeError::Damaged(detail) => SourceError::Corrupt { url: self.url(), detail: self.scrub.scrub(&detail) },
        })
    }

    /// By the name that the commit had when it was fetched, and when that has moved on, by its id.
    fn clone_commit_anew(&self, commit: &str, lock: &CloneLock) -> Result<Repository, SourceError> {
        let by_id = Revision { commit: commit.to_owned(), name: commit.to_owned(), tag: None };
        let fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let revision = fetched.filter(|fetched| fetched.commit == commit).unwrap_or_else(|| by_id.clone());
        let cloned = match self.clone_anew(&revision, lock) {
            Err(SourceError::Moved { .. }) => self.clone_anew(&by_id, lock),
            cloned => cloned,
        };
        cloned.map(|(_, repository)| repository)
    }

    fn refused(&self, commit: &str, refusal: Refusal) -> SourceError {
        let short = commit.get(..12).unwrap_or(commit);
        SourceError::Refused { place: format!("commit {short} of {}", self.url()), refusal }
    }
}

impl Remote for GitRemote {
    /// For a commit named by its id the server is asked only while the clone does not have it, since the id may be that of
    /// an annotated tag.
    fn poll(&self) -> Result<Revision, SourceError> {
        let choose = |heads: &[Head]| choose(heads, &self.source.reference, self.scrub.display_url());
        let list = || self.list(&names(&self.source.reference));
        let Reference::Commit(id) = &self.source.reference else { return choose(&list()?) };
        if let Some(pinned) = self.pinned.get() {
            return Ok(pinned.clone());
        }
        let revision = match self.peeled(id)? {
            Some(commit) => self.pin(&commit),
            // That is not kept: the fetch shows whether it is so.
            None => choose(&list()?)?,
        };
        if self.purpose == Purpose::Base && revision.commit != **id {
            return Err(SourceError::BaseByTag { url: self.url(), id: id.to_string(), commit: revision.commit });
        }
        Ok(revision)
    }

    fn fetch(&self, revision: &Revision) -> Result<Commit, SourceError> {
        let id = self.oid(&revision.commit)?;
        let lock = self.lock()?;
        // A damaged clone is no reason to stop here: the download sees to it.
        let present = self.clone.open(&lock).and_then(|repository| {
            let info = self.readable(&repository, id).ok().flatten();
            info.filter(|_| self.is_named(&repository, id) && self.has_tag(&repository, revision))
        });
        let info = match present {
            Some(info) => info,
            None => self.download(revision, &lock)?,
        };
        if self.named().is_some() {
            self.pin(&revision.commit);
        }
        *self.fetched.lock().unwrap_or_else(PoisonError::into_inner) = Some(revision.clone());
        Ok(info)
    }

    fn snapshot(&self, commit: &str, path: &RepoPath) -> Result<Snapshot, SourceError> {
        self.read(commit, |repository, id| tree::read_snapshot(repository, id, path, &self.limits))
    }

    fn snapshot_up_to(&self, commit: &str, path: &RepoPath, bytes: usize) -> Result<Option<Snapshot>, SourceError> {
        let limits = Limits { total_bytes: bytes.min(self.limits.total_bytes), ..self.limits };
        self.read(commit, |repository, id| match tree::read_snapshot(repository, id, path, &limits) {
            Err(TreeError::Refused(Refusal::TotalTooLarge { .. })) if bytes < self.limits.total_bytes => Ok(None),
            read => read.map(Some),
        })
    }

    fn tree(&self, commit: &str, path: &RepoPath) -> Result<String, SourceError> {
        self.read(commit, |repository, id| tree::read_key(repository, id, path, &self.limits))
    }

    fn bundle_up_to(&self, commit: &str, root: &RepoPath, bytes: usize) -> Result<Option<Bundle>, SourceError> {
        let limit = bytes.min(MOST_BUNDLE_BYTES);
        self.read(commit, |repository, id| match tree::read_bundle(repository, id, root, limit) {
            Err(TreeError::Refused(Refusal::BundleTooLarge { .. })) if limit < MOST_BUNDLE_BYTES => Ok(None),
            read => read.map(Some),
        })
    }

    fn bundle(&self, commit: &str, root: &RepoPath) -> Result<Bundle, SourceError> {
        self.read(commit, |repository, id| tree::read_bundle(repository, id, root, MOST_BUNDLE_BYTES))
    }

    fn layout(&self, commit: &str, path: &RepoPath) -> Result<Layout, SourceError> {
        self.read(commit, |repository, id| tree::read_layout(repository, id, path))
    }

    fn fingerprint(&self, commit: &str, dependencies: &Dependencies) -> Result<String, SourceError> {
        self.read(commit, |repository, id| tree::fingerprint(repository, id, dependencies))
    }

    fn commit_object(&self, commit: &str) -> Result<Vec<u8>, SourceError> {
        self.read(commit, tree::read_object)
    }

    fn tag_object(&self, revision: &Revision) -> Result<Option<Vec<u8>>, SourceError> {
        let Some(tag) = &revision.tag else { return Ok(None) };
        let tag = self.oid(tag)?;
        let read = self.read(&revision.commit, |repository, commit| tree::read_tag(repository, tag, commit))?;
        let moved =
            || SourceError::Moved { url: self.url(), name: revision.name.clone(), wanted: revision.commit.clone() };
        read.ok_or_else(moved).map(Some)
    }

    fn use_login(&self, login: Option<Arc<Login>>) {
        *self.login.lock().unwrap_or_else(PoisonError::into_inner) = login;
    }

    fn begin(&self) {
        self.cancel.store(false, Ordering::Relaxed);
    }

    fn cancel(&self) {
        self.cancel.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
