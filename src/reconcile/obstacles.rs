//! What stands in the way of a commit, and the ways round it: planning anew with what an apply has
//! shown of objects that can only be replaced, and the prune that a person lets go ahead although
//! objects are refused.

use std::sync::Arc;

use crate::event::SyncEvent;
use crate::object::ObjectId;
use crate::plan::{Approval, Held, Reason, Replaceable, SyncStatus, dead_end};

use super::approval::goes;
use super::basis::Act;
use super::cycle::Cycle;
use super::heal_queue::Found;
use super::machine::Work;
use super::{Effect, Machine, Moment};

/// How often one cycle plans anew for what it has learned itself. More than one object may be in the
/// way of another.
const REPLANS: u32 = 3;

/// What stands in the way of one cycle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Obstacles {
    /// Objects that the API server refuses; each has one of the cycle's problems.
    pub refused: Vec<ObjectId>,
    /// Problems that only follow from these.
    pub follows: usize,
    /// Its prune is held since it has no other problems than these.
    pub dead_end: Option<Held>,
    /// A person let it prune all the same.
    pub despite: bool,
    /// How often it was planned anew for what it learned itself.
    replanned: u32,
}

impl Obstacles {
    /// Whether so many problems are no more than these.
    pub fn explain(&self, problems: usize) -> bool {
        !self.refused.is_empty() && problems == self.refused.len() + self.follows
    }
}

impl Machine {
    /// Whether the cycle goes on with another plan, and does not end to begin anew.
    pub(super) fn may_plan_again(&self, cycle: &Cycle) -> bool {
        cycle.obstacles.replanned < REPLANS && self.stands(Act::Apply(cycle)).is_ok()
    }

    /// Observes and plans once more in the same cycle.
    pub(super) fn replan_in_cycle(&mut self, cycle: &Cycle) {
        self.observe_again(cycle);
        if let Work::Observing { cycle: next, .. } = &mut self.work {
            next.obstacles.replanned += 1;
        }
    }

    /// Observes anew for the same cycle, which keeps what it has done already.
    pub(super) fn observe_again(&mut self, cycle: &Cycle) {
        self.observe(Arc::clone(&cycle.rendered), cycle.began);
        if let Work::Observing { cycle: next, .. } = &mut self.work {
            (next.changed, next.wrote) = (cycle.changed, cycle.wrote);
            next.obstacles.replanned = cycle.obstacles.replanned;
        }
    }

    /// A drifted object cannot be put back in place: a cycle is to replace it, if the guard lets it.
    pub(super) fn heal_by_replacing(
        &mut self,
        object: &ObjectId,
        proof: Replaceable,
        found: Option<&Found>,
        now: Moment,
    ) {
        self.drift.replaceable.insert(object.clone(), proof);
        if let Some(found) = found {
            self.report_drift(object, found, false, now);
            // The cycle says what becomes of it.
            self.drift.heal_queue.reported.remove(object);
        }
        match self.work.healing() {
            Some(cycle) => cycle.again = true,
            None => self.request_reconcile(),
        }
    }

    /// Proofs are about one manifest.
    pub(super) fn forget_outdated_proofs(&mut self) {
        let view = &self.view;
        self.drift
            .replaceable
            .retain(|id, proof| view.desired(id).is_some_and(|desired| desired.digest == proof.digest));
    }

    /// A proof is for one plan, and is asked for anew after that. As long as the guard holds what it is
    /// for, it stays, so that a sync which waits sends nothing.
    pub(super) fn forget_used_proofs(&mut self, cycle: &Cycle) {
        for step in &cycle.plan.steps {
            if matches!(step.reason, Reason::Immutable { .. } | Reason::NotReplaced { .. }) {
                self.drift.replaceable.remove(&step.id);
            }
        }
    }

    /// Whether a cycle that has applied may prune: nothing went wrong, or a person has seen what goes
    /// although the API server refuses other objects, and approved that.
    pub(super) fn decide_prune(&self, cycle: &mut Cycle) -> bool {
        if cycle.problems.is_empty() {
            return true;
        }
        if !cycle.is_only_refused() {
            return false;
        }
        let total = self.store.inventory.values().filter(|recorded| !recorded.unconfirmed).count();
        let refused: Vec<&ObjectId> = cycle.obstacles.refused.iter().collect();
        let Some(held) = dead_end(&cycle.rendered.commit.id, &cycle.plan, &refused, total) else { return false };
        let approved = self.approved(&cycle.rendered.commit.id);
        cycle.obstacles.despite = approved.covers_despite(&cycle.plan, &refused, &self.store.inventory);
        if !cycle.obstacles.despite {
            cycle.obstacles.dead_end = Some(held);
        }
        cycle.obstacles.despite
    }

    /// Begins the approval of a dead end, as that of the guard begins with a plan ([`Self::begin_approved`]).
    /// Whether it is to be stored.
    pub(super) fn begin_despite(&mut self, cycle: &Cycle) -> bool {
        let Some(approval) = self.report.status.approval.as_ref().filter(|approval| !approval.begun) else {
            return false;
        };
        let approval = Some(Approval { begun: true, ..approval.clone() });
        for id in cycle.plan.steps.iter().filter(|step| goes(step)).map(|step| &step.id) {
            if let Some(recorded) = self.store.inventory.get_mut(id) {
                recorded.approved = true;
            }
        }
        self.report.status = Arc::new(SyncStatus { approval, ..(*self.report.status).clone() });
        true
    }

    /// What is held before the cycle has applied: what was held for refused objects stands until it is
    /// known whether they still are.
    pub(super) fn held_so_far(&self, cycle: &Cycle) -> Option<Held> {
        let before = self.report.status.held.as_ref();
        let stands = |held: &&Held| held.is_dead_end() && held.commit == cycle.rendered.commit.id;
        self.held(cycle).or_else(|| before.filter(stands).cloned())
    }

    /// Says once that a prune is held for what is refused.
    pub(super) fn report_dead_end(&mut self, cycle: &Cycle) {
        let Some(held) = &cycle.obstacles.dead_end else { return };
        let set = |held: &Held| (held.commit.clone(), held.digest.clone());
        if self.report.status.held.as_ref().is_none_or(|before| set(before) != set(held)) {
            self.effects.push(Effect::Emit(SyncEvent::PruneHeld(held.clone())));
        }
    }

    /// The end of the message about a cycle that failed.
    pub(super) fn way_out(&self, cycle: &Cycle) -> String {
        let way = |held: &Held| {
            format!(
                "; {}: if it is in the way of that, let it go by driftless approve {}",
                held.reason, self.config.name
            )
        };
        cycle.obstacles.dead_end.as_ref().map(way).unwrap_or_default()
    }
}
