//! What goes into the machine of a sync and what comes out of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::object::{GroupKind, Manifest, ObjectId, Observed};
use crate::plan::{
    AppliedObject, Commit, Held, Inventory, Others, Plan, Problem, PrunedObject, Resolved, SyncStatus, Wave,
};

/// The number by which an effect's result is known.
pub type EffectId = u64;

/// A point in time: monotonic since some start for decisions, wall clock for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub mono: Duration,
    pub wall: Timestamp,
}

/// The manifests of one commit, and what could not be rendered of it.
#[derive(Clone, Debug)]
pub struct RenderedCommit {
    pub commit: Commit,
    pub manifests: Vec<Arc<Manifest>>,
    /// Files and documents that are no manifests. As long as there is one, nothing is pruned.
    pub problems: Vec<Problem>,
}

/// What the cluster was seen to hold.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    pub resolved: Resolved,
    pub observed: BTreeMap<ObjectId, Observed>,
    /// Kinds whose objects could not be read, and why.
    pub unreadable: BTreeMap<GroupKind, String>,
    /// The CRDs behind kinds: `plural.group`.
    pub crds: BTreeMap<GroupKind, String>,
    pub others: Others,
}

/// What a person asked for by annotating the parent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The commit whose prune is approved.
    pub approved: Option<String>,
    /// Changes whenever somebody asks to look now.
    pub sync_requested: Option<String>,
    pub suspended: bool,
}

/// What was learned.
#[derive(Debug)]
pub enum Input {
    /// Time has passed.
    Tick,
    Looked {
        id: EffectId,
        result: Result<String, String>,
    },
    Rendered {
        id: EffectId,
        result: Result<Arc<RenderedCommit>, String>,
    },
    Observed {
        id: EffectId,
        result: Result<Observation, String>,
    },
    ParentWritten {
        id: EffectId,
        result: Result<(), String>,
    },
    Applied {
        id: EffectId,
        outcomes: Vec<AppliedObject>,
    },
    Pruned {
        id: EffectId,
        outcomes: Vec<PrunedObject>,
    },
    Marks(Marks),
    /// There is no parent any more, or none yet.
    ParentMissing,
    /// The syncs of `dependsOn` that are not synced.
    WaitingFor(Vec<String>),
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Ask the remote which commit the reference points at.
    Look {
        id: EffectId,
    },
    /// Fetch a commit, 40 hexadecimal digits, and render it.
    Render {
        id: EffectId,
        commit: String,
    },
    /// Read the live state of everything declared or in the inventory.
    Observe {
        id: EffectId,
        rendered: Arc<RenderedCommit>,
        inventory: Vec<ObjectId>,
    },
    /// Store inventory and status.
    WriteParent {
        id: EffectId,
        inventory: Inventory,
        status: Arc<SyncStatus>,
    },
    /// Carry out the creating and configuring steps, wave by wave.
    Apply {
        id: EffectId,
        plan: Arc<Plan>,
        waves: Vec<Wave>,
    },
    /// Carry out the deleting and detaching steps.
    Prune {
        id: EffectId,
        plan: Arc<Plan>,
    },
    Tell(Notice),
}

/// How a cycle ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Synced,
    Unhealthy,
    Held,
    Failed,
}

/// What people and metrics are to hear.
#[derive(Clone, Debug)]
pub enum Notice {
    Started {
        commit: Commit,
    },
    LookFailed {
        error: String,
        retry_in: Duration,
    },
    Planned {
        plan: Arc<Plan>,
    },
    Drift {
        object: ObjectId,
        detail: String,
    },
    Healed {
        object: ObjectId,
        after: Duration,
    },
    Held(Held),
    /// Settling took this long: from the end of applying until everything was healthy.
    Settled {
        took: Duration,
    },
    Ended {
        outcome: Outcome,
        commit: Commit,
        changed: usize,
        message: String,
        problems: Vec<Problem>,
        /// From the commit's time until now, once for a commit that got synced.
        lag: Option<Duration>,
        retry_in: Option<Duration>,
        took: Duration,
        /// The cycle before ended the same way, for the same commit.
        again: bool,
    },
    Suspended {
        by: &'static str,
    },
    Resumed,
    Status(Arc<SyncStatus>),
}
