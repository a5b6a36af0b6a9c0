//! The machine itself: its state, and which part of it takes in which input.

use std::sync::Arc;
use std::time::Duration;

use crate::config::SyncConfig;
use crate::object::ObjectId;
use crate::plan::{Inventory, Provenance, SyncStatus};

use super::basis::Standing;
use super::cycle::Cycle;
use super::state::{DriftState, GitState, HealthState, Report, Schedule, Store};
use super::view::View;
use super::{Effect, EffectId, Input, Moment, RenderedCommit, UserRequests};

/// What the cycle is doing. Polls go on beside it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    /// The parent is written with an approval that has begun, before the first deletion by it.
    Approving {
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
            | Self::Approving { cycle, .. }
            | Self::Pruning { cycle, .. } => cycle.writes.contains(id),
            Self::Idle
            | Self::Rendering { .. }
            | Self::Observing { .. }
            | Self::Recording { .. }
            | Self::Flushing { .. } => false,
        }
    }

    /// The number of the effect that it waits for.
    pub fn number(&self) -> Option<EffectId> {
        match self {
            Self::Idle | Self::Healing { .. } => None,
            Self::Rendering { id, .. }
            | Self::Observing { id, .. }
            | Self::Announcing { id, .. }
            | Self::Applying { id, .. }
            | Self::Approving { id, .. }
            | Self::Pruning { id, .. }
            | Self::Recording { id, .. }
            | Self::Flushing { id } => Some(*id),
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "they have nothing to do with each other")]
pub struct Machine {
    pub(super) config: Arc<SyncConfig>,
    pub(super) set_id: String,
    pub(super) allow_prune: bool,
    /// Whether it may write. A follower polls, renders and observes, and decides nothing.
    pub(super) leads: bool,
    pub(super) next_id: EffectId,
    pub(super) work: Work,
    /// Which decisions may be carried out.
    pub(super) standing: Standing,
    /// What is known of git.
    pub(super) git: GitState,
    /// When the next cycle comes.
    pub(super) schedule: Schedule,
    /// What is stored in the parent, and what is still to be.
    pub(super) store: Store,
    /// What people are shown.
    pub(super) report: Report,
    pub(super) requests: UserRequests,
    /// What git declares as of the newest observation.
    pub(super) view: View,
    /// Drifted objects, and what was learned of single ones.
    pub(super) drift: DriftState,
    pub(super) health: HealthState,
    pub(super) effects: Vec<Effect>,
}

impl Machine {
    /// A machine that knows what the parent holds. `stored` is `None` when there is no parent yet.
    #[must_use]
    pub fn new(
        config: Arc<SyncConfig>,
        set_id: String,
        stored: Option<(Inventory, SyncStatus)>,
        requests: UserRequests,
        now: Moment,
    ) -> Self {
        let status = stored.as_ref().map(|(_, status)| status.clone()).unwrap_or_default();
        let status = identified(status, &config);
        let mut machine = Self {
            set_id,
            allow_prune: false,
            leads: true,
            next_id: 0,
            work: Work::Idle,
            standing: Standing::new(),
            git: GitState::new(status.former.iter().cloned().collect(), now.mono),
            schedule: Schedule::default(),
            store: Store::new(stored),
            drift: DriftState::new(config.audit, &status),
            report: Report::new(status),
            requests,
            view: View::default(),
            health: HealthState::default(),
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

    /// Whether it may write; `false` for a follower until [`Input::Leads`].
    #[must_use]
    pub fn leads(&self) -> bool {
        self.leads
    }

    /// The newest status; at first the stored one, with source and path of the configuration.
    #[must_use]
    pub fn status(&self) -> Arc<SyncStatus> {
        Arc::clone(&self.report.status)
    }

    /// The configuration that it was made with; it never changes.
    #[must_use]
    pub fn config(&self) -> &Arc<SyncConfig> {
        &self.config
    }

    /// What the newest rendered commit declares, for other syncs to know.
    #[must_use]
    pub fn rendered(&self) -> Option<&Arc<RenderedCommit>> {
        self.git.rendered.as_ref()
    }

    /// Whether nothing is under way: no effect was asked for that was not answered.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.work, Work::Idle)
            && self.git.poll.is_none()
            && self.drift.heal_queue.running.is_empty()
            && !self.drift.audit.is_running()
    }

    /// When to send the next [`Input::Tick`]; `None`: only something else can make a difference.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let idle = matches!(self.work, Work::Idle);
        let flush = self.store.due.filter(|_| idle && self.leads);
        if self.standing.stopping {
            return None;
        }
        if self.is_suspended() {
            return flush;
        }
        let poll = self.next_poll();
        let cycle = self.schedule.next_cycle.filter(|_| idle && !self.standing.awaits_poll());
        let overdue = self.schedule.overdue_at.filter(|_| idle && !self.standing.awaits_poll());
        let audit = self.drift.audit.next().filter(|_| self.view.len() > 0 && self.basis_of_heals().is_some());
        [poll, cycle, flush, overdue, self.drift.heal_queue.next(), audit].into_iter().flatten().min()
    }

    /// Takes in what was learned and says what is to be done.
    pub fn step(&mut self, input: Input, now: Moment) -> Vec<Effect> {
        match input {
            Input::Tick => {}
            Input::Polled { id, result, watched } => self.polled(id, result, watched, now),
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
            Input::UserRequests(requests) => self.requested(requests, now),
            Input::ParentMissing => self.parent_missing(now),
            Input::RenderInputsChanged => self.render_inputs_changed(now),
            Input::CredentialsChanged => self.credentials_changed(now),
            Input::Hinted => self.hinted(now),
            Input::StoreNow => self.store_now(now),
            Input::Stop => self.stop(),
            Input::Leads { stored, requests } => self.lead(stored.map(|stored| *stored), requests, now),
            Input::WaitingFor(syncs) => {
                let freed = !self.report.waiting_for.is_empty() && syncs.is_empty();
                self.report.waiting_for = syncs;
                if freed {
                    self.schedule.next_cycle = Some(now.mono);
                }
            }
        }
        self.proceed(now);
        std::mem::take(&mut self.effects)
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.config.suspend || self.requests.suspended
    }

    pub(super) fn number(&mut self) -> EffectId {
        self.next_id += 1;
        self.next_id
    }

    /// Starts whatever is due.
    fn proceed(&mut self, now: Moment) {
        self.interrupt_fallen(now);
        if self.standing.stopping {
            return self.finish(now);
        }
        if !self.leads {
            return self.stand_by(now);
        }
        if self.is_suspended() {
            self.drift.heal_queue.clear();
            self.report_suspended();
            return self.flush_when_due(now);
        }
        self.poll_when_due(now);
        self.heal(now);
        self.audit(now);
        self.request_when_overdue(now);
        if matches!(self.work, Work::Idle) {
            self.schedule.plan_requested(now);
        }
        let due = self.schedule.next_cycle.is_some_and(|due| now.mono >= due) && !self.standing.awaits_poll();
        if matches!(self.work, Work::Idle) && due {
            self.schedule.next_cycle = None;
            self.begin(now);
        }
        self.flush_when_due(now);
    }

    /// The newest commit waits for the syncs that this one depends on.
    pub(super) fn is_waiting(&self) -> bool {
        let synced = self.report.status.synced.as_ref().map(|commit| &commit.id);
        !self.report.waiting_for.is_empty() && synced != self.git.head.as_ref()
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
