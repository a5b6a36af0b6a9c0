//! What goes into the machine of a sync and what comes out of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::event::SyncEvent;
use crate::object::{Blame, Change, Commit, GroupKind, Manifest, ObjectId, Observed, Unreadable};
use crate::plan::{
    AppliedObject, Desired, Inventory, LookedUp, Others, Plan, Problem, PrunedObject, Resolved, Step, SyncStatus,
};

use super::EffectError;

/// The number by which an effect's result is known.
pub type EffectId = u64;

/// A point in time: monotonic since some start for decisions, wall clock for people; and a number that is random, so that the
/// machine itself throws no dice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By a monotonic clock, since a start that all moments of one process share.
    pub mono: Duration,
    /// By the system's clock, which may be set: for people, and to compare with times of git and the API server.
    pub wall: Timestamp,
    /// Another one at each moment, evenly spread over all of `u64`: delays that begin now are spread by it.
    pub random: u64,
}

/// The manifests of one commit, and what could not be rendered of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RenderedCommit {
    /// The commit that was rendered.
    pub commit: Commit,
    /// Those that could be rendered, not yet placed in their namespaces.
    pub manifests: Vec<Arc<Manifest>>,
    /// Files and documents that are no manifests. As long as there is one, nothing is pruned.
    pub problems: Vec<Problem>,
    /// What made manifests of the files, and with which names, for the provenance.
    pub rendering: Arc<str>,
    /// What went into it that is not in git.
    pub reads: ClusterReads,
}

/// What a rendering has read of the cluster: its version and kinds, values, what templates look up. None of that is in
/// git, so the same commit may render otherwise at another time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClusterReads {
    /// Something was read.
    pub any: bool,
    /// What templates asked for: an orphan that is among the answers is kept.
    pub looked_up: LookedUp,
    /// Why the rendering may lack something that it would have at another time: nothing is pruned by it.
    pub incomplete: Option<String>,
}

impl RenderedCommit {
    /// Whether both are the very same rendering, which was found to hold still.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.commit.id == other.commit.id
            && self.problems == other.problems
            && self.reads.incomplete == other.reads.incomplete
            && self.manifests.len() == other.manifests.len()
            && self.manifests.iter().zip(&other.manifests).all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

/// What the cluster was seen to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// The same one as before where neither commit nor kinds have changed.
    pub resolved: Arc<Resolved>,
    /// Live objects by identity. One that is missing here and not in `unreadable` does not exist.
    pub observed: BTreeMap<ObjectId, Observed>,
    /// Kinds whose objects could not be read, and why.
    pub unreadable: Unreadable,
    /// The CRDs behind kinds: `plural.group`.
    pub crds: BTreeMap<GroupKind, String>,
    /// The other syncs of the agent, as far as these objects go.
    pub others: Others,
}

/// What a person asked for by annotating the parent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UserRequests {
    /// The prune that is approved, as the annotation has it.
    pub approved: Option<String>,
    /// Changes whenever somebody asks to poll now.
    pub sync_requested: Option<String>,
    /// The annotation `driftless.dev/suspend` is `true`.
    pub suspended: bool,
}

/// What a closer examination of a drifted object has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// `None`: it does not exist.
    pub live: Option<Observed>,
    /// Who changed it, and which fields.
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
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unrendered {
    /// The branch was elsewhere already when it was to be fetched.
    #[error("{0}")]
    Moved(String),
    /// The fetch, a read of the clone, or the rendering as a whole has failed.
    #[error("{0}")]
    Failed(String),
}

/// What was learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// The remote was asked which commit the reference points at.
    Polled {
        /// Number of the [`Effect::Poll`] that this answers.
        id: EffectId,
        /// The commit, 40 hexadecimal digits, or why it is not known.
        result: Result<String, EffectError>,
        /// Watches see every object of the sync: what they have not reported has not happened.
        watched: bool,
    },
    /// A commit was fetched and rendered, or could not be.
    Rendered {
        /// Number of the [`Effect::Render`] that this answers.
        id: EffectId,
        /// What the commit declares, or why that is not known.
        result: Result<Arc<RenderedCommit>, Unrendered>,
    },
    /// The live state was read, or could not be.
    Observed {
        /// Number of the [`Effect::Observe`] that this answers.
        id: EffectId,
        /// What the cluster holds, or why that is not known.
        result: Result<Observation, EffectError>,
    },
    /// Inventory and status were stored, or could not be.
    ParentWritten {
        /// Number of the [`Effect::WriteParent`] that this answers.
        id: EffectId,
        /// Why they were not stored, where they were not.
        result: Result<(), EffectError>,
    },
    /// One object of an apply that is still under way.
    AppliedOne {
        /// Number of the [`Effect::Apply`] that is under way.
        id: EffectId,
        /// It comes once more with all others in [`Input::Applied`].
        outcome: AppliedObject,
    },
    /// No outcome: the object was not begun, since the apply was interrupted.
    Applied {
        /// Number of the [`Effect::Apply`] that this answers.
        id: EffectId,
        /// One at most for each object that the plan applies.
        outcomes: Vec<AppliedObject>,
    },
    /// The watches have seen something.
    Changed(Vec<Change>),
    /// A drifted object was read, or could not be.
    Examined {
        /// Number of the [`Effect::Examine`] that this answers.
        id: EffectId,
        /// What was seen of it, or why it was not read.
        result: Result<Examined, EffectError>,
    },
    /// Skipped without a problem: it was not begun, since it was interrupted.
    Healed {
        /// Number of the [`Effect::Heal`] that this answers.
        id: EffectId,
        /// What the apply of the drifted object did.
        outcome: AppliedObject,
    },
    /// A server-side dry-run of one object has ended.
    Audited {
        /// Number of the [`Effect::Audit`] that this answers.
        id: EffectId,
        /// What it has shown.
        result: Audited,
    },
    /// No outcome: the object was not begun, since the prune was interrupted.
    Pruned {
        /// Number of the [`Effect::Prune`] that this answers.
        id: EffectId,
        /// One at most for each object that the plan prunes, and for each that was being deleted and is gone now.
        outcomes: Vec<PrunedObject>,
    },
    /// What the annotations of the parent say now.
    UserRequests(UserRequests),
    /// There is no parent any more, or none yet.
    ParentMissing,
    /// This agent leads from now on; with what the parent holds, read since.
    Leads {
        /// Inventory and status of the parent; `None` where there is none.
        stored: Option<Box<(Inventory, SyncStatus)>>,
        /// What its annotations say.
        requests: UserRequests,
    },
    /// The syncs of `dependsOn` that are not synced.
    WaitingFor(Vec<String>),
    /// What a rendering reads of the cluster (values, variables) may be other than it was: the same commit may render to
    /// other manifests.
    RenderInputsChanged,
    /// The credentials for the git server have changed, so that a poll may succeed that failed before.
    CredentialsChanged,
    /// Somebody says that the repository has changed: it is polled now, and everything else goes on as it is.
    Hinted,
    /// Nothing may be written soon: what was learned is to be stored while that is allowed.
    StoreNow,
    /// The process ends, or the sync is configured otherwise. Nothing more is begun, and what only
    /// reads is answered no more; what writes is awaited, and then what was learned is stored.
    Stop,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Ask the remote which commit the reference points at.
    Poll {
        /// Comes back in [`Input::Polled`].
        id: EffectId,
    },
    /// Fetch a commit, 40 hexadecimal digits, and render it.
    Render {
        /// Comes back in [`Input::Rendered`].
        id: EffectId,
        /// Its id, as the newest poll has it.
        commit: String,
    },
    /// Find out what a commit declares, 40 hexadecimal digits, and have the other syncs know it: the
    /// sync waits, and does not enforce it yet. It has no answer.
    Declare {
        /// Its id, as the newest poll has it.
        commit: String,
    },
    /// Read the live state of everything declared or in the inventory.
    Observe {
        /// Comes back in [`Input::Observed`].
        id: EffectId,
        /// The commit whose objects are read.
        rendered: Arc<RenderedCommit>,
        /// The objects of the inventory; those that the commit does not declare are orphans.
        inventory: Vec<ObjectId>,
    },
    /// Store inventory and status.
    WriteParent {
        /// Comes back in [`Input::ParentWritten`].
        id: EffectId,
        /// All of it, whether it fits one `ConfigMap` or needs shards.
        inventory: Inventory,
        /// The status to be stored beside it.
        status: Arc<SyncStatus>,
    },
    /// Carry out the creating, configuring and replacing steps (a replacement deletes first), in the order of a [`Schedule`](crate::plan::Schedule).
    Apply {
        /// Comes back in [`Input::Applied`].
        id: EffectId,
        /// The whole plan; its other steps are not carried out.
        plan: Arc<Plan>,
    },
    /// Carry out the deleting and detaching steps, in the order of [`Deletions`](crate::plan::Deletions).
    Prune {
        /// Comes back in [`Input::Pruned`].
        id: EffectId,
        /// The whole plan; its other steps are not carried out.
        plan: Arc<Plan>,
    },
    /// Read one drifted object, and find out who changed what of it.
    Examine {
        /// Comes back in [`Input::Examined`].
        id: EffectId,
        /// What git declares of the object, to compare the live one with.
        desired: Box<Desired>,
    },
    /// Apply one drifted object.
    Heal {
        /// Comes back in [`Input::Healed`].
        id: EffectId,
        /// With the live object as the examination has seen it.
        step: Box<Step>,
    },
    /// Ask the server what an apply of one object would change.
    Audit {
        /// Comes back in [`Input::Audited`].
        id: EffectId,
        /// What git declares of the object.
        desired: Box<Desired>,
    },
    /// An apply, a prune or a heal that is under way begins no further object and waits for nothing;
    /// its answer comes once what it has begun has ended. No answer of its own.
    Interrupt {
        /// Number of that apply, prune or heal; nothing happens where it has ended.
        id: EffectId,
    },
    /// Report an event to people and metrics. No answer.
    Emit(SyncEvent),
}
