//! The queue in which single drifted objects are healed, beside the work on a commit: what waits,
//! what is under way, and what has to wait for something else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::object::{Blame, Change, FieldChange, ObjectId};
use crate::plan::{Desired, Problem, Stage};

use super::EffectId;
use super::backoff::Backoff;
use super::basis::Basis;
use super::contest::{Contests, Way};
use super::relative::Frame;

/// Objects that are healed at once: half of what a commit gets, so that a burst never takes it all.
pub(super) const AT_ONCE: usize = 16;

/// An object that is being examined or healed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Running {
    pub object: ObjectId,
    pub basis: Basis,
    /// What it is being applied as; `None` while it is examined.
    pub desired: Option<Box<Desired>>,
    /// It was asked not to begin.
    pub interrupted: bool,
    /// When its drift was noticed.
    pub noticed: Duration,
    /// Known once it was examined.
    pub found: Option<Found>,
    /// The audit saw a difference that the fingerprint does not show.
    pub content: bool,
}

impl Running {
    /// Whether it is being applied, and not only examined.
    pub fn is_heal(&self) -> bool {
        self.desired.is_some()
    }
}

/// What a closer examination of a drifted object has shown.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Found {
    /// `None`: it did not exist.
    pub uid: Option<Arc<str>>,
    pub way: Way,
    pub reason: String,
    pub blame: Blame,
}

impl Found {
    /// The heal has removed this. Whether it is more than was seen before: what the server did not admit
    /// beside what git declares.
    pub fn removes(&mut self, removed: &[FieldChange]) -> bool {
        let known = |change: &&FieldChange| !self.blame.fields.iter().any(|known| known.path == change.path);
        let more: Vec<FieldChange> = removed.iter().filter(known).cloned().collect();
        // Beyond the bound, they are among those that are counted already.
        if self.blame.more > 0 || more.is_empty() {
            return false;
        }
        let many = more.len();
        // Who has put something in the place of a field has removed that.
        self.blame.manager = self.blame.manager.take().or_else(|| more.first()?.manager.clone());
        self.blame.add(more, many);
        self.reason = self.blame.to_string();
        true
    }
}

/// An object that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Waiting {
    pub noticed: Duration,
    pub content: bool,
}

/// A heal that failed, and is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Failure {
    pub problem: Problem,
    /// The API server refuses it.
    pub refused: bool,
    pub backoff: Backoff,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct HealQueue {
    /// What can be begun: what others need comes first.
    pub ready: BTreeMap<(Stage, ObjectId), Waiting>,
    /// Those that are not known to be behind another object; others may be named that left.
    startable: BTreeSet<(Stage, ObjectId)>,
    /// What depends on an object that waits or runs, by that.
    behind: BTreeMap<ObjectId, Vec<(Stage, ObjectId)>>,
    /// What is not to be begun before a time: contested, or failed lately.
    pub delayed: BTreeMap<ObjectId, (Duration, Waiting)>,
    /// What waits for a Namespace or CRD to be there again, by that.
    pub blocked: BTreeMap<ObjectId, BTreeMap<ObjectId, Waiting>>,
    pub running: BTreeMap<EffectId, Running>,
    /// The newest changes of objects that are being written: classified when the answer is there.
    pub deferred: BTreeMap<ObjectId, Change>,
    pub failed: BTreeMap<ObjectId, Failure>,
    pub contests: Contests,
    /// Drift that was reported and is still there.
    pub reported: BTreeMap<ObjectId, Way>,
    /// Drift that is left, and of which only the ownership of fields is not as it should be.
    pub ownership_only: BTreeMap<ObjectId, Way>,
    /// Something that was due left the heal queue without having been examined.
    pub dropped: bool,
}

impl HealQueue {
    pub fn see(&mut self, frame: &Frame) {
        let blocked = self.blocked.values_mut().flat_map(BTreeMap::values_mut);
        self.ready.values_mut().chain(blocked).for_each(|waiting| frame.began(&mut waiting.noticed));
        for (until, waiting) in self.delayed.values_mut() {
            frame.due(until);
            frame.began(&mut waiting.noticed);
        }
        let running = std::mem::take(&mut self.running).into_iter();
        self.running = running
            .map(|(mut id, mut running)| {
                frame.number(&mut id);
                frame.basis(&mut running.basis);
                frame.began(&mut running.noticed);
                (id, running)
            })
            .collect();
        self.contests.see(frame);
    }

    pub fn is_running(&self, id: &ObjectId) -> bool {
        self.running.values().any(|running| running.object == *id)
    }

    pub fn is_ready(&self, id: &ObjectId) -> bool {
        self.ready.contains_key(&(Stage::of(&id.gk), id.clone()))
    }

    /// Whether it is ready or blocked, and has not begun. One that is delayed holds up nobody.
    pub fn waits(&self, id: &ObjectId) -> bool {
        self.is_ready(id) || self.blocked.values().any(|blocked| blocked.contains_key(id))
    }

    pub fn push(&mut self, id: ObjectId, waiting: Waiting) {
        self.delayed.remove(&id);
        let key = (Stage::of(&id.gk), id);
        self.startable.insert(key.clone());
        self.ready.entry(key).or_insert(waiting);
    }

    /// The first object that waits and is not held up; `needed` are those that it depends on. What depends
    /// on one that waits or runs is not asked about again before that one is done with.
    pub fn first<'v>(
        &mut self,
        is_held_up: impl Fn(&Self, &(Stage, ObjectId)) -> bool,
        needed: impl Fn(&ObjectId) -> &'v [ObjectId],
    ) -> Option<((Stage, ObjectId), Waiting)> {
        let (mut found, mut left, mut held) = (None, Vec::new(), Vec::new());
        for key in &self.startable {
            let Some(waiting) = self.ready.get(key) else {
                left.push(key.clone());
                continue;
            };
            let behind = needed(&key.1).iter().find(|other| self.waits(other) || self.is_running(other));
            if let Some(other) = behind {
                held.push((other.clone(), key.clone()));
            } else if !is_held_up(self, key) {
                found = Some((key.clone(), *waiting));
                break;
            }
        }
        for key in left.iter().chain(held.iter().map(|(_, key)| key)) {
            self.startable.remove(key);
        }
        for (other, key) in held {
            self.behind.entry(other).or_default().push(key);
        }
        found
    }

    /// Lets those go on that depend on an object, once that neither waits nor runs.
    pub fn release(&mut self, id: &ObjectId) {
        if self.behind.contains_key(id) && !self.waits(id) && !self.is_running(id) {
            self.startable.extend(self.behind.remove(id).into_iter().flatten());
        }
    }

    /// What was begun and not ended waits again.
    pub fn put_back(&mut self, running: &Running) {
        self.push(running.object.clone(), Waiting { noticed: running.noticed, content: running.content });
    }

    pub fn block(&mut self, on: ObjectId, id: ObjectId, waiting: Waiting) {
        self.delayed.remove(&id);
        // Who depends on it cannot begin either, and is not to be awaited.
        self.dropped = true;
        self.blocked.entry(on).or_default().entry(id).or_insert(waiting);
    }

    /// Lets those go on that waited for this object.
    pub fn unblock(&mut self, on: &ObjectId) {
        for (id, waiting) in self.blocked.remove(on).unwrap_or_default() {
            self.push(id, waiting);
        }
    }

    /// Takes an object out of whatever it waits in: it is as it should be.
    pub fn drop_waiting(&mut self, id: &ObjectId) {
        self.dropped |= self.ready.remove(&(Stage::of(&id.gk), id.clone())).is_some();
        self.delayed.remove(id);
        if !self.blocked.is_empty() {
            self.blocked.retain(|_, blocked| {
                blocked.remove(id);
                !blocked.is_empty()
            });
        }
        self.release(id);
    }

    /// Nothing is known to drift, to fail or to be contested.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
            && self.ready.is_empty()
            && self.delayed.is_empty()
            && self.blocked.is_empty()
            && self.deferred.is_empty()
            && self.failed.is_empty()
            && self.reported.is_empty()
            && self.contests.len() == 0
    }

    /// Every object of which it knows something.
    pub fn known(&self) -> BTreeSet<ObjectId> {
        let waiting = self.ready.keys().map(|(_, id)| id);
        let blocked = self.blocked.values().flat_map(BTreeMap::keys);
        let others =
            self.delayed.keys().chain(self.failed.keys()).chain(self.reported.keys()).chain(self.ownership_only.keys());
        waiting.chain(blocked).chain(others).cloned().collect()
    }

    /// Makes what was put off due when its time has come.
    pub fn wake(&mut self, now: Duration) {
        let due: Vec<ObjectId> =
            self.delayed.iter().filter(|(_, (until, _))| *until <= now).map(|(id, _)| id.clone()).collect();
        for id in due {
            if let Some((_, waiting)) = self.delayed.remove(&id) {
                self.push(id, waiting);
            }
        }
    }

    /// When to wake up.
    pub fn next(&self) -> Option<Duration> {
        let later = self.delayed.values().map(|(until, _)| *until).min();
        [later, self.contests.next()].into_iter().flatten().min()
    }

    /// Notes a failure; the result is the time before it may be tried again.
    pub fn fail(&mut self, id: &ObjectId, problem: Problem, refused: bool, longest: Duration, random: u64) -> Duration {
        let failure = self.failed.entry(id.clone()).or_insert_with(|| Failure {
            problem: problem.clone(),
            refused,
            backoff: Backoff::default(),
        });
        (failure.problem, failure.refused) = (problem, refused);
        failure.backoff.next_delay(longest, random)
    }

    /// Makes due what failed and waits for its next try.
    pub fn retry_failed(&mut self) {
        for id in self.failed.keys().cloned().collect::<Vec<_>>() {
            if let Some((_, waiting)) = self.delayed.remove(&id) {
                self.push(id, waiting);
            }
        }
    }

    /// Forgets everything that waits, as when a sync is suspended. What is under way ends by itself.
    pub fn clear(&mut self) {
        self.dropped |= !self.ready.is_empty();
        self.ready.clear();
        self.startable.clear();
        self.behind.clear();
        self.delayed.clear();
        self.blocked.clear();
        self.deferred.clear();
    }
}
