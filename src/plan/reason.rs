//! Why a step of a plan is what it is.

use std::fmt;
use std::sync::Arc;

use crate::object::{ObjectId, names};

use super::{NotReplaced, Own, Unsettled};

/// Why. Displayed as a clause for people.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Does not exist, and was not applied by this sync yet.
    NotFound,
    /// The manifest has the recorded digest, and the live object is what was applied.
    Same,
    /// The digest of the manifest is another than the recorded one.
    GitChanged,
    /// Exists, and was not applied by this sync yet.
    Adopted,
    /// Taken over from another sync of this agent, which no longer declares it.
    HandedOver {
        /// Name of the sync that has given it up.
        from: Arc<str>,
    },
    /// The record of the last apply is missing, so one apply has to show whether anything differs.
    Unrecorded,
    /// Drift.
    Deleted,
    /// Drift: its UID is another than the recorded one.
    Recreated,
    /// Drift: its label `applyset.kubernetes.io/part-of` is gone, or `driftless.dev/digest` gone or changed.
    MetadataLost,
    /// Drift: the fingerprint of our `managedFields` entry is another than the recorded one.
    Fields,
    /// People have added fields that git does not declare.
    Added,
    /// An orphan.
    RemovedFromGit,
    /// An orphan that does not exist any more.
    Gone,
    /// It belongs to another sync or another tool, or goes to another sync that declares it, too.
    OtherSet {
        /// Who has it, in words: `sync shop`, `another ApplySet (ID)`.
        owner: String,
    },
    /// It is another sync's, of which it is not known whether it still declares it.
    Unsettled {
        /// Name of that sync.
        sync: Arc<str>,
        /// Why that is not known.
        why: Unsettled,
    },
    /// It is of a sync that left the configuration.
    Unconfigured {
        /// Name of that sync, which still has a parent.
        sync: Arc<str>,
    },
    /// It has the label of another sync, which neither declares it nor has it in its inventory.
    Unremembered {
        /// Name of that sync.
        sync: Arc<str>,
    },
    /// It is the agent's own.
    Own {
        /// What it is to the agent.
        what: Own,
    },
    /// An orphan that another sync declares: kept until that one has taken it over, and then forgotten.
    Declared {
        /// Name of that sync.
        by: Arc<str>,
    },
    /// An orphan of a kind that holds data (Namespace, CRD, `PersistentVolumeClaim`) and is not in `prune.include`.
    KeptKind,
    /// Its kind could not be read, so that it is not known whether it exists.
    Unreadable {
        /// The error of that read.
        why: String,
    },
    /// An orphan of which a proof is missing that this sync has applied it.
    NotOurs {
        /// What is missing: the label, the digest annotation, our fields, or the record.
        what: &'static str,
    },
    /// An orphan with an owner reference that says `controller: true`.
    Controlled,
    /// An orphan whose UID is another than the recorded one.
    OtherUid,
    /// An orphan, and `prune.enabled` is false.
    PruneDisabled,
    /// An orphan that says `deletion: detach` or `helm.sh/resource-policy: keep`, or said so when last applied.
    DetachMark,
    /// An orphaned Namespace or CRD in which, or of whose kind, an object is still declared.
    StillUsed {
        /// The first of these objects.
        by: ObjectId,
    },
    /// A Namespace or CRD whose deletion would take along what is kept, or is another sync's.
    Contains {
        /// What would be deleted along with it, in words.
        what: String,
    },
    /// It has a `deletionTimestamp`.
    Terminating {
        /// The finalizers that it still has; empty where none holds it.
        finalizers: Vec<String>,
    },
    /// An orphan that is deleted after another object is gone.
    Awaits {
        /// The object that has to be gone first.
        object: ObjectId,
        /// Of that object, as far as they are known.
        finalizers: Vec<String>,
        /// What makes it wait for that one.
        why: Awaited,
    },
    /// The chart has looked it up, and may have left it out since it is there.
    LookedUp,
    /// An orphan that former pods may use until this workload has rolled out.
    RollingOut {
        /// The first workload of its namespace that is not healthy yet.
        workload: ObjectId,
    },
    /// Its Namespace is being deleted, so that nothing can be made in it.
    NamespaceTerminating {
        /// Name of that Namespace.
        namespace: Arc<str>,
    },
    /// An orphan whose deletion the guard holds until it is approved.
    Held,
    /// An orphan, in a cycle in which nothing may be pruned.
    Blocked {
        /// Why that is, as a clause.
        why: String,
    },
    /// It may have moved to a sync some of whose manifests cannot be used.
    Unsure {
        /// Name of that sync.
        sync: Arc<str>,
    },
    /// A Job that ended, and was removed since its time to live was over.
    Finished,
    /// It says `mutation: ignore`.
    CreateOnly,
    /// A server-side dry-run showed a difference that its `managedFields` do not show.
    Content,
    /// Some of its fields cannot be changed in place, and it asks to be replaced then.
    Immutable {
        /// Paths of these fields.
        fields: Arc<[String]>,
        /// Its volume claims go with it.
        takes_claims: bool,
    },
    /// The same, and it is not replaced.
    NotReplaced {
        /// Paths of the fields that cannot be changed.
        fields: Arc<[String]>,
        /// What is against it.
        why: NotReplaced,
    },
    /// The same, and the guard holds that.
    ReplaceHeld {
        /// Paths of the fields that cannot be changed.
        fields: Arc<[String]>,
    },
    /// It can be in no wave: a circle, or a dependency that is not declared.
    Unorderable {
        /// What is wrong with its dependencies, as a clause.
        why: String,
    },
}

/// Why an orphan waits for another object to be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Awaited {
    /// That one says that it depends on it.
    DependsOn,
    /// That one lives in it: in this Namespace, of the kind of this CRD or this aggregated API.
    Within,
    /// It waits for others that wait for that one.
    ByWay,
    /// Custom resources, webhooks and aggregated APIs go before whatever may serve them.
    First,
}

impl Reason {
    /// Whether a live object was no longer what had been applied.
    #[must_use]
    pub fn is_drift(&self) -> bool {
        matches!(
            self,
            Self::Deleted | Self::Recreated | Self::MetadataLost | Self::Fields | Self::Added | Self::Content
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => out.write_str("does not exist"),
            Self::Same => out.write_str("as in git"),
            Self::GitChanged => out.write_str("changed in git"),
            Self::Adopted => out.write_str("exists, and is adopted"),
            Self::HandedOver { from } => write!(out, "moved here from sync {from}"),
            Self::Unrecorded => out.write_str("no record of the last apply"),
            Self::Deleted => out.write_str("was deleted by somebody"),
            Self::Recreated => out.write_str("was deleted and created again by somebody"),
            Self::MetadataLost => out.write_str("lost driftless's label or annotation"),
            Self::Fields => out.write_str("fields that git declares were changed by somebody"),
            Self::Added => out.write_str("fields that git does not declare were added by hand"),
            Self::RemovedFromGit => out.write_str("removed from git"),
            Self::Gone => out.write_str("removed from git, and gone already"),
            Self::OtherSet { owner } => write!(out, "belongs to {owner}; remove it there first, or here"),
            Self::Unsettled { sync, why } => {
                write!(out, "belongs to sync {sync}, which may still declare it: {why}")
            }
            Self::Unconfigured { sync } => write!(
                out,
                "belongs to sync {sync}, which is not configured any more; to go on without deleting anything: driftless remove {sync} --keep-objects"
            ),
            Self::Unremembered { sync } => write!(
                out,
                "removed from git, and kept, since its label says that it is sync {sync}'s, which does not know it; remove the label {} or delete the object", names::PART_OF
            ),
            Self::Own { what } => write!(out, "is one of driftless's own objects ({what})"),
            Self::Declared { by } => write!(out, "sync {by} declares it now"),
            Self::KeptKind => {
                out.write_str("removed from git, and kept, since deleting it would delete data; delete it by hand, or name its kind in prune.include")
            }
            Self::Unreadable { why } => write!(out, "could not be read: {why}"),
            Self::NotOurs { what } => write!(out, "removed from git, and kept, since the live object has no {what}"),
            Self::Controlled => out.write_str("removed from git, and kept, since another object controls it"),
            Self::OtherUid => {
                out.write_str("removed from git, and kept, since it was created again by somebody else (its UID is another)")
            }
            Self::PruneDisabled => out.write_str("removed from git, and kept, since prune.enabled is false"),
            Self::DetachMark => out.write_str("removed from git, and left alone, since an annotation of it says so (client.lifecycle.config.k8s.io/deletion, \
                 helm.sh/resource-policy)"),
            Self::StillUsed { by } => write!(out, "removed from git while {by} is still declared; remove that as well, or put this back"),
            Self::Contains { what } => {
                write!(out, "removed from git, and kept, since {what} would be deleted along with it")
            }
            Self::Terminating { finalizers } if finalizers.is_empty() => out.write_str("is being deleted"),
            Self::Terminating { finalizers } => {
                write!(out, "is being deleted, and waits for its finalizers: {}", finalizers.join(", "))
            }
            Self::Awaits { object, finalizers, why } => {
                let how = match why {
                    Awaited::DependsOn => "which depends on it",
                    Awaited::Within => "which lives in it",
                    Awaited::ByWay => "which others wait for that have to go before it",
                    Awaited::First => "which it may serve; at most for the sync's timeout",
                };
                write!(out, "removed from git, and kept until {object} is gone, {how}")?;
                if finalizers.is_empty() {
                    return Ok(());
                }
                write!(out, " (finalizers of {}: {})", object.name, finalizers.join(", "))
            }
            Self::LookedUp => out.write_str(
                "no longer rendered, and kept, since the chart looks it up and may leave it out for being there; delete it by \
                 hand where it is not wanted",
            ),
            Self::RollingOut { workload } => write!(
                out,
                "removed from git, and kept until {workload} has rolled out, whose former pods may use it"
            ),
            Self::NamespaceTerminating { namespace } => {
                write!(out, "waits for namespace {namespace}, which is being deleted, to be made again")
            }
            Self::Held => out.write_str("removed from git, and held by the prune guard"),
            Self::Unsure { sync } => write!(
                out,
                "removed from git, and not pruned before all manifests of sync {sync} can be used: it may have moved there"
            ),
            Self::Finished => out.write_str("ran to its end, and was removed after its ttlSecondsAfterFinished"),
            Self::CreateOnly => out.write_str("exists, and is left as it is, since it says mutation: ignore"),
            Self::Content => out.write_str("differs from git in a way that the ownership of its fields does not show"),
            Self::Immutable { fields, .. } => {
                write!(out, "{} cannot be changed in place, so it is deleted and created again", fields.join(", "))
            }
            Self::NotReplaced { fields, why } => write!(
                out,
                "{} cannot be changed in place, and it is not deleted and created again: {why}",
                fields.join(", ")
            ),
            Self::ReplaceHeld { fields } => write!(
                out,
                "{} cannot be changed in place; replacing it deletes it, which the prune guard holds",
                fields.join(", ")
            ),
            Self::Unorderable { why } => out.write_str(why),
            Self::Blocked { why } => write!(out, "removed from git, and not pruned, since {why}"),
        }
    }
}
