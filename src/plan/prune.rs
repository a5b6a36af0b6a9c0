//! What may be deleted. Every condition that is not met keeps the object.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::object::{GroupKind, ObjectId, Observed, Short};

use super::{Approved, Facts, Held, Plan, Reason, Recorded, Stage, Step, Verb, digest_of};

/// The guard lets prunes of up to this many objects pass, whatever their share.
const ALWAYS_ALLOWED: usize = 5;

/// Decides about an object that is in the inventory and not declared.
pub(super) fn orphan(facts: &Facts<'_>, id: &ObjectId, live: Option<&Observed>, recorded: &Recorded) -> (Verb, Reason) {
    if let Some(what) = facts.others.reserved.own(id) {
        return (Verb::Forget, Reason::Own { what });
    }
    if let Some(why) = facts.doubt {
        return (Verb::Keep, Reason::Blocked { why: why.to_owned() });
    }
    let Some(live) = live else {
        return match facts.unreadable.of(id) {
            Some(why) => (Verb::Keep, Reason::Unreadable { why: why.to_owned() }),
            None => (Verb::Forget, Reason::Gone),
        };
    };
    let label = live.part_of.as_deref();
    // Until the other sync has taken it over, nobody else remembers it.
    if let Some(by) = facts.others.taker(id).filter(|_| label.is_none_or(|set| set == facts.set_id)) {
        return (Verb::Keep, Reason::Declared { by: Arc::clone(by) });
    }
    match label {
        Some(set) if set == facts.set_id => {}
        // It was let go of, and the answer did not arrive, or was not recorded.
        None if (live.detach || recorded.detach) && live.digest.is_none() => {
            return (Verb::Forget, Reason::DetachMark);
        }
        None => return (Verb::Keep, Reason::NotOurs { what: "label applyset.kubernetes.io/part-of" }),
        Some(set) => {
            return match facts.others.of_set(set) {
                // The other sync took it over already.
                Some((sync, neighbour)) if neighbour.knows(id) => {
                    (Verb::Forget, Reason::Declared { by: Arc::clone(sync) })
                }
                Some((sync, _)) => (Verb::Keep, Reason::Unremembered { sync: Arc::clone(sync) }),
                None => (Verb::Forget, Reason::OtherSet { owner: format!("another ApplySet ({set})") }),
            };
        }
    }
    if live.detach || recorded.detach {
        return (Verb::Detach, Reason::DetachMark);
    }
    if let Some(termination) = &live.terminating {
        return (Verb::Wait, Reason::Terminating { finalizers: termination.finalizers.clone() });
    }
    if let Some(reason) = unproven(live, recorded) {
        return (Verb::Keep, reason);
    }
    if let Some(sync) = facts.others.unsure(id) {
        return (Verb::Keep, Reason::Unsure { sync: Arc::clone(sync) });
    }
    if let Some(by) = user(facts, id) {
        return (Verb::Refuse, Reason::StillUsed { by });
    }
    if !facts.prune.enabled {
        return (Verb::Keep, Reason::PruneDisabled);
    }
    if is_kept_kind(&id.gk) && !facts.prune.include.contains(&id.gk) {
        return (Verb::Keep, Reason::KeptKind);
    }
    (Verb::Prune, Reason::RemovedFromGit)
}

/// Which proof is missing that the live object is the one that we applied.
fn unproven(live: &Observed, recorded: &Recorded) -> Option<Reason> {
    if live.fingerprint.is_none() {
        return Some(Reason::NotOurs { what: "fields applied by driftless" });
    }
    if live.digest.is_none() {
        return Some(Reason::NotOurs { what: "annotation driftless.dev/digest" });
    }
    if live.controlled {
        return Some(Reason::Controlled);
    }
    // An entry whose apply was announced and never confirmed has no UID to compare with; label,
    // entry and annotation together are then the proof that the apply did happen. One whose record
    // was lost is applied again first, or kept.
    if !recorded.applied && !recorded.fresh {
        return Some(Reason::NotOurs { what: "record in the inventory (it was lost)" });
    }
    (recorded.applied && recorded.uid != Short::of(&live.uid)).then_some(Reason::OtherUid)
}

/// Kinds whose deletion deletes data of others.
pub(super) fn is_kept_kind(gk: &GroupKind) -> bool {
    gk.is("", "Namespace")
        || gk.is("", "PersistentVolumeClaim")
        || gk.is("apiextensions.k8s.io", "CustomResourceDefinition")
}

/// A declared object that would go along with this orphan.
fn user(facts: &Facts<'_>, id: &ObjectId) -> Option<ObjectId> {
    let mut declared = facts.desired.iter().map(|desired| &desired.manifest.id);
    if id.gk.is("apiextensions.k8s.io", "CustomResourceDefinition") {
        return declared.find(|other| facts.crds.get(&other.gk).is_some_and(|crd| **crd == *id.name)).cloned();
    }
    let kept = !facts.prune.include.contains(&id.gk);
    if id.gk.is("", "Namespace") && !kept {
        return declared.find(|other| other.namespace.as_deref() == Some(&*id.name)).cloned();
    }
    None
}

/// Keeps Namespaces and CRDs with whose deletion something else would go that is not to be deleted.
pub(super) fn shelter(facts: &Facts<'_>, plan: &mut Plan) {
    let mut kept = BTreeMap::new();
    for step in plan.steps.iter().filter(|step| step.verb == Verb::Prune) {
        let within = |id: &ObjectId| match &*step.id.gk.kind {
            "Namespace" => step.id.gk.is("", "Namespace") && id.namespace.as_deref() == Some(&*step.id.name),
            "CustomResourceDefinition" => facts.crds.get(&id.gk).is_some_and(|crd| **crd == *step.id.name),
            _ => false,
        };
        let left = |step: &Step| step.reason == Reason::DetachMark;
        let goes = |step: &Step| matches!(step.verb, Verb::Prune | Verb::Forget | Verb::Wait) && !left(step);
        let stays = |step: &&Step| !goes(step) && within(&step.id);
        let own = plan.steps.iter().find(stays).map(|step| step.id.to_string());
        let other = match &*step.id.gk.kind {
            "Namespace" if facts.others.reserved.is_home(&step.id) => Some("the state of this agent".into()),
            "Namespace" if step.id.gk.is("", "Namespace") => facts.others.in_namespace(&step.id.name),
            "CustomResourceDefinition" => facts.others.of_crd(facts.crds, &step.id.name),
            _ => None,
        };
        if let Some(what) = own.or(other) {
            let detached = plan.steps.iter().filter(|step| left(step) && within(&step.id));
            // Let go of, they would be nobody's, and go with the next prune.
            kept.extend(detached.map(|step| (step.id.clone(), step.reason.clone())));
            kept.insert(step.id.clone(), Reason::Shelters { what });
        }
    }
    for step in &mut plan.steps {
        if let Some(reason) = kept.remove(&step.id) {
            (step.verb, step.reason) = (Verb::Keep, reason);
        }
    }
}

/// Holds everything that would be deleted, to be created again or not, when it is too much to be
/// believed without asking.
pub(super) fn guard(facts: &Facts<'_>, plan: &mut Plan) {
    // In the order of identities, as all steps are.
    let going: Vec<&ObjectId> = plan.steps.iter().filter(|step| step.deletes()).map(|step| &step.id).collect();
    let prune = going.len();
    let again = match plan.count(Verb::Replace) {
        0 => String::new(),
        replaced => format!(" ({replaced} of them to create again)"),
    };
    // What the commit adds must not hide how much it removes.
    let settled = facts.inventory.values().filter(|recorded| !recorded.fresh).count();
    let unsettled = going.iter().filter(|id| facts.inventory.get(**id).is_some_and(|recorded| recorded.fresh)).count();
    let total = settled + unsettled;
    let percent = usize::from(facts.prune.max_percent);
    let mut reason = if prune == 0 {
        return;
    } else if facts.desired.is_empty() {
        format!("the commit declares no object at all; all {prune} of this sync would be deleted")
    } else if prune > ALWAYS_ALLOWED && prune * 100 > percent * settled {
        let of = if unsettled == 0 { String::new() } else { format!(" of the {settled} that were there before") };
        format!(
            "the commit would delete {prune} of {total} objects{again}, more than prune.maxPercent ({percent} %){of}"
        )
    } else if let Some(change) = facts.source_change {
        format!("{change}, and the commit would delete {prune} of {total} objects{again}")
    } else {
        return;
    };
    if facts.approved.covers(&going, facts.inventory) {
        plan.by_approval = true;
        return;
    }
    if facts.approved != Approved::Nothing {
        reason.push_str("; the approval of this commit was given for other objects, or was carried out already");
    }
    let digest = digest_of(going.iter().copied());
    let objects = going.iter().take(Held::MOST).map(|id| (*id).clone()).collect();
    for step in &mut plan.steps {
        if let Reason::Immutable { fields, .. } = &step.reason {
            (step.verb, step.reason) = (Verb::Keep, Reason::ReplaceHeld { fields: Arc::clone(fields) });
        } else if step.prunes() {
            (step.verb, step.reason) = (Verb::Keep, Reason::Held);
        }
    }
    plan.held = Some(Held { commit: facts.commit.to_owned(), prune, total, reason, digest, objects });
}

/// In which order to prune: dependents before dependencies, and the stages of applying backwards.
/// Each group may be deleted at once.
#[must_use]
pub fn prune_waves(steps: &[Step]) -> Vec<Vec<&Step>> {
    let pruned: BTreeMap<&ObjectId, &Step> =
        steps.iter().filter(|step| step.prunes()).map(|step| (&step.id, step)).collect();
    let mut depths = BTreeMap::new();
    let mut waves: BTreeMap<(std::cmp::Reverse<Stage>, std::cmp::Reverse<usize>), Vec<&Step>> = BTreeMap::new();
    for (id, step) in &pruned {
        let depth = depth(id, &pruned, &mut depths);
        waves.entry((std::cmp::Reverse(Stage::of(&id.gk)), std::cmp::Reverse(depth))).or_default().push(step);
    }
    waves.into_values().collect()
}

/// How many pruned objects stand one behind the other below this one. An object that is being
/// measured counts as 0, so that a circle ends.
fn depth<'a>(
    id: &'a ObjectId,
    pruned: &BTreeMap<&'a ObjectId, &'a Step>,
    depths: &mut BTreeMap<&'a ObjectId, usize>,
) -> usize {
    if let Some(depth) = depths.get(id) {
        return *depth;
    }
    depths.insert(id, 0);
    let Some(live) = pruned.get(id).and_then(|step| step.live.as_ref()) else { return 0 };
    let below = live.depends_on.iter().filter(|dependency| pruned.contains_key(dependency));
    let deepest = below.map(|dependency| depth(dependency, pruned, depths) + 1).max().unwrap_or(0);
    depths.insert(id, deepest);
    deepest
}
