//! What the syncs of one agent know of each other, as one value: which objects each declares and has, which of them are
//! synced, who takes what is free, and who waits for whom. What follows for the objects of a plan is decided by
//! `plan::claims`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::{ServiceAccount, SyncConfig, SyncName};
use crate::object::{ObjectId, Observed};
use crate::plan::{Declaration, Inventory, Neighbour, Others, Phase, Reserved, Stake, Unsettled};

/// What a sync declares as of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Declared {
    commit: String,
    what: Declaration,
}

/// How the inventory of a sync differs from what it declares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Holding {
    /// In the inventory, and not declared.
    kept: BTreeSet<ObjectId>,
    /// Declared, and not applied.
    missing: BTreeSet<ObjectId>,
}

/// One sync, as far as the others have to know of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Member {
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
    /// `None`: nothing was reported of it yet.
    phase: Option<Phase>,
}

impl Member {
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

/// The syncs of one agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fleet {
    members: BTreeMap<SyncName, Member>,
}

impl Fleet {
    fn member(&mut self, sync: &SyncName) -> &mut Member {
        self.members.entry(sync.clone()).or_default()
    }

    /// Makes a sync known, before it has declared anything. What was known of it as it was configured
    /// before counts no longer.
    pub fn enter(&mut self, config: &Arc<SyncConfig>, set_id: &str) {
        let member = self.member(&config.name);
        let (parent, phase) = (member.parent.take(), member.phase);
        let config = Some(Arc::clone(config));
        *member = Member { set_id: set_id.to_owned(), config, parent, phase, ..Member::default() };
    }

    /// Forgets a sync: it left the configuration, or all syncs begin anew.
    pub fn leave(&mut self, sync: &SyncName) {
        self.members.remove(sync);
    }

    /// Notes what a sync declares as of the commit that it enforces. `newest`: it knows of no newer one.
    pub fn declare(&mut self, sync: &SyncName, commit: &str, newest: bool, what: &Declaration) {
        let member = self.member(sync);
        member.outdated = member.suspended;
        member.next = member.next.take().filter(|_| !newest);
        if let Some(declared) = member.declared.as_mut().filter(|declared| declared.what == *what) {
            commit.clone_into(&mut declared.commit);
            return;
        }
        member.holding = member.holding.is_some().then(|| member.compare_anew(&what.ids));
        member.declared = Some(Declared { commit: commit.to_owned(), what: what.clone() });
        member.tried = false;
    }

    /// Notes what the newest commit of a sync declares, which it does not enforce yet.
    pub fn declare_next(&mut self, sync: &SyncName, commit: &str, what: Declaration) {
        let member = self.member(sync);
        member.outdated = member.suspended;
        member.next = Some(Declared { commit: commit.to_owned(), what });
    }

    /// Notes whether the newest commit of a sync can be used as a whole.
    pub fn can_use(&mut self, sync: &SyncName, usable: bool) {
        self.member(sync).unusable = !usable;
    }

    /// Whether it is known what a sync declares as of a commit.
    #[must_use]
    pub fn knows(&self, sync: &SyncName, commit: &str) -> bool {
        self.members.get(sync).is_some_and(|member| member.is_as_of(commit))
    }

    /// Compares an inventory that is about to be stored with what the sync declares.
    #[must_use]
    pub fn compare(&self, sync: &SyncName, inventory: &Inventory) -> Holding {
        self.members.get(sync).map_or_else(|| Member::default().compare(inventory), |member| member.compare(inventory))
    }

    /// Notes what the stored inventory of a sync holds.
    pub fn holds(&mut self, sync: &SyncName, holding: Holding) {
        self.member(sync).holding = Some(holding);
    }

    /// Notes which parent it has.
    pub fn has_parent(&mut self, sync: &SyncName, uid: &str) {
        let member = self.member(sync);
        if member.parent.as_deref() != Some(uid) {
            member.parent = Some(uid.into());
        }
    }

    /// UID of the parent of a sync.
    #[must_use]
    pub fn parent(&self, sync: &SyncName) -> Option<Arc<str>> {
        self.members.get(sync)?.parent.clone()
    }

    /// The other syncs of the same repository and reference of which it is not known yet what they
    /// declare as of this commit.
    #[must_use]
    pub fn behind(&self, config: &SyncConfig, commit: &str) -> Vec<Arc<SyncConfig>> {
        let behind = self.members.values().filter(|member| !member.is_as_of(commit));
        let others = behind.filter_map(|member| member.config.as_ref()).filter(|other| other.name != config.name);
        others.filter(|other| other.source.is_same(&config.source)).cloned().collect()
    }

    /// Whether a sync is configured.
    #[must_use]
    pub fn has(&self, sync: &SyncName) -> bool {
        self.members.contains_key(sync)
    }

    /// As which account a sync acts; `None`: with the agent's own rights.
    #[must_use]
    pub fn account(&self, sync: &str) -> Option<ServiceAccount> {
        self.members.get(&SyncName::parse(sync)?)?.config.as_ref()?.service_account.clone()
    }

    /// The syncs that one depends on and that are not synced, in the order of its configuration. While there are some it
    /// carries out no new commit, and the others are to know that.
    pub fn waiting_for(&mut self, config: &SyncConfig) -> Vec<String> {
        let phase = |name: &SyncName| self.members.get(name).and_then(|member| member.phase);
        let unsynced = config.depends_on.iter().filter(|name| phase(name) != Some(Phase::Synced));
        let waiting: Vec<String> = unsynced.map(ToString::to_string).collect();
        self.member(&config.name).waiting = !waiting.is_empty();
        waiting
    }

    /// Of these sets those of other syncs that have yet to report whether they declare an object.
    #[must_use]
    pub fn undecided(&self, sync: &SyncName, sets: &BTreeSet<Arc<str>>) -> BTreeSet<Arc<str>> {
        let others = self.members.iter().filter(|(name, _)| *name != sync).map(|(_, member)| member);
        let unread = others.filter(|member| member.unsettled() == Some(Unsettled::Unread));
        unread.filter_map(|member| sets.get(&*member.set_id).cloned()).collect()
    }

    /// The other syncs, as a plan needs them: only of the objects that are asked for. `commit` is the
    /// one that is planned.
    #[must_use]
    pub fn others(&self, config: &SyncConfig, commit: &str, wanted: &BTreeSet<ObjectId>) -> Others {
        let mut others = Others { me: config.name.as_str().into(), ..Others::default() };
        for (name, member) in self.members.iter().filter(|(name, _)| **name != config.name) {
            let mut neighbour = member.neighbour(wanted);
            let now = member.declarations().filter(|declared| declared.commit == commit);
            neighbour.unsure = now.into_iter().any(|declared| !declared.what.complete);
            others.syncs.insert(name.as_str().into(), neighbour);
        }
        others
    }

    /// Takes for a sync what it declares and is free, that is, nobody's or given up by its owner, until it has gone through
    /// everything: of two syncs that find the same object free at the same time, one takes it. `others` learns
    /// what another one takes already.
    pub fn take<'a>(
        &mut self,
        sync: &SyncName,
        others: &mut Others,
        declared: impl Iterator<Item = &'a ObjectId>,
        observed: &BTreeMap<ObjectId, Observed>,
    ) {
        let own = self.member(sync).set_id.clone();
        let free = declared.filter(|id| {
            let label = observed.get(*id).and_then(|live| live.part_of.as_deref());
            label != Some(&*own) && others.takes(id, label, &own, self.has_applied(sync, id))
        });
        let mut free: BTreeSet<ObjectId> = free.cloned().collect();
        for (name, member) in self.members.iter().filter(|(name, _)| *name != sync) {
            let taken: Vec<ObjectId> = member.taking.intersection(&free).cloned().collect();
            for id in taken {
                free.remove(&id);
                others.taken_by(name.as_str(), id);
            }
        }
        self.member(sync).taking = free;
    }

    /// Whether the inventory of a sync has applied an object.
    #[must_use]
    pub fn has_applied(&self, sync: &SyncName, id: &ObjectId) -> bool {
        self.members.get(sync).is_some_and(|member| member.holds(id))
    }

    /// The agent's own objects, as far as its configuration says. `more` are syncs that left it.
    #[must_use]
    pub fn reserved(&self, namespace: &Arc<str>, more: impl IntoIterator<Item = Arc<str>>) -> Reserved {
        let configured = self.members.keys().map(|name| name.as_str().into());
        Reserved::new(Arc::clone(namespace), configured.chain(more))
    }

    /// Notes where a sync stands. Whether it stands elsewhere than before.
    pub fn set_phase(&mut self, sync: &SyncName, phase: Phase) -> bool {
        let Some(member) = self.members.get_mut(sync) else { return false };
        member.suspended = phase == Phase::Suspended;
        member.outdated |= member.suspended;
        let ended = !matches!(phase, Phase::Pending | Phase::Syncing);
        member.tried |= ended && !member.suspended;
        if ended {
            member.taking.clear();
        }
        member.phase.replace(phase) != Some(phase)
    }

    /// Where a sync stands.
    #[must_use]
    pub fn phase(&self, sync: &SyncName) -> Option<Phase> {
        self.members.get(sync)?.phase
    }
}

#[cfg(test)]
mod tests;
