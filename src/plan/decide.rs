//! One decision an object: what git declares against what is live and what is remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::config::{DriftPolicy, PrunePolicy};
use crate::object::{Digest, Fingerprint, GroupKind, ObjectId, Observed, Short, Unreadable};

use super::prune::{Users, await_deletions, guard, orphan, protect_containers};
use super::replace::{Replaceables, replace};
use super::{Approved, Desired, Inventory, LookedUp, Others, Plan, Reason, Recorded, Step, Verb};

/// Everything that a plan depends on.
#[derive(Clone, Copy)]
pub struct PlanInput<'a> {
    /// The sync's own `ApplySet` id.
    pub set_id: &'a str,
    /// 40 hexadecimal digits.
    pub commit: &'a str,
    /// What the commit declares, as far as it could be rendered and placed.
    pub desired: &'a [Desired],
    /// What the rendering has looked up in the cluster.
    pub looked_up: &'a LookedUp,
    /// Why it is not known in full what the commit declares: then nothing is pruned.
    pub incomplete: Option<&'a str>,
    /// Live objects. One that is missing here and not in `unreadable` does not exist.
    pub observed: &'a BTreeMap<ObjectId, Observed>,
    /// Kinds and namespaces that could not be read: their objects are refused or kept.
    pub unreadable: &'a Unreadable,
    /// The name of the CRD that defines a kind, for kinds that one defines: `plural.group`.
    pub crds: &'a BTreeMap<GroupKind, String>,
    /// What the sync has applied, as remembered; what is in it and not in `desired` is an orphan.
    pub inventory: &'a Inventory,
    /// Whether orphans may be deleted, which kinds, and from which share of objects on the guard holds it.
    pub prune: &'a PrunePolicy,
    /// Whether drift is healed, reported only, or ignored.
    pub drift: DriftPolicy,
    /// What a person approved of the prune of this very commit.
    pub approved: Approved<'a>,
    /// The other syncs of the agent, as far as the objects of this plan go.
    pub others: &'a Others,
    /// How the configuration has changed where the objects come from, since the inventory was last
    /// exact.
    pub source_change: Option<&'a str>,
    /// Jobs that were seen to be deleted before they had ended.
    pub deleted_early: &'a BTreeSet<ObjectId>,
    /// What is being deleted since then or longer holds back nothing any more but what it depends on.
    pub overdue_since: Timestamp,
    /// What cannot be changed in place, and could be created again.
    pub replaceable: &'a Replaceables,
}

/// Decides about one declared object: as [`plan`] does, for an object that has changed.
#[must_use]
pub fn plan_one(input: &PlanInput<'_>, desired: &Desired, live: Option<&Observed>) -> Step {
    let id = &desired.manifest.id;
    let (verb, reason) = declare(input, desired, live, input.inventory.get(id));
    Step { id: id.clone(), verb, reason, desired: Some(desired.clone()), live: live.cloned() }
}

/// Decides what is to happen to every object that is declared or in the inventory.
#[must_use]
pub fn plan(input: &PlanInput<'_>) -> Plan {
    let declared: BTreeSet<&ObjectId> = input.desired.iter().map(|desired| &desired.manifest.id).collect();
    let mut steps: BTreeMap<&ObjectId, Step> = BTreeMap::new();
    for desired in input.desired {
        let id = &desired.manifest.id;
        let live = input.observed.get(id);
        let (verb, reason) = declare(input, desired, live, input.inventory.get(id));
        let step = Step { id: id.clone(), verb, reason, desired: Some(desired.clone()), live: live.cloned() };
        steps.insert(id, step);
    }
    let users = Users::of(input);
    for (id, recorded) in input.inventory {
        if !declared.contains(id) {
            let live = input.observed.get(id);
            let (verb, reason) = orphan(input, &users, id, live, recorded);
            steps.insert(id, Step { id: id.clone(), verb, reason, desired: None, live: live.cloned() });
        }
    }
    let mut plan = Plan {
        steps: steps.into_values().collect(),
        blocked: input.incomplete.map(ToOwned::to_owned),
        ..Plan::default()
    };
    wait_for_namespaces(&mut plan);
    if let Some(step) = plan.steps.iter().find(|step| matches!(step.reason, Reason::Unsure { .. })) {
        plan.blocked = Some(step.reason.to_string());
    }
    protect_containers(input, &mut plan);
    guard(input, &mut plan);
    await_deletions(input, &mut plan);
    plan
}

/// Puts off what cannot be made, since its Namespace is being deleted. Until that is done, nothing is
/// pruned: what is put off may be what an orphan was renamed to. What drifted in it waits elsewhere.
fn wait_for_namespaces(plan: &mut Plan) {
    let terminating = plan.terminating_namespaces();
    if terminating.is_empty() {
        return;
    }
    for step in plan.steps.iter_mut().filter(|step| step.applies() && !step.reason.is_drift()) {
        if let Some(namespace) = step.id.namespace.as_ref().and_then(|name| terminating.get(name)) {
            step.verb = Verb::Wait;
            step.reason = Reason::NamespaceTerminating { namespace: Arc::clone(namespace) };
            plan.blocked.get_or_insert_with(|| format!("{} {}", step.id, step.reason));
        }
    }
    if plan.blocked.is_some() {
        for step in plan.steps.iter_mut().filter(|step| step.prunes()) {
            step.verb = Verb::Keep;
            step.reason = Reason::Blocked { why: plan.blocked.clone().unwrap_or_default() };
        }
    }
}

fn declare(
    input: &PlanInput<'_>,
    desired: &Desired,
    live: Option<&Observed>,
    recorded: Option<&Recorded>,
) -> (Verb, Reason) {
    match (in_place(input, desired, live, recorded), live) {
        ((Verb::Configure, reason), Some(live)) => {
            let ours = is_ours(input, live, recorded);
            replace(input.replaceable, input.prune, desired, live, ours).unwrap_or((Verb::Configure, reason))
        }
        (decision, _) => decision,
    }
}

/// Whether the object is one of this sync: it has applied one of this name, or the live object carries
/// what an apply of it leaves. An object that it finds for the first time is nobody's to delete.
fn is_ours(input: &PlanInput<'_>, live: &Observed, recorded: Option<&Recorded>) -> bool {
    let proven = live.part_of.as_deref() == Some(input.set_id) && live.fingerprint.is_some() && live.digest.is_some();
    proven || recorded.is_some_and(|recorded| recorded.applied)
}

/// What is to be done with an object that can be changed.
fn in_place(
    input: &PlanInput<'_>,
    desired: &Desired,
    live: Option<&Observed>,
    recorded: Option<&Recorded>,
) -> (Verb, Reason) {
    let id = &desired.manifest.id;
    let recorded = recorded.filter(|recorded| recorded.applied);
    let Some(live) = live else {
        if let Some(why) = input.unreadable.of(id) {
            return (Verb::Refuse, Reason::Unreadable { why: why.to_owned() });
        }
        if let Some(claimed) = input.others.claim(id, None, input.set_id, recorded.is_some()) {
            return claimed;
        }
        return match recorded {
            None => (Verb::Create, Reason::NotFound),
            // It has run, or was created and removed: it is for once.
            Some(_) if desired.manifest.directives.once => (Verb::Unchanged, Reason::Finished),
            Some(recorded) if recorded.digest != desired.digest.short() => (Verb::Create, Reason::GitChanged),
            // To run a Job again because it has ended is worse than to miss that somebody deleted it.
            Some(_) if desired.manifest.directives.expires && !input.deleted_early.contains(id) => {
                (Verb::Unchanged, Reason::Finished)
            }
            Some(_) => (drifted(input.drift, Verb::Create), Reason::Deleted),
        };
    };
    if desired.manifest.directives.create_only {
        return (Verb::Unchanged, Reason::CreateOnly);
    }
    if let Some(claimed) = input.others.claim(id, live.part_of.as_deref(), input.set_id, recorded.is_some()) {
        return claimed;
    }
    if let Some(termination) = &live.terminating {
        return (Verb::Wait, Reason::Terminating { finalizers: termination.finalizers.clone() });
    }
    match (recorded, live.part_of.as_deref()) {
        (None, None) => (Verb::Configure, Reason::Adopted),
        (None, Some(_)) => (Verb::Configure, Reason::Unrecorded),
        (Some(recorded), _) => match difference(desired, live, recorded) {
            None => (Verb::Unchanged, Reason::Same),
            Some(reason) if reason.is_drift() => (drifted(input.drift, Verb::Configure), reason),
            Some(reason) => (Verb::Configure, reason),
        },
    }
}

fn difference(desired: &Desired, live: &Observed, recorded: &Recorded) -> Option<Reason> {
    if recorded.digest != desired.digest.short() {
        return Some(Reason::GitChanged);
    }
    drift_of(live, recorded, live.part_of.is_some())
}

/// How a live object differs from what was recorded when it was applied last, by its metadata. `marked`: it has the
/// label of its sync.
#[must_use]
pub fn drift_of(live: &Observed, recorded: &Recorded, marked: bool) -> Option<Reason> {
    if recorded.uid != Short::of(&live.uid) {
        return Some(Reason::Recreated);
    }
    if !marked || live.digest.as_ref().map(Digest::short) != Some(recorded.digest) {
        return Some(Reason::MetadataLost);
    }
    if live.fingerprint.as_ref().map(Fingerprint::short) != Some(recorded.fingerprint) {
        return Some(Reason::Fields);
    }
    live.added().is_some().then_some(Reason::Added)
}

fn drifted(policy: DriftPolicy, heal: Verb) -> Verb {
    match policy {
        DriftPolicy::Heal => heal,
        DriftPolicy::Report => Verb::Report,
        DriftPolicy::Off => Verb::Unchanged,
    }
}

#[cfg(test)]
mod tests;
