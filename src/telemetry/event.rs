//! What happened. Events are made by `agent`; log and metrics are views of them.
//! No event holds a Secret's value or a URL with credentials.

use std::sync::Arc;
use std::time::Duration;

use crate::object::{Blame, Commit, ObjectId};
use crate::plan::{ApplyResult, Contest, Problem, PruneResult, SyncStatus};

/// The parts of a sync whose time is measured: label `phase` of `driftless_sync_duration_seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// Poll of the git server: which commit the reference is at. Its label is `look`.
    Poll,
    /// Getting the files of a commit into the clone, unless it has them.
    Fetch,
    /// Making manifests of the files, or finding that the last rendering still holds.
    Render,
    /// Reading the live objects, from the watches or by requests.
    Observe,
    /// Applying the objects of a plan.
    Apply,
    /// Pruning the orphans of a plan.
    Prune,
    /// From the end of applying until all objects are healthy.
    Settle,
    /// From the poll that found the commit to the end, all of the above included.
    Total,
}

impl Work {
    /// Every part once, in the order of the variants.
    pub const ALL: [Self; 8] =
        [Self::Poll, Self::Fetch, Self::Render, Self::Observe, Self::Apply, Self::Prune, Self::Settle, Self::Total];

    /// Returns the value of the label `phase`.
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
    /// The poll found the commit that was known already.
    Unchanged,
    /// The clone has the files of the commit.
    Fetched,
    /// The poll or the fetch failed.
    Failed,
}

impl PollResult {
    /// Returns the value of the label `result` of `driftless_git_fetch_total`.
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
    /// The cluster equals the commit, and its objects are healthy where `wait` asks for that.
    Synced,
    /// All is applied, and some object did not become healthy within `timeout`.
    Unhealthy,
    /// All else is done; a prune or a replacement waits for approval.
    Held,
    /// Something could not be read, rendered, applied or pruned; it is tried again.
    Failed,
}

impl SyncResult {
    /// Returns the value of the label `result`.
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
        /// Name of the sync, as configured.
        sync: Arc<str>,
        /// `Unchanged` or `Failed` for a poll, `Fetched` or `Failed` for a fetch.
        result: PollResult,
        /// 40 hexadecimal digits; `None` when it failed.
        commit: Option<String>,
        /// Why it failed, without credentials; `None` when it succeeded.
        error: Option<String>,
        /// Delay until the next poll, after one that failed; `None` otherwise.
        retry_in: Option<Duration>,
    },
    /// Work on a commit begins.
    SyncStarted {
        /// Name of the sync, as configured.
        sync: Arc<str>,
        /// Commit that is worked on.
        commit: Commit,
    },
    /// What the plan will do, in numbers of objects.
    Planned {
        /// Name of the sync, as configured.
        sync: Arc<str>,
        /// Objects to create.
        create: usize,
        /// Objects to change in place, those to adopt included.
        configure: usize,
        /// To delete and to create again.
        replace: usize,
        /// Objects that need no request.
        unchanged: usize,
        /// Orphans to delete.
        prune: usize,
        /// Objects that are not touched, each of them an error.
        refuse: usize,
    },
    /// Something that git declares is not applied, though the rest of its object is.
    NotApplied {
        /// Name of the sync, as configured.
        sync: Arc<str>,
        /// Object, its place in git and what of it is not applied.
        note: Problem,
    },
    /// An object was applied or could not be.
    Applied {
        /// Name of the sync, as configured.
        sync: Arc<str>,
        /// Object that the result is about.
        object: ObjectId,
        /// `None` when it does not exist.
        uid: Option<Arc<str>>,
        /// What the apply did.
        result: ApplyResult,
        /// Why it failed or was skipped; `None` where it succeeded.
        error: Option<Problem>,
        /// The same error was reported of another object of this kind and namespace just before.
        again: bool,
        /// What people have added to it is still there.
        drifted: bool,
    },
    /// A live object was no longer what had been applied.
    DriftDetected {
        /// Name of the sync, as configured.
        sync: Arc<str>,
        /// Object that drifted.
        object: ObjectId,
        /// `None` when it does not exist.
        uid: Option<Arc<str>>,
        /// What was found, as a clause.
        reason: String,
        /// Who changed it and in which fields, as far as that is known.
        blame: Blame,
        /// Whether it was undone; `false` where it is only reported, or the heal failed.
        healed: bool,
        /// Only the audit found it: its `managedFields` did not show it.
        missed: bool,
    },
    /// What had drifted, and was only reported, is as it should be again.
    DriftGone {
        /// Name of the sync, as configured.
        sync: Arc<str>,
        /// Object whose drift had been reported.
        object: ObjectId,
    },
    /// An object is healed again and again, so each further heal waits longer.
    Contested {
        /// Name of the sync, as configured.
        sync: Arc<str>,
        /// Object, its rivals, and the fields that all of them write.
        contest: Contest,
        /// UID of the object as of its last heal; `None` when none is known to exist.
        uid: Option<Arc<str>>,
    },
    /// A contest is over.
    Uncontested {
        /// Name of the sync, as configured.
        sync: Arc<str>,
        /// Object that was contested.
        object: ObjectId,
        /// UID of the object as of its last heal; `None` when none was known to exist.
        uid: Option<Arc<str>>,
    },
    /// So many objects of the sync are contested now.
    ContestedNow {
        /// Name of the sync, as configured.
        sync: Arc<str>,
        /// Number of objects; 0 when no contest is left.
        objects: usize,
    },
    /// Drift was undone; the time runs from noticing it.
    DriftHealed {
        /// Name of the sync, as configured.
        sync: Arc<str>,
        /// Object that was healed.
        object: ObjectId,
        /// Time from noticing the drift to the API server's answer.
        after: Duration,
    },
    /// An orphan was deleted, detached or kept, or could not be deleted.
    Pruned {
        /// Name of the sync, as configured.
        sync: Arc<str>,
        /// Orphan that the result is about.
        object: ObjectId,
        /// What became of it.
        result: PruneResult,
        /// Why it was kept or could not be deleted, or what its deletion waits for, as a clause; else `None`.
        detail: Option<String>,
    },
    /// A prune waits for approval.
    PruneHeld {
        /// Name of the sync, as configured.
        sync: Arc<str>,
        /// Commit to approve: 40 hexadecimal digits.
        commit: String,
        /// Objects that would be deleted, those to be created again included.
        prune: usize,
        /// Objects of the sync, as [`Held::total`](crate::plan::Held::total) counts them.
        total: usize,
        /// Why it is held, with the figures, as a clause.
        reason: String,
    },
    /// An error of the sync as a whole or of one file of it.
    Problem {
        /// Name of the sync, as configured.
        sync: Arc<str>,
        /// What is wrong, with the object and its place in git where these are known.
        problem: Problem,
    },
    /// A timed part of the work ended.
    Worked {
        /// Name of the sync, as configured.
        sync: Arc<str>,
        /// Part that ended.
        work: Work,
        /// Its duration, by a monotonic clock.
        took: Duration,
    },
    /// A cycle ended. `lag` is the time since the commit was made, given once per commit that got synced.
    SyncEnded {
        /// Name of the sync, as configured.
        sync: Arc<str>,
        /// Outcome of the cycle.
        result: SyncResult,
        /// First 12 digits of the commit; empty where none is known.
        commit: String,
        /// Objects that were created, configured, replaced or deleted.
        changed: usize,
        /// Message of the status, for people.
        message: String,
        /// By the committer time; `None` in all other cycles.
        lag: Option<Duration>,
        /// Delay until the next try after a failure; `None` otherwise.
        retry_in: Option<Duration>,
        /// The cycle before ended the same way, for the same commit.
        again: bool,
    },
    /// Where the sync stands now; feeds the gauges and `/status`, and is not logged.
    Status {
        /// Everything that `/status` shows of the sync.
        status: Arc<SyncStatus>,
    },
    /// The sync was suspended, and nothing of it is under way any more.
    Suspended {
        /// Name of the sync, as configured.
        sync: Arc<str>,
        /// What suspended it: `the configuration` or `driftless suspend`.
        by: &'static str,
    },
    /// The suspension has ended; git is polled before anything is written.
    Resumed {
        /// Name of the sync, as configured.
        sync: Arc<str>,
    },
    /// The sync left the configuration: its gauges and its status are forgotten.
    SyncForgotten {
        /// Name of the sync, as configured.
        sync: Arc<str>,
    },
    /// Whether this agent writes, or stands by for the one that does; `why` is a sentence.
    Leadership {
        /// Whether it writes; also `true` without an election.
        leads: bool,
        /// Who leads, where that is known; without an election nobody is named.
        holder: Option<Arc<str>>,
        /// The sentence, as it is logged.
        why: String,
    },
    /// The agent does not lead, and so writes nothing for this sync: what it reported before is outdated.
    /// With a commit (40 digits), that one is fetched, rendered, and its objects are watched.
    StandingBy {
        /// Name of the sync, as configured.
        sync: Arc<str>,
        /// The commit that this agent is ready to take over; `None` where it begins to stand by.
        commit: Option<String>,
    },
    /// Files were turned into manifests, or could not be: counted for each time that the last rendering did not still
    /// hold. `renderer` is the label of a metric.
    Rendered {
        /// Name of the sync, as configured.
        sync: Arc<str>,
        /// `plain`, `kustomize` or `helm`; `auto` where the rendering failed before one was chosen.
        renderer: &'static str,
        /// `false` as well where single files or documents have errors.
        succeeded: bool,
    },
    /// What a renderer or a chart has to say of a rendering that succeeded.
    RenderWarning {
        /// Name of the sync, as configured.
        sync: Arc<str>,
        /// Text of the warning, as it is logged.
        message: String,
    },
    /// A configuration was adopted: at the start, or after a change of the file.
    ConfigLoaded {
        /// Number of syncs in it.
        syncs: usize,
        /// Whether an earlier configuration was running: `false` at the start.
        reloaded: bool,
    },
    /// A changed file was refused; the running configuration stays.
    ConfigRejected {
        /// What is wrong with the file, one problem a line; without credentials.
        error: String,
    },
    /// Kubernetes Events of a sync were not written, for a reason that is said once for all.
    EventsDropped {
        /// Name of the sync, as configured.
        sync: Arc<str>,
        /// Number of Kubernetes Events since this was last reported.
        events: usize,
        /// Why the first of them was not written.
        why: String,
    },
    /// Something about the agent itself.
    Note {
        /// The whole text of the log line.
        message: String,
    },
    /// Something that a person should know before it is trouble.
    Warning {
        /// The whole text of the log line.
        message: String,
    },
    /// A task ended that never should have, or a part of the agent cannot do its work.
    Trouble {
        /// The whole text of the log line.
        message: String,
    },
}
