//! The machine itself: which state follows from which input.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::config::SyncConfig;
use crate::object::ObjectId;
use crate::plan::{Facts, Inventory, Phase, Plan, Problem, SyncStatus, plan};

use super::backoff::Backoff;
use super::cycle::Cycle;
use super::{Effect, EffectId, Input, Marks, Moment, Notice, Observation, RenderedCommit};

/// So many former heads are known as such.
const REMEMBERED: usize = 32;

/// What the work lane is doing. Looking at the remote goes on beside it.
#[derive(Debug)]
pub(super) enum Work {
    Idle,
    Rendering {
        id: EffectId,
        commit: String,
        began: Duration,
    },
    Observing {
        id: EffectId,
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
}

/// The loop of one sync.
#[derive(Debug)]
pub struct Machine {
    pub(super) config: Arc<SyncConfig>,
    pub(super) set_id: String,
    pub(super) allow_prune: bool,
    next_id: EffectId,
    pub(super) work: Work,
    look: Option<EffectId>,
    pub(super) next_look: Duration,
    /// When to go through the cluster again without a new commit; `None`: with the next look.
    pub(super) next_cycle: Option<Duration>,
    pub(super) look_error: Option<String>,
    /// The commit that could not be rendered, and why.
    render_error: Option<(String, String)>,
    look_backoff: Backoff,
    pub(super) backoff: Backoff,
    /// The newest commit that a look found.
    pub(super) head: Option<String>,
    /// Commits that were the head before.
    left: VecDeque<String>,
    /// One of them that the last look found again.
    returning: Option<String>,
    rendered: Option<Arc<RenderedCommit>>,
    pub(super) inventory: Inventory,
    pub(super) stored: Option<(Inventory, Arc<SyncStatus>)>,
    marks: Marks,
    pub(super) waiting_for: Vec<String>,
    pub(super) status: Arc<SyncStatus>,
    /// Since when the objects of the head are waited for to become healthy.
    pub(super) settling: Option<(String, Duration)>,
    pub(super) settle_polls: u32,
    /// Drift that was told and is still there.
    pub(super) told: BTreeMap<ObjectId, String>,
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
        let (inventory, mut status) = stored.clone().unwrap_or_default();
        status.sync = config.name.to_string();
        status.url = config.source.display_url();
        status.reference = config.source.reference.to_string();
        status.path = config.path.to_string();
        Self {
            set_id,
            allow_prune: false,
            next_id: 0,
            work: Work::Idle,
            look: None,
            next_look: now.mono,
            next_cycle: None,
            look_error: None,
            render_error: None,
            look_backoff: Backoff::new(seed),
            backoff: Backoff::new(seed.rotate_left(17)),
            head: None,
            left: VecDeque::new(),
            returning: None,
            rendered: None,
            inventory,
            stored: stored.map(|(inventory, status)| (inventory, Arc::new(status))),
            marks,
            waiting_for: Vec::new(),
            status: Arc::new(status),
            settling: None,
            settle_polls: 0,
            told: BTreeMap::new(),
            effects: Vec::new(),
            config,
        }
    }

    /// Lets every commit prune, as `--allow-prune` says.
    #[must_use]
    pub fn allowing_prune(mut self, allow: bool) -> Self {
        self.allow_prune = allow;
        self
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
        matches!(self.work, Work::Idle) && self.look.is_none()
    }

    /// When to send the next [`Input::Tick`]; `None`: only something else can make a difference.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        if self.is_suspended() {
            return None;
        }
        let look = self.look.is_none().then_some(self.next_look);
        let cycle = self.next_cycle.filter(|_| matches!(self.work, Work::Idle));
        [look, cycle].into_iter().flatten().min()
    }

    /// Takes in what was learned and says what is to be done.
    pub fn step(&mut self, input: Input, now: Moment) -> Vec<Effect> {
        match input {
            Input::Tick => {}
            Input::Looked { id, result } => self.looked(id, result, now),
            Input::Rendered { id, result } => self.rendered_commit(id, result, now),
            Input::Observed { id, result } => self.observed(id, result, now),
            Input::ParentWritten { id, result } => self.parent_written(id, result, now),
            Input::Applied { id, outcomes } => self.applied(id, outcomes, now),
            Input::Pruned { id, outcomes } => self.pruned(id, outcomes, now),
            Input::Marks(marks) => self.marked(marks, now),
            Input::ParentMissing => self.parent_missing(now),
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
        if self.is_suspended() {
            return self.tell_suspended();
        }
        if self.look.is_none() && now.mono >= self.next_look {
            let id = self.number();
            self.look = Some(id);
            self.next_look = now.mono + self.config.interval;
            self.effects.push(Effect::Look { id });
        }
        if matches!(self.work, Work::Idle) && self.next_cycle.is_some_and(|due| now.mono >= due) {
            self.next_cycle = None;
            self.begin(now);
        }
    }

    /// The newest commit waits for the syncs that this one depends on.
    pub(super) fn is_waiting(&self) -> bool {
        let synced = self.status.synced.as_ref().map(|commit| &commit.id);
        !self.waiting_for.is_empty() && synced != self.head.as_ref()
    }

    /// Whether a look found another head. One that was left already may come from a replica of the
    /// git host that lags behind, so it is believed when two looks in a row say so.
    fn is_news(&mut self, commit: &String) -> bool {
        let again = self.returning.take().as_ref() == Some(commit);
        if self.head.as_ref() == Some(commit) {
            return false;
        }
        if again || !self.left.contains(commit) {
            return true;
        }
        self.returning = Some(commit.clone());
        false
    }

    fn looked(&mut self, id: EffectId, result: Result<String, String>, now: Moment) {
        if self.look != Some(id) {
            return;
        }
        self.look = None;
        match result {
            Ok(commit) => {
                self.look_backoff.reset();
                if self.look_error.take().is_some() {
                    self.next_cycle = Some(now.mono);
                }
                if self.is_news(&commit) {
                    // A newer commit wins over one that waits or fails.
                    self.left.retain(|left| *left != commit);
                    self.left.extend(self.head.replace(commit));
                    if self.left.len() > REMEMBERED {
                        self.left.pop_front();
                    }
                    self.render_error = None;
                    self.backoff.reset();
                    self.next_cycle = Some(now.mono);
                }
            }
            Err(error) => {
                let retry_in = self.look_backoff.next_delay().min(self.config.interval.max(Duration::from_secs(2)));
                self.next_look = now.mono + retry_in;
                self.effects.push(Effect::Tell(Notice::LookFailed { error: error.clone(), retry_in }));
                self.look_error = Some(error);
                if self.rendered.is_none() {
                    self.fail_without_commit(now);
                }
            }
        }
        // Also after a failed look: the last good commit stays enforced.
        if self.next_cycle.is_none() {
            self.next_cycle = Some(now.mono);
        }
    }

    /// Begins a cycle: with rendering when there is a newer commit, else with the cluster.
    fn begin(&mut self, now: Moment) {
        let newer =
            self.head.clone().filter(|head| self.rendered.as_ref().is_none_or(|known| known.commit.id != *head));
        if self.is_waiting() {
            self.tell_waiting(now);
            if let Some(rendered) = self.rendered.clone() {
                self.observe(rendered, now.mono);
            }
            return;
        }
        if let Some(commit) = newer {
            let id = self.number();
            self.work = Work::Rendering { id, commit: commit.clone(), began: now.mono };
            self.effects.push(Effect::Render { id, commit });
        } else if let Some(rendered) = self.rendered.clone() {
            self.observe(rendered, now.mono);
        }
    }

    fn rendered_commit(&mut self, id: EffectId, result: Result<Arc<RenderedCommit>, String>, now: Moment) {
        let Work::Rendering { id: expected, commit, began } = &self.work else { return };
        if *expected != id {
            return;
        }
        let (commit, began) = (commit.clone(), *began);
        // A commit under another id would count as overtaken for ever, and be rendered without pause.
        let result = result.and_then(|rendered| match &rendered.commit.id {
            id if *id == commit => Ok(rendered),
            id => Err(format!("another one was rendered in its place: {id}")),
        });
        match result {
            Ok(rendered) => {
                self.render_error = None;
                self.rendered = Some(Arc::clone(&rendered));
                self.settling = None;
                self.settle_polls = 0;
                if self.is_suspended() {
                    self.work = Work::Idle;
                    return;
                }
                self.status_syncing(&rendered);
                self.effects.push(Effect::Tell(Notice::Started { commit: rendered.commit.clone() }));
                self.observe(rendered, began);
            }
            Err(error) => {
                self.render_error = Some((commit, error));
                if self.is_suspended() {
                    self.work = Work::Idle;
                } else if let Some(last_good) = self.rendered.clone() {
                    self.observe(last_good, began);
                } else {
                    self.work = Work::Idle;
                    self.fail_without_commit(now);
                }
            }
        }
    }

    fn observe(&mut self, rendered: Arc<RenderedCommit>, began: Duration) {
        let id = self.number();
        let inventory: Vec<ObjectId> = self.inventory.keys().cloned().collect();
        self.effects.push(Effect::Observe { id, rendered: Arc::clone(&rendered), inventory });
        self.work = Work::Observing { id, cycle: Cycle::new(rendered, began) };
    }

    /// What stands between the newest commit and the knowledge of what it declares.
    pub(super) fn source_problems(&self) -> Vec<Problem> {
        let render = self.render_error.as_ref().map(|(commit, error)| {
            let enforced = self.rendered.as_ref().map(|rendered| rendered.commit.short());
            let enforced = enforced.map(|last| format!("; {last} stays enforced")).unwrap_or_default();
            Problem::general(format!("cannot use commit {}: {error}{enforced}", commit.get(..12).unwrap_or(commit)))
        });
        self.look_error.iter().map(Problem::general).chain(render).collect()
    }

    fn observed(&mut self, id: EffectId, result: Result<Observation, String>, now: Moment) {
        let Some(mut cycle) = self.take(id, |work| matches!(work, Work::Observing { .. })) else { return };
        if self.is_suspended() {
            return;
        }
        cycle.problems = self.source_problems();
        let observation = match result {
            Ok(observation) => observation,
            Err(error) => {
                let error = format!("the cluster could not be read: {error}");
                cycle.plan = Arc::new(Plan { blocked: Some(error.clone()), ..Plan::default() });
                cycle.problems.push(Problem::general(error));
                return self.end(cycle, now);
            }
        };
        let doubt = self.doubt(&cycle, &observation);
        let approved = self.allow_prune || self.marks.approved.as_ref() == Some(&cycle.rendered.commit.id);
        let decided = plan(&Facts {
            set_id: &self.set_id,
            commit: &cycle.rendered.commit.id,
            desired: &observation.resolved.desired,
            doubt: doubt.as_deref(),
            observed: &observation.observed,
            unreadable: &observation.unreadable,
            crds: &observation.crds,
            inventory: &self.inventory,
            prune: &self.config.prune,
            drift: self.config.drift,
            approved,
            others: &observation.others,
        });
        cycle.adopt(decided, &observation);
        self.tell_plan(&cycle);
        if cycle.plan.changes() {
            self.announce(cycle, now);
        } else {
            self.end(cycle, now);
        }
    }

    /// Why it is not known in full what git declares.
    fn doubt(&self, cycle: &Cycle, observation: &Observation) -> Option<String> {
        let broken = cycle.rendered.problems.len() + observation.resolved.problems.len();
        if let Some(problem) = self.source_problems().first() {
            return Some(problem.message.clone());
        }
        if let Some((gk, why)) = observation.unreadable.first_key_value() {
            return Some(format!("the objects of kind {gk} could not be read: {why}"));
        }
        (broken > 0).then(|| format!("{broken} of the commit's manifests cannot be used"))
    }

    /// Stores what is about to exist before anything is created, so that nothing is ever lost.
    fn announce(&mut self, cycle: Cycle, now: Moment) {
        let superset = cycle.superset(&self.inventory);
        let held = self.held(&cycle);
        let known = self
            .stored
            .as_ref()
            .is_some_and(|(stored, status)| superset.keys().all(|id| stored.contains_key(id)) && status.held == held);
        self.inventory = superset;
        if known {
            return self.apply(cycle, now);
        }
        let mut status = (*self.status).clone();
        status.held = held;
        status.objects = self.inventory.len();
        let id = self.number();
        let (inventory, status) = (self.inventory.clone(), Arc::new(status));
        self.stored = Some((inventory.clone(), Arc::clone(&status)));
        self.effects.push(Effect::WriteParent { id, inventory, status });
        self.work = Work::Announcing { id, cycle };
    }

    fn apply(&mut self, mut cycle: Cycle, now: Moment) {
        if !cycle.plan.steps.iter().any(crate::plan::Step::applies) {
            return self.prune(cycle, now);
        }
        cycle.wrote = true;
        let id = self.number();
        self.effects.push(Effect::Apply { id, plan: Arc::clone(&cycle.plan), waves: cycle.waves.clone() });
        self.work = Work::Applying { id, cycle };
    }

    fn applied(&mut self, id: EffectId, outcomes: Vec<crate::plan::AppliedObject>, now: Moment) {
        let Some(mut cycle) = self.take(id, |work| matches!(work, Work::Applying { .. })) else { return };
        let after = now.mono.saturating_sub(cycle.began);
        for object in cycle.applied(outcomes, &mut self.inventory) {
            self.told.remove(&object);
            self.effects.push(Effect::Tell(Notice::Healed { object, after }));
        }
        self.prune(cycle, now);
    }

    /// Prunes only when everything before succeeded and no newer commit is known.
    fn prune(&mut self, mut cycle: Cycle, now: Moment) {
        let overtaken = self.head.as_ref().is_some_and(|head| *head != cycle.rendered.commit.id);
        let prunes = cycle.plan.steps.iter().any(crate::plan::Step::prunes);
        cycle.cut_short = prunes && (overtaken || self.is_suspended());
        if cycle.cut_short || !prunes || !cycle.problems.is_empty() {
            return self.end(cycle, now);
        }
        cycle.wrote = true;
        let id = self.number();
        self.effects.push(Effect::Prune { id, plan: Arc::clone(&cycle.plan) });
        self.work = Work::Pruning { id, cycle };
    }

    fn pruned(&mut self, id: EffectId, outcomes: Vec<crate::plan::PrunedObject>, now: Moment) {
        let Some(mut cycle) = self.take(id, |work| matches!(work, Work::Pruning { .. })) else { return };
        cycle.pruned(outcomes, &mut self.inventory);
        self.end(cycle, now);
    }

    fn parent_written(&mut self, id: EffectId, result: Result<(), String>, now: Moment) {
        let announcing = matches!(self.work, Work::Announcing { .. });
        let among = |work: &Work| matches!(work, Work::Announcing { .. } | Work::Recording { .. });
        let Some(mut cycle) = self.take(id, among) else { return };
        match (result, announcing) {
            // Suspended in the meantime: what was announced and never made does no harm.
            (Ok(()), true) if self.is_suspended() => {}
            (Ok(()), true) => self.apply(cycle, now),
            (Ok(()), false) => self.conclude(cycle, now),
            (Err(error), _) => {
                self.stored = None;
                cycle.problems.push(Problem::general(format!("the inventory could not be stored: {error}")));
                self.conclude(cycle, now);
            }
        }
    }

    /// Takes the cycle out of the work lane, if the lane waits for this very effect.
    fn take(&mut self, id: EffectId, expected: impl Fn(&Work) -> bool) -> Option<Cycle> {
        let waits = match &self.work {
            Work::Observing { id: other, .. }
            | Work::Announcing { id: other, .. }
            | Work::Applying { id: other, .. }
            | Work::Pruning { id: other, .. }
            | Work::Recording { id: other, .. } => *other == id,
            Work::Idle | Work::Rendering { .. } => false,
        };
        if !waits || !expected(&self.work) {
            return None;
        }
        match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Observing { cycle, .. }
            | Work::Announcing { cycle, .. }
            | Work::Applying { cycle, .. }
            | Work::Pruning { cycle, .. }
            | Work::Recording { cycle, .. } => Some(cycle),
            Work::Idle | Work::Rendering { .. } => None,
        }
    }

    /// Somebody deleted the parent: it is written again, out of what is known.
    fn parent_missing(&mut self, now: Moment) {
        if self.stored.take().is_some() && matches!(self.work, Work::Idle) {
            self.next_cycle = Some(now.mono);
        }
        self.marked(Marks::default(), now);
    }

    fn marked(&mut self, marks: Marks, now: Moment) {
        if marks == self.marks {
            return;
        }
        let asked = marks.sync_requested != self.marks.sync_requested;
        let resumed = self.is_suspended() && !(self.config.suspend || marks.suspended);
        let approved = marks.approved != self.marks.approved;
        self.marks = marks;
        if resumed {
            self.effects.push(Effect::Tell(Notice::Resumed));
            self.leave_phase(Phase::Suspended);
        }
        if asked || resumed {
            self.next_look = now.mono;
            self.backoff.reset();
        }
        if asked || resumed || approved {
            self.next_cycle = Some(now.mono);
        }
    }
}
