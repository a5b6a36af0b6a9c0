//! What goes into the machine of a sync and what comes out of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::object::{Blame, Change, Commit, GroupKind, Manifest, ObjectId, Observed, Unreadable};
use crate::plan::{
    AppliedObject, Contest, Desired, Drift, Held, Inventory, LookedUp, Others, Plan, Problem, PrunedObject, Resolved,
    Step, SyncStatus,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedCommit {
    pub commit: Commit,
    pub manifests: Vec<Arc<Manifest>>,
    /// Files and documents that are no manifests. As long as there is one, nothing is pruned.
    pub problems: Vec<Problem>,
    /// What made manifests of the files, and with which names, for the provenance.
    pub rendering: Arc<str>,
    pub reads: ClusterReads,
}

/// What a rendering has read of the cluster: its version and kinds, values, what templates look up. None of that is in
/// git, so the same commit may render otherwise at another time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterReads {
    /// Something was read.
    pub any: bool,
    pub looked_up: LookedUp,
    /// Why the rendering may lack something that it would have at another time: nothing is pruned by it.
    pub incomplete: Option<String>,
}

impl RenderedCommit {
    /// Whether both are the very same rendering, which was found to hold still.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.commit.id == other.commit.id
            && self.problems == other.problems
            && self.manifests.len() == other.manifests.len()
            && self.manifests.iter().zip(&other.manifests).all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

/// What the cluster was seen to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// The same one as before where neither commit nor kinds have changed.
    pub resolved: Arc<Resolved>,
    pub observed: BTreeMap<ObjectId, Observed>,
    /// Kinds whose objects could not be read, and why.
    pub unreadable: Unreadable,
    /// The CRDs behind kinds: `plural.group`.
    pub crds: BTreeMap<GroupKind, String>,
    pub others: Others,
}

/// What a person asked for by annotating the parent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserRequests {
    /// The prune that is approved, as the annotation has it.
    pub approved: Option<String>,
    /// Changes whenever somebody asks to poll now.
    pub sync_requested: Option<String>,
    pub suspended: bool,
}

/// What a closer examination of a drifted object has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// `None`: it does not exist.
    pub live: Option<Observed>,
    pub blame: Blame,
}

/// What a server-side dry-run of an object has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audited {
    /// An apply would change nothing.
    Same {
        /// Paths of declared fields that have another value all the same.
        rewritten: Vec<String>,
    },
    /// An apply would change something.
    Differs,
    /// It cannot be said: somebody wrote in between, or the request failed.
    Unknown,
}

/// Why a commit could not be rendered; the text is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unrendered {
    /// The branch was elsewhere already when it was to be fetched.
    Moved(String),
    Failed(String),
}

/// What was learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Time has passed.
    Tick,
    Polled {
        id: EffectId,
        result: Result<String, String>,
        /// Watches see every object of the sync: what they have not reported has not happened.
        watched: bool,
    },
    Rendered {
        id: EffectId,
        result: Result<Arc<RenderedCommit>, Unrendered>,
    },
    Observed {
        id: EffectId,
        result: Result<Observation, String>,
    },
    ParentWritten {
        id: EffectId,
        result: Result<(), String>,
    },
    /// One object of an apply that is still under way.
    AppliedOne {
        id: EffectId,
        outcome: AppliedObject,
    },
    /// No outcome: the object was not begun, since the apply was interrupted.
    Applied {
        id: EffectId,
        outcomes: Vec<AppliedObject>,
    },
    /// The watches have seen something.
    Changed(Vec<Change>),
    Examined {
        id: EffectId,
        result: Result<Examined, String>,
    },
    /// Skipped without a problem: it was not begun, since it was interrupted.
    Healed {
        id: EffectId,
        outcome: AppliedObject,
    },
    Audited {
        id: EffectId,
        result: Audited,
    },
    /// No outcome: the object was not begun, since the prune was interrupted.
    Pruned {
        id: EffectId,
        outcomes: Vec<PrunedObject>,
    },
    UserRequests(UserRequests),
    /// There is no parent any more, or none yet.
    ParentMissing,
    /// This agent leads from now on; with what the parent holds, read since.
    Leads {
        stored: Option<Box<(Inventory, SyncStatus)>>,
        requests: UserRequests,
    },
    /// The syncs of `dependsOn` that are not synced.
    WaitingFor(Vec<String>),
    /// What a rendering reads of the cluster (values, variables) may be other than it was: the same commit may render to
    /// other manifests.
    RenderInputsChanged,
    /// Nothing may be written soon: what was learned is to be stored while that is allowed.
    StoreNow,
    /// The process ends, or the sync is configured otherwise. Nothing more is begun, and what only
    /// reads is answered no more; what writes is awaited, and then what was learned is stored.
    Stop,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask the remote which commit the reference points at.
    Poll {
        id: EffectId,
    },
    /// Fetch a commit, 40 hexadecimal digits, and render it.
    Render {
        id: EffectId,
        commit: String,
    },
    /// Find out what a commit declares, 40 hexadecimal digits, and have the other syncs know it: the
    /// sync waits, and does not enforce it yet. It has no answer.
    Declare {
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
    /// Carry out the creating, configuring and replacing steps (a replacement deletes first), in the order of a [`Schedule`](crate::plan::Schedule).
    Apply {
        id: EffectId,
        plan: Arc<Plan>,
    },
    /// Carry out the deleting and detaching steps, in the order of [`Deletions`](crate::plan::Deletions).
    Prune {
        id: EffectId,
        plan: Arc<Plan>,
    },
    /// Read one drifted object, and find out who changed what of it.
    Examine {
        id: EffectId,
        desired: Box<Desired>,
    },
    /// Apply one drifted object.
    Heal {
        id: EffectId,
        step: Box<Step>,
    },
    /// Ask the server what an apply of one object would change.
    Audit {
        id: EffectId,
        desired: Box<Desired>,
    },
    /// An apply, a prune or a heal that is under way begins no further object and waits for nothing;
    /// its answer comes once what it has begun has ended. No answer of its own.
    Interrupt {
        id: EffectId,
    },
    Emit(Notice),
}

/// How a cycle ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Synced,
    Unhealthy,
    Held,
    Failed,
}

/// What is to be reported to people and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    Started {
        commit: Commit,
    },
    PollFailed {
        error: String,
        retry_in: Duration,
    },
    Planned {
        plan: Arc<Plan>,
    },
    /// Something that git declares is not applied, though the rest of its object is.
    NotApplied {
        note: Problem,
    },
    Drift {
        drift: Drift,
        /// UID of the object as it is now; `None` when it does not exist.
        uid: Option<Arc<str>>,
        /// Only the audit found it.
        missed: bool,
    },
    /// An object that drifted and was not healed is as it should be again.
    DriftGone {
        object: ObjectId,
    },
    /// An object is healed again and again.
    Contested {
        contest: Contest,
        uid: Option<Arc<str>>,
    },
    /// It drifts no longer.
    Uncontested {
        object: ObjectId,
        /// As of its last heal.
        uid: Option<Arc<str>>,
    },
    /// So many objects are contested now.
    ContestedNow {
        objects: usize,
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
    /// A follower is as ready as it can be.
    StandingBy {
        commit: Commit,
    },
    Status(Arc<SyncStatus>),
}
