//! What happened. Events are made by `agent`; log and metrics are views of them.
//! No event holds a Secret's value or a URL with credentials.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::object::{Blame, Commit, ObjectId};
use crate::plan::{ApplyResult, Contest, Problem, PruneResult, SyncStatus};

/// The parts of a sync whose time is measured: label `phase` of `driftless_sync_duration_seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    Poll,
    Fetch,
    Render,
    Observe,
    Apply,
    Prune,
    Settle,
    /// From the poll that found the commit to the end, all of the above included.
    Total,
}

impl Work {
    pub const ALL: [Self; 8] =
        [Self::Poll, Self::Fetch, Self::Render, Self::Observe, Self::Apply, Self::Prune, Self::Settle, Self::Total];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Poll => "look",
            Self::Fetch => "fetch",
            Self::Render => "render",
            Self::Observe => "observe",
            Self::Apply => "apply",
            Self::Prune => "prune",
            Self::Settle => "settle",
            Self::Total => "total",
        }
    }
}

/// How polling the remote, or fetching from it, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PollResult {
    Unchanged,
    Fetched,
    Failed,
}

impl PollResult {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Fetched => "fetched",
            Self::Failed => "failed",
        }
    }
}

/// How a cycle ended: label `result` of `driftless_sync_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SyncResult {
    Synced,
    Unhealthy,
    Held,
    Failed,
}

impl SyncResult {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Unhealthy => "unhealthy",
            Self::Held => "held",
            Self::Failed => "failed",
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The remote was asked; `Unchanged` is the quiet case and only logged at debug level.
    Polled {
        sync: Arc<str>,
        result: PollResult,
        commit: Option<String>,
        error: Option<String>,
        retry_in: Option<Duration>,
    },
    /// Work on a commit begins.
    SyncStarted {
        sync: Arc<str>,
        commit: Commit,
    },
    /// What the plan will do, in numbers of objects.
    Planned {
        sync: Arc<str>,
        create: usize,
        configure: usize,
        /// To delete and to create again.
        replace: usize,
        unchanged: usize,
        prune: usize,
        refuse: usize,
    },
    /// Something that git declares is not applied, though the rest of its object is.
    NotApplied {
        sync: Arc<str>,
        note: Problem,
    },
    /// An object was applied or could not be.
    Applied {
        sync: Arc<str>,
        object: ObjectId,
        /// `None` when it does not exist.
        uid: Option<Arc<str>>,
        result: ApplyResult,
        error: Option<Problem>,
        /// The same error was reported of another object of this kind and namespace just before.
        again: bool,
        /// What people have added to it is still there.
        drifted: bool,
    },
    /// A live object was no longer what had been applied.
    DriftDetected {
        sync: Arc<str>,
        object: ObjectId,
        /// `None` when it does not exist.
        uid: Option<Arc<str>>,
        /// What was found, as a clause.
        reason: String,
        blame: Blame,
        healed: bool,
        /// Only the audit found it: its `managedFields` did not show it.
        missed: bool,
    },
    /// What had drifted, and was only reported, is as it should be again.
    DriftGone {
        sync: Arc<str>,
        object: ObjectId,
    },
    /// An object is healed again and again, so each further heal waits longer.
    Contested {
        sync: Arc<str>,
        contest: Contest,
        uid: Option<Arc<str>>,
    },
    /// A contest is over.
    Uncontested {
        sync: Arc<str>,
        object: ObjectId,
        uid: Option<Arc<str>>,
    },
    /// So many objects of the sync are contested now.
    ContestedNow {
        sync: Arc<str>,
        objects: usize,
    },
    /// Drift was undone; the time runs from noticing it.
    DriftHealed {
        sync: Arc<str>,
        object: ObjectId,
        after: Duration,
    },
    Pruned {
        sync: Arc<str>,
        object: ObjectId,
        result: PruneResult,
        detail: Option<String>,
    },
    /// A prune waits for approval.
    PruneHeld {
        sync: Arc<str>,
        commit: String,
        prune: usize,
        total: usize,
        reason: String,
    },
    /// An error of the sync as a whole or of one file of it.
    Problem {
        sync: Arc<str>,
        problem: Problem,
    },
    /// A timed part of the work ended.
    Worked {
        sync: Arc<str>,
        work: Work,
        took: Duration,
    },
    /// A cycle ended. `lag` is the time since the commit was made, given once per commit that got synced.
    SyncEnded {
        sync: Arc<str>,
        result: SyncResult,
        commit: String,
        changed: usize,
        message: String,
        lag: Option<Duration>,
        retry_in: Option<Duration>,
        /// The cycle before ended the same way, for the same commit.
        again: bool,
    },
    /// Where the sync stands now; feeds the gauges and `/status`, and is not logged.
    Status {
        status: Arc<SyncStatus>,
        commit_time: Option<Timestamp>,
    },
    Suspended {
        sync: Arc<str>,
        by: &'static str,
    },
    Resumed {
        sync: Arc<str>,
    },
    /// The sync left the configuration: its gauges and its status are forgotten.
    SyncForgotten {
        sync: Arc<str>,
    },
    /// Whether this agent writes, or stands by for the one that does; `why` is a sentence.
    Leadership {
        leads: bool,
        /// Who leads, where that is known; without an election nobody is named.
        holder: Option<Arc<str>>,
        why: String,
    },
    /// The agent does not lead, and so writes nothing for this sync: what it reported before is outdated.
    /// With a commit (40 digits), that one is fetched, rendered, and its objects are watched.
    StandingBy {
        sync: Arc<str>,
        commit: Option<String>,
    },
    /// Files were turned into manifests, or could not be: counted for each time that the last rendering did not still
    /// hold. `renderer` is the label of a metric.
    Rendered {
        sync: Arc<str>,
        renderer: &'static str,
        succeeded: bool,
    },
    /// What a renderer or a chart has to say of a rendering that succeeded.
    RenderWarning {
        sync: Arc<str>,
        message: String,
    },
    ConfigLoaded {
        syncs: usize,
        reloaded: bool,
    },
    /// A changed file was refused; the running configuration stays.
    ConfigRejected {
        error: String,
    },
    /// Kubernetes Events of a sync were not written, for a reason that is said once for all.
    EventsDropped {
        sync: Arc<str>,
        events: usize,
        why: String,
    },
    /// Something about the agent itself.
    Note {
        message: String,
    },
    /// Something that a person should know before it is trouble.
    Warning {
        message: String,
    },
    /// A task ended that never should have, or a part of the agent cannot do its work.
    Trouble {
        message: String,
    },
}
