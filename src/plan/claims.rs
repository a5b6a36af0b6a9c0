//! Who owns an object that several syncs of one agent name, and what follows for each of them.
//! From what is known of every other sync, as values; the agent only stores them.
//!
//! - An object belongs to the sync whose label it carries for as long as that sync declares it, or
//!   may declare it: a sync whose files cannot be used, which is suspended, or which has not read
//!   its repository yet gives nothing up.
//! - What its owner has given up, and what is nobody's, goes to one of those that declare it:
//!   to one that has it in its inventory, else to the first by name. The others say whose it is.
//! - An orphan that another sync declares and may take stays, remembered, until that sync has it.
//!   Whoever may not take it does not keep it from being deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::object::{GroupKind, ObjectId};

use super::{Problem, Reason, Reserved, Resolved, Verb};

/// Why it is not known in full what a sync declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unsettled {
    /// Its repository was not read yet, or not since it was suspended.
    Unread,
    /// Its newest commit cannot be used as a whole: it may declare more than is known.
    Unusable,
    /// It is suspended, so that it gives nothing up.
    Suspended,
}

impl fmt::Display for Unsettled {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Unread => "its repository has not been read yet",
            Self::Unusable => "some of its manifests cannot be used",
            Self::Suspended => "it is suspended",
        })
    }
}

/// How another sync stands to one object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Stake {
    /// As of a commit that it enforces, or is about to.
    pub declares: bool,
    /// Its inventory has it, or is about to.
    pub holds: bool,
    /// It has gone through what it declares, and could not apply this.
    pub failed: bool,
    /// The API server does not let it take the object over.
    pub barred: bool,
}

/// Another sync of the agent, as far as the objects in question go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Neighbour {
    /// Its `ApplySet` id, the value of the label `applyset.kubernetes.io/part-of` on its objects.
    pub set_id: String,
    /// `None`: what it declares is known in full, as of its newest commit.
    pub unsettled: Option<Unsettled>,
    /// It carries out what it declares: it is neither suspended nor waiting for another sync.
    pub acts: bool,
    /// As of the commit in question, some of its manifests cannot be used: any orphan may have moved
    /// to it.
    pub unsure: bool,
    /// Of the objects in question those that it declares or has; of any other it has the default [`Stake`].
    pub objects: BTreeMap<ObjectId, Stake>,
    /// In which of the Namespaces in question it has something, or is about to.
    pub namespaces: BTreeSet<Arc<str>>,
    /// Of which kinds it has something, or is about to.
    pub kinds: BTreeSet<GroupKind>,
    /// What it has is not known at all, since its inventory has not been read yet.
    pub unknown: bool,
}

impl Neighbour {
    fn stake(&self, id: &ObjectId) -> Stake {
        self.objects.get(id).copied().unwrap_or_default()
    }

    /// Whether it answers for an object that carries its label.
    pub(super) fn knows(&self, id: &ObjectId) -> bool {
        let stake = self.stake(id);
        stake.declares || stake.holds
    }
}

/// The other syncs of an agent, as one of them has to know them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Others {
    /// The sync that asks.
    pub me: Arc<str>,
    /// By name, without the sync that asks.
    pub syncs: BTreeMap<Arc<str>, Neighbour>,
    /// Syncs that left the configuration and still have a parent, by their `ApplySet` ids.
    pub unconfigured: BTreeMap<String, Arc<str>>,
    /// The agent's own objects: never deleted, and forgotten where an inventory lists one.
    pub reserved: Reserved,
}

impl Others {
    /// Notes what a sync declares as of a commit, beside what is known of it already.
    pub fn declares(&mut self, sync: &str, declaration: Declaration) {
        let Some(neighbour) = self.syncs.get_mut(sync) else { return };
        for id in declaration.ids {
            neighbour.objects.entry(id).or_default().declares = true;
        }
        if !declaration.complete {
            neighbour.unsure = true;
            neighbour.unsettled.get_or_insert(Unsettled::Unusable);
        }
    }

    /// Notes that the API server does not let a sync take an object over.
    pub fn bar(&mut self, sync: &str, id: &ObjectId) {
        if let Some(neighbour) = self.syncs.get_mut(sync) {
            neighbour.objects.entry(id.clone()).or_default().barred = true;
        }
    }

    /// Whether this sync would take an object that is nobody's, or another's that has given it up.
    #[must_use]
    pub fn takes(&self, id: &ObjectId, label: Option<&str>, own: &str, held: bool) -> bool {
        let claimed = self.claim(id, label, own, held);
        label != Some(own) && claimed.is_none_or(|(verb, _)| verb == Verb::Configure)
    }

    /// Notes that a sync is about to take an object, and came first.
    pub fn taken_by(&mut self, sync: &str, id: ObjectId) {
        if let Some(neighbour) = self.syncs.get_mut(sync) {
            let stake = neighbour.objects.entry(id).or_default();
            (stake.declares, stake.holds) = (true, true);
        }
    }

    /// The sync with this `ApplySet` id.
    #[must_use]
    pub fn of_set(&self, set: &str) -> Option<(&Arc<str>, &Neighbour)> {
        self.syncs.iter().find(|(_, neighbour)| neighbour.set_id == set)
    }

    /// The syncs that keep an orphan from being deleted: those that declare it, or may do so.
    pub fn named_by<'a>(&'a self, id: &'a ObjectId) -> impl Iterator<Item = &'a Arc<str>> {
        let names = move |neighbour: &Neighbour| neighbour.stake(id).declares || neighbour.unsure;
        self.syncs.iter().filter(move |(_, neighbour)| names(neighbour)).map(|(name, _)| name)
    }

    /// What another sync has to say about an object that this one declares; `None`: nothing, so that
    /// it may be created, applied and healed. `label` is the set that it is in; `held`: this sync has
    /// applied it.
    pub(super) fn claim(&self, id: &ObjectId, label: Option<&str>, own: &str, held: bool) -> Option<(Verb, Reason)> {
        let refused = |reason| Some((Verb::Refuse, reason));
        let Some(set) = label else {
            if let Some((sync, why)) = self.keeper(id).filter(|_| !held) {
                return refused(Reason::Unsettled { sync: Arc::clone(sync), why });
            }
            let heir = self.heir(id, None, held)?;
            return refused(Reason::OtherSet { owner: format!("sync {heir}") });
        };
        if set == own {
            return None;
        }
        let Some((owner, neighbour)) = self.of_set(set) else {
            return refused(match self.unconfigured.get(set) {
                Some(sync) => Reason::Unconfigured { sync: Arc::clone(sync) },
                None => Reason::OtherSet { owner: format!("another ApplySet ({set})") },
            });
        };
        if neighbour.stake(id).declares {
            return refused(Reason::OtherSet { owner: format!("sync {owner}") });
        }
        if let Some(why) = neighbour.unsettled {
            return refused(Reason::Unsettled { sync: Arc::clone(owner), why });
        }
        match self.heir(id, Some(owner), held) {
            None => Some((Verb::Configure, Reason::HandedOver { from: Arc::clone(owner) })),
            Some(heir) => refused(Reason::OtherSet {
                owner: format!("sync {owner}, and goes to sync {heir}, which declares it, too"),
            }),
        }
    }

    /// A sync that has an object without a label in its inventory, and may still declare it.
    fn keeper(&self, id: &ObjectId) -> Option<(&Arc<str>, Unsettled)> {
        self.syncs.iter().find_map(|(name, neighbour)| {
            let stake = neighbour.stake(id);
            neighbour.unsettled.filter(|_| stake.holds && !stake.declares).map(|why| (name, why))
        })
    }

    /// To which other sync an object goes that is nobody's, or that its owner has given up; `None`: to
    /// the one that asks.
    fn heir(&self, id: &ObjectId, owner: Option<&Arc<str>>, held: bool) -> Option<&Arc<str>> {
        let others = self.syncs.iter().filter(|(name, neighbour)| {
            let stake = neighbour.stake(id);
            let takes = stake.holds || (neighbour.acts && !stake.failed);
            stake.declares && !stake.barred && takes && Some(*name) != owner
        });
        let ranked = others.map(|(name, neighbour)| (!neighbour.stake(id).holds, name));
        ranked.min().filter(|first| *first < (!held, &self.me)).map(|(_, name)| name)
    }

    /// The sync for which an orphan stays: it declares the object, and may take it.
    pub(super) fn taker(&self, id: &ObjectId) -> Option<&Arc<str>> {
        let takes = |stake: Stake| stake.declares && !stake.barred;
        self.syncs.iter().find(|(_, neighbour)| takes(neighbour.stake(id))).map(|(name, _)| name)
    }

    /// A sync to which an orphan may have moved, which nobody can say.
    pub(super) fn unsure(&self, id: &ObjectId) -> Option<&Arc<str>> {
        self.syncs.iter().find(|(_, neighbour)| neighbour.unsure && !neighbour.stake(id).barred).map(|(name, _)| name)
    }

    /// Whose object would be deleted along with a Namespace, in words.
    pub(super) fn in_namespace(&self, namespace: &str) -> Option<String> {
        self.sheltered(|neighbour| neighbour.namespaces.contains(namespace))
    }

    /// Whose custom resource would be deleted along with a CRD, in words.
    pub(super) fn of_crd(&self, crds: &BTreeMap<GroupKind, String>, crd: &str) -> Option<String> {
        let defined = |gk: &GroupKind| crds.get(gk).is_some_and(|name| name == crd);
        self.sheltered(|neighbour| neighbour.kinds.iter().any(defined))
    }

    fn sheltered(&self, has: impl Fn(&Neighbour) -> bool) -> Option<String> {
        let found = self.syncs.iter().find(|(_, neighbour)| has(neighbour));
        let found = found.map(|(sync, _)| format!("what sync {sync} declares"));
        let unknown = || self.syncs.iter().find(|(_, neighbour)| neighbour.unknown);
        found.or_else(|| unknown().map(|(sync, _)| format!("what sync {sync} has, whose inventory is not read yet,")))
    }
}

/// What a commit declares for a sync.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Declaration {
    /// Also the objects whose manifests cannot be used, as far as those say which objects they are.
    pub ids: BTreeSet<ObjectId>,
    /// `false`: there may be more, in files and documents that cannot be used.
    pub complete: bool,
}

impl Declaration {
    /// `problems` are those of rendering. A document that cannot be used and says which object it is
    /// declares that object all the same; one that names no namespace has the sync's.
    #[must_use]
    pub fn of(resolved: &Resolved, problems: &[Problem], target: Option<&str>) -> Self {
        let mut ids: BTreeSet<ObjectId> = resolved.desired.iter().map(|one| one.manifest.id.clone()).collect();
        let mut complete = true;
        for problem in problems.iter().chain(&resolved.problems) {
            let Some(id) = &problem.object else {
                complete = false;
                continue;
            };
            if id.namespace.is_none() {
                // Whether its kind has namespaces may not be known.
                ids.insert(ObjectId { namespace: Some(target.unwrap_or("default").into()), ..id.clone() });
            }
            ids.insert(id.clone());
        }
        Self { ids, complete }
    }
}

#[cfg(test)]
mod tests;
