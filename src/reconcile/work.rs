//! From a rendered commit to the cluster: plan, announce in the parent, apply, prune.

use std::sync::Arc;

use crate::config::DriftPolicy;
use crate::object::{ObjectId, Observed};
use crate::plan::{AppliedObject, Plan, PlanInput, Problem, Provenance, PrunedObject, Recorded, Step, plan};

use super::basis::Act;
use super::cycle::{Cycle, objects_of};
use super::machine::Work;
use super::{Effect, EffectError, EffectId, Machine, Moment, Observation};

impl Machine {
    pub(super) fn observed(&mut self, id: EffectId, result: Result<Observation, EffectError>, now: Moment) {
        let Some(mut cycle) = self.take(id, |work| matches!(work, Work::Observing { .. })) else { return };
        if !self.leads {
            return self.observed_as_follower(&result);
        }
        if let Err(fallen) = self.stands(Act::Apply(&cycle)) {
            return self.abandon_cycle(fallen, now);
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
        self.view.take_in(&cycle.basis.commit, &observation);
        // What git declares no longer is being healed to what it declared before, or was just now:
        // whether that is there when it is to be pruned can only be seen afterwards.
        let running = self.drift.heal_queue.running.values().map(|running| &running.object);
        cycle.awaits = running.filter(|id| self.view.desired(id).is_none()).cloned().collect();
        if !cycle.awaits.is_empty() {
            cycle.again = true;
            self.work = Work::Healing { cycle };
            return;
        }
        if cycle.meanwhile.iter().any(|id| self.view.desired(id).is_none()) {
            return self.observe(cycle.rendered, cycle.began);
        }
        let incomplete = self.incomplete(&cycle, &observation);
        self.forget_outdated_proofs();
        let configured = Provenance::of(&self.config, &cycle.rendered.rendering);
        let source_change = self.report.status.provenance.as_ref().and_then(|stored| stored.change_to(&configured));
        let decided = plan(&PlanInput {
            set_id: &self.set_id,
            commit: &cycle.rendered.commit.id,
            desired: &observation.resolved.desired,
            looked_up: &cycle.rendered.reads.looked_up,
            incomplete: incomplete.as_deref(),
            observed: &observation.observed,
            unreadable: &observation.unreadable,
            crds: &observation.crds,
            inventory: &self.store.inventory,
            prune: &self.config.prune,
            drift: self.config.drift,
            approved: self.approved(&cycle.rendered.commit.id),
            others: &observation.others,
            source_change: source_change.as_deref(),
            deleted_early: &self.drift.deleted_early,
            overdue_since: self.overdue_since(now),
            replaceable: &self.drift.replaceable,
        });
        self.begin_approved(&decided);
        self.resort_blocked();
        cycle.take_in(decided, &observation);
        self.report.unknown_managers = cycle.note_unknown_managers();
        let reports = self.config.drift == DriftPolicy::Report;
        let is_added = |step: &&Step| reports && step.live.as_ref().is_some_and(|live| live.added().is_some());
        let added = cycle.plan.steps.iter().filter(is_added).map(|step| step.id.clone()).collect();
        cycle.awaits = self.line_up(&cycle.drifted(), &added, now);
        if self.config.atomic {
            cycle.write_all_or_nothing(&observation);
        }
        cycle.awaits.extend(cycle.writes.iter().filter(|id| self.drift.heal_queue.is_running(id)).cloned());
        self.report_plan(&cycle, &observation.resolved);
        self.work = Work::Healing { cycle };
        self.go_on(now);
    }

    /// Waits no longer for what left the heal queue by itself, such as an object of which changes show that it
    /// is as it should be.
    pub(super) fn stop_awaiting(&mut self, now: Moment) {
        if !std::mem::take(&mut self.drift.heal_queue.dropped) {
            return;
        }
        let stuck = self.behind_what_is_blocked();
        if let Work::Healing { cycle } = &mut self.work {
            let begins = |id: &ObjectId| self.drift.heal_queue.is_ready(id) && !stuck.contains(id);
            cycle.awaits.retain(|id| begins(id) || self.drift.heal_queue.is_running(id));
        }
        self.go_on(now);
    }

    /// Goes on with a cycle once the drifted objects that it waited for are done with. So no object
    /// is ever written by the heal queue and by the cycle at the same time.
    pub(super) fn go_on(&mut self, now: Moment) {
        if !matches!(&self.work, Work::Healing { cycle } if cycle.awaits.is_empty()) {
            return;
        }
        let Work::Healing { mut cycle } = std::mem::replace(&mut self.work, Work::Idle) else { return };
        if let Err(fallen) = self.stands(Act::Apply(&cycle)) {
            return self.abandon_cycle(fallen, now);
        }
        if cycle.again {
            return self.observe_again(&cycle);
        }
        for (id, failure) in &self.drift.heal_queue.failed {
            cycle.problems.push(failure.problem.clone());
            cycle.obstacles.refused.extend(failure.refused.then(|| id.clone()));
        }
        if cycle.plan.changes() {
            self.announce(cycle, now);
        } else {
            self.end(cycle, now);
        }
    }

    /// Why it is not known in full what git declares.
    pub(super) fn incomplete(&self, cycle: &Cycle, observation: &Observation) -> Option<String> {
        let broken = cycle.rendered.problems.len() + observation.resolved.problems.len();
        if let Some(problem) = self.source_problems().first() {
            return Some(problem.message.clone());
        }
        if let Some((gk, namespace, why)) = observation.unreadable.iter().next() {
            return Some(format!("{} could not be read: {why}", objects_of(gk, namespace)));
        }
        if broken > 0 {
            return Some(format!("{broken} of the commit's manifests cannot be used"));
        }
        cycle.rendered.reads.incomplete.clone()
    }

    /// Stores what is about to exist before anything is created, so that nothing is ever lost.
    pub(super) fn announce(&mut self, cycle: Cycle, now: Moment) {
        let superset = cycle.superset(&self.store.inventory);
        let held = self.held_so_far(&cycle);
        if self.store.inventory.is_empty() {
            Arc::make_mut(&mut self.report.status).provenance =
                Some(Provenance::of(&self.config, &cycle.rendered.rendering));
        }
        let approval = &self.report.status.approval;
        let known = self.store.stored.as_ref().is_some_and(|(stored, status)| {
            let is_stored = |(id, recorded): (&ObjectId, &Recorded)| {
                stored.get(id).is_some_and(|stored| stored.approved == recorded.approved)
            };
            superset.iter().all(is_stored) && status.held == held && status.approval == *approval
        });
        self.store.inventory = superset;
        if known {
            return self.apply(cycle, now);
        }
        let mut status = (*self.report.status).clone();
        status.held = held;
        status.objects = self.store.inventory.len();
        let id = self.write_parent(Arc::new(status));
        self.work = Work::Announcing { id, cycle };
    }

    pub(super) fn apply(&mut self, mut cycle: Cycle, now: Moment) {
        // What was announced and is never made does no harm.
        if let Err(fallen) = self.stands(Act::Apply(&cycle)) {
            return self.abandon_cycle(fallen, now);
        }
        self.standing.not_overtaken();
        if !cycle.plan.steps.iter().any(Step::applies) {
            return self.prune(cycle, now);
        }
        cycle.wrote = true;
        let id = self.number();
        self.effects.push(Effect::Apply { id, plan: Arc::clone(&cycle.plan) });
        self.work = Work::Applying { id, cycle };
    }

    pub(super) fn applied(&mut self, id: EffectId, outcomes: Vec<AppliedObject>, now: Moment) {
        let Some(mut cycle) = self.take(id, |work| matches!(work, Work::Applying { .. })) else { return };
        for outcome in outcomes.iter().filter(|outcome| !cycle.noted.contains(&outcome.id)) {
            self.note_outcome(outcome);
            self.report_removed(outcome, cycle.began, now);
        }
        let written: Vec<_> = outcomes.iter().map(|one| (one.id.clone(), version(one))).collect();
        let has_more = |live: &&Observed| live.added().is_some();
        let added: Vec<Observed> =
            outcomes.iter().filter_map(|one| one.live.as_ref()).filter(has_more).cloned().collect();
        let proved = cycle.applied(outcomes, &mut self.store.inventory);
        for (object, known) in written {
            self.written(&object, known.as_deref(), now);
        }
        for live in added {
            self.take_answer(Some(&live), now);
        }
        if !proved.is_empty() {
            self.drift.replaceable.extend(proved);
            if self.may_plan_again(&cycle) {
                return self.replan_in_cycle(&cycle);
            }
        }
        self.prune(cycle, now);
    }

    fn note_outcome(&mut self, outcome: &AppliedObject) {
        if outcome.result.succeeded() {
            self.drift.note_rewritten(&outcome.id, &outcome.rewritten);
        }
    }

    /// One object of the apply that is under way: from now on the heal queue may heal it.
    pub(super) fn applied_one(&mut self, id: EffectId, outcome: &AppliedObject, now: Moment) {
        let Work::Applying { id: expected, cycle } = &mut self.work else { return };
        if *expected != id {
            return;
        }
        let began = cycle.began;
        cycle.applied_one(outcome, &mut self.store.inventory);
        self.view.learn(&outcome.id, outcome.live.as_ref());
        self.note_outcome(outcome);
        self.report_removed(outcome, began, now);
        self.written(&outcome.id, version(outcome).as_deref(), now);
        self.take_answer(outcome.live.as_ref(), now);
    }

    /// Prunes only when everything before succeeded and still stands.
    pub(super) fn prune(&mut self, mut cycle: Cycle, now: Moment) {
        // Who does not wait for health does not wait for this either.
        let put_off = if self.config.wait { cycle.wait_for_rollouts() } else { Vec::new() };
        for object in &put_off {
            cycle.writes.remove(object);
            self.written(object, None, now);
        }
        let prunes = cycle.plan.steps.iter().any(Step::prunes);
        cycle.cut_short |= prunes && self.stands(Act::Prune(&cycle)).is_err();
        if cycle.cut_short || !prunes || !self.decide_prune(&mut cycle) {
            // What is not deleted is written no longer, and what was seen of it meanwhile counts.
            for object in &std::mem::take(&mut cycle.writes) {
                self.written(object, None, now);
            }
            return self.end(cycle, now);
        }
        if cycle.obstacles.despite && self.begin_despite(&cycle) {
            // What is approved is stored before the first of it is deleted.
            let id = self.write_parent(Arc::clone(&self.report.status));
            self.work = Work::Approving { id, cycle };
            return;
        }
        cycle.wrote = true;
        cycle.interrupted = false;
        let id = self.number();
        self.effects.push(Effect::Prune { id, plan: Arc::clone(&cycle.plan) });
        self.work = Work::Pruning { id, cycle };
    }

    pub(super) fn pruned(&mut self, id: EffectId, outcomes: Vec<PrunedObject>, now: Moment) {
        let Some(mut cycle) = self.take(id, |work| matches!(work, Work::Pruning { .. })) else { return };
        cycle.pruned(outcomes, &mut self.store.inventory);
        let pruned = std::mem::take(&mut cycle.writes);
        for object in &pruned {
            self.written(object, None, now);
        }
        if cycle.obstacles.despite && self.may_plan_again(&cycle) {
            // What was refused is applied at once: what was in its way may be gone.
            self.drift.heal_queue.retry_failed();
            return self.replan_in_cycle(&cycle);
        }
        self.end(cycle, now);
    }

    pub(super) fn parent_written(&mut self, id: EffectId, result: Result<(), EffectError>, now: Moment) {
        if result.is_ok() {
            self.store.shown = self.store.stored.as_ref().and_then(|(_, status)| status.held.clone());
        }
        if self.flushed(id, &result, now) {
            return;
        }
        let next = match &self.work {
            Work::Announcing { .. } => Self::apply,
            Work::Approving { .. } => Self::prune,
            _ => |machine: &mut Self, cycle: Cycle, now| machine.conclude(&cycle, now),
        };
        let among =
            |work: &Work| matches!(work, Work::Announcing { .. } | Work::Approving { .. } | Work::Recording { .. });
        let Some(mut cycle) = self.take(id, among) else { return };
        match result {
            Ok(()) => next(self, cycle, now),
            Err(error) => {
                self.store.stored = None;
                cycle.problems.push(Problem::general(format!("the inventory could not be stored: {error}")));
                self.conclude(&cycle, now);
            }
        }
    }

    /// Takes the cycle out of the work that is under way, if that waits for the answer to this very effect.
    pub(super) fn take(&mut self, id: EffectId, expected: impl Fn(&Work) -> bool) -> Option<Cycle> {
        let waits = match &self.work {
            Work::Observing { id: other, .. }
            | Work::Announcing { id: other, .. }
            | Work::Applying { id: other, .. }
            | Work::Approving { id: other, .. }
            | Work::Pruning { id: other, .. }
            | Work::Recording { id: other, .. } => *other == id,
            Work::Idle | Work::Rendering { .. } | Work::Healing { .. } | Work::Flushing { .. } => false,
        };
        if !waits || !expected(&self.work) {
            return None;
        }
        match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Observing { cycle, .. }
            | Work::Announcing { cycle, .. }
            | Work::Applying { cycle, .. }
            | Work::Approving { cycle, .. }
            | Work::Pruning { cycle, .. }
            | Work::Recording { cycle, .. } => Some(cycle),
            Work::Idle | Work::Rendering { .. } | Work::Healing { .. } | Work::Flushing { .. } => None,
        }
    }
}

/// The resource version with which a write was answered.
fn version(outcome: &AppliedObject) -> Option<Arc<str>> {
    outcome.live.as_ref().map(|live| Arc::clone(&live.resource_version))
}
