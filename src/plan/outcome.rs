//! What became of the steps of a plan.

use std::sync::Arc;

use crate::object::{FieldChange, ObjectId, Observed};

use super::{Problem, Replaceable};

/// What an apply did to an object: label `result` of `driftless_apply_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApplyResult {
    Created,
    Configured,
    Unchanged,
    /// Deleted and created again, as the object's own opt-in says.
    Replaced,
    Failed,
    /// Held back, since what it depends on failed or the work was stopped.
    Skipped,
}

impl ApplyResult {
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
    Deleted,
    /// Left in the cluster and out of the inventory, our label removed.
    Detached,
    /// Kept, with a reason.
    Kept,
    /// Not deleted before another object is gone, which is still there.
    Waiting,
    Failed,
}

impl PruneResult {
    pub const ALL: [Self; 5] = [Self::Deleted, Self::Detached, Self::Kept, Self::Waiting, Self::Failed];

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
    pub id: ObjectId,
    /// UID of the object as it is now, or as it was seen before an apply that failed; `None` when
    /// none is known to exist.
    pub uid: Option<Arc<str>>,
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
    pub id: ObjectId,
    pub result: PruneResult,
    /// `false`: the deletion was accepted and waits for finalizers or a grace period.
    pub gone: bool,
    pub detail: Option<String>,
}
