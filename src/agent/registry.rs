//! What the syncs of one agent know of each other: which objects each declares and has, and which
//! of them are synced. Values only; what follows from them is decided by `plan::claims`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::config::{ServiceAccount, SyncConfig, SyncName};
use crate::object::ObjectId;
use crate::plan::{Declaration, Inventory, Neighbour, Others, Phase, Reserved, Stake, Unsettled};

/// What a sync declares as of a commit.
#[derive(Debug)]
struct Declared {
    commit: String,
    what: Declaration,
}

/// How the inventory of a sync differs from what it declares.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// In the inventory, and not declared.
    kept: BTreeSet<ObjectId>,
    /// Declared, and not applied.
    missing: BTreeSet<ObjectId>,
}

#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Entry {
    set_id: String,
    config: Option<Arc<SyncConfig>>,
    /// UID of its parent, once that is known to exist.
    parent: Option<Arc<str>>,
    /// What it enforces; `None`: not known yet.
    declared: Option<Declared>,
    /// What its newest commit declares, which it waits to enforce.
    next: Option<Declared>,
    /// `None`: its inventory has not been read yet.
    holding: Option<Holding>,
    /// Objects that are nobody's, or given up by their owner, and that it is about to take.
    taking: BTreeSet<ObjectId>,
    /// It has gone through everything since what it declares has changed.
    tried: bool,
    suspended: bool,
    /// Since it was suspended, its repository was not read.
    outdated: bool,
    /// Its newest commit cannot be used as a whole.
    unusable: bool,
    waiting: bool,
}

impl Entry {
    /// What it declares, all commits in question together.
    fn declarations(&self) -> impl Iterator<Item = &Declared> {
        self.declared.iter().chain(&self.next)
    }

    fn declares(&self, id: &ObjectId) -> bool {
        self.declarations().any(|declared| declared.what.ids.contains(id))
    }

    fn holds(&self, id: &ObjectId) -> bool {
        let declared = || self.declared.as_ref().is_some_and(|declared| declared.what.ids.contains(id));
        let Some(holding) = &self.holding else { return false };
        holding.kept.contains(id) || (declared() && !holding.missing.contains(id))
    }

    fn unsettled(&self) -> Option<Unsettled> {
        // A sync that waits is as good as its newest commit.
        let newest = self.next.as_ref().or(self.declared.as_ref());
        match newest {
            _ if self.suspended => Some(Unsettled::Suspended),
            None => Some(Unsettled::Unread),
            Some(_) if self.outdated => Some(Unsettled::Unread),
            Some(declared) if self.unusable || !declared.what.complete => Some(Unsettled::Unusable),
            Some(_) => None,
        }
    }

    fn is_as_of(&self, commit: &str) -> bool {
        self.declarations().any(|declared| declared.commit == commit)
    }

    fn stake(&self, id: &ObjectId) -> Stake {
        let missing = || self.holding.as_ref().is_none_or(|holding| holding.missing.contains(id));
        Stake {
            declares: self.declares(id),
            holds: self.holds(id) || self.taking.contains(id),
            failed: self.tried && missing(),
            barred: false,
        }
    }

    /// As the other syncs see it: only of the objects that are asked for.
    fn neighbour(&self, wanted: &BTreeSet<ObjectId>) -> Neighbour {
        let mut neighbour = Neighbour {
            set_id: self.set_id.clone(),
            unsettled: self.unsettled(),
            acts: !self.suspended && !self.waiting,
            unknown: self.holding.is_none(),
            ..Neighbour::default()
        };
        let spaces = wanted.iter().filter(|id| id.gk.is("", "Namespace"));
        let spaces: BTreeSet<&str> = spaces.map(|id| &*id.name).collect();
        let definitions = wanted.iter().any(|id| id.gk.is("apiextensions.k8s.io", "CustomResourceDefinition"));
        let restricted = self.config.as_ref().is_some_and(|config| config.service_account.is_some());
        let declared = self.declarations().map(|declared| &declared.what.ids);
        let all = declared.chain(self.holding.iter().map(|holding| &holding.kept));
        for ids in all {
            let shared = ids.intersection(wanted);
            neighbour.objects.extend(shared.map(|id| (id.clone(), self.stake(id))));
            if spaces.is_empty() && !definitions {
                continue;
            }
            for id in ids {
                let space = id.namespace.as_ref().filter(|namespace| spaces.contains(&***namespace));
                // What it only names, having no right to it, is nothing that could be lost.
                if (space.is_none() && !definitions) || (restricted && self.stake(id).failed) {
                    continue;
                }
                neighbour.namespaces.extend(space.cloned());
                if definitions && !neighbour.kinds.contains(&id.gk) {
                    neighbour.kinds.insert(id.gk.clone());
                }
            }
        }
        neighbour
    }

    /// How an inventory differs from what is declared.
    fn compare(&self, inventory: &Inventory) -> Holding {
        let nothing = BTreeSet::new();
        let declared = self.declared.as_ref().map_or(&nothing, |declared| &declared.what.ids);
        let applied = |id: &&ObjectId| inventory.get(*id).is_some_and(|recorded| recorded.applied);
        Holding {
            kept: inventory.keys().filter(|id| !declared.contains(id)).cloned().collect(),
            missing: declared.iter().filter(|id| !applied(id)).cloned().collect(),
        }
    }

    /// How the same inventory differs from what is declared from now on.
    fn compare_anew(&self, declared: &BTreeSet<ObjectId>) -> Holding {
        let before = self.declared.iter().flat_map(|declared| &declared.what.ids).filter(|id| self.holds(id));
        let kept = self.holding.iter().flat_map(|holding| &holding.kept);
        Holding {
            kept: before.chain(kept).filter(|id| !declared.contains(id)).cloned().collect(),
            missing: declared.iter().filter(|id| !self.holds(id)).cloned().collect(),
        }
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
    /// Makes a sync known, before it has declared anything. What was known of it as it was configured
    /// before counts no longer.
    pub fn enter(&self, config: &Arc<SyncConfig>, set_id: &str) {
        self.with(|entries| {
            let entry = entries.entry(config.name.clone()).or_default();
            let parent = entry.parent.take();
            *entry = Entry { set_id: set_id.to_owned(), config: Some(Arc::clone(config)), parent, ..Entry::default() };
        });
    }

    /// Says what a sync declares as of the commit that it enforces. `newest`: it knows of no newer one.
    pub fn declare(&self, sync: &SyncName, commit: &str, newest: bool, what: &Declaration) {
        self.with(|entries| {
            let entry = entries.entry(sync.clone()).or_default();
            entry.outdated = entry.suspended;
            entry.next = entry.next.take().filter(|_| !newest);
            if let Some(declared) = entry.declared.as_mut().filter(|declared| declared.what == *what) {
                commit.clone_into(&mut declared.commit);
                return;
            }
            entry.holding = entry.holding.is_some().then(|| entry.compare_anew(&what.ids));
            entry.declared = Some(Declared { commit: commit.to_owned(), what: what.clone() });
            entry.tried = false;
        });
    }

    /// Says what the newest commit of a sync declares, which it does not enforce yet.
    pub fn declare_next(&self, sync: &SyncName, commit: &str, what: Declaration) {
        self.with(|entries| {
            let entry = entries.entry(sync.clone()).or_default();
            entry.outdated = entry.suspended;
            entry.next = Some(Declared { commit: commit.to_owned(), what });
        });
    }

    /// Says whether the newest commit of a sync can be used as a whole.
    pub fn can_use(&self, sync: &SyncName, usable: bool) {
        self.with(|entries| entries.entry(sync.clone()).or_default().unusable = !usable);
    }

    /// Whether it is known what a sync declares as of a commit.
    #[must_use]
    pub fn knows(&self, sync: &SyncName, commit: &str) -> bool {
        self.with(|entries| entries.get(sync).is_some_and(|entry| entry.is_as_of(commit)))
    }

    /// Compares an inventory that is about to be stored with what the sync declares.
    #[must_use]
    pub fn compare(&self, sync: &SyncName, inventory: &Inventory) -> Holding {
        self.with(|entries| entries.entry(sync.clone()).or_default().compare(inventory))
    }

    /// Says what the stored inventory of a sync holds.
    pub fn holds(&self, sync: &SyncName, holding: Holding) {
        self.with(|entries| entries.entry(sync.clone()).or_default().holding = Some(holding));
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

    /// The other syncs of the same repository and reference of which it is not known yet what they
    /// declare as of this commit.
    #[must_use]
    pub fn behind(&self, config: &SyncConfig, commit: &str) -> Vec<Arc<SyncConfig>> {
        let others: Vec<Arc<SyncConfig>> = self.with(|entries| {
            let behind = entries.values().filter(|entry| !entry.is_as_of(commit));
            behind.filter_map(|entry| entry.config.clone()).filter(|other| other.name != config.name).collect()
        });
        others.into_iter().filter(|other| other.source.is_same(&config.source)).collect()
    }

    /// Whether a sync is configured.
    #[must_use]
    pub fn has(&self, sync: &SyncName) -> bool {
        self.with(|entries| entries.contains_key(sync))
    }

    /// As which account a sync acts; `None`: with the agent's own rights.
    #[must_use]
    pub fn account(&self, sync: &str) -> Option<ServiceAccount> {
        let sync = SyncName::parse(sync)?;
        self.with(|entries| entries.get(&sync)?.config.as_ref()?.service_account.clone())
    }

    /// Says whether a sync waits for others before it carries out its newest commit.
    pub fn waits(&self, sync: &SyncName, waits: bool) {
        self.with(|entries| entries.entry(sync.clone()).or_default().waiting = waits);
    }

    /// Whether an object of this set belongs to a sync that has yet to say whether it declares it.
    #[must_use]
    pub fn is_undecided(&self, sync: &SyncName, set_id: &str) -> bool {
        self.with(|entries| {
            entries.iter().any(|(name, entry)| {
                name != sync && entry.set_id == set_id && entry.unsettled() == Some(Unsettled::Unread)
            })
        })
    }

    pub fn leave(&self, sync: &SyncName) {
        self.with(|entries| entries.remove(sync));
        self.phases.send_if_modified(|phases| phases.remove(sync).is_some());
    }

    /// The other syncs, as a plan needs them: only of the objects that are asked for. `commit` is the
    /// one that is planned.
    #[must_use]
    pub fn others(&self, config: &SyncConfig, commit: &str, wanted: &BTreeSet<ObjectId>) -> Others {
        self.with(|entries| {
            let mut others = Others { me: config.name.as_str().into(), ..Others::default() };
            for (name, entry) in entries.iter().filter(|(name, _)| **name != config.name) {
                let mut neighbour = entry.neighbour(wanted);
                let now = entry.declarations().filter(|declared| declared.commit == commit);
                neighbour.unsure = now.into_iter().any(|declared| !declared.what.complete);
                others.syncs.insert(name.as_str().into(), neighbour);
            }
            others
        })
    }

    /// Says which objects a sync is about to take that have no owner, until it has gone through
    /// everything. The result are those which another one takes already: of two that find the same
    /// object free at the same time, one takes it.
    #[must_use]
    pub fn take(&self, sync: &SyncName, objects: BTreeSet<ObjectId>) -> Vec<(Arc<str>, ObjectId)> {
        self.with(|entries| {
            let mut taken = Vec::new();
            for (name, entry) in entries.iter().filter(|(name, _)| *name != sync) {
                let shared = entry.taking.intersection(&objects);
                taken.extend(shared.map(|id| (name.as_str().into(), id.clone())));
            }
            let entry = entries.entry(sync.clone()).or_default();
            entry.taking = objects;
            for (_, id) in &taken {
                entry.taking.remove(id);
            }
            taken
        })
    }

    /// Whether the inventory of a sync has applied an object.
    #[must_use]
    pub fn has_applied(&self, sync: &SyncName, id: &ObjectId) -> bool {
        self.with(|entries| entries.get(sync).is_some_and(|entry| entry.holds(id)))
    }

    /// The agent's own objects, as far as its configuration says. `more` are syncs that left it.
    #[must_use]
    pub fn reserved(&self, namespace: &Arc<str>, more: impl IntoIterator<Item = Arc<str>>) -> Reserved {
        let configured: Vec<Arc<str>> = self.with(|entries| entries.keys().map(|name| name.as_str().into()).collect());
        Reserved::new(Arc::clone(namespace), configured.into_iter().chain(more))
    }

    pub fn set_phase(&self, sync: &SyncName, phase: Phase) {
        self.with(|entries| {
            let Some(entry) = entries.get_mut(sync) else { return };
            entry.suspended = phase == Phase::Suspended;
            entry.outdated |= entry.suspended;
            let ended = !matches!(phase, Phase::Pending | Phase::Syncing);
            entry.tried |= ended && !entry.suspended;
            if ended {
                entry.taking.clear();
            }
        });
        self.phases.send_if_modified(|phases| phases.insert(sync.clone(), phase) != Some(phase));
    }

    /// Is notified when the phase of any sync changes.
    #[must_use]
    pub fn phases(&self) -> watch::Receiver<BTreeMap<SyncName, Phase>> {
        self.phases.subscribe()
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<SyncName, Entry>) -> T) -> T {
        // Every change is complete before anything can panic, so a panic elsewhere leaves no half of one.
        act(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests;
