//! A plan: what is to happen to each object, and what the inventory remembers of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::object::{Fingerprint, GroupKind, ObjectId, Observed, Short};

use super::{Desired, Held, Problem, Reason};

/// What the inventory remembers of one object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "each is a bit of its own in the stored row")]
pub struct Recorded {
    /// Of the UID when it was last applied.
    pub uid: Short,
    /// Of the manifest when it was last applied.
    pub digest: Short,
    /// Of our `managedFields` entry in the answer to that apply; zero where there was none.
    pub fingerprint: Short,
    /// `false`: listed before its first write, or its hashes were lost; not known to be as recorded.
    pub applied: bool,
    /// It said `deletion: detach` when it was last applied.
    pub detach: bool,
    /// Added since the inventory was last exact. The guard counts without these, or a commit
    /// that adds much could hide how much it removes.
    pub unconfirmed: bool,
    /// It is no longer declared, and a person approved its deletion ([`super::Approval`]).
    pub approved: bool,
}

impl Recorded {
    /// What to remember after an apply whose response was `live`.
    #[must_use]
    pub fn of(live: &Observed, desired: &Desired, unconfirmed: bool) -> Self {
        Self {
            uid: Short::of(&live.uid),
            digest: desired.digest.short(),
            fingerprint: live.fingerprint.as_ref().map(Fingerprint::short).unwrap_or_default(),
            applied: live.fingerprint.is_some(),
            detach: desired.manifest.directives.detach,
            unconfirmed,
            approved: false,
        }
    }
}

/// The objects that a sync has applied, or is about to.
pub type Inventory = BTreeMap<ObjectId, Recorded>;

/// What is to happen to one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// Apply it; it does not exist.
    Create,
    /// Apply it; it exists, and differs or may differ from git.
    Configure,
    /// Delete it and create it again, since it cannot be changed in place.
    Replace,
    /// Send nothing: it is as in git, or its differences are left alone, as with `drift: off`.
    Unchanged,
    /// Drifted, and the sync's policy is to report only.
    Report,
    /// Delete it, since it is an orphan.
    Prune,
    /// Leave it in the cluster and out of the inventory, our metadata removed.
    Detach,
    /// It is gone, or another sync's: out of the inventory, no request.
    Forget,
    /// An orphan that is not deleted; it stays in the inventory.
    Keep,
    /// Being deleted; nothing can be done until it is gone.
    Wait,
    /// Not touched, and an error.
    Refuse,
}

impl Verb {
    /// The verb in lower case, as `driftless plan` prints it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Configure => "configure",
            Self::Replace => "replace",
            Self::Unchanged => "unchanged",
            Self::Report => "report",
            Self::Prune => "prune",
            Self::Detach => "detach",
            Self::Forget => "forget",
            Self::Keep => "keep",
            Self::Wait => "wait",
            Self::Refuse => "refuse",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.as_str())
    }
}

/// What is to happen to one object, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// The object, declared or in the inventory.
    pub id: ObjectId,
    /// What is to be done with it.
    pub verb: Verb,
    /// Why that is to be done.
    pub reason: Reason,
    /// What git declares; `None` for orphans.
    pub desired: Option<Desired>,
    /// The live object, where there is one.
    pub live: Option<Observed>,
}

impl Step {
    /// Whether the step sends an apply.
    #[must_use]
    pub fn applies(&self) -> bool {
        matches!(self.verb, Verb::Create | Verb::Configure | Verb::Replace)
    }

    /// Whether the step deletes an object, to create it again or not.
    #[must_use]
    pub fn deletes(&self) -> bool {
        matches!(self.verb, Verb::Prune | Verb::Replace)
    }

    /// Whether the object may be deleted to be created again, now or once that is known to be needed.
    #[must_use]
    pub fn may_replace(&self) -> bool {
        self.desired.as_ref().is_some_and(|desired| desired.manifest.directives.replace)
            && (self.verb == Verb::Configure
                || matches!(self.reason, Reason::Immutable { .. } | Reason::ReplaceHeld { .. }))
    }

    /// Whether the step deletes or detaches what git does not declare.
    #[must_use]
    pub fn prunes(&self) -> bool {
        matches!(self.verb, Verb::Prune | Verb::Detach)
    }

    /// The step as something to report to a person.
    #[must_use]
    pub fn problem(&self) -> Problem {
        Problem {
            object: Some(self.id.clone()),
            origin: self.desired.as_ref().map(|desired| desired.manifest.origin.clone()),
            message: self.reason.to_string(),
        }
    }
}

/// What is to happen in one cycle of a sync.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Plan {
    /// One step an object, in the order of `ObjectId`.
    pub steps: Vec<Step>,
    /// The guard holds the prune until a person approves it.
    pub held: Option<Held>,
    /// The guard would hold the prune, had a person not approved it.
    pub by_approval: bool,
    /// Stands for the objects that the guard counts ([`super::digest_of`]); empty where there are none.
    pub going: String,
    /// Why nothing may be pruned in this cycle, other than the guard.
    pub blocked: Option<String>,
    /// The CRD behind each kind of an object that is to go: `plural.group`.
    pub definitions: BTreeMap<GroupKind, String>,
    /// Objects that are being deleted for longer than others are held back for them.
    pub overdue: BTreeSet<ObjectId>,
}

impl Plan {
    /// Where the step of an object is.
    #[must_use]
    pub fn position(&self, id: &ObjectId) -> Option<usize> {
        self.steps.binary_search_by(|step| step.id.cmp(id)).ok()
    }

    /// The step of an object, found by binary search; `None` where the plan has none.
    #[must_use]
    pub fn step(&self, id: &ObjectId) -> Option<&Step> {
        self.steps.get(self.position(id)?)
    }

    /// How many steps have this verb.
    #[must_use]
    pub fn count(&self, verb: Verb) -> usize {
        self.steps.iter().filter(|step| step.verb == verb).count()
    }

    /// The Namespaces that are being deleted: nothing can be made in them.
    #[must_use]
    pub fn terminating_namespaces(&self) -> BTreeSet<Arc<str>> {
        let terminating =
            |step: &&Step| step.id.gk.is("", "Namespace") && matches!(step.reason, Reason::Terminating { .. });
        self.steps.iter().filter(terminating).map(|step| Arc::clone(&step.id.name)).collect()
    }

    /// Whether carrying it out changes the cluster. What is held or blocked does not.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.steps.iter().any(|step| step.applies() || step.prunes())
    }
}
