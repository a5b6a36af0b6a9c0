//! Getting a commit into a clone: what is asked of the server, and when the clone is made anew for it.

use git2::{Oid, Repository};

use super::{FETCHED, GitRemote, Purpose};
use crate::object::Commit;
use crate::source::clone::CloneLock;
use crate::source::error::SourceError;
use crate::source::files::TreeError;
use crate::source::reference::{name_at, names_at};
use crate::source::remote::Revision;
use crate::source::transport::{TransferError, is_local};
use crate::source::tree;

enum PullError {
    Failed(SourceError),
    /// Into an empty clone it may work.
    NeedsNewClone(String),
}

impl From<SourceError> for PullError {
    fn from(error: SourceError) -> Self {
        Self::Failed(error)
    }
}

impl GitRemote {
    /// Fetches, into the present clone if that is any good, else into a new one.
    pub(super) fn download(&self, revision: &Revision, lock: &CloneLock) -> Result<Commit, SourceError> {
        if let Some(repository) = self.clone.open_to_grow(lock) {
            match self.pull(&repository, revision) {
                Err(PullError::NeedsNewClone(detail)) => {
                    tracing::info!(url = self.scrub.display_url(), detail, "cloning anew");
                }
                Err(PullError::Failed(error)) => {
                    // What it has left half written takes room that others may need.
                    self.clone.clear_away(lock);
                    return Err(error);
                }
                Ok(info) => return Ok(info),
            }
        }
        self.clone_anew(revision, lock).map(|(info, _)| info)
    }

    pub(super) fn clone_anew(
        &self,
        revision: &Revision,
        lock: &CloneLock,
    ) -> Result<(Commit, Repository), SourceError> {
        let fresh = self.clone.begin_anew(lock)?;
        let info = match self.pull(&fresh, revision) {
            Ok(info) => info,
            Err(PullError::Failed(error)) => {
                if matches!(error, SourceError::CommitNotFound { .. }) {
                    // It took all of the history to know. Kept, so that the next try need not fetch it again.
                    self.clone.finish_anew(fresh, lock)?;
                } else {
                    self.clone.give_up_anew(fresh, lock);
                }
                return Err(error);
            }
            Err(PullError::NeedsNewClone(detail)) => {
                self.clone.give_up_anew(fresh, lock);
                return Err(SourceError::Corrupt { url: self.url(), detail });
            }
        };
        Ok((info, self.clone.finish_anew(fresh, lock)?))
    }

    /// Fetches into a clone, and makes sure that it now holds this very commit.
    fn pull(&self, repository: &Repository, revision: &Revision) -> Result<Commit, PullError> {
        let id = self.oid(&revision.commit)?;
        let by_commit = revision.name == revision.commit;
        if by_commit {
            self.pull_commit(repository, revision)?;
        } else {
            self.pull_name(repository, &revision.name)?;
        }
        let is_there = |id: Oid| repository.odb().is_ok_and(|odb| odb.exists(id));
        match self.readable(repository, id) {
            Ok(Some(info)) if self.is_named(repository, id) => Ok(info),
            Ok(None) if is_there(id) => {
                Err(SourceError::NotACommit { url: self.url(), name: revision.name.clone() }.into())
            }
            Ok(_) if !tree::is_intact(repository) => {
                Err(PullError::NeedsNewClone("what was fetched before is not there any more".to_owned()))
            }
            Ok(_) if self.named().is_some_and(is_there) && !self.is_named(repository, id) => {
                Err(self.not_tagged(&revision.commit).into())
            }
            Ok(None) if by_commit => Err(self.not_found(&revision.commit).into()),
            Ok(_) => Err(SourceError::Moved {
                url: self.url(),
                name: revision.name.clone(),
                wanted: revision.commit.clone(),
            }
            .into()),
            Err(TreeError::Damaged(detail)) => Err(PullError::NeedsNewClone(detail)),
            Err(TreeError::Refused(refusal)) => Err(self.refused(&revision.commit, refusal).into()),
        }
    }

    fn pull_name(&self, repository: &Repository, name: &str) -> Result<(), PullError> {
        self.pull_refspecs(repository, &[format!("+{name}:{FETCHED}")])
    }

    fn pull_commit(&self, repository: &Repository, revision: &Revision) -> Result<(), PullError> {
        let heads = self.list(&names_at())?;
        if let Some(name) = name_at(&heads, &revision.commit) {
            return self.pull_name(repository, name);
        }
        if !is_local(&self.source.url) {
            let refspec = format!("+{}:{FETCHED}", revision.commit);
            match self.fetch_into(repository, &[refspec], 1) {
                Ok(()) => return Ok(()),
                Err(TransferError::NotByCommit) if self.purpose == Purpose::Base => {
                    return Err(SourceError::BaseNotSent { url: self.url(), commit: revision.commit.clone() }.into());
                }
                Err(TransferError::NotByCommit | TransferError::NotShallow) => {}
                Err(TransferError::Failed(error)) => return Err(error.into()),
                Err(TransferError::Damaged(detail)) => return Err(PullError::NeedsNewClone(detail)),
            }
        }
        let everything = ["heads", "tags"].map(|kind| format!("+refs/{kind}/*:refs/driftless/{kind}/*"));
        self.pull_all(repository, &everything)
    }

    fn pull_refspecs(&self, repository: &Repository, refspecs: &[String]) -> Result<(), PullError> {
        if !is_local(&self.source.url) {
            match self.fetch_into(repository, refspecs, 1) {
                Ok(()) => return Ok(()),
                Err(TransferError::NotShallow) => {}
                Err(error) => return Err(pull_error(error)),
            }
        }
        self.pull_all(repository, refspecs)
    }

    /// With all of the history, which cannot be had on top of a part of it. Never for a base.
    fn pull_all(&self, repository: &Repository, refspecs: &[String]) -> Result<(), PullError> {
        if self.purpose == Purpose::Base {
            return Err(SourceError::BaseNotShallow { url: self.url() }.into());
        }
        if repository.is_shallow() {
            return Err(PullError::NeedsNewClone("the clone is shallow, and all of the history is needed".into()));
        }
        self.fetch_into(repository, refspecs, 0).map_err(pull_error)
    }

    fn fetch_into(&self, repository: &Repository, refspecs: &[String], depth: i32) -> Result<(), TransferError> {
        self.transport(self.login().as_deref()).fetch(repository, refspecs, depth)
    }
}

fn pull_error(error: TransferError) -> PullError {
    match error {
        TransferError::Failed(error) => PullError::Failed(error),
        TransferError::Damaged(detail) => PullError::NeedsNewClone(detail),
        TransferError::NotShallow | TransferError::NotByCommit => {
            PullError::NeedsNewClone("the server refuses what was asked for".to_owned())
        }
    }
}
