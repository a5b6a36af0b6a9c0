//! What is reported of a sync: in `/status`, by `driftless status`, and in its parent.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::object::{Blame, Commit, Displayed, Health, HealthStatus, ObjectId, Origin};

use super::{Approval, Provenance};

/// Where a sync stands. The order is from well to worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// The cluster equals the commit, and its objects are healthy where `wait` asks for that.
    Synced,
    /// Nothing was tried yet, or a sync it depends on is not synced.
    #[default]
    Pending,
    /// Work on a commit is under way.
    Syncing,
    /// Applied; waiting for objects to become healthy.
    Progressing,
    /// By the configuration or by a person: nothing is applied, healed or pruned.
    Suspended,
    /// Everything else is done, but the prune guard waits for a person.
    Held,
    /// Applied, but objects did not become healthy in time.
    Unhealthy,
    /// The last try failed; it is tried again.
    Failing,
}

impl Phase {
    /// All phases, from well to worse.
    pub const ALL: [Self; 8] = [
        Self::Synced,
        Self::Pending,
        Self::Syncing,
        Self::Progressing,
        Self::Suspended,
        Self::Held,
        Self::Unhealthy,
        Self::Failing,
    ];

    /// The name of the phase, as the status and the label `phase` of the metric have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "Synced",
            Self::Pending => "Pending",
            Self::Syncing => "Syncing",
            Self::Progressing => "Progressing",
            Self::Suspended => "Suspended",
            Self::Held => "Held",
            Self::Unhealthy => "Unhealthy",
            Self::Failing => "Failing",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.as_str())
    }
}

/// One thing that went wrong, or that a person should know.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Problem {
    /// The object that it is about; `None` where it is about a file, or the sync as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectId>,
    /// Where that is declared; `None` for orphans and for what is in no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What went wrong, for people; object and origin are shown before it.
    pub message: String,
}

impl Problem {
    /// A problem of the sync as a whole.
    #[must_use]
    pub fn general(message: impl Into<String>) -> Self {
        Self { object: None, origin: None, message: message.into() }
    }
}

/// `Deployment shop/web (web.yaml:3): what went wrong`.
impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.object, &self.origin) {
            (Some(object), Some(origin)) => write!(out, "{object} ({origin}): ")?,
            (Some(object), None) => write!(out, "{object}: ")?,
            (None, Some(origin)) => write!(out, "{origin}: ")?,
            (None, None) => {}
        }
        Displayed(&self.message).fmt(out)
    }
}

/// A prune that waits for approval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Held {
    /// The commit to approve: 40 hexadecimal digits.
    pub commit: String,
    /// Objects that the commit would delete.
    pub prune: usize,
    /// Objects of the sync, without those that were added since it was last applied whole, unless they
    /// would go, too.
    pub total: usize,
    /// Why it is held, with the figures.
    pub reason: String,
    /// Stands for the set of objects that would be deleted, and for what it waits ([`super::Approval`]);
    /// empty where an older version of driftless held it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// The first of them, [`Held::MOST`] at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<ObjectId>,
}

impl Held {
    /// How many objects are listed at most.
    pub const MOST: usize = 50;
}

/// A live object that was found to be no longer what had been applied.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// The object that drifted.
    pub object: ObjectId,
    /// When it was noticed.
    pub at: Timestamp,
    /// What was found, as a clause.
    pub reason: String,
    /// Who changed it, when, and which fields, as far as `managedFields` show that.
    pub blame: Blame,
    /// `false`: reported only, as `drift: report` says.
    pub healed: bool,
}

impl Drift {
    /// What was found, and who did it where that is known.
    #[must_use]
    pub fn cause(&self) -> String {
        let is_known = self.blame.manager.is_some() || !self.blame.fields.is_empty();
        let blame = self.blame.to_string();
        // Of some drift, who did what is all that was found.
        if is_known && blame != self.reason { format!("{}; {blame}", self.reason) } else { self.reason.clone() }
    }
}

/// An object of which others change some fields again and again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contest {
    /// The object that is healed again and again.
    pub object: ObjectId,
    /// Who of the others wrote last, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<Arc<str>>,
    /// All others who write, where they are several; the first eight of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managers: Vec<Arc<str>>,
    /// What they and driftless write, the first 20 of it.
    pub fields: Vec<String>,
    /// How often in a row the one that was healed most was healed.
    pub heals: u32,
    /// They are not healed before this time, unless another field drifts, too.
    pub until: Timestamp,
}

/// An object whose declared fields have another value after each apply.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rewritten {
    /// The object whose values are not kept.
    pub object: ObjectId,
    /// Paths of these fields, the first of them.
    pub fields: Vec<String>,
}

impl Rewritten {
    /// What is rewritten, as a clause.
    #[must_use]
    pub fn words(&self) -> String {
        format!(
            "the value that git declares is not kept for {}: an admission webhook or the API server rewrites it at each apply",
            self.fields.join(", ")
        )
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Contest {
    /// Who contests what, and how often it was healed, as people say it.
    #[must_use]
    pub fn words(&self) -> String {
        let rival = self.rivals().unwrap_or_else(|| "somebody who leaves no name".into());
        let fields = if self.fields.is_empty() { "unknown fields".into() } else { self.fields.join(", ") };
        format!("with {rival} over {fields}; healed {} times in a row", self.heals)
    }

    /// The others as people name them: `a`, `a and b`, `a, b and c`; `None` where nobody left a name.
    #[must_use]
    pub fn rivals(&self) -> Option<String> {
        match &self.managers[..] {
            [] => self.manager.as_ref().map(ToString::to_string),
            [only] => Some(only.to_string()),
            [first @ .., last] => Some(format!("{} and {last}", first.join(", "))),
        }
    }
}

/// Where a sync stands, in full.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SyncStatus {
    /// Name of the sync, as configured.
    pub sync: String,
    /// Where the sync stands.
    pub phase: Phase,
    /// One sentence for people.
    pub message: String,
    /// URL without credentials.
    pub url: String,
    /// `branch main`, `tag v1`, …
    pub reference: String,
    /// Directory or file in the repository that is synced; `.` for its root.
    pub path: String,
    /// Where the objects come from, as of when the inventory was last exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// The commit that the cluster was last made equal to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synced: Option<Commit>,
    /// When the cluster was made equal to [`SyncStatus::synced`], by the agent's clock; `None` where it never was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synced_at: Option<Timestamp>,
    /// The newest commit seen, when work on it is not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempted: Option<Commit>,
    /// Commits that the source has left, the newest last; [`SyncStatus::MOST_FORMER`] of them. One of
    /// them comes from a git host that lags behind, until two polls in a row say otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<String>,
    /// The prune or replacement that waits for an approval; `None` where nothing is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// The newest approval of a prune, also when it was carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// Errors, the first [`SyncStatus::MOST`] of them.
    pub problems: Vec<Problem>,
    /// The same errors where some are said of many objects: one for a kind and namespace, bounded
    /// likewise. Empty where that would be no shorter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub summary: Vec<Problem>,
    /// What is no error but worth knowing (kept orphans, detached objects), bounded likewise.
    pub notes: Vec<Problem>,
    /// Objects in the inventory.
    pub objects: usize,
    /// How many objects are in which health.
    pub health: BTreeMap<HealthStatus, usize>,
    /// Objects that are not healthy, bounded likewise.
    pub unhealthy: Vec<(ObjectId, Health)>,
    /// The newest drift, the newest last; [`SyncStatus::MOST_DRIFT`] of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
    /// What is contested now, bounded likewise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contested: Vec<Contest>,
    /// Objects of which the cluster keeps other values than git declares, bounded likewise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rewritten: Vec<Rewritten>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub rewritten_more: usize,
    /// What the parent has left out of this, where it has no room for all. Never known to the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortened: Option<String>,
}

impl SyncStatus {
    /// How many problems, notes and unhealthy objects are listed at most.
    pub const MOST: usize = 50;
    /// How many drifts, and how many contests, are listed at most.
    pub const MOST_DRIFT: usize = 20;
    /// How many former commits are remembered across a restart.
    pub const MOST_FORMER: usize = 8;
}
