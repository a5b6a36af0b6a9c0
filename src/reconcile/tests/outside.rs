//! What happens to the world from outside: restarts, other replicas, edits by people, and what
//! the watches report of that; and what was reported to people in turn.

use std::sync::Arc;

use super::world::{SET, World, id, moment};
use crate::event::SyncEvent;
use crate::object::{Change, Fingerprint, Foreign, ObjectId, Short};
use crate::plan::{Approval, Held};
use crate::reconcile::{Effect, Input, Machine, UserRequests};

impl World {
    /// Ends the process; the next one knows what the parent holds.
    pub fn restart(&mut self) {
        self.restart_as(|machine| machine);
    }

    fn restart_as(&mut self, role: impl FnOnce(Machine) -> Machine) {
        self.pending.clear();
        self.interrupted.clear();
        self.permits.restarts();
        self.kill = None;
        self.killed = false;
        self.blind = false;
        self.undelivered.clear();
        let (config, requests) = (Arc::clone(&self.config), self.requests.clone());
        self.machine = role(Machine::new(config, SET.into(), self.parent.clone(), requests, moment(self.now)));
        self.step(Input::Tick);
    }

    /// This process is another replica from now on, which stands by.
    pub fn follow(&mut self) {
        self.restart_as(Machine::following);
    }

    /// The replica that stands by leads from now on.
    pub fn lead(&mut self) {
        self.permits.begins_anew();
        let stored = self.parent.clone().map(Box::new);
        self.step(Input::Leads { stored, requests: self.requests.clone() });
    }

    /// Another replica begins to stand by, with what the parent holds now.
    pub fn stand_by(&mut self) {
        let (config, requests) = (Arc::clone(&self.config), self.requests.clone());
        let follower = Machine::new(config, SET.into(), self.parent.clone(), requests, moment(self.now)).following();
        let leader = std::mem::replace(&mut self.machine, follower);
        let of_leader = (std::mem::take(&mut self.pending), self.rendered.clone(), self.observed.clone());
        let (permits, interrupted) = (self.permits.clone(), std::mem::take(&mut self.interrupted));
        let (blind, watched, kill) = (self.blind, self.watched, self.kill.take());
        let killed = std::mem::take(&mut self.killed);
        self.step(Input::Tick);
        self.drain();
        self.standby = Some((std::mem::replace(&mut self.machine, leader), self.rendered.take()));
        (self.pending, self.rendered, self.observed) = of_leader;
        (self.permits, self.interrupted) = (permits, interrupted);
        (self.blind, self.watched, self.kill, self.killed) = (blind, watched, kill, killed);
    }

    /// The leader is gone, and the replica that stands by leads in its place.
    pub fn take_over(&mut self) {
        let Some((standby, rendered)) = self.standby.take() else { return };
        self.pending.clear();
        self.interrupted.clear();
        self.undelivered.clear();
        (self.kill, self.killed, self.blind, self.watched) = (None, false, false, false);
        (self.machine, self.rendered) = (standby, rendered);
        self.permits.restarts();
        self.lead();
    }

    /// The process is signalled to end, and ends: what only reads is left where it is.
    pub fn stop(&mut self) {
        self.step(Input::Stop);
        while let Some(effect) = self.left_at_a_stop() {
            self.execute(effect);
        }
    }

    /// What is still to be answered of a process that was signalled to end; `None`: it has ended.
    pub fn left_at_a_stop(&mut self) -> Option<Effect> {
        let writes = |effect: &Effect| {
            matches!(
                effect,
                Effect::WriteParent { .. } | Effect::Apply { .. } | Effect::Prune { .. } | Effect::Heal { .. }
            )
        };
        self.pending.retain(writes);
        let next = self.pending.pop_front().filter(|_| !self.killed);
        assert!(next.is_some() || self.killed || self.machine.is_idle(), "{:?}", self.machine);
        next
    }

    /// The sync begins anew with another path.
    pub fn configure_path(&mut self, path: &str) {
        let mut config = (*self.config).clone();
        config.path = crate::config::RepoPath::parse(path).unwrap();
        self.config = Arc::new(config);
        self.standby = None;
        self.restart();
    }

    /// Another replica leads for a while; the result is this one.
    pub fn swap_for_a_leader(&mut self) -> Machine {
        let (config, requests) = (Arc::clone(&self.config), self.requests.clone());
        let leader = Machine::new(config, SET.into(), self.parent.clone(), requests, moment(self.now));
        std::mem::replace(&mut self.machine, leader)
    }

    /// A person annotates the parent.
    pub fn annotate(&mut self, change: impl FnOnce(&mut UserRequests)) {
        let before = self.requests.clone();
        change(&mut self.requests);
        if before.suspended && !self.requests.suspended {
            self.permits.begins_anew();
        } else if before.sync_requested != self.requests.sync_requested {
            self.permits.is_asked();
        }
        self.step(Input::UserRequests(self.requests.clone()));
    }

    pub fn approve(&mut self, commit: &str) {
        if self.requests.approved.as_deref() != Some(commit) {
            self.spent.clear();
        }
        self.annotate(|requests| requests.approved = Some(commit.into()));
    }

    /// A person approves what the stored status says is held, as `driftless approve` does.
    pub fn approve_held(&mut self) {
        let held = self.stored_held().expect("a prune is held");
        let value = Approval::value_for(&held, &self.now.as_nanos().to_string());
        self.approve(&value);
    }

    pub fn stored_held(&self) -> Option<Held> {
        self.parent.as_ref().and_then(|(_, status)| status.held.clone())
    }

    /// The configuration is changed so that the current commit renders to other objects (another
    /// `path`): the daemon starts the sync anew.
    pub fn change_path(&mut self, names: impl IntoIterator<Item = impl Into<String>>) {
        let commit = self.head.clone().expect("a branch");
        self.push(&commit, names);
        // A replica that stands by is configured likewise, and begins anew too.
        self.standby = None;
        self.restart();
    }

    /// Somebody writes these fields of an object, by this field manager.
    pub fn write_fields(&mut self, name: &str, manager: &str, fields: &[&str]) {
        let lost = self.lost.entry(id(name)).or_default();
        lost.extend(fields.iter().map(|field| (*field).to_owned()));
        let left = format!("{lost:?}");
        let version = self.version();
        let live = self.live(name);
        live.fingerprint = Some(Fingerprint::of(left.as_bytes()));
        live.resource_version = version;
        self.culprit = Some(manager.into());
        self.seen(&id(name));
    }

    /// The health of an object is another from now on.
    pub fn set_health(&mut self, name: &str, health: crate::object::Health) {
        let version = self.version();
        let live = self.live(name);
        (live.health, live.resource_version) = (health, version);
        self.seen(&id(name));
    }

    /// Somebody edits a field that git declares.
    pub fn edit(&mut self, name: &str) {
        let version = self.version();
        let live = self.live(name);
        // Where there is none of our fields, an edit brings none.
        live.fingerprint = live.fingerprint.map(|_| Fingerprint::of(b"edited"));
        live.resource_version = version;
        self.seen(&id(name));
    }

    /// What people have added to an object is this from now on.
    pub fn add(&mut self, name: &str, addition: Option<&str>) {
        self.change_foreign(name, |foreign| foreign.added = addition.map(Short::of));
    }

    /// A manager that is on neither list owns fields of an object.
    pub fn write_as(&mut self, name: &str, manager: &str) {
        self.change_foreign(name, |foreign| foreign.unknown = [manager.into()].into());
    }

    fn change_foreign(&mut self, name: &str, change: impl FnOnce(&mut Foreign)) {
        let version = self.version();
        let live = self.live(name);
        live.resource_version = version;
        change(live.foreign.get_or_insert_default());
        self.seen(&id(name));
    }

    /// Somebody deletes an object.
    pub fn delete(&mut self, name: &str) {
        self.gone(&id(name));
        self.live.remove(&id(name));
    }

    /// The resource version of the next write.
    pub fn version(&mut self) -> Arc<str> {
        self.versions += 1;
        self.versions.to_string().into()
    }

    /// The watch reports an object as it is now.
    pub fn seen(&mut self, id: &ObjectId) {
        self.undelivered.extend(self.live.get(id).cloned().map(Change::Seen));
    }

    /// The watch reports an object that goes now.
    pub fn gone(&mut self, id: &ObjectId) {
        let Some(mut last) = self.live.get(id).cloned() else { return };
        last.resource_version = self.version();
        self.undelivered.push_back(Change::Gone { id: id.clone(), last: Some(Box::new(last)) });
    }

    /// Delivers what the watches have seen.
    pub fn deliver(&mut self) {
        let changes = std::mem::take(&mut self.undelivered);
        self.step(Input::Changed(changes.into()));
    }

    /// How many events of a kind were reported.
    pub fn reported(&self, which: impl Fn(&SyncEvent) -> bool) -> usize {
        self.events.iter().filter(|event| which(event)).count()
    }

    pub fn drifts(&self) -> usize {
        self.reported(|event| matches!(event, SyncEvent::DriftDetected { .. }))
    }

    pub fn heals(&self) -> usize {
        self.reported(|event| matches!(event, SyncEvent::DriftHealed { .. }))
    }
}
