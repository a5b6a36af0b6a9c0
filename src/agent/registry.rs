//! What the syncs of one agent know of each other: which objects each declares, and which of
//! them are synced.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::config::SyncName;
use crate::object::ObjectId;
use crate::plan::{Others, Phase};

#[derive(Debug, Default)]
struct Entry {
    set_id: String,
    declared: BTreeSet<ObjectId>,
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
        self.with(|entries| entries.entry(sync.clone()).or_default().declared = declared);
    }

    pub fn leave(&self, sync: &SyncName) {
        self.with(|entries| entries.remove(sync));
        self.phases.send_if_modified(|phases| phases.remove(sync).is_some());
    }

    /// The other syncs, as a plan needs them: only of the objects that are asked for.
    #[must_use]
    pub fn others(&self, sync: &SyncName, wanted: &BTreeSet<ObjectId>) -> Others {
        self.with(|entries| {
            let mut others = Others::default();
            for (name, entry) in entries.iter().filter(|(name, _)| *name != sync) {
                let name: Arc<str> = name.as_str().into();
                others.sets.insert(entry.set_id.clone(), Arc::clone(&name));
                let shared = entry.declared.intersection(wanted);
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
