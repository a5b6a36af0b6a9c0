//! Healing single objects: from the change that a watch reports, or a drifted step of a plan, to the object
//! being as git declares it, with a name to who changed it.

use std::sync::Arc;
use std::time::Duration;

use crate::config::DriftPolicy;
use crate::event::SyncEvent;
use crate::object::{Blame, Change, ObjectId};
use crate::plan::{
    AppliedObject, ApplyResult, Desired, Drift, Obstacle, Problem, Reason, Recorded, Rewritten, SyncStatus, Verb,
};

use super::contest::Way;
use super::heal_queue::{AT_ONCE, Found, HealQueue, Running, Waiting};
use super::machine::Work;
use super::{Effect, EffectError, EffectId, Examined, Machine, Moment};

impl Machine {
    /// Begins what is due, in order and never too much at once.
    pub(super) fn heal(&mut self, now: Moment) {
        self.drift.heal_queue.wake(now.mono);
        let over = self.drift.heal_queue.contests.next().is_some_and(|due| due <= now.mono);
        if over {
            for (object, uid) in self.drift.heal_queue.contests.forget(now.mono) {
                self.effects.push(Effect::Emit(SyncEvent::Uncontested { object, uid }));
                self.restate_drift(now);
            }
        }
        while self.drift.heal_queue.running.len() < AT_ONCE
            && let Some(basis) = self.basis_of_heals()
        {
            let Some((key, waiting)) = self.next_to_heal() else { break };
            self.drift.heal_queue.ready.remove(&key);
            let object = key.1;
            let Some(desired) = self.view.desired(&object).cloned() else {
                self.drift.heal_queue.dropped = true;
                self.drift.heal_queue.release(&object);
                continue;
            };
            let id = self.number();
            let Waiting { noticed, content } = waiting;
            // What an audit says of it would be older than this.
            self.drift.audit.forget(&object);
            let running = Running { object, basis, desired: None, interrupted: false, noticed, found: None, content };
            self.drift.heal_queue.running.insert(id, running);
            self.effects.push(Effect::Examine { id, desired: Box::new(desired) });
        }
        self.stop_awaiting(now);
    }

    /// The first that is not held up: by what it depends on, or by a lower stage in its namespace.
    fn next_to_heal(&mut self) -> Option<((crate::plan::Stage, ObjectId), Waiting)> {
        let (work, view) = (&self.work, &self.view);
        let held_up = |queue: &HealQueue, (stage, id): &(crate::plan::Stage, ObjectId)| {
            let below = |running: &Running| {
                running.object.namespace == id.namespace && crate::plan::Stage::of(&running.object.gk) < *stage
            };
            work.writes(id) || queue.running.values().any(below)
        };
        self.drift
            .heal_queue
            .first(held_up, |id| view.desired(id).map_or(&[], |desired| &desired.manifest.directives.depends_on))
    }

    /// What a closer examination of a drifted object has shown. The decision falls on this, not on the change.
    pub(super) fn examined(&mut self, id: EffectId, result: Result<Examined, EffectError>, now: Moment) {
        let Some(running) = self.drift.heal_queue.running.remove(&id) else { return };
        let object = running.object.clone();
        let known =
            result.as_ref().ok().and_then(|examined| examined.live.as_ref()).map(|live| live.resource_version.clone());
        if self.heal_begins(running, result, now) {
            return;
        }
        self.written(&object, known.as_deref(), now);
    }

    /// Whether a request to heal goes out; if not, the heal queue is done with the object for now.
    fn heal_begins(&mut self, running: Running, result: Result<Examined, EffectError>, now: Moment) -> bool {
        let object = running.object.clone();
        // By what git declares now, and not by what it did when the examination began.
        let basis = self.basis_of_heals().filter(|basis| basis.epoch == running.basis.epoch);
        let Some(basis) = basis else {
            // It is examined once more when it may be healed.
            self.drift.heal_queue.put_back(&running);
            return false;
        };
        let Some(desired) = self.view.desired(&object).cloned() else { return false };
        let examined = match result {
            Ok(examined) => examined,
            Err(error) => {
                let waiting = Waiting { noticed: running.noticed, content: running.content };
                self.failed_to_heal(&desired, format!("drifted, and could not be read: {error}"), false, waiting, now);
                return false;
            }
        };
        if let (Some(recorded), Some(live)) = (self.store.inventory.get(&object), &examined.live)
            && recorded.applied
            && live.part_of.is_none()
        {
            // It left the selection of the watch, so changes of it were those of a deletion.
            self.drift.deleted_early.remove(&object);
        }
        let mut step = self.plan_one(&desired, examined.live.as_ref());
        let mut way = self.way(&object, examined.live.as_ref());
        if running.content && step.reason == Reason::Same {
            (step.verb, step.reason, way) = (Verb::Configure, Reason::Content, Way::Content);
        }
        let uid = examined.live.as_ref().map(|live| Arc::clone(&live.uid));
        let found = Found { uid, way, reason: clause(&step.reason, &examined.blame), blame: examined.blame };
        match step.verb {
            Verb::Report => self.report_drift(&object, &found, false, now),
            Verb::Unchanged => self.mark_clean(&object),
            _ if step.applies() && step.reason.is_drift() => {
                if self.config.drift == DriftPolicy::Report {
                    self.report_drift(&object, &found, false, now);
                    return false;
                }
                if let Some(until) = self.drift.heal_queue.contests.examined(&object, way, &found.blame, now.mono) {
                    let waiting = Waiting { noticed: running.noticed, content: running.content };
                    self.drift.heal_queue.delayed.insert(object, (until, waiting));
                    return false;
                }
                let id = self.number();
                let desired = Some(Box::new(desired));
                self.drift.heal_queue.running.insert(id, Running { basis, desired, found: Some(found), ..running });
                self.effects.push(Effect::Heal { id, step: Box::new(step) });
                return true;
            }
            _ => self.request_reconcile(),
        }
        false
    }

    /// A drifted object was applied, or could not be.
    pub(super) fn healed(&mut self, id: EffectId, outcome: AppliedObject, now: Moment) {
        let Some(running) = self.drift.heal_queue.running.remove(&id) else { return };
        if outcome.result == ApplyResult::Skipped && outcome.problem.is_none() {
            self.drift.heal_queue.put_back(&running);
            return self.written(&running.object, None, now);
        }
        if outcome.result.succeeded() && self.drift.note_rewritten(&outcome.id, &outcome.rewritten) {
            self.restate_drift(now);
        }
        let Running { object, noticed, mut found, content, desired: applied, .. } = running;
        if let Some(found) = &mut found
            && outcome.result.succeeded()
            && found.removes(&outcome.removed)
        {
            // Also where the drift itself was reported before, when the heal failed.
            self.drift.heal_queue.reported.remove(&object);
        }
        let known = outcome.live.as_ref().map(|live| live.resource_version.clone());
        if let (Some(live), true) = (&outcome.live, outcome.result.succeeded()) {
            // What was applied, whatever git declares by now: its UID is what proves it to be ours.
            if let Some(desired) = applied.filter(|applied| live.digest == Some(applied.digest)) {
                let unconfirmed = self.store.inventory.get(&object).is_some_and(|recorded| recorded.unconfirmed);
                let recorded = Recorded::of(live, &desired, unconfirmed);
                if self.store.inventory.insert(object.clone(), recorded) != Some(recorded) {
                    self.store_learned(now);
                }
            }
            if self.view.learn(&object, Some(live)) {
                self.drift.heal_queue.unblock(&object);
                self.request_reconcile();
            }
            self.see_health(&object, &live.health);
            self.drift.deleted_early.remove(&object);
        }
        match &mut self.work {
            Work::Healing { cycle } => cycle.healed(&object, &outcome),
            Work::Observing { cycle, .. } => drop(cycle.meanwhile.insert(object.clone())),
            _ => {}
        }
        if let Some(Obstacle::Immutable(proof)) = outcome.obstacle {
            self.heal_by_replacing(&object, proof, found.as_ref(), now);
            return self.written(&object, None, now);
        }
        match (outcome.result.succeeded(), found) {
            (true, Some(found)) if outcome.result.changed() => {
                let found = Found { uid: outcome.uid, ..found };
                self.report_drift(&object, &found, true, now);
                self.drift.heal_queue.reported.remove(&object);
                let after = now.mono.saturating_sub(noticed);
                self.effects.push(Effect::Emit(SyncEvent::DriftHealed { object: object.clone(), after }));
                self.note_contest(&object, &found, now);
                self.mark_clean(&object);
            }
            (true, _) => self.mark_clean(&object),
            (false, found) => {
                if let Some(found) = &found {
                    self.report_drift(&object, found, false, now);
                }
                let refused = outcome.obstacle == Some(Obstacle::Refused);
                let problem = outcome.problem.map_or_else(String::new, |problem| problem.message);
                if let Some(desired) = self.view.desired(&object).cloned() {
                    let message = format!("drifted, and could not be healed: {problem}");
                    self.failed_to_heal(&desired, message, refused, Waiting { noticed, content }, now);
                }
            }
        }
        self.written(&object, known.as_deref(), now);
        self.take_answer(outcome.live.as_ref(), now);
    }

    fn failed_to_heal(&mut self, desired: &Desired, message: String, refused: bool, waiting: Waiting, now: Moment) {
        let (object, origin) = (desired.manifest.id.clone(), desired.manifest.origin.clone());
        let problem = Problem { object: Some(object.clone()), origin: Some(origin), message };
        let delay = self.drift.heal_queue.fail(&object, problem, refused, self.longest_delay(), now.random);
        self.drift.heal_queue.delayed.insert(object, (now.mono + delay, waiting));
        self.request_reconcile();
    }

    fn note_contest(&mut self, object: &ObjectId, found: &Found, now: Moment) {
        let (uid, blame) = (found.uid.as_ref(), &found.blame);
        let Some((contested, new)) = self.drift.heal_queue.contests.healed(object, uid, found.way, blame, now.mono)
        else {
            return;
        };
        if new {
            self.effects.push(Effect::Emit(SyncEvent::Contested {
                contest: super::record::contest(&contested, now),
                uid: found.uid.clone(),
            }));
        }
        self.restate_drift(now);
    }

    /// Says that an object drifted, once for each way in which it did.
    pub(super) fn report_drift(&mut self, object: &ObjectId, found: &Found, healed: bool, now: Moment) {
        let new = self.drift.heal_queue.reported.insert(object.clone(), found.way) != Some(found.way);
        let drift = Drift {
            object: object.clone(),
            at: now.wall,
            reason: found.reason.clone(),
            blame: found.blame.clone(),
            healed,
        };
        if new {
            let (uid, missed) = (found.uid.clone(), found.way == Way::Content);
            self.effects.push(Effect::Emit(SyncEvent::DriftDetected { drift: drift.clone(), uid, missed }));
        }
        self.record_drift(drift, new, now);
    }

    /// Says what others had added to an object, and the apply of a commit has removed.
    pub(super) fn report_removed(&mut self, outcome: &AppliedObject, began: Duration, now: Moment) {
        if outcome.removed.is_empty() {
            return;
        }
        let blame = Blame::of_removed(outcome.removed.clone());
        let (uid, way, reason) = (outcome.uid.clone(), Way::Added(Default::default()), clause(&Reason::Added, &blame));
        self.drift.heal_queue.reported.remove(&outcome.id);
        self.report_drift(&outcome.id, &Found { uid, way, reason, blame }, true, now);
        self.drift.heal_queue.reported.remove(&outcome.id);
        let after = now.mono.saturating_sub(began);
        self.effects.push(Effect::Emit(SyncEvent::DriftHealed { object: outcome.id.clone(), after }));
    }

    /// The writing of an object has ended: changes that came meanwhile are classified, unless they are older
    /// than the answer, and whoever waited for the object goes on.
    pub(super) fn written(&mut self, object: &ObjectId, known: Option<&str>, now: Moment) {
        if let Some(change) = self.drift.heal_queue.deferred.remove(object) {
            let version = match &change {
                Change::Seen(live) => Some(&*live.resource_version),
                Change::Gone { last, .. } => last.as_ref().map(|last| &*last.resource_version),
            };
            match (version, known) {
                (Some(version), Some(known)) if !crate::object::version::is_newer(version, known) => {}
                // Nobody saw it go, so it is not known whether that was before or after.
                (None, Some(_)) => self.request_reconcile(),
                _ => self.classify(&change, now),
            }
        }
        self.drift.heal_queue.release(object);
        // What was not begun, and waits again, is awaited on.
        let ended = !self.drift.heal_queue.is_ready(object);
        if let Some(cycle) = self.work.healing().filter(|_| ended) {
            cycle.awaits.remove(object);
        }
        self.go_on(now);
    }

    /// Which contests and which drift the status lists.
    pub(super) fn list_drift(&self, status: &mut SyncStatus, now: Moment) {
        let list = self.drift.heal_queue.contests.list();
        status.contested =
            list.iter().take(SyncStatus::MOST_DRIFT).map(|one| super::record::contest(one, now)).collect();
        let declared = self.drift.rewritten.iter().filter(|(id, _)| self.view.desired(id).is_some());
        let rewritten = declared.map(|(id, fields)| Rewritten { object: id.clone(), fields: fields.clone() });
        let mut rewritten: Vec<Rewritten> = rewritten.collect();
        status.rewritten_more = rewritten.len().saturating_sub(SyncStatus::MOST);
        rewritten.truncate(SyncStatus::MOST);
        status.rewritten = rewritten;
    }
}

/// What was found, and who is to blame, in one clause.
fn clause(reason: &Reason, blame: &Blame) -> String {
    match reason {
        Reason::Fields | Reason::MetadataLost | Reason::Added if !blame.fields.is_empty() => blame.to_string(),
        reason if blame.fields.is_empty() => reason.to_string(),
        reason => format!("{reason}; {blame}"),
    }
}
