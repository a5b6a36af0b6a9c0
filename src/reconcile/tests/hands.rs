//! What happens to the world from outside: restarts, other replicas, people and their hands, and
//! what the watches tell of that; and what was told to people in turn.

use std::sync::Arc;

use super::world::{SET, World, id, moment};
use crate::object::{Change, Fingerprint, ObjectId};
use crate::plan::{Approval, Held};
use crate::reconcile::{Input, Machine, Marks, Notice};

impl World {
    /// Ends the process; the next one knows what the parent holds.
    pub fn restart(&mut self) {
        self.restart_as(|machine| machine);
    }

    fn restart_as(&mut self, role: impl FnOnce(Machine) -> Machine) {
        self.pending.clear();
        self.kill = None;
        self.killed = false;
        self.blind = false;
        self.news.clear();
        let seed = u64::try_from(self.steps).unwrap();
        let (config, marks) = (Arc::clone(&self.config), self.marks.clone());
        self.machine = role(Machine::new(config, SET.into(), self.parent.clone(), marks, moment(self.now), seed));
        self.step(Input::Tick);
    }

    /// This process is another replica from now on, which stands by.
    pub fn follow(&mut self) {
        self.restart_as(Machine::following);
    }

    /// The replica that stands by leads from now on.
    pub fn lead(&mut self) {
        let stored = self.parent.clone().map(Box::new);
        self.step(Input::Leads { stored, marks: self.marks.clone() });
    }

    /// Another replica leads for a while; the result is this one.
    pub fn swap_for_a_leader(&mut self) -> Machine {
        let (config, marks) = (Arc::clone(&self.config), self.marks.clone());
        let leader = Machine::new(config, SET.into(), self.parent.clone(), marks, moment(self.now), 7);
        std::mem::replace(&mut self.machine, leader)
    }

    /// A person annotates the parent.
    pub fn mark(&mut self, change: impl FnOnce(&mut Marks)) {
        change(&mut self.marks);
        self.step(Input::Marks(self.marks.clone()));
    }

    pub fn approve(&mut self, commit: &str) {
        if self.marks.approved.as_deref() != Some(commit) {
            self.spent.clear();
        }
        self.mark(|marks| marks.approved = Some(commit.into()));
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

    /// The configuration is changed so that the commit at hand renders to other objects (another
    /// `path`): the daemon starts the sync anew.
    pub fn change_path(&mut self, names: impl IntoIterator<Item = impl Into<String>>) {
        let commit = self.head.clone().expect("a branch");
        self.push(&commit, names);
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
        live.fingerprint = Some(Fingerprint::of(b"edited"));
        live.resource_version = version;
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

    /// The watch has news of an object as it is now.
    pub fn seen(&mut self, id: &ObjectId) {
        self.news.extend(self.live.get(id).cloned().map(Change::Seen));
    }

    /// The watch has news of an object that goes now.
    pub fn gone(&mut self, id: &ObjectId) {
        let Some(mut last) = self.live.get(id).cloned() else { return };
        last.resource_version = self.version();
        self.news.push_back(Change::Gone { id: id.clone(), last: Some(Box::new(last)) });
    }

    /// Delivers what the watches have seen.
    pub fn deliver(&mut self) {
        let news = std::mem::take(&mut self.news);
        self.step(Input::Changed(news.into()));
    }

    /// How many notices of a kind were told.
    pub fn told(&self, which: impl Fn(&Notice) -> bool) -> usize {
        self.notices.iter().filter(|notice| which(notice)).count()
    }

    pub fn drifts(&self) -> usize {
        self.told(|notice| matches!(notice, Notice::Drift { .. }))
    }

    pub fn heals(&self) -> usize {
        self.told(|notice| matches!(notice, Notice::Healed { .. }))
    }
}
