//! What the watches of one sync know: the members of its set, and which objects are gone for good.
//! Plain values in, changes out: it knows of no connection, and time is passed in.
//!
//! The same state may come by three ways, in any order: an event, a LIST, and the answer to our own
//! apply. The resource version says which is newer.

mod outdated;
mod tombstones;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

pub(super) use self::outdated::{Outdated, Suspicion, Verdict, verdict};
use self::tombstones::{Tombstone, Tombstones};
use crate::object::version::{is_older, is_unordered};
use crate::object::{Change, GroupKind, ObjectId, Observed};

/// The members of one set, by label.
#[derive(Debug)]
pub(super) struct LiveStore {
    set: Arc<str>,
    members: BTreeMap<ObjectId, Observed>,
    tombstones: Tombstones,
    /// One copy of each name, for the many objects that share it.
    namespaces: BTreeSet<Arc<str>>,
}

impl LiveStore {
    /// `set`: the `ApplySet` id.
    pub fn new(set: &str) -> Self {
        Self {
            set: set.into(),
            members: BTreeMap::new(),
            tombstones: Tombstones::default(),
            namespaces: BTreeSet::new(),
        }
    }

    /// The members of a kind.
    pub fn members(&self, gk: &GroupKind) -> Vec<Observed> {
        self.of_kind(gk).map(|(_, live)| live.clone()).collect()
    }

    /// An object as an event or a LIST shows it. `None` when that is older than what is known, or
    /// no change.
    pub fn see(&mut self, live: Observed, now: Instant) -> Option<Change> {
        if !self.is_member(&live) {
            // A server that does not select by label sends everything there is.
            return if self.members.contains_key(&live.id) { self.gone(live, now) } else { None };
        }
        if self.tombstones.get(&live.id, now).is_some_and(|tombstone| tombstone.covers(&live)) {
            return None;
        }
        match self.members.get_mut(&live.id) {
            Some(known) if is_older(&live.resource_version, &known.resource_version) => None,
            Some(known) if known.agrees_with(&live) => {
                known.resource_version = live.resource_version;
                None
            }
            _ => {
                let live = self.share(live);
                self.tombstones.remove(&live.id);
                self.members.insert(live.id.clone(), live.clone());
                Some(Change::Seen(live))
            }
        }
    }

    /// An object was deleted, or left the selection. `last` is its final state with the resource
    /// version of the deletion. `None` when a newer object is known, or nobody knew this one.
    pub fn gone(&mut self, last: Observed, now: Instant) -> Option<Change> {
        if let Some(known) = self.members.get(&last.id) {
            let (version, known_version) = (&last.resource_version, &known.resource_version);
            let another = last.uid != known.uid && is_unordered(version, known_version);
            if another || is_older(version, known_version) {
                return None;
            }
        }
        let tombstone = self.tombstones.get(&last.id, now);
        let ours = tombstone.is_some_and(|tombstone| tombstone.ours && tombstone.uid == last.uid);
        self.bury(&last.id, &last.uid, &last.resource_version, ours, now);
        let was_known = self.members.remove(&last.id).is_some();
        (was_known && !ours).then(|| Change::Gone { id: last.id.clone(), last: Some(Box::new(last)) })
    }

    /// The answer to our own apply: no change to anybody. Whether it is the newest that is known of
    /// the object, so that earlier changes of it are outdated.
    pub fn note(&mut self, live: &Observed, now: Instant) -> bool {
        let buried = self.tombstones.get(&live.id, now).is_some_and(|tombstone| tombstone.covers(live));
        let known = self.members.get(&live.id);
        if buried
            || !self.is_member(live)
            || known.is_some_and(|known| is_older(&live.resource_version, &known.resource_version))
        {
            return false;
        }
        let live = self.share(live.clone());
        self.tombstones.remove(&live.id);
        self.members.insert(live.id.clone(), live);
        true
    }

    /// Our own deletion was answered with "gone". What comes later of this UID is no change. Whether
    /// nothing newer is known under this name, so that earlier changes of it are outdated.
    pub fn removed(&mut self, id: &ObjectId, uid: &str, now: Instant) -> bool {
        let version: Arc<str> = match self.members.get(id) {
            Some(known) if *known.uid != *uid => return false,
            Some(known) => Arc::clone(&known.resource_version),
            None => "".into(),
        };
        if self.tombstones.get(id, now).is_some_and(|tombstone| *tombstone.uid != *uid) {
            return false;
        }
        self.members.remove(id);
        self.bury(id, &uid.into(), &version, true, now);
        true
    }

    /// A LIST of a kind, of one namespace or of all: what it does not show is gone, except what is
    /// newer than the list (our own apply after it).
    pub fn replace(
        &mut self,
        gk: &GroupKind,
        namespace: Option<&str>,
        list: Vec<Observed>,
        version: &str,
        now: Instant,
    ) -> Vec<Change> {
        let mut missing: BTreeMap<ObjectId, Arc<str>> = self
            .in_place(gk, namespace)
            .filter(|(_, known)| !is_older(version, &known.resource_version))
            .map(|(id, known)| (id.clone(), Arc::clone(&known.uid)))
            .collect();
        for live in &list {
            missing.remove(&live.id);
        }
        let version: Arc<str> = version.into();
        let mut changes = Vec::with_capacity(missing.len());
        for (id, uid) in missing {
            self.members.remove(&id);
            self.bury(&id, &uid, &version, false, now);
            changes.push(Change::Gone { id, last: None });
        }
        changes.extend(list.into_iter().filter_map(|live| self.see(live, now)));
        self.namespaces.retain(|name| Arc::strong_count(name) > 1);
        changes
    }

    /// History went back: what is known of a kind, in one namespace or in all, is older than whatever
    /// comes next.
    pub fn forget_versions(&mut self, gk: &GroupKind, namespace: Option<&str>) {
        let known: Vec<ObjectId> = self.in_place(gk, namespace).map(|(id, _)| id.clone()).collect();
        for id in &known {
            if let Some(live) = self.members.get_mut(id) {
                live.resource_version = "".into();
            }
        }
        self.tombstones.forget(|id| id.gk == *gk && is_in(id, namespace));
    }

    /// The kind is served no longer: its objects went with it.
    pub fn unserved(&mut self, gk: &GroupKind) -> Vec<Change> {
        self.take_out(gk, |_| true).into_iter().map(|id| Change::Gone { id, last: None }).collect()
    }

    /// Nobody asks for these objects of a kind any more: no changes are reported, and no memory is spent on them.
    pub fn forget(&mut self, gk: &GroupKind, unwanted: impl Fn(&ObjectId) -> bool) {
        drop(self.take_out(gk, unwanted));
        self.namespaces.retain(|name| Arc::strong_count(name) > 1);
    }

    fn take_out(&mut self, gk: &GroupKind, unwanted: impl Fn(&ObjectId) -> bool) -> Vec<ObjectId> {
        let ids: Vec<ObjectId> = self.of_kind(gk).map(|(id, _)| id).filter(|id| unwanted(id)).cloned().collect();
        for id in &ids {
            self.members.remove(id);
        }
        ids
    }

    fn is_member(&self, live: &Observed) -> bool {
        live.part_of.as_deref() == Some(&*self.set)
    }

    fn in_place<'a>(
        &'a self,
        gk: &'a GroupKind,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a ObjectId, &'a Observed)> {
        self.of_kind(gk).filter(move |(id, _)| is_in(id, namespace))
    }

    fn of_kind<'a>(&'a self, gk: &'a GroupKind) -> impl Iterator<Item = (&'a ObjectId, &'a Observed)> {
        // No namespace and the empty name: the least identity of the kind.
        let first = ObjectId { gk: gk.clone(), namespace: None, name: "".into() };
        self.members.range(first..).take_while(move |(id, _)| id.gk == *gk)
    }

    fn bury(&mut self, id: &ObjectId, uid: &Arc<str>, version: &Arc<str>, ours: bool, now: Instant) {
        let (uid, version) = (Arc::clone(uid), Arc::clone(version));
        self.tombstones.put(id, Tombstone { uid, version, ours, at: now });
    }

    /// The same object with the strings that many share.
    fn share(&mut self, mut live: Observed) -> Observed {
        live.part_of = Some(Arc::clone(&self.set));
        if let Some(name) = &live.id.namespace {
            let shared = self.namespaces.get(name).cloned();
            let shared = shared.unwrap_or_else(|| {
                self.namespaces.insert(Arc::clone(name));
                Arc::clone(name)
            });
            live.id.namespace = Some(shared);
        }
        live
    }
}

/// Whether an object is in a namespace; `None`: in any.
fn is_in(id: &ObjectId, namespace: Option<&str>) -> bool {
    namespace.is_none() || id.namespace.as_deref() == namespace
}

#[cfg(test)]
mod tests;
