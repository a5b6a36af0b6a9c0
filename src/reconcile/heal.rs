//! Healing single objects: from the news of a watch, or a drifted step of a plan, to the object
//! being as git declares it, with a name to who changed it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::DriftPolicy;
use crate::object::{Blame, Change, HealthStatus, ObjectId, Observed, Short, Unreadable};
use crate::plan::{AppliedObject, Desired, Drift, Facts, Problem, Reason, Recorded, Step, SyncStatus, Verb, judge};

use super::contest::Way;
use super::lane::{AT_ONCE, Found, Running, Waiting};
use super::{Effect, EffectId, Examined, Machine, Moment, Notice};

impl Machine {
    /// Takes in what the watches have seen.
    pub(super) fn changed(&mut self, changes: Vec<Change>, now: Moment) {
        if !self.leads {
            return;
        }
        for change in changes {
            self.note_job(&change);
            if self.is_being_written(change.id()) {
                self.lane.fresh.insert(change.id().clone(), change);
            } else {
                self.weigh(&change, now);
            }
        }
    }

    /// A Job that is deleted before it has ended is drift; one that has ended may go.
    fn note_job(&mut self, change: &Change) {
        match change {
            Change::Gone { id, last: Some(last) } if id.gk.is("batch", "Job") && !last.finished => {
                self.cut.insert(id.clone());
            }
            Change::Seen(live) => drop(self.cut.remove(&live.id)),
            Change::Gone { .. } => {}
        }
    }

    /// Decides what news of one object mean.
    fn weigh(&mut self, change: &Change, now: Moment) {
        let (id, live) = match change {
            Change::Seen(live) => (&live.id, Some(live)),
            Change::Gone { id, .. } => (id, None),
        };
        if self.is_suspended() {
            return;
        }
        if self.view.learn(id, live) {
            self.lane.unblock(id);
            // What git has added meanwhile waits for it, too.
            self.stir();
        }
        let Some(desired) = self.view.desired(id).cloned() else {
            // An orphan that was waited for is gone, or some other member of the set has changed.
            if self.inventory.contains_key(id) {
                self.stir();
            }
            return;
        };
        let step = self.judge(&desired, live);
        if step.reason.is_drift() && step.verb != Verb::Unchanged {
            self.put_in_lane(id, self.way(id, live), now);
        }
        // What is healed in a moment has no health in between that anybody should hear of.
        if !(step.applies() && step.reason.is_drift() && self.lane.is_due(id)) {
            self.note_health(id, live, &step);
        }
        if step.reason.is_drift() && step.verb != Verb::Unchanged {
            return;
        }
        if step.verb == Verb::Unchanged {
            self.is_clean(id);
        } else {
            self.stir();
        }
    }

    pub(super) fn judge(&self, desired: &Desired, live: Option<&Observed>) -> Step {
        let (observed, unreadable, crds) = (BTreeMap::new(), Unreadable::default(), BTreeMap::new());
        let facts = Facts {
            set_id: &self.set_id,
            commit: "",
            desired: &[],
            doubt: None,
            observed: &observed,
            unreadable: &unreadable,
            crds: &crds,
            inventory: &self.inventory,
            prune: &self.config.prune,
            drift: self.config.drift,
            approved: false,
            others: &self.view.others,
            cut: &self.cut,
        };
        judge(&facts, desired, live)
    }

    fn way(&self, id: &ObjectId, live: Option<&Observed>) -> Way {
        Way::of(live, self.inventory.get(id).map_or_else(Short::default, |recorded| recorded.uid))
    }

    /// Lines up a drifted object, unless it has to wait.
    pub(super) fn put_in_lane(&mut self, id: &ObjectId, way: Way, now: Moment) {
        let reports = self.config.drift == DriftPolicy::Report;
        if reports && [self.lane.told.get(id), self.lane.harmless.get(id)].contains(&Some(&way)) {
            return;
        }
        let waiting = Waiting { noticed: now.mono, content: way == Way::Content };
        if let Some(until) = self.lane.contests.held_until(id, way, now.mono) {
            self.lane.later.entry(id.clone()).or_insert((until, waiting));
        } else if self.lane.failed.contains_key(id) && self.lane.later.contains_key(id) {
            // It failed lately; its next try is set.
        } else if let Some(foundation) = self.view.lacks(id) {
            if reports && way == Way::Gone {
                // It went with its Namespace or CRD, which nobody will bring back: there is nothing to look at.
                let (reason, blame) = (Reason::Deleted.to_string(), Blame::default());
                return self.tell_drift(id, &Found { uid: None, way, reason, blame }, false, now);
            }
            self.lane.block(foundation, id.clone(), waiting);
        } else {
            self.lane.push(id.clone(), waiting);
        }
    }

    /// Looks anew at what is blocked, since what is missing may be there by now.
    pub(super) fn unblock(&mut self) {
        for (id, waiting) in std::mem::take(&mut self.lane.blocked).into_values().flatten() {
            match self.view.lacks(&id) {
                Some(foundation) => self.lane.block(foundation, id, waiting),
                None => self.lane.push(id, waiting),
            }
        }
    }

    /// The object is as it should be: whoever drifted it has put it back, or we did.
    pub(super) fn is_clean(&mut self, id: &ObjectId) {
        self.lane.drop_waiting(id);
        self.lane.failed.remove(id);
        self.lane.harmless.remove(id);
        if self.lane.told.remove(id).is_some() {
            self.effects.push(Effect::Tell(Notice::DriftGone { object: id.clone() }));
        }
    }

    /// The server says that the object holds what git declares, although some of its fields are not
    /// ours: whoever drifted it has put the values back. Only we could put back the ownership.
    pub(super) fn is_harmless(&mut self, id: &ObjectId) {
        if self.config.drift == DriftPolicy::Report
            && let Some(way) = self.lane.told.get(id).copied()
        {
            self.is_clean(id);
            self.lane.harmless.insert(id.clone(), way);
        }
    }

    /// Whether a request that writes this object is under way or about to be sent.
    pub(super) fn is_being_written(&self, id: &ObjectId) -> bool {
        self.lane.is_running(id) || self.work.writes(id)
    }

    /// Begins what is due, in order and never too much at once.
    pub(super) fn heal(&mut self, now: Moment) {
        self.lane.wake(now.mono);
        let over = self.lane.contests.next().is_some_and(|due| due <= now.mono);
        if over {
            for (object, uid) in self.lane.contests.forget(now.mono) {
                self.effects.push(Effect::Tell(Notice::Uncontested { object, uid }));
                self.restate_drift(now);
            }
        }
        while self.lane.running.len() < AT_ONCE {
            let Some((key, waiting)) = self.next_to_heal() else { return };
            self.lane.waiting.remove(&key);
            let object = key.1;
            let Some(desired) = self.view.desired(&object).cloned() else { continue };
            let id = self.number();
            let running = Running { object, noticed: waiting.noticed, found: None, content: waiting.content };
            self.lane.running.insert(id, running);
            self.effects.push(Effect::Examine { id, desired: Box::new(desired) });
        }
    }

    /// The first that is not held up: by what it depends on, or by a lower stage in its namespace.
    fn next_to_heal(&self) -> Option<((crate::plan::Stage, ObjectId), Waiting)> {
        let held_up = |(stage, id): &(crate::plan::Stage, ObjectId)| {
            let below = |running: &Running| {
                running.object.namespace == id.namespace && crate::plan::Stage::of(&running.object.gk) < *stage
            };
            let needed = self.view.desired(id).map(|desired| &desired.manifest.directives.depends_on);
            self.work.writes(id)
                || self.lane.running.values().any(below)
                || needed.into_iter().flatten().any(|other| self.lane.waits(other) || self.lane.is_running(other))
        };
        let next = self.lane.waiting.iter().find(|(key, _)| !held_up(key));
        next.map(|(key, waiting)| (key.clone(), *waiting))
    }

    /// What a closer look at a drifted object has shown. The decision falls on this, not on the news.
    pub(super) fn examined(&mut self, id: EffectId, result: Result<Examined, String>, now: Moment) {
        let Some(running) = self.lane.running.remove(&id) else { return };
        let object = running.object.clone();
        let known =
            result.as_ref().ok().and_then(|examined| examined.live.as_ref()).map(|live| live.resource_version.clone());
        if self.heal_begins(running, result, now) {
            return;
        }
        self.written(&object, known.as_deref(), now);
    }

    /// Whether a request to heal goes out; if not, the lane is done with the object for now.
    fn heal_begins(&mut self, running: Running, result: Result<Examined, String>, now: Moment) -> bool {
        let object = running.object.clone();
        let Some(desired) = self.view.desired(&object).cloned().filter(|_| !self.is_suspended()) else { return false };
        let examined = match result {
            Ok(examined) => examined,
            Err(error) => {
                self.failed_to_heal(&desired, format!("drifted, and could not be read: {error}"), &running, now);
                return false;
            }
        };
        if let (Some(recorded), Some(live)) = (self.inventory.get(&object), &examined.live)
            && recorded.applied
            && live.part_of.is_none()
        {
            // It left the selection of the watch, so news of it were those of a deletion.
            self.cut.remove(&object);
        }
        let mut step = self.judge(&desired, examined.live.as_ref());
        let mut way = self.way(&object, examined.live.as_ref());
        if running.content && step.reason == Reason::Same {
            (step.verb, step.reason, way) = (Verb::Configure, Reason::Content, Way::Content);
        }
        let uid = examined.live.as_ref().map(|live| Arc::clone(&live.uid));
        let found = Found { uid, way, reason: clause(&step.reason, &examined.blame), blame: examined.blame };
        match step.verb {
            Verb::Report => self.tell_drift(&object, &found, false, now),
            Verb::Unchanged => self.is_clean(&object),
            _ if step.applies() && step.reason.is_drift() => {
                if self.config.drift == DriftPolicy::Report {
                    self.tell_drift(&object, &found, false, now);
                    return false;
                }
                if let Some(until) = self.lane.contests.held_until(&object, way, now.mono) {
                    let waiting = Waiting { noticed: running.noticed, content: running.content };
                    self.lane.later.insert(object, (until, waiting));
                    return false;
                }
                let id = self.number();
                self.lane.running.insert(id, Running { found: Some(found), ..running });
                self.effects.push(Effect::Heal { id, step: Box::new(step) });
                return true;
            }
            _ => self.stir(),
        }
        false
    }

    /// A drifted object was applied, or could not be.
    pub(super) fn healed(&mut self, id: EffectId, outcome: AppliedObject, now: Moment) {
        let Some(running) = self.lane.running.remove(&id) else { return };
        let Running { object, noticed, found, content } = running;
        let known = outcome.live.as_ref().map(|live| live.resource_version.clone());
        if let (Some(live), true) = (&outcome.live, outcome.result.succeeded()) {
            let desired = self.view.desired(&object).cloned();
            if let Some(desired) = desired.filter(|desired| live.digest == Some(desired.digest)) {
                let fresh = self.inventory.get(&object).is_some_and(|recorded| recorded.fresh);
                let recorded = Recorded::of(live, &desired, fresh);
                if self.inventory.insert(object.clone(), recorded) != Some(recorded) {
                    self.remember(now);
                }
            }
            if self.view.learn(&object, Some(live)) {
                self.lane.unblock(&object);
                self.stir();
            }
            self.see_health(&object, &live.health);
            self.cut.remove(&object);
        }
        if let Some(cycle) = self.work.healing() {
            cycle.healed(&object, &outcome);
        }
        match (outcome.result.succeeded(), found) {
            (true, Some(found)) if outcome.result.changed() => {
                let found = Found { uid: outcome.uid, ..found };
                self.tell_drift(&object, &found, true, now);
                self.lane.told.remove(&object);
                let after = now.mono.saturating_sub(noticed);
                self.effects.push(Effect::Tell(Notice::Healed { object: object.clone(), after }));
                self.note_contest(&object, &found, now);
                self.is_clean(&object);
            }
            (true, _) => self.is_clean(&object),
            (false, found) => {
                if let Some(found) = &found {
                    self.tell_drift(&object, found, false, now);
                }
                let problem = outcome.problem.map_or_else(String::new, |problem| problem.message);
                let running = Running { object: object.clone(), noticed, found, content };
                if let Some(desired) = self.view.desired(&object).cloned() {
                    self.failed_to_heal(
                        &desired,
                        format!("drifted, and could not be healed: {problem}"),
                        &running,
                        now,
                    );
                }
            }
        }
        self.written(&object, known.as_deref(), now);
    }

    fn failed_to_heal(&mut self, desired: &Desired, message: String, running: &Running, now: Moment) {
        let (object, origin) = (running.object.clone(), desired.manifest.origin.clone());
        let problem = Problem { object: Some(object.clone()), origin: Some(origin), message };
        let delay = self.lane.fail(&object, problem, self.longest_delay());
        let waiting = Waiting { noticed: running.noticed, content: running.content };
        self.lane.later.insert(object, (now.mono + delay, waiting));
        self.stir();
    }

    fn note_contest(&mut self, object: &ObjectId, found: &Found, now: Moment) {
        let fields = found.blame.fields.iter().map(|field| field.path.clone()).collect();
        let manager = found.blame.manager.as_ref();
        let Some((contested, new)) =
            self.lane.contests.healed(object, found.uid.as_ref(), found.way, manager, fields, now.mono)
        else {
            return;
        };
        if new {
            self.effects.push(Effect::Tell(Notice::Contested {
                contest: super::record::contest(&contested, now),
                uid: found.uid.clone(),
            }));
        }
        self.restate_drift(now);
    }

    /// Says that an object drifted, once for each way in which it did.
    fn tell_drift(&mut self, object: &ObjectId, found: &Found, healed: bool, now: Moment) {
        let new = self.lane.told.insert(object.clone(), found.way) != Some(found.way);
        let drift = Drift {
            object: object.clone(),
            at: now.wall,
            reason: found.reason.clone(),
            blame: found.blame.clone(),
            healed,
        };
        if new {
            let (uid, missed) = (found.uid.clone(), found.way == Way::Content);
            self.effects.push(Effect::Tell(Notice::Drift { drift: drift.clone(), uid, missed }));
        }
        self.record_drift(drift, new, now);
    }

    /// The writing of an object has ended: news that came meanwhile are weighed, unless they are older
    /// than the answer, and whoever waited for the object goes on.
    pub(super) fn written(&mut self, object: &ObjectId, known: Option<&str>, now: Moment) {
        if let Some(change) = self.lane.fresh.remove(object) {
            let version = match &change {
                Change::Seen(live) => Some(&*live.resource_version),
                Change::Gone { last, .. } => last.as_ref().map(|last| &*last.resource_version),
            };
            match (version, known) {
                (Some(version), Some(known)) if !crate::object::is_newer(version, known) => {}
                // Nobody saw it go, so it is not known whether that was before or after.
                (None, Some(_)) => self.stir(),
                _ => self.weigh(&change, now),
            }
        }
        if let Some(cycle) = self.work.healing() {
            cycle.awaits.remove(object);
        }
        self.go_on(now);
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

    fn see_health(&mut self, id: &ObjectId, health: &crate::object::Health) {
        let before = self.ill.get(id);
        if before == Some(health) || (before.is_none() && health.is_current()) {
            return;
        }
        let old = before.map_or(HealthStatus::Current, |health| health.status);
        if health.is_current() {
            self.ill.remove(id);
        } else {
            self.ill.insert(id.clone(), health.clone());
        }
        self.health_changed(old, health.status);
    }

    /// Lines up what a plan found to be drifted. The result is what its cycle waits for: what is
    /// going to be healed now, and not what is contested, failed lately or lacks its namespace.
    pub(super) fn line_up(&mut self, drifted: &[Step], now: Moment) -> BTreeSet<ObjectId> {
        let ids: BTreeSet<&ObjectId> = drifted.iter().map(|step| &step.id).collect();
        for id in self.lane.known() {
            if !ids.contains(&id) && !self.is_being_written(&id) {
                self.is_clean(&id);
            }
        }
        for step in drifted {
            if !self.lane.is_running(&step.id) {
                self.put_in_lane(&step.id, self.way(&step.id, step.live.as_ref()), now);
            }
        }
        let heals = drifted.iter().filter(|step| step.applies()).map(|step| &step.id);
        heals.filter(|id| self.lane.is_due(id) || self.lane.is_running(id)).cloned().collect()
    }

    /// Which contests and which drift the status lists.
    pub(super) fn list_drift(&self, status: &mut SyncStatus, now: Moment) {
        let list = self.lane.contests.list();
        status.contested =
            list.iter().take(SyncStatus::MOST_DRIFT).map(|one| super::record::contest(one, now)).collect();
    }
}

/// What was found, and who is to blame, in one clause.
fn clause(reason: &Reason, blame: &Blame) -> String {
    match reason {
        Reason::Fields | Reason::Marks if !blame.fields.is_empty() => blame.to_string(),
        reason if blame.fields.is_empty() => reason.to_string(),
        reason => format!("{reason}; {blame}"),
    }
}
