//! The small trait between the agent and git: blocking, so that an implementation may be plain code.

use std::sync::Arc;

use super::bundle::{Bundle, Dependencies, Layout};
use super::error::SourceError;
use super::login::Login;
use super::snapshot::Snapshot;
use crate::config::RepoPath;
use crate::object::Commit;

/// What a reference points at now.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Revision {
    /// 40 hexadecimal digits. Of an annotated tag: the commit, not the tag object.
    pub commit: String,
    /// `refs/heads/main`, `refs/tags/v1.2.3`, or the commit once more.
    pub name: String,
    /// Id of the annotated tag that the name is of; `None` for a branch, a tag without an object of its own, and a commit.
    pub tag: Option<String>,
}

/// One reference of one repository. Calls block, for as long as the network likes.
pub trait Remote: Send + Sync + 'static {
    /// Asks what the reference points at. Fetches nothing.
    ///
    /// # Errors
    /// See [`SourceError`]. None of them says that the repository is empty on purpose.
    fn poll(&self) -> Result<Revision, SourceError>;

    /// Makes the commit readable, without the network when it is so already.
    ///
    /// # Errors
    /// [`SourceError::Moved`] when the reference moved on and the commit cannot be had any more, [`SourceError::NotTagged`]
    /// when it is not what the reference names; what comes back is always of `revision.commit`.
    fn fetch(&self, revision: &Revision) -> Result<Commit, SourceError>;

    /// The manifest files of a fetched commit under a path.
    ///
    /// # Errors
    /// [`SourceError::Refused`] where the content breaks a rule or a limit.
    fn snapshot(&self, commit: &str, path: &RepoPath) -> Result<Snapshot, SourceError>;

    /// Like [`Remote::snapshot`]; `None` when its files have more bytes than this together.
    ///
    /// # Errors
    /// As [`Remote::snapshot`].
    fn snapshot_up_to(&self, commit: &str, path: &RepoPath, bytes: usize) -> Result<Option<Snapshot>, SourceError>;

    /// What [`Snapshot::tree`] would be, without reading the files.
    ///
    /// # Errors
    /// As [`Remote::snapshot`], as far as they show without reading.
    fn tree(&self, commit: &str, path: &RepoPath) -> Result<String, SourceError>;

    /// Everything of a fetched commit below a directory; `None` when its files have more bytes than this together.
    ///
    /// # Errors
    /// [`SourceError::Refused`] where the content breaks a limit.
    fn bundle_up_to(&self, commit: &str, root: &RepoPath, bytes: usize) -> Result<Option<Bundle>, SourceError>;

    /// The same, whatever its size within the limits.
    ///
    /// # Errors
    /// As [`Remote::bundle_up_to`].
    fn bundle(&self, commit: &str, root: &RepoPath) -> Result<Bundle, SourceError>;

    /// What a path of a fetched commit holds for renderers.
    ///
    /// # Errors
    /// [`SourceError::Refused`] where there is no such path.
    fn layout(&self, commit: &str, path: &RepoPath) -> Result<Layout, SourceError>;

    /// A hash over what a rendering depends on: two commits with the same one render alike.
    ///
    /// # Errors
    /// The clone cannot be read.
    fn fingerprint(&self, commit: &str, dependencies: &Dependencies) -> Result<String, SourceError>;

    /// A fetched commit as git hashes and signs it.
    ///
    /// # Errors
    /// The clone cannot be read, or the commit is larger than a commit is.
    fn commit_object(&self, commit: &str) -> Result<Vec<u8>, SourceError>;

    /// The annotated tag of a fetched revision, likewise; `None` where there is none.
    ///
    /// # Errors
    /// As [`Remote::commit_object`]; [`SourceError::Moved`] when the tag that was fetched is another one.
    fn tag_object(&self, revision: &Revision) -> Result<Option<Vec<u8>>, SourceError>;

    /// Proves by this from the next call on who we are; `None`: by what the URL has.
    fn use_login(&self, _login: Option<Arc<Login>>) {}

    /// A call begins, which nobody has asked to end yet. Called before it has its thread.
    fn begin(&self) {}

    /// Asks the call that is under way to end. It may do so late, or never.
    fn cancel(&self) {}
}
