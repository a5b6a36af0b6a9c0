//! What became of the steps of a plan.

use std::sync::Arc;

use crate::object::{FieldChange, ObjectId, Observed};

use super::{Problem, Replaceable};

/// What an apply did to an object: label `result` of `driftless_apply_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApplyResult {
    /// It did not exist before, or its UID is another than was seen.
    Created,
    /// Changed in place: its resource version is another than before.
    Configured,
    /// The server took the apply and changed nothing: its resource version is the one before.
    Unchanged,
    /// Deleted and created again, as the object's own opt-in says.
    Replaced,
    /// It could not be applied: refused, not answered, or of a kind that is not served.
    Failed,
    /// Held back, since what it depends on failed or the work was stopped.
    Skipped,
}

impl ApplyResult {
    /// The value of the metric label, also used in log and traces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
            Self::Replaced => "replaced",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// Whether the cluster is another than before.
    #[must_use]
    pub fn changed(self) -> bool {
        matches!(self, Self::Created | Self::Configured | Self::Replaced)
    }

    /// Whether the object is now as git declares it.
    #[must_use]
    pub fn succeeded(self) -> bool {
        self.changed() || self == Self::Unchanged
    }
}

/// What a prune did to an object: label `result` of `driftless_prune_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PruneResult {
    /// The deletion was accepted, or the object was gone already: see [`PrunedObject::gone`].
    Deleted,
    /// Left in the cluster and out of the inventory, our label removed.
    Detached,
    /// Kept, with a reason.
    Kept,
    /// Not deleted before another object is gone, which is still there.
    Waiting,
    /// The object could not be read, detached or deleted; it stays in the inventory.
    Failed,
}

impl PruneResult {
    /// All results, in the order of the variants.
    pub const ALL: [Self; 5] = [Self::Deleted, Self::Detached, Self::Kept, Self::Waiting, Self::Failed];

    /// The value of the metric label, also used in log and traces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Detached => "detached",
            Self::Kept => "kept",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
        }
    }
}

/// Why an object was not applied, as far as anything is decided by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The API server refuses it, and will, as long as neither the object nor the cluster is another.
    Refused,
    /// Something that it depends on was not applied.
    Dependency,
    /// It cannot be changed in place, asks to be replaced then, and could be created again.
    Immutable(Replaceable),
    /// Anything else: a server that was not reached, a kind that it does not have, a stop.
    Other,
}

/// The outcome of applying one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedObject {
    /// The object of the plan's step.
    pub id: ObjectId,
    /// UID of the object as it is now, or as it was seen before an apply that failed; `None` when
    /// none is known to exist.
    pub uid: Option<Arc<str>>,
    /// What the apply did to it.
    pub result: ApplyResult,
    /// The object as the server answered it.
    pub live: Option<Observed>,
    /// Why it failed or was skipped.
    pub problem: Option<Problem>,
    /// The same, as far as anything is decided by it; `None` where it succeeded.
    pub obstacle: Option<Obstacle>,
    /// What others had added and the apply removed.
    pub removed: Vec<FieldChange>,
    /// Paths of declared fields of which the server's answer has another value.
    pub rewritten: Vec<String>,
}

/// The outcome of pruning one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrunedObject {
    /// The object of the plan's step.
    pub id: ObjectId,
    /// What the prune did to it.
    pub result: PruneResult,
    /// `false`: the deletion was accepted and waits for finalizers or a grace period.
    pub gone: bool,
    /// For people: why it is kept, waits or failed, or what holds its deletion; `None` where it is gone or detached.
    pub detail: Option<String>,
}
