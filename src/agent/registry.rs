//! What the syncs of one agent know of each other: which objects each declares, and which of
//! them are synced.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::config::{SyncConfig, SyncName};
use crate::object::ObjectId;
use crate::plan::{Others, Phase};

#[derive(Debug, Default)]
struct Entry {
    set_id: String,
    /// `None`: not known yet.
    declared: Option<BTreeSet<ObjectId>>,
    /// The newest commit as of which it has declared all of it.
    commit: String,
    config: Option<Arc<SyncConfig>>,
    /// UID of its parent, once that is known to exist.
    parent: Option<Arc<str>>,
    /// The syncs it waits for before it can declare anything.
    waits_for: Vec<String>,
}

impl Entry {
    fn is_decided(&self) -> bool {
        self.declared.is_some()
    }

    /// Whether it waits for this sync, also by way of others.
    fn waits_on(&self, sync: &SyncName, entries: &BTreeMap<SyncName, Self>) -> bool {
        // While a changed configuration is taken up, old and new entries may form a circle.
        let mut seen = BTreeSet::new();
        let mut open: Vec<&String> = self.waits_for.iter().collect();
        while let Some(name) = open.pop() {
            if name == sync.as_str() {
                return true;
            }
            if seen.insert(name) {
                let entry = SyncName::parse(name).and_then(|name| entries.get(&name));
                open.extend(entry.into_iter().flat_map(|entry| &entry.waits_for));
            }
        }
        false
    }
}

/// Shared by all syncs of an agent. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry {
    entries: Arc<Mutex<BTreeMap<SyncName, Entry>>>,
    phases: watch::Sender<BTreeMap<SyncName, Phase>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { entries: Arc::default(), phases: watch::Sender::new(BTreeMap::new()) }
    }
}

impl Registry {
    /// Makes a sync known by its set, before it has declared anything.
    pub fn enter(&self, sync: &SyncName, set_id: &str) {
        self.with(|entries| set_id.clone_into(&mut entries.entry(sync.clone()).or_default().set_id));
    }

    /// Says what a sync declares as of its newest commit.
    pub fn declare(&self, sync: &SyncName, declared: BTreeSet<ObjectId>) {
        self.with(|entries| entries.entry(sync.clone()).or_default().declared = Some(declared));
    }

    /// Says how a sync is configured.
    pub fn follows(&self, config: &Arc<SyncConfig>) {
        self.with(|entries| {
            let entry = entries.entry(config.name.clone()).or_default();
            // What it declared with other settings counts no longer.
            entry.commit.clear();
            entry.config = Some(Arc::clone(config));
        });
    }

    /// Says which parent it has.
    pub fn has_parent(&self, sync: &SyncName, uid: &str) {
        self.with(|entries| {
            let entry = entries.entry(sync.clone()).or_default();
            if entry.parent.as_deref() != Some(uid) {
                entry.parent = Some(uid.into());
            }
        });
    }

    /// UID of the parent of a sync.
    #[must_use]
    pub fn parent(&self, sync: &SyncName) -> Option<Arc<str>> {
        self.with(|entries| entries.get(sync)?.parent.clone())
    }

    /// Says as of which commit a sync has declared all that it declares.
    pub fn declared_at(&self, sync: &SyncName, commit: &str) {
        self.with(|entries| commit.clone_into(&mut entries.entry(sync.clone()).or_default().commit));
    }

    /// The other syncs of the same repository and reference that have not declared yet all that
    /// they declare as of this commit.
    #[must_use]
    pub fn behind(&self, config: &SyncConfig, commit: &str) -> Vec<Arc<SyncConfig>> {
        self.with(|entries| {
            let behind = entries.values().filter(|entry| !entry.is_decided() || entry.commit != commit);
            let others = behind.filter_map(|entry| entry.config.as_ref());
            others.filter(|other| other.name != config.name && other.source == config.source).cloned().collect()
        })
    }

    /// Says for which syncs one waits before it begins.
    pub fn waits(&self, sync: &SyncName, waits_for: &[String]) {
        self.with(|entries| waits_for.clone_into(&mut entries.entry(sync.clone()).or_default().waits_for));
    }

    /// Whether an object of this set belongs to a sync that has yet to say whether it declares it.
    #[must_use]
    pub fn is_undecided(&self, sync: &SyncName, set_id: &str) -> bool {
        self.with(|entries| {
            entries.iter().any(|(name, entry)| {
                name != sync && entry.set_id == set_id && !entry.is_decided() && !entry.waits_on(sync, entries)
            })
        })
    }

    pub fn leave(&self, sync: &SyncName) {
        self.with(|entries| entries.remove(sync));
        self.phases.send_if_modified(|phases| phases.remove(sync).is_some());
    }

    /// The other syncs, as a plan needs them: only of the objects that are asked for. A sync that
    /// has not declared anything yet is none from which an object could be taken over, unless it
    /// waits for the very sync that asks: it may well declare the object in a moment.
    #[must_use]
    pub fn others(&self, sync: &SyncName, wanted: &BTreeSet<ObjectId>) -> Others {
        self.with(|entries| {
            let mut others = Others::default();
            let nothing = BTreeSet::new();
            let spaces = wanted.iter().filter(|id| id.gk.is("", "Namespace"));
            let spaces: BTreeSet<&str> = spaces.map(|id| &*id.name).collect();
            let definitions = wanted.iter().any(|id| id.gk.is("apiextensions.k8s.io", "CustomResourceDefinition"));
            for (name, entry) in entries.iter().filter(|(name, _)| *name != sync) {
                let Some(declared) = entry.declared.as_ref().or(entry.waits_on(sync, entries).then_some(&nothing))
                else {
                    continue;
                };
                let name: Arc<str> = name.as_str().into();
                others.sets.insert(entry.set_id.clone(), Arc::clone(&name));
                for id in declared {
                    if let Some(namespace) = id.namespace.as_ref().filter(|namespace| spaces.contains(&***namespace)) {
                        others.namespaces.entry(Arc::clone(namespace)).or_insert_with(|| Arc::clone(&name));
                    }
                    if definitions && !others.kinds.contains_key(&id.gk) {
                        others.kinds.insert(id.gk.clone(), Arc::clone(&name));
                    }
                }
                let shared = declared.intersection(wanted);
                others.declared.extend(shared.map(|id| (id.clone(), Arc::clone(&name))));
            }
            others
        })
    }

    pub fn set_phase(&self, sync: &SyncName, phase: Phase) {
        self.phases.send_if_modified(|phases| phases.insert(sync.clone(), phase) != Some(phase));
    }

    /// Hears when the phase of any sync changes.
    #[must_use]
    pub fn phases(&self) -> watch::Receiver<BTreeMap<SyncName, Phase>> {
        self.phases.subscribe()
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<SyncName, Entry>) -> T) -> T {
        // Every change is a single assignment, so a panic elsewhere leaves no half of one.
        act(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_taken_over_from_a_sync_that_has_not_said_yet_what_it_declares() {
        let name = |text: &str| SyncName::parse(text).unwrap();
        let (a, b, c) = (name("a"), name("b"), name("c"));
        let object = ObjectId::new("", "ConfigMap", Some("shop"), "x");
        let wanted = BTreeSet::from([object.clone()]);
        let registry = Registry::default();
        for (sync, set) in [(&a, "set-a"), (&b, "set-b"), (&c, "set-c")] {
            registry.enter(sync, set);
        }
        assert_eq!(registry.others(&b, &wanted), Others::default());
        assert!(registry.is_undecided(&b, "set-a") && !registry.is_undecided(&b, "set-b"));
        // It waits for c, and c for b: it can say nothing before b is synced.
        registry.waits(&a, &["c".into()]);
        registry.waits(&c, &["b".into()]);
        assert!(registry.others(&b, &wanted).sets.contains_key("set-a"));
        assert!(!registry.is_undecided(&b, "set-a"));
        registry.declare(&a, wanted.clone());
        assert_eq!(registry.others(&b, &wanted).declared.get(&object).map(|name| &**name), Some("a"));
    }
}
