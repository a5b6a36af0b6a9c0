//! The validated configuration.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::object::{GroupKind, Managers, PlainUrl};

use super::RepositoryKey;
use super::names::is_dns_label;
use super::render::RenderConfig;

/// What holds where the configuration says nothing; the schema and the documentation name the same values.
pub(super) mod defaults {
    use std::time::Duration;

    pub const LISTEN: &str = "0.0.0.0:8080";
    pub const HOOKS_LISTEN: &str = "0.0.0.0:9292";
    pub const DATA_DIR: &str = "/var/lib/driftless";
    pub const INTERVAL: Duration = Duration::from_mins(1);
    pub const TIMEOUT: Duration = Duration::from_mins(5);
    pub const MAX_PERCENT: u8 = 20;
    pub const PERIOD: Duration = Duration::from_hours(1);
    pub const MAX_PER_SECOND: u16 = 10;
}

/// A configuration in which every name, URL and duration was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Address of `/metrics`, `/healthz`, `/readyz` and `/status`.
    pub listen: SocketAddr,
    /// Namespace of parents, lease and key; `None`: the pod's own, else `driftless`.
    pub namespace: Option<Arc<str>>,
    /// Clones and caches; may be empty at every start.
    pub data_dir: PathBuf,
    /// Whether only the replica that holds the Lease writes. A change takes effect at the next start.
    pub leader_election: bool,
    /// The receiver of webhooks; `None`: there is none. A change takes effect at the next start.
    pub hooks: Option<HooksConfig>,
    /// In the order of the file; their names are unique, and `depends_on` has no cycles.
    pub syncs: Vec<Arc<SyncConfig>>,
}

/// The receiver of webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HooksConfig {
    /// Address of `/hooks/github` and so on.
    pub listen: SocketAddr,
    /// Where the secrets are that senders sign with, one key for each kind of sender.
    pub secrets: SourceAuth,
}

/// How every object is compared with git by a server-side dry-run, now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AuditPolicy {
    /// Each object is asked about once in this time; zero: there is no audit.
    pub period: Duration,
    /// Requests a second of one sync at most, whatever the period.
    pub max_per_second: u16,
}

impl Default for AuditPolicy {
    fn default() -> Self {
        Self { period: defaults::PERIOD, max_per_second: defaults::MAX_PER_SECOND }
    }
}

/// The name of a sync: a DNS label (RFC 1123) that leaves room for `driftless-` before it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SyncName(Arc<str>);

impl SyncName {
    /// The longest name: the parent's is `driftless-` and this one, a label value of at most 63 characters.
    pub const MAX: usize = 53;

    /// `None` when the text is no DNS label of at most [`SyncName::MAX`] characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_dns_label(text, Self::MAX).then(|| Self(text.into()))
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SyncName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&self.0)
    }
}

impl fmt::Debug for SyncName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// One sync: a source, a path in it, and how to keep the cluster equal to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SyncConfig {
    /// Unique within a configuration.
    pub name: SyncName,
    /// Repository, and what of it is followed.
    pub source: Source,
    /// Directory in the repository whose manifests are applied; empty for the root.
    pub path: RepoPath,
    /// How often to poll the branch.
    pub interval: Duration,
    /// When objects that left git are deleted.
    pub prune: PrunePolicy,
    /// What to do about objects that others changed in the cluster.
    pub drift: DriftPolicy,
    /// Whose additions are drift, and whose are left alone.
    pub managers: Arc<Managers>,
    /// Dry-run the whole changed part first, and write nothing if any object is refused.
    pub atomic: bool,
    /// A revision is synced when its objects are healthy.
    pub wait: bool,
    /// How long to wait for health.
    pub timeout: Duration,
    /// Syncs that have to be synced before this one applies a new commit.
    pub depends_on: Vec<SyncName>,
    /// Whether the configuration suspends the sync, so that nothing is polled, applied, healed or pruned.
    pub suspend: bool,
    /// Impersonated for reading and writing this sync's objects.
    pub service_account: Option<ServiceAccount>,
    /// For namespaced objects that name none; `None`: `default`.
    pub target_namespace: Option<Arc<str>>,
    /// How the files become manifests.
    pub render: Arc<RenderConfig>,
    /// The agent's own key `audit`, the same for all syncs.
    pub audit: AuditPolicy,
}

/// Which repository, and what of it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Source {
    /// As libgit2 takes it: `https`, `http`, `ssh`, `file`, or `git@host:path`. May hold
    /// credentials, so it is never shown; see [`Source::display_url`].
    pub url: Arc<str>,
    /// Branch, tag, version range or commit that is followed.
    pub reference: Reference,
    /// Where the credentials are; `None`: in the URL, or nowhere.
    pub auth: Option<SourceAuth>,
    /// Whose signature a commit must have to be applied; `None`: it needs none.
    pub verify: Option<Verify>,
}

/// Which signatures are demanded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Verify {
    /// Where the keys of those are who may sign.
    pub keys: VerifyKeys,
    /// What has to be signed.
    pub mode: VerifyMode,
}

/// Where the keys of signers are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum VerifyKeys {
    /// A Secret in the agent's namespace, by its name.
    Secret(Arc<str>),
    /// A `ConfigMap` there.
    ConfigMap(Arc<str>),
    /// A directory with a file for each key that such an object has.
    Files(Arc<Path>),
}

/// What has to be signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum VerifyMode {
    /// The commit itself.
    #[default]
    Commit,
    /// The annotated tag that leads to the commit.
    Tag,
}

/// Where credentials are: for a git server, or those of senders of webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SourceAuth {
    /// A Secret in the agent's namespace, by its name.
    Secret(Arc<str>),
    /// A directory with a file for each key that such a Secret has.
    Files(Arc<Path>),
}

/// Which commit of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// The tip of a branch, by its short name: without `refs/heads/`.
    Branch(Arc<str>),
    /// The commit of a tag, annotated or not, by its short name: without `refs/tags/`.
    Tag(Arc<str>),
    /// The highest tag (with or without a leading `v`) that matches.
    Semver(semver::VersionReq),
    /// A full object id: 40 hexadecimal digits.
    Commit(Arc<str>),
    /// A tag or a branch, as others name it who do not say which; `HEAD` is the default branch. No sync has it.
    Named(Arc<str>),
}

impl fmt::Display for Reference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Branch(name) => write!(out, "branch {name}"),
            Self::Tag(name) => write!(out, "tag {name}"),
            Self::Semver(range) => write!(out, "semver {range}"),
            Self::Commit(id) => write!(out, "commit {id}"),
            Self::Named(name) => write!(out, "branch or tag {name}"),
        }
    }
}

/// A relative path with `/` between its parts, none of them `.` or `..`; empty for the root.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct RepoPath(Arc<str>);

impl RepoPath {
    /// `None` for an absolute path and for one that climbs out of the repository.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with('/') || text.contains(['\\', '\0']) {
            return None;
        }
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        (!parts.contains(&"..")).then(|| Self(parts.join("/").into()))
    }

    /// The parts joined by `/`; empty for the root.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0.is_empty() { "." } else { &self.0 })
    }
}

impl fmt::Debug for RepoPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// When orphans may be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PrunePolicy {
    /// Whether orphans are deleted at all; if not, they stay in the cluster and in the inventory.
    pub enabled: bool,
    /// A commit that would prune more than this share of the inventory (and more than 5
    /// objects) is held until it is approved. In percent, 0 to 100.
    pub max_percent: u8,
    /// Kinds that are pruned although they are kept by default: Namespace,
    /// `CustomResourceDefinition`, `PersistentVolumeClaim`.
    pub include: Vec<GroupKind>,
}

impl Default for PrunePolicy {
    fn default() -> Self {
        Self { enabled: true, max_percent: 20, include: Vec::new() }
    }
}

/// What to do about drift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DriftPolicy {
    /// Apply a drifted object again.
    #[default]
    Heal,
    /// Report it, and leave the object as it is until git declares something else of it.
    Report,
    /// Neither heal nor report it; there is no audit either.
    Off,
}

/// A `ServiceAccount` to impersonate, written `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceAccount {
    /// A DNS label (RFC 1123).
    pub namespace: Arc<str>,
    /// A DNS subdomain (RFC 1123).
    pub name: Arc<str>,
}

impl ServiceAccount {
    /// As the API server calls it: `system:serviceaccount:shop:deployer`.
    #[must_use]
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }
}

impl Source {
    /// Which repository it is, however the URL spells it.
    #[must_use]
    pub fn key(&self) -> RepositoryKey {
        RepositoryKey::of(&self.url)
    }

    /// Whether both read the same of the same repository.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.reference == other.reference && (self.url == other.url || self.key() == other.key())
    }

    /// The URL without user, password and query: fit for logs, errors and pages.
    #[must_use]
    pub fn display_url(&self) -> String {
        PlainUrl::of(&self.url).to_string()
    }
}

/// Without the credentials of the URL: what is printed for debugging ends in logs too.
impl fmt::Debug for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} at {}", self.display_url(), self.reference)
    }
}
