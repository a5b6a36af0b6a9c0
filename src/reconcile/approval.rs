//! What a person approved: when it is taken in, when it begins, and whether it still stands. What
//! it is for, [`Approval`] says.

use std::sync::Arc;

use crate::object::ObjectId;
use crate::plan::{Approval, Approved, Plan, Reason, Step, SyncStatus, Verb};

use super::Machine;
use super::cycle::Cycle;

/// Whether a plan deletes an object, now or once another one is gone: what an approval is for.
pub(super) fn goes(step: &Step) -> bool {
    step.deletes() || step.prunes() || matches!(step.reason, Reason::Awaits { .. })
}

impl Machine {
    /// Takes in the annotation as it is now. Another value is another approval, so what is left of
    /// the one before is approved no longer.
    pub(super) fn take_approval(&mut self) {
        let known = self.report.status.approval.as_ref();
        let approval = Approval::of(self.requests.approved.as_deref(), known, self.store.shown.as_ref());
        if approval == self.report.status.approval {
            return;
        }
        for recorded in self.store.inventory.values_mut() {
            recorded.approved = false;
        }
        self.report.status = Arc::new(SyncStatus { approval, ..(*self.report.status).clone() });
    }

    /// What a person lets this commit prune although the guard would hold it.
    pub(super) fn approved(&self, commit: &str) -> Approved<'_> {
        match &self.report.status.approval {
            _ if self.allow_prune => Approved::Everything,
            Some(approval) => approval.at(commit),
            None => Approved::Nothing,
        }
    }

    /// Begins the approval by which a plan passed the guard: the inventory says from now on of which
    /// objects it is. It is stored before the first of them is deleted.
    pub(super) fn begin_approved(&mut self, plan: &Plan) {
        if self.store.inventory.values().any(|recorded| recorded.approved) {
            for step in plan.steps.iter().filter(|step| step.desired.is_some() && !step.may_replace()) {
                if let Some(recorded) = self.store.inventory.get_mut(&step.id) {
                    recorded.approved = false;
                }
            }
        }
        let Some(approval) = self.report.status.approval.as_ref().filter(|approval| !approval.begun) else { return };
        if !plan.by_approval || self.allow_prune {
            return;
        }
        let approval = Some(Approval { begun: true, ..approval.clone() });
        for step in plan.steps.iter().filter(|step| goes(step)) {
            if let Some(recorded) = self.store.inventory.get_mut(&step.id) {
                recorded.approved = true;
            }
        }
        self.report.status = Arc::new(SyncStatus { approval, ..(*self.report.status).clone() });
    }

    /// Whether what a cycle deletes with this verb may go as far as approval is concerned: it needs none,
    /// or the one by which it was planned still stands. What is done has no approval any more.
    pub(super) fn still_approved(&self, cycle: &Cycle, verb: Verb) -> bool {
        let steps = cycle.plan.steps.iter().filter(|step| step.verb == verb && cycle.writes.contains(&step.id));
        let going: Vec<&ObjectId> = steps.map(|step| &step.id).collect();
        if !(cycle.plan.by_approval || cycle.obstacles.despite) || going.is_empty() {
            return true;
        }
        let approved = self.approved(&cycle.rendered.commit.id);
        if let Approved::Shown(approval) = approved
            && !approval.begun
        {
            // Another one than that of the plan.
            return false;
        }
        approved.covers(&going, &self.store.inventory)
    }
}
