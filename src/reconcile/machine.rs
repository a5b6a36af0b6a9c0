//! The machine itself: its state, and which part of it takes in which input.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::config::SyncConfig;
use crate::object::{Health, ObjectId};
use crate::plan::{Held, Inventory, Provenance, Replaceables, SyncStatus};

use super::audit::Audit;
use super::backoff::Backoff;
use super::basis::Standing;
use super::cycle::Cycle;
use super::lane::Lane;
use super::news::Look;
use super::settling::Settling;
use super::stored::Stored;
use super::view::View;
use super::{Effect, EffectId, Input, Marks, Moment, Outcome, RenderedCommit};

/// What the work lane is doing. Looking at the remote goes on beside it.
#[derive(Debug)]
pub(super) enum Work {
    Idle,
    Rendering {
        id: EffectId,
        commit: String,
        began: Duration,
        /// See [`Standing::epoch`].
        epoch: u64,
    },
    Observing {
        id: EffectId,
        cycle: Cycle,
    },
    /// Objects that drifted are healed before anything else of the cycle is done.
    Healing {
        cycle: Cycle,
    },
    /// The parent is written before the first write to the cluster.
    Announcing {
        id: EffectId,
        cycle: Cycle,
    },
    Applying {
        id: EffectId,
        cycle: Cycle,
    },
    Pruning {
        id: EffectId,
        cycle: Cycle,
    },
    /// The parent is written at the end.
    Recording {
        id: EffectId,
        cycle: Cycle,
    },
    /// The parent is written for what changed between cycles.
    Flushing {
        id: EffectId,
    },
}

impl Work {
    /// Whether the cycle is going to write this object, or is doing so.
    pub fn writes(&self, id: &ObjectId) -> bool {
        match self {
            Self::Healing { cycle }
            | Self::Announcing { cycle, .. }
            | Self::Applying { cycle, .. }
            | Self::Pruning { cycle, .. } => cycle.writes.contains(id),
            Self::Idle
            | Self::Rendering { .. }
            | Self::Observing { .. }
            | Self::Recording { .. }
            | Self::Flushing { .. } => false,
        }
    }

    /// The cycle that waits for drifted objects.
    pub fn healing(&mut self) -> Option<&mut Cycle> {
        match self {
            Self::Healing { cycle } => Some(cycle),
            _ => None,
        }
    }
}

/// The loop of one sync.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "they have nothing to do with each other")]
pub struct Machine {
    pub(super) config: Arc<SyncConfig>,
    pub(super) set_id: String,
    pub(super) allow_prune: bool,
    /// Whether it may write. A follower looks, renders and observes, and decides nothing.
    pub(super) leads: bool,
    pub(super) next_id: EffectId,
    pub(super) work: Work,
    /// Which decisions may be carried out.
    pub(super) standing: Standing,
    pub(super) look: Option<Look>,
    pub(super) next_look: Duration,
    /// When to go through the cluster again without a new commit; `None`: with the next look.
    pub(super) next_cycle: Option<Duration>,
    pub(super) look_error: Option<String>,
    /// The commit that could not be rendered, and why.
    pub(super) render_error: Option<(String, String)>,
    pub(super) look_backoff: Backoff,
    pub(super) backoff: Backoff,
    /// Commits that were gone when they were to be fetched, one after the other.
    pub(super) gone: u32,
    pub(super) gone_backoff: Backoff,
    /// The newest commit that a look found.
    pub(super) head: Option<String>,
    /// What was the head before the sync began anew.
    pub(super) before: Option<String>,
    /// Commits that were the head before.
    pub(super) left: VecDeque<String>,
    /// One of them that the last look found again.
    pub(super) returning: Option<String>,
    pub(super) rendered: Option<Arc<RenderedCommit>>,
    /// A commit that is rendered already, should git say that it is the one to enforce.
    pub(super) prepared: Option<Arc<RenderedCommit>>,
    pub(super) inventory: Inventory,
    pub(super) stored: Option<Stored>,
    /// What the parent says is held, as of the last write that succeeded: what people can see.
    pub(super) shown: Option<Held>,
    pub(super) marks: Marks,
    pub(super) waiting_for: Vec<String>,
    pub(super) status: Arc<SyncStatus>,
    /// What is waited for to become healthy.
    pub(super) settling: Settling,
    pub(super) settle_polls: u32,
    /// What git declares as of the newest observation.
    pub(super) view: View,
    /// Where single objects are healed.
    pub(super) lane: Lane,
    pub(super) audit: Audit,
    /// Jobs that were seen to be deleted before they had ended.
    pub(super) cut: BTreeSet<ObjectId>,
    /// What the API server does not let be changed in place, and would let be created again: what the
    /// next plan is to know.
    pub(super) replaceable: Replaceables,
    /// Managers of which it is said that they are on neither list.
    pub(super) unknown: BTreeSet<Arc<str>>,
    /// Declared objects that are not healthy.
    pub(super) ill: BTreeMap<ObjectId, Health>,
    /// When something that is being deleted ceases to hold back the deletion of others.
    pub(super) overdue_at: Option<Duration>,
    /// News ask for a cycle.
    pub(super) stirred: bool,
    /// When the last cycle ended.
    pub(super) last_end: Option<Duration>,
    /// When the last cycle ended that went through everything.
    pub(super) last_whole: Option<Duration>,
    /// The delay before the retry, when that cycle failed.
    pub(super) retry_in: Option<Duration>,
    /// When to store what only informs, and when that was done last.
    pub(super) flush: Option<Duration>,
    pub(super) last_flush: Option<Duration>,
    /// A person asked for a cycle; one that is under way does not count, since it may have looked before.
    pub(super) asked: bool,
    /// People were told that it is suspended.
    pub(super) told_suspended: bool,
    /// How the last cycle ended, as it was told.
    pub(super) last: Option<(Outcome, String)>,
    pub(super) effects: Vec<Effect>,
}

impl Machine {
    /// A machine that knows what the parent holds. `stored` is `None` when there is no parent yet.
    #[must_use]
    pub fn new(
        config: Arc<SyncConfig>,
        set_id: String,
        stored: Option<(Inventory, SyncStatus)>,
        marks: Marks,
        now: Moment,
        seed: u64,
    ) -> Self {
        let (inventory, status) = stored.clone().unwrap_or_default();
        let status = identified(status, &config);
        let mut machine = Self {
            set_id,
            allow_prune: false,
            leads: true,
            next_id: 0,
            work: Work::Idle,
            standing: Standing::new(),
            look: None,
            next_look: now.mono,
            next_cycle: None,
            look_error: None,
            render_error: None,
            look_backoff: Backoff::new(seed),
            backoff: Backoff::new(seed.rotate_left(17)),
            gone: 0,
            gone_backoff: Backoff::new(seed.rotate_left(43)),
            head: None,
            before: None,
            left: status.former.iter().cloned().collect(),
            returning: None,
            rendered: None,
            prepared: None,
            inventory,
            shown: stored.as_ref().and_then(|(_, status)| status.held.clone()),
            stored: stored.map(|(inventory, status)| (inventory, Arc::new(status))),
            marks,
            waiting_for: Vec::new(),
            status: Arc::new(status),
            settling: Settling::default(),
            settle_polls: 0,
            view: View::default(),
            lane: Lane::new(seed.rotate_left(31)),
            audit: Audit::new(config.audit),
            cut: BTreeSet::new(),
            replaceable: Replaceables::new(),
            unknown: BTreeSet::new(),
            ill: BTreeMap::new(),
            overdue_at: None,
            stirred: false,
            last_end: None,
            last_whole: None,
            retry_in: None,
            flush: None,
            last_flush: None,
            asked: false,
            told_suspended: false,
            last: None,
            effects: Vec::new(),
            config,
        };
        machine.take_approval();
        machine
    }

    /// Lets every commit prune, as `--allow-prune` says.
    #[must_use]
    pub fn allowing_prune(mut self, allow: bool) -> Self {
        self.allow_prune = allow;
        self
    }

    /// One that stands by until [`Input::Leads`].
    #[must_use]
    pub fn following(mut self) -> Self {
        self.leads = false;
        self
    }

    #[must_use]
    pub fn leads(&self) -> bool {
        self.leads
    }

    #[must_use]
    pub fn status(&self) -> Arc<SyncStatus> {
        Arc::clone(&self.status)
    }

    #[must_use]
    pub fn config(&self) -> &Arc<SyncConfig> {
        &self.config
    }

    /// What the newest rendered commit declares, for other syncs to know.
    #[must_use]
    pub fn rendered(&self) -> Option<&Arc<RenderedCommit>> {
        self.rendered.as_ref()
    }

    /// Whether nothing is under way: no effect was asked for that was not answered.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.work, Work::Idle)
            && self.look.is_none()
            && self.lane.running.is_empty()
            && !self.audit.is_running()
    }

    /// When to send the next [`Input::Tick`]; `None`: only something else can make a difference.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let idle = matches!(self.work, Work::Idle);
        let flush = self.flush.filter(|_| idle && self.leads);
        if self.standing.stopping {
            return None;
        }
        if self.is_suspended() {
            return flush;
        }
        let look = self.next_look();
        let cycle = self.next_cycle.filter(|_| idle && !self.standing.awaits_poll());
        let overdue = self.overdue_at.filter(|_| idle && !self.standing.awaits_poll());
        let audit = self.audit.next().filter(|_| self.view.len() > 0 && self.basis_of_heals().is_some());
        [look, cycle, flush, overdue, self.lane.next(), audit].into_iter().flatten().min()
    }

    /// Takes in what was learned and says what is to be done.
    pub fn step(&mut self, input: Input, now: Moment) -> Vec<Effect> {
        match input {
            Input::Tick => {}
            Input::Looked { id, result, watched } => self.looked(id, result, watched, now),
            Input::Rendered { id, result } => self.rendered_commit(id, result, now),
            Input::Observed { id, result } => self.observed(id, result, now),
            Input::ParentWritten { id, result } => self.parent_written(id, result, now),
            Input::Applied { id, outcomes } => self.applied(id, outcomes, now),
            Input::AppliedOne { id, outcome } => self.applied_one(id, &outcome, now),
            Input::Changed(changes) => self.changed(changes, now),
            Input::Examined { id, result } => self.examined(id, result, now),
            Input::Healed { id, outcome } => self.healed(id, outcome, now),
            Input::Audited { id, result } => self.audited(id, &result, now),
            Input::Pruned { id, outcomes } => self.pruned(id, outcomes, now),
            Input::Marks(marks) => self.marked(marks, now),
            Input::ParentMissing => self.parent_missing(now),
            Input::StoreNow => self.store_now(now),
            Input::Stop => self.stop(),
            Input::Leads { stored, marks } => self.lead(stored.map(|stored| *stored), marks, now),
            Input::WaitingFor(syncs) => {
                let freed = !self.waiting_for.is_empty() && syncs.is_empty();
                self.waiting_for = syncs;
                if freed {
                    self.next_cycle = Some(now.mono);
                }
            }
        }
        self.proceed(now);
        std::mem::take(&mut self.effects)
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.config.suspend || self.marks.suspended
    }

    pub(super) fn number(&mut self) -> EffectId {
        self.next_id += 1;
        self.next_id
    }

    /// Starts whatever is due.
    fn proceed(&mut self, now: Moment) {
        self.let_go(now);
        if self.standing.stopping {
            return self.finish(now);
        }
        if !self.leads {
            return self.stand_by(now);
        }
        if self.is_suspended() {
            self.lane.clear();
            self.tell_suspended();
            return self.flush_when_due(now);
        }
        self.look_when_due(now);
        self.heal(now);
        self.audit(now);
        if matches!(self.work, Work::Idle) && std::mem::take(&mut self.asked) {
            self.next_cycle = Some(now.mono);
        }
        self.stir_when_overdue(now);
        if matches!(self.work, Work::Idle) && std::mem::take(&mut self.stirred) {
            let at = self.stirred_at(now);
            self.next_cycle = Some(self.next_cycle.map_or(at, |known| known.min(at)));
        }
        let due = self.next_cycle.is_some_and(|due| now.mono >= due) && !self.standing.awaits_poll();
        if matches!(self.work, Work::Idle) && due {
            self.next_cycle = None;
            self.begin(now);
        }
        self.flush_when_due(now);
    }

    /// The newest commit waits for the syncs that this one depends on.
    pub(super) fn is_waiting(&self) -> bool {
        let synced = self.status.synced.as_ref().map(|commit| &commit.id);
        !self.waiting_for.is_empty() && synced != self.head.as_ref()
    }
}

/// A status of this sync, whatever the stored one said of source and path.
pub(super) fn identified(status: SyncStatus, config: &SyncConfig) -> SyncStatus {
    SyncStatus {
        sync: config.name.to_string(),
        url: config.source.display_url(),
        reference: config.source.reference.to_string(),
        path: config.path.to_string(),
        shortened: None,
        provenance: Provenance::stored(&status),
        ..status
    }
}
