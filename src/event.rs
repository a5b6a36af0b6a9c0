//! What happened: emitted by the loop of a sync and by whoever carries out what it asks for, and received as it is by log,
//! metrics, traces, status pages and Kubernetes Events. No event holds a Secret's value or a URL with credentials.

use std::sync::Arc;
use std::time::Duration;

use crate::object::{Commit, ObjectId};
use crate::plan::{ApplyResult, Contest, Drift, Held, Plan, Problem, PruneResult, SyncStatus, Verb};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// In the work on one sync, by its name as configured.
    Sync(Arc<str>, SyncEvent),
    /// Whether this agent writes, or stands by for the one that does; `why` is a sentence.
    Leadership {
        /// Whether it writes; also `true` without an election.
        leads: bool,
        /// Who leads, where that is known; without an election nobody is named.
        holder: Option<Arc<str>>,
        /// The sentence, as it is logged.
        why: String,
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

impl Event {
    /// Returns an event of the sync of this name.
    #[must_use]
    pub fn of(sync: &Arc<str>, event: SyncEvent) -> Self {
        Self::Sync(Arc::clone(sync), event)
    }
}

/// One thing that happened in the work on one sync.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SyncEvent {
    /// The remote was asked; `Unchanged` is the quiet case and only logged at debug level. When it failed, the last good
    /// commit stays enforced.
    Polled {
        /// `Unchanged` or `Failed` for a poll, `Fetched` or `Failed` for a fetch.
        result: PollResult,
        /// 40 hexadecimal digits; `None` when it failed.
        commit: Option<String>,
        /// Why it failed, without credentials; `None` when it succeeded.
        error: Option<String>,
        /// Delay until the next poll, after one that failed; `None` otherwise.
        retry_in: Option<Duration>,
    },
    /// A commit that was just rendered is taken up.
    Started {
        /// The commit that is to be enforced.
        commit: Commit,
    },
    /// A cycle has decided on steps that change the cluster, in numbers of objects; they are not carried out yet. Drifted
    /// objects count as unchanged, since the heal queue applies them.
    Planned {
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
        /// Object, its place in git and what of it is not applied.
        note: Problem,
    },
    /// An object was applied or could not be.
    Applied {
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
    /// A live object was no longer what had been applied: once for each way in which it drifted.
    DriftDetected {
        /// What was found, who changed it, and whether it was undone; where it was not, it is only reported, or the heal
        /// failed.
        drift: Drift,
        /// UID of the object as it is now; `None` when it does not exist.
        uid: Option<Arc<str>>,
        /// Only the audit found it: its `managedFields` did not show it.
        missed: bool,
    },
    /// What had drifted, and was only reported, is as it should be again.
    DriftGone {
        /// Object whose drift had been reported.
        object: ObjectId,
    },
    /// An object is healed again and again, so each further heal waits longer.
    Contested {
        /// Object, its rivals, and the fields that all of them write.
        contest: Contest,
        /// UID of the object as of its last heal; `None` when none is known to exist.
        uid: Option<Arc<str>>,
    },
    /// A contest is over.
    Uncontested {
        /// Object that was contested.
        object: ObjectId,
        /// UID of the object as of its last heal; `None` when none was known to exist.
        uid: Option<Arc<str>>,
    },
    /// So many objects of the sync are contested now.
    ContestedNow {
        /// Number of objects, without bound; 0 when no contest is left. The status lists the first of them.
        objects: usize,
    },
    /// An apply has put a drifted object back, or removed what others had added to it.
    DriftHealed {
        /// Object that was healed.
        object: ObjectId,
        /// Time from noticing the drift to the API server's answer; for what the apply of a commit removed, since its
        /// cycle began.
        after: Duration,
    },
    /// An orphan was deleted, detached or kept, or could not be deleted.
    Pruned {
        /// Orphan that the result is about.
        object: ObjectId,
        /// What became of it.
        result: PruneResult,
        /// Why it was kept or could not be deleted, or what its deletion waits for, as a clause; else `None`.
        detail: Option<String>,
    },
    /// A prune or replacement waits for an approval; said again when what is held changes.
    PruneHeld(Held),
    /// An error of the sync as a whole or of one file of it, with the object and its place in git where these are known.
    Problem(Problem),
    /// A timed part of the work ended.
    Took {
        /// Part that ended.
        part: Part,
        /// Its duration, by a monotonic clock.
        took: Duration,
    },
    /// A cycle ended with an outcome; it has none while objects are still waited for.
    Ended(Ended),
    /// Where the sync stands now, each time that this is set; feeds the gauges and `/status`, and is not logged.
    Status(Arc<SyncStatus>),
    /// The sync is suspended, and nothing of it that writes is under way any more.
    Suspended {
        /// What suspended it: `the configuration` or `driftless suspend`.
        by: &'static str,
    },
    /// The suspension has ended; git is polled before anything is written.
    Resumed,
    /// The sync left the configuration: its gauges and its status are forgotten.
    Forgotten,
    /// The agent does not lead, and so writes nothing for this sync: what it reported before is outdated.
    /// With a commit, that one is fetched, rendered, and its objects are watched.
    StandingBy {
        /// The commit that this agent is ready to take over; `None` where it begins to stand by.
        commit: Option<Commit>,
    },
    /// Files were turned into manifests, or could not be: counted for each time that the last rendering did not still
    /// hold. `renderer` is the label of a metric.
    Rendered {
        /// `plain`, `kustomize` or `helm`; `auto` where the rendering failed before one was chosen.
        renderer: &'static str,
        /// `false` as well where single files or documents have errors.
        succeeded: bool,
    },
    /// What a renderer or a chart has to say of a rendering that succeeded.
    RenderWarning {
        /// Text of the warning, as it is logged.
        message: String,
    },
    /// Kubernetes Events of a sync were not written, for a reason that is said once for all.
    EventsDropped {
        /// Number of Kubernetes Events since this was last reported.
        events: usize,
        /// Why the first of them was not written.
        why: String,
    },
}

impl SyncEvent {
    /// Returns [`SyncEvent::Planned`] with the numbers of a plan.
    #[must_use]
    pub fn planned(plan: &Plan) -> Self {
        Self::Planned {
            create: plan.count(Verb::Create),
            configure: plan.count(Verb::Configure),
            replace: plan.count(Verb::Replace),
            unchanged: plan.count(Verb::Unchanged),
            prune: plan.count(Verb::Prune),
            refuse: plan.count(Verb::Refuse),
        }
    }
}

/// The end of a cycle.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ended {
    /// How it ended.
    pub outcome: Outcome,
    /// The commit that it was about; its id is empty where no poll has found one yet.
    pub commit: Commit,
    /// Objects that were created, configured, replaced, deleted or detached.
    pub changed: usize,
    /// Message of the status: one sentence for people.
    pub message: String,
    /// From the commit's time until now, once for a commit that got synced; `None` in all other cycles.
    pub lag: Option<Duration>,
    /// Delay until the retry; `None` unless it failed.
    pub retry_in: Option<Duration>,
    /// The cycle before ended the same way, for the same commit.
    pub again: bool,
}

/// The parts of a sync whose time is measured: label `phase` of `driftless_sync_duration_seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
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

impl Part {
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
pub enum Outcome {
    /// The cluster equals the commit, and its objects are healthy where `wait` asks for that.
    Synced,
    /// All is applied, and some object did not become healthy within `timeout`.
    Unhealthy,
    /// All else is done; a prune or a replacement waits for approval.
    Held,
    /// Something could not be read, rendered, applied or pruned; it is tried again.
    Failed,
}

impl Outcome {
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
