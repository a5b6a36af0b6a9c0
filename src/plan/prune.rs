//! What may be deleted. Every condition that is not met keeps the object.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::object::{GroupKind, ObjectId, Observed, Short};

use super::{Approved, Deletions, Held, Plan, PlanInput, Reason, Recorded, Step, Verb, digest_of};

/// The guard lets prunes of up to this many objects pass, whatever their share.
const ALWAYS_ALLOWED: usize = 5;

/// Decides about an object that is in the inventory and not declared.
pub(super) fn orphan(
    input: &PlanInput<'_>,
    users: &Users<'_>,
    id: &ObjectId,
    live: Option<&Observed>,
    recorded: &Recorded,
) -> (Verb, Reason) {
    if let Some(what) = input.others.reserved.own(id) {
        return (Verb::Forget, Reason::Own { what });
    }
    if let Some(why) = input.incomplete {
        return (Verb::Keep, Reason::Blocked { why: why.to_owned() });
    }
    let Some(live) = live else {
        return match input.unreadable.of(id) {
            Some(why) => (Verb::Keep, Reason::Unreadable { why: why.to_owned() }),
            None => (Verb::Forget, Reason::Gone),
        };
    };
    let label = live.part_of.as_deref();
    // Until the other sync has taken it over, nobody else remembers it.
    if let Some(by) = input.others.taker(id).filter(|_| label.is_none_or(|set| set == input.set_id)) {
        return (Verb::Keep, Reason::Declared { by: Arc::clone(by) });
    }
    match label {
        Some(set) if set == input.set_id => {}
        // It was let go of, and the answer did not arrive, or was not recorded.
        None if (live.detach || recorded.detach) && live.digest.is_none() => {
            return (Verb::Forget, Reason::DetachMark);
        }
        None => return (Verb::Keep, Reason::NotOurs { what: "label applyset.kubernetes.io/part-of" }),
        Some(set) => {
            return match input.others.of_set(set) {
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
    if let Some(sync) = input.others.unsure(id) {
        return (Verb::Keep, Reason::Unsure { sync: Arc::clone(sync) });
    }
    if input.looked_up.includes(id) {
        return (Verb::Keep, Reason::LookedUp);
    }
    if let Some(by) = users.of_orphan(input, id) {
        return (Verb::Refuse, Reason::StillUsed { by });
    }
    if !input.prune.enabled {
        return (Verb::Keep, Reason::PruneDisabled);
    }
    if is_kept_kind(&id.gk) && !input.prune.include.contains(&id.gk) {
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
    if !recorded.applied && !recorded.unconfirmed {
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

/// Which CRD or Namespace holds an object, as a step of the plan would name it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Home<'a> {
    Namespace(&'a str),
    Definition(&'a str),
}

impl<'a> Home<'a> {
    /// What this object is, should it hold others.
    fn is(id: &'a ObjectId) -> Option<Self> {
        if id.gk.is("", "Namespace") {
            return Some(Self::Namespace(&id.name));
        }
        id.gk.is("apiextensions.k8s.io", "CustomResourceDefinition").then_some(Self::Definition(&id.name))
    }

    /// What holds this object.
    fn of(input: &PlanInput<'a>, id: &'a ObjectId) -> impl Iterator<Item = Self> {
        let namespace = id.namespace.as_deref().map(Self::Namespace);
        namespace.into_iter().chain(input.crds.get(&id.gk).map(|crd| Self::Definition(crd)))
    }
}

/// Of each Namespace and CRD, the first declared object in it: that would go along with it.
pub(super) struct Users<'a>(BTreeMap<Home<'a>, &'a ObjectId>);

impl<'a> Users<'a> {
    pub(super) fn of(input: &PlanInput<'a>) -> Self {
        let mut users = BTreeMap::new();
        if input.inventory.keys().all(|id| Home::is(id).is_none()) {
            return Self(users);
        }
        for desired in input.desired {
            let id = &desired.manifest.id;
            Home::of(input, id).for_each(|home| _ = users.entry(home).or_insert(id));
        }
        Self(users)
    }

    fn of_orphan(&self, input: &PlanInput<'_>, id: &ObjectId) -> Option<ObjectId> {
        let home = Home::is(id)?;
        let kept = matches!(home, Home::Namespace(_)) && !input.prune.include.contains(&id.gk);
        self.0.get(&home).filter(|_| !kept).map(|user| (*user).clone())
    }
}

/// Keeps Namespaces and CRDs with whose deletion something else would go that is not to be deleted.
pub(super) fn protect_containers(input: &PlanInput<'_>, plan: &mut Plan) {
    if !plan.steps.iter().any(|step| step.verb == Verb::Prune && Home::is(&step.id).is_some()) {
        return;
    }
    let left = |step: &Step| step.reason == Reason::DetachMark;
    let goes = |step: &Step| matches!(step.verb, Verb::Prune | Verb::Forget | Verb::Wait) && !left(step);
    // Of each home what is in it: the first object that stays, and all that are let go of.
    let (mut stays, mut detached) = (BTreeMap::new(), BTreeMap::<_, Vec<_>>::new());
    for step in &plan.steps {
        for home in Home::of(input, &step.id) {
            if left(step) {
                detached.entry(home).or_default().push(&step.id);
            }
            if !goes(step) {
                stays.entry(home).or_insert(&step.id);
            }
        }
    }
    let mut kept = BTreeMap::new();
    for step in plan.steps.iter().filter(|step| step.verb == Verb::Prune) {
        let Some(home) = Home::is(&step.id) else { continue };
        let own = stays.get(&home).map(ToString::to_string);
        let other = match home {
            Home::Namespace(_) if input.others.reserved.is_home(&step.id) => Some("the state of this agent".into()),
            Home::Namespace(name) => input.others.in_namespace(name),
            Home::Definition(name) => input.others.of_crd(input.crds, name),
        };
        if let Some(what) = own.or(other) {
            // Let go of, they would be nobody's, and go with the next prune.
            let detached = detached.get(&home).into_iter().flatten();
            kept.extend(detached.map(|id| ((*id).clone(), Reason::DetachMark)));
            kept.insert(step.id.clone(), Reason::Contains { what });
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
pub(super) fn guard(input: &PlanInput<'_>, plan: &mut Plan) {
    // In the order of identities, as all steps are.
    let going: Vec<&ObjectId> = plan.steps.iter().filter(|step| step.deletes()).map(|step| &step.id).collect();
    let prune = going.len();
    let digest = if prune == 0 { String::new() } else { digest_of(going.iter().copied()) };
    plan.going.clone_from(&digest);
    let again = match plan.count(Verb::Replace) {
        0 => String::new(),
        replaced => format!(" ({replaced} of them to create again)"),
    };
    // What the commit adds must not hide how much it removes.
    let settled = input.inventory.values().filter(|recorded| !recorded.unconfirmed).count();
    // What goes counts in any case: also what is replaced and was never applied by the sync.
    let unsettled =
        going.iter().filter(|id| input.inventory.get(**id).is_none_or(|recorded| recorded.unconfirmed)).count();
    let total = settled + unsettled;
    let percent = usize::from(input.prune.max_percent);
    let mut reason = if prune == 0 {
        return;
    } else if input.desired.is_empty() {
        format!("the commit declares no object at all, and would delete {prune} of {total} objects")
    } else if prune > ALWAYS_ALLOWED && prune * 100 > percent * settled {
        let of = if unsettled == 0 { String::new() } else { format!(" of the {settled} that were there before") };
        format!(
            "the commit would delete {prune} of {total} objects{again}, more than prune.maxPercent ({percent} %){of}"
        )
    } else if let Some(change) = input.source_change {
        format!("{change}, and the commit would delete {prune} of {total} objects{again}")
    } else {
        return;
    };
    if input.approved.covers(&going, input.inventory) {
        plan.by_approval = true;
        return;
    }
    if input.approved != Approved::Nothing {
        reason.push_str("; the approval of this commit was given for other objects, or was carried out already");
    }
    let objects = going.iter().take(Held::MOST).map(|id| (*id).clone()).collect();
    for step in &mut plan.steps {
        if let Reason::Immutable { fields, .. } = &step.reason {
            (step.verb, step.reason) = (Verb::Keep, Reason::ReplaceHeld { fields: Arc::clone(fields) });
        } else if step.prunes() {
            (step.verb, step.reason) = (Verb::Keep, Reason::Held);
        }
    }
    plan.held = Some(Held { commit: input.commit.to_owned(), prune, total, reason, digest, objects });
}

/// Puts off what has to wait for an object that is being deleted already. After the guard, which counts
/// all that would go.
pub(super) fn await_deletions(input: &PlanInput<'_>, plan: &mut Plan) {
    if !plan.steps.iter().any(Step::prunes) {
        return;
    }
    let going = |step: &&Step| step.prunes() || matches!(step.reason, Reason::Terminating { .. });
    let kinds = plan.steps.iter().filter(going).map(|step| &step.id.gk);
    plan.definitions = kinds.filter_map(|gk| Some((gk.clone(), input.crds.get(gk)?.clone()))).collect();
    let is_overdue = |step: &&Step| {
        let since = step.live.as_ref().and_then(|live| live.terminating.as_ref()?.since);
        since.is_some_and(|since| since <= input.overdue_since)
    };
    plan.overdue = plan.steps.iter().filter(is_overdue).map(|step| step.id.clone()).collect();
    for (at, reason) in Deletions::new(plan).waiting() {
        (plan.steps[at].verb, plan.steps[at].reason) = (Verb::Wait, reason);
    }
}
