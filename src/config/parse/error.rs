//! Why a value is not taken. Every text says what to write instead, and shows a value only as
//! [`shown`](super::super::error::shown) does, so that none holds a credential.

use thiserror::Error;

use super::super::address::AddressError;
use super::super::duration::{DurationError, format_duration};
use super::super::names;
use super::super::types::SyncName;
use super::{LONGEST, SHORTEST};
use crate::object::ManagerPattern;

/// Why a value of a sync, or of the agent, is not taken. `shown` is the value as errors show it.
#[derive(Debug, Error)]
pub(super) enum ValueError {
    #[error("maxPerSecond must be 1 to 1000")]
    MaxPerSecond,
    #[error("maxPercent is {0}; it is a share in percent, 0 to 100")]
    MaxPercent(i64),
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("write the short name of the {key}, without refs/heads/ or refs/tags/")]
    FullRef { key: &'static str },
    #[error("{shown} cannot be the name of a {key} (git check-ref-format)")]
    RefName { key: &'static str, shown: String },
    #[error(
        "{shown} is no name for a sync; it has lower-case letters, digits and dashes inside, at most {} in all",
        SyncName::MAX
    )]
    SyncName { shown: String },
    #[error(
        "{shown} is no name of a namespace; it has lower-case letters, digits and dashes inside, at most {} in all",
        names::NAMESPACE_MAX
    )]
    Namespace { shown: String },
    #[error("{shown} is no service account; write namespace/name, such as shop/deployer")]
    ServiceAccount { shown: String },
    #[error("{shown} is no absolute path of a directory without ..")]
    Absolute { shown: String },
    #[error("{shown} is nothing that is signed; write commit or tag")]
    VerifyMode { shown: String },
    #[error("dataDir is empty; leave the key out or name a directory")]
    NoDataDir,
    #[error("{shown} is no path inside a repository; it is relative, with / between its parts and without ..")]
    RepoPath { shown: String },
    #[error("{shown} is no duration: {source}")]
    Duration { shown: String, source: DurationError },
    #[error("{shown} is out of bounds; from {} to {}", format_duration(SHORTEST), format_duration(LONGEST))]
    OutOfBounds { shown: String },
    /// A templating tool that speaks YAML 1.1 makes `false` of an unquoted `off`.
    #[error("`false` is no drift policy; write \"off\" in quotes")]
    Unquoted,
    #[error("{shown} is no drift policy; write heal, report or off")]
    DriftPolicy { shown: String },
    #[error(
        "{shown} is no pattern for a field manager; it has 1 to {} characters, of which * stands for any number and ? for one",
        ManagerPattern::MAX
    )]
    ManagerPattern { shown: String },
    #[error(
        "{shown} is no kind to list here; write Namespace, PersistentVolumeClaim, CustomResourceDefinition or Kind.group"
    )]
    Kind { shown: String },
}
