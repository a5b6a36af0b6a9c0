//! A repository that no sync follows, but that something in one names: a remote base. Its clone is there while it is read.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::clone::{CloneDir, DIGITS, all};
use super::git::{Git, Timeouts};
use super::libgit2::{GitRemote, Purpose};
use super::snapshot::{Limits, hex};
use super::turns::Turns;
use crate::config::{RepoPath, Source};

/// The clone has the name of one of a sync's, so that [`super::remove_unused_clones`] removes what a kill leaves behind. No
/// sync has the same one, whatever its name.
pub struct RemoteBase {
    /// Polls, fetches and reads the base.
    pub git: Git,
    clone: PathBuf,
}

impl RemoteBase {
    /// Does no I/O. The clone is made under `data_dir` by the first fetch. `base_turns`: those of [`Turns::of_bases`].
    #[must_use]
    pub fn new(source: &Source, data_dir: &Path, timeouts: Timeouts, base_turns: Turns) -> Self {
        let digest = Sha256::digest(format!("base {} {}", source.url, source.reference));
        let clone = all(data_dir).join(format!("base-{}", hex(&digest[..DIGITS / 2])));
        let at = CloneDir::at(clone.clone());
        let remote = GitRemote::of(source.clone(), RepoPath::default(), at, Limits::default(), Purpose::Base);
        Self { git: Git::of(source, "git-base", remote, timeouts, base_turns), clone }
    }

    /// Removes the clone, unless another process is using it. What cannot be removed goes with the clones that no sync uses.
    pub fn remove(self) {
        let _ = CloneDir::at(self.clone).remove();
    }
}
