//! What changes of single objects mean: whether an object drifted, is as it should be, or needs a cycle.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::DriftPolicy;
use crate::event::SyncEvent;
use crate::object::{Blame, Change, HealthStatus, ObjectId, Observed, Unreadable};
use crate::plan::{Desired, NOTHING_LOOKED_UP, PlanInput, Reason, Step, Verb, plan_one};

use super::contest::Way;
use super::heal_queue::{Found, Waiting};
use super::{Effect, Machine, Moment};

impl Machine {
    /// Takes in what the watches have seen.
    pub(super) fn changed(&mut self, changes: Vec<Change>, now: Moment) {
        if !self.leads {
            return;
        }
        for change in changes {
            self.note_job(&change);
            if self.is_being_written(change.id()) {
                self.drift.heal_queue.deferred.insert(change.id().clone(), change);
            } else {
                self.classify(&change, now);
            }
        }
    }

    /// A Job that is deleted before it has ended is drift; one that has ended may go.
    fn note_job(&mut self, change: &Change) {
        match change {
            Change::Gone { id, last: Some(last) } if id.gk.is("batch", "Job") && !last.finished => {
                self.drift.deleted_early.insert(id.clone());
            }
            Change::Seen(live) => drop(self.drift.deleted_early.remove(&live.id)),
            Change::Gone { .. } => {}
        }
    }

    /// The answer to an apply may show what somebody has added meanwhile. What the watches know of that is
    /// older than the answer, so that they do not report it.
    pub(super) fn take_answer(&mut self, live: Option<&Observed>, now: Moment) {
        if let Some(live) = live.filter(|live| live.added().is_some() && !self.is_being_written(&live.id)) {
            self.classify(&Change::Seen(live.clone()), now);
        }
    }

    /// Decides what a change of one object means.
    pub(super) fn classify(&mut self, change: &Change, now: Moment) {
        let (id, live) = match change {
            Change::Seen(live) => (&live.id, Some(live)),
            Change::Gone { id, .. } => (id, None),
        };
        if self.may_act().is_err() {
            return;
        }
        if self.view.learn(id, live) {
            self.drift.heal_queue.unblock(id);
            // What git has added meanwhile waits for it, too.
            self.request_reconcile();
        }
        let Some(desired) = self.view.desired(id).cloned() else {
            // An orphan that was waited for is gone, or some other member of the set has changed.
            if self.store.inventory.contains_key(id) {
                self.request_reconcile();
            }
            return;
        };
        let step = self.plan_one(&desired, live);
        if live
            .is_some_and(|live| live.unknown_managers().iter().any(|name| !self.report.unknown_managers.contains(name)))
        {
            // Only a cycle writes notes.
            self.request_reconcile();
        }
        if step.reason.is_drift() && step.verb != Verb::Unchanged {
            self.enqueue_heal(id, self.way(id, live), now);
        }
        // What is healed in a moment has no health in between that is worth reporting.
        if !(step.applies() && step.reason.is_drift() && self.drift.heal_queue.is_ready(id)) {
            self.note_health(id, live, &step);
        }
        if step.reason.is_drift() && step.verb != Verb::Unchanged {
            return;
        }
        if step.verb == Verb::Unchanged {
            self.mark_clean(id);
        } else {
            self.request_reconcile();
        }
    }

    pub(super) fn plan_one(&self, desired: &Desired, live: Option<&Observed>) -> Step {
        let (observed, unreadable, crds) = (BTreeMap::new(), Unreadable::default(), BTreeMap::new());
        let input = PlanInput {
            set_id: &self.set_id,
            commit: "",
            desired: &[],
            looked_up: &NOTHING_LOOKED_UP,
            incomplete: None,
            observed: &observed,
            unreadable: &unreadable,
            crds: &crds,
            inventory: &self.store.inventory,
            prune: &self.config.prune,
            drift: self.config.drift,
            approved: crate::plan::Approved::Nothing,
            others: &self.view.others,
            source_change: None,
            deleted_early: &self.drift.deleted_early,
            // Only a whole plan decides what is deleted.
            overdue_since: jiff::Timestamp::MIN,
            replaceable: &self.drift.replaceable,
        };
        plan_one(&input, desired, live)
    }

    pub(super) fn way(&self, id: &ObjectId, live: Option<&Observed>) -> Way {
        Way::of(live, &self.store.inventory.get(id).copied().unwrap_or_default())
    }

    /// Lines up a drifted object, unless it has to wait.
    pub(super) fn enqueue_heal(&mut self, id: &ObjectId, way: Way, now: Moment) {
        let reports = self.config.drift == DriftPolicy::Report;
        if reports
            && [self.drift.heal_queue.reported.get(id), self.drift.heal_queue.ownership_only.get(id)]
                .contains(&Some(&way))
        {
            return;
        }
        let waiting = Waiting { noticed: now.mono, content: way == Way::Content };
        if let Some(until) = self.drift.heal_queue.contests.delayed_until(id, way, now.mono) {
            self.drift.heal_queue.delayed.entry(id.clone()).or_insert((until, waiting));
        } else if self.drift.heal_queue.failed.contains_key(id) && self.drift.heal_queue.delayed.contains_key(id) {
            // It failed lately; its next try is set.
        } else if let Some(foundation) = self.view.lacks(id) {
            if reports && way == Way::Gone {
                // It went with its Namespace or CRD, which nobody will bring back: there is nothing to examine.
                let (reason, blame) = (Reason::Deleted.to_string(), Blame::default());
                return self.report_drift(id, &Found { uid: None, way, reason, blame }, false, now);
            }
            self.drift.heal_queue.block(foundation, id.clone(), waiting);
        } else {
            self.drift.heal_queue.push(id.clone(), waiting);
        }
    }

    /// Sorts anew what is blocked: it is ready where its Namespace or CRD is there by now.
    pub(super) fn resort_blocked(&mut self) {
        for (id, waiting) in std::mem::take(&mut self.drift.heal_queue.blocked).into_values().flatten() {
            match self.view.lacks(&id) {
                Some(foundation) => self.drift.heal_queue.block(foundation, id, waiting),
                None => self.drift.heal_queue.push(id, waiting),
            }
        }
    }

    /// The object is as it should be: whoever drifted it has put it back, or we did.
    pub(super) fn mark_clean(&mut self, id: &ObjectId) {
        self.drift.heal_queue.drop_waiting(id);
        self.drift.heal_queue.failed.remove(id);
        self.drift.heal_queue.ownership_only.remove(id);
        if self.drift.heal_queue.reported.remove(id).is_some() {
            self.effects.push(Effect::Emit(SyncEvent::DriftGone { object: id.clone() }));
        }
    }

    /// The server says that the object holds what git declares, although some of its fields are not
    /// ours: whoever drifted it has put the values back. Only we could put back the ownership.
    pub(super) fn mark_ownership_only(&mut self, id: &ObjectId) {
        if self.config.drift == DriftPolicy::Report
            && let Some(way) = self.drift.heal_queue.reported.get(id).copied()
        {
            self.mark_clean(id);
            self.drift.heal_queue.ownership_only.insert(id.clone(), way);
        }
    }

    /// Whether a request that writes this object is under way or about to be sent.
    pub(super) fn is_being_written(&self, id: &ObjectId) -> bool {
        self.drift.heal_queue.is_running(id) || self.work.writes(id)
    }

    /// What is known of an object's health, between cycles.
    fn note_health(&mut self, id: &ObjectId, live: Option<&Observed>, step: &Step) {
        let health = match live {
            Some(live) => live.health.clone(),
            None if step.reason == Reason::Finished => crate::object::Health::current(),
            None => crate::object::Health::new(HealthStatus::NotFound, "does not exist"),
        };
        self.see_health(id, &health);
    }

    pub(super) fn see_health(&mut self, id: &ObjectId, health: &crate::object::Health) {
        let before = self.health.unhealthy.get(id);
        if before == Some(health) || (before.is_none() && health.is_current()) {
            return;
        }
        let old = before.map_or(HealthStatus::Current, |health| health.status);
        if health.is_current() {
            self.health.unhealthy.remove(id);
        } else {
            self.health.unhealthy.insert(id.clone(), health.clone());
        }
        self.health_changed(old, health.status);
    }

    /// Lines up what a plan found to be drifted. The result is what its cycle waits for: what is
    /// going to be healed now, and not what is contested, failed lately or lacks its namespace.
    ///
    /// `added`: objects to which people have added something, which is drift although a commit writes them.
    pub(super) fn line_up(&mut self, drifted: &[Step], added: &BTreeSet<ObjectId>, now: Moment) -> BTreeSet<ObjectId> {
        let ids: BTreeSet<&ObjectId> = drifted.iter().map(|step| &step.id).chain(added).collect();
        for id in self.drift.heal_queue.known() {
            if !ids.contains(&id) && !self.is_being_written(&id) {
                self.mark_clean(&id);
            }
        }
        for step in drifted {
            if !self.drift.heal_queue.is_running(&step.id) {
                self.enqueue_heal(&step.id, self.way(&step.id, step.live.as_ref()), now);
            }
        }
        let heals = drifted.iter().filter(|step| step.applies()).map(|step| &step.id);
        let stuck = self.behind_what_is_blocked();
        let begins = |id: &ObjectId| self.drift.heal_queue.is_ready(id) && !stuck.contains(id);
        heals.filter(|id| begins(id) || self.drift.heal_queue.is_running(id)).cloned().collect()
    }

    /// What cannot be healed before a Namespace or CRD is there again, itself or by way of what it depends
    /// on. Linear in what waits and its dependencies.
    pub(super) fn behind_what_is_blocked(&self) -> BTreeSet<ObjectId> {
        let mut stuck: BTreeSet<ObjectId> =
            self.drift.heal_queue.blocked.values().flat_map(BTreeMap::keys).cloned().collect();
        if stuck.is_empty() {
            return stuck;
        }
        let mut dependents: BTreeMap<&ObjectId, Vec<&ObjectId>> = BTreeMap::new();
        for (_, id) in self.drift.heal_queue.ready.keys() {
            for on in self.view.desired(id).into_iter().flat_map(|desired| &desired.manifest.directives.depends_on) {
                dependents.entry(on).or_default().push(id);
            }
        }
        let mut open: Vec<ObjectId> = stuck.iter().cloned().collect();
        while let Some(on) = open.pop() {
            for id in dependents.get(&on).into_iter().flatten() {
                if stuck.insert((*id).clone()) {
                    open.push((*id).clone());
                }
            }
        }
        stuck
    }
}
