//! One pass from the observed state to the end: what was planned, and what became of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::object::{Displayed, GroupKind, Health, HealthStatus, ObjectId, Observed, Short};
use crate::plan::{
    AppliedObject, Inventory, Obstacle, Plan, Problem, PruneResult, PrunedObject, Reason, Recorded, Replaceables, Step,
    Verb, unorderable, wait_for_rollouts,
};

use super::basis::Basis;
use super::obstacles::Obstacles;
use super::{Observation, RenderedCommit};

/// `the objects of kind Deployment.apps in shop`.
pub(super) fn objects_of(gk: &GroupKind, namespace: Option<&Arc<str>>) -> String {
    let place = namespace.map(|namespace| format!(" in {namespace}")).unwrap_or_default();
    format!("the objects of kind {gk}{place}")
}

/// The pass that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "each says of its own what became of the pass")]
pub(super) struct Cycle {
    pub rendered: Arc<RenderedCommit>,
    pub basis: Basis,
    pub began: Duration,
    pub plan: Arc<Plan>,
    /// What went wrong so far; any of it keeps the orphans.
    pub problems: Vec<Problem>,
    pub notes: Vec<Problem>,
    /// Objects that were created, configured, replaced or deleted.
    pub changed: usize,
    /// Objects that drifted and are left as they are, by `drift: report`.
    pub reported: usize,
    /// Objects that wait for their Namespace, which is being deleted.
    pub namespace_terminating: usize,
    pub health: BTreeMap<ObjectId, Health>,
    /// A request was sent that may have changed something.
    pub wrote: bool,
    /// What it is going to write, as long as that is not answered.
    pub writes: BTreeSet<ObjectId>,
    /// Drifted objects that it waits for.
    pub awaits: BTreeSet<ObjectId>,
    /// After that it observes again, since what it saw is outdated.
    pub again: bool,
    /// Objects whose heal ended while it observed: what it saw of them may be from before.
    pub meanwhile: BTreeSet<ObjectId>,
    /// Objects whose answers were noted one by one.
    pub noted: BTreeSet<ObjectId>,
    /// It ended before all of it was carried out, since it no longer stood.
    pub cut_short: bool,
    /// What is under way was asked to begin no further object ([`Effect::Interrupt`](super::Effect::Interrupt)).
    pub interrupted: bool,
    /// Orphans that were not what had been seen when they were about to be pruned.
    pub undecided: usize,
    /// Orphans that were to be pruned, and wait until another object is gone.
    pub put_off: usize,
    /// Those among them that wait for a rollout.
    pub rolling_out: usize,
    pub obstacles: Obstacles,
}

impl Cycle {
    pub fn new(rendered: Arc<RenderedCommit>, epoch: u64, began: Duration) -> Self {
        Self {
            basis: Basis { commit: rendered.commit.id.clone(), epoch },
            rendered,
            began,
            plan: Arc::default(),
            problems: Vec::new(),
            notes: Vec::new(),
            changed: 0,
            reported: 0,
            namespace_terminating: 0,
            health: BTreeMap::new(),
            wrote: false,
            writes: BTreeSet::new(),
            awaits: BTreeSet::new(),
            again: false,
            meanwhile: BTreeSet::new(),
            noted: BTreeSet::new(),
            cut_short: false,
            interrupted: false,
            undecided: 0,
            put_off: 0,
            rolling_out: 0,
            obstacles: Obstacles::default(),
        }
    }

    /// Whether nothing is wrong but that the API server refuses objects. What git declares is known in
    /// full then, and so is what is to be pruned.
    pub fn is_only_refused(&self) -> bool {
        self.obstacles.explain(self.problems.len())
    }

    /// Takes over a plan: what it refuses is a problem, what it keeps is worth a note.
    pub fn take_in(&mut self, mut plan: Plan, observation: &Observation) {
        self.problems.extend(self.rendered.problems.iter().cloned());
        self.problems.extend(observation.resolved.problems.iter().cloned());
        self.notes.extend(observation.resolved.notes.iter().cloned());
        let refused = plan.steps.iter().filter(|step| matches!(step.reason, Reason::Unreadable { .. }));
        let refused_places: BTreeSet<(&GroupKind, Option<&Arc<str>>)> =
            refused.flat_map(|step| [(&step.id.gk, None), (&step.id.gk, step.id.namespace.as_ref())]).collect();
        for (gk, namespace, why) in
            observation.unreadable.iter().filter(|(gk, place, _)| !refused_places.contains(&(gk, *place)))
        {
            let what = objects_of(gk, namespace);
            self.problems.push(Problem::general(format!("{what} could not be read, so nothing is pruned: {why}")));
        }
        let unorderable = unorderable(&observation.resolved.desired);
        let why: BTreeMap<&ObjectId, &str> =
            unorderable.iter().filter_map(|problem| Some((problem.object.as_ref()?, &*problem.message))).collect();
        for step in &mut plan.steps {
            if let Some(why) = why.get(&step.id).filter(|_| step.applies()) {
                step.verb = Verb::Refuse;
                step.reason = Reason::Unorderable { why: (*why).to_owned() };
            }
        }
        let terminating = plan.terminating_namespaces();
        // What else blocks a prune is among the problems.
        let incomplete = self.rendered.reads.incomplete.clone();
        let is_known = |reason: &Reason| match reason {
            Reason::Held => true,
            Reason::Blocked { why } => Some(why) != incomplete.as_ref(),
            _ => false,
        };
        for step in &plan.steps {
            match step.verb {
                Verb::Refuse => {
                    self.problems.push(step.problem());
                    let refused = matches!(step.reason, Reason::NotReplaced { .. });
                    self.obstacles.refused.extend(refused.then(|| step.id.clone()));
                }
                Verb::Report => {
                    self.reported += 1;
                    self.notes.push(step.problem());
                }
                Verb::Wait => {
                    self.namespace_terminating +=
                        usize::from(matches!(step.reason, Reason::NamespaceTerminating { .. }));
                    self.notes.push(step.problem());
                }
                Verb::Keep if !is_known(&step.reason) => {
                    self.notes.push(step.problem());
                }
                _ => {}
            }
            if let Some(namespace) =
                step.id.namespace.as_ref().filter(|name| step.applies() && terminating.contains(*name))
            {
                // It drifted, and is healed as soon as the Namespace is there again.
                let reason = Reason::NamespaceTerminating { namespace: Arc::clone(namespace) };
                self.notes.push(Problem { message: reason.to_string(), ..step.problem() });
            }
            if step.applies() || step.prunes() {
                self.writes.insert(step.id.clone());
            }
            if step.desired.is_some() {
                if step.reason == Reason::Finished {
                    self.health.insert(step.id.clone(), Health::current());
                    continue;
                }
                let missing = || Health::new(HealthStatus::NotFound, "does not exist");
                let health = step.live.as_ref().map_or_else(missing, |live| live.health.clone());
                self.health.insert(step.id.clone(), health);
            }
        }
        self.plan = Arc::new(plan);
    }

    /// The inventory as it must be stored before the first write: everything that is going to exist.
    pub fn superset(&self, inventory: &Inventory) -> Inventory {
        let mut superset = inventory.clone();
        for step in self.plan.steps.iter().filter(|step| step.applies()) {
            superset.entry(step.id.clone()).or_insert(Recorded { unconfirmed: true, ..Recorded::default() });
        }
        superset
    }

    /// The steps that put drifted objects back. They are taken out of the plan, since the heal
    /// queue carries them out.
    pub fn drifted(&mut self) -> Vec<Step> {
        let plan = Arc::make_mut(&mut self.plan);
        let mut drifted = Vec::new();
        for step in plan.steps.iter_mut().filter(|step| step.reason.is_drift()) {
            if step.applies() {
                drifted.push(step.clone());
                self.writes.remove(&step.id);
                step.verb = Verb::Unchanged;
            } else if step.verb == Verb::Report {
                drifted.push(step.clone());
            }
        }
        drifted
    }

    /// Withholds every write of an atomic commit of which a part cannot be applied, as far as that is
    /// known already. What drifted is healed all the same.
    pub fn write_all_or_nothing(&mut self, observation: &Observation) {
        let count = |which: &dyn Fn(&Step) -> bool| self.plan.steps.iter().filter(|step| which(step)).count();
        let refused = count(&|step| step.verb == Verb::Refuse);
        let held = count(&|step| matches!(step.reason, Reason::ReplaceHeld { .. }));
        let unusable = self.rendered.problems.len() + observation.resolved.problems.len() + refused;
        if unusable + held == 0 || !self.plan.steps.iter().any(Step::applies) {
            return;
        }
        for step in Arc::make_mut(&mut self.plan).steps.iter_mut().filter(|step| step.applies()) {
            self.writes.remove(&step.id);
            step.verb = Verb::Unchanged;
        }
        if unusable == 0 {
            let message = "nothing of the commit was written, since the sync is atomic and some of its objects can only be replaced, which the prune guard holds";
            return self.notes.push(Problem::general(message));
        }
        let message = format!(
            "nothing of the commit was written, since the sync is atomic and {unusable} of its manifests cannot be used"
        );
        self.problems.push(Problem::general(message));
    }

    /// Notes that a drifted object was put back, or could not be.
    pub fn healed(&mut self, id: &ObjectId, outcome: &AppliedObject) {
        self.changed += usize::from(outcome.result.changed());
        if let Some(live) = &outcome.live {
            self.health.insert(id.clone(), live.health.clone());
        }
    }

    /// Notes one object that was applied, before the others are.
    pub fn applied_one(&mut self, outcome: &AppliedObject, inventory: &mut Inventory) {
        self.writes.remove(&outcome.id);
        let (Some(live), Some(step)) = (&outcome.live, self.plan.step(&outcome.id)) else { return };
        if let Some(desired) = step.desired.as_ref().filter(|_| outcome.result.succeeded()) {
            let unconfirmed = inventory.get(&outcome.id).is_none_or(|recorded| recorded.unconfirmed);
            inventory.insert(outcome.id.clone(), Recorded::of(live, desired, unconfirmed));
            self.noted.insert(outcome.id.clone());
        }
    }

    /// Notes what was applied; gives what proved to be replaceable.
    pub fn applied(&mut self, outcomes: Vec<AppliedObject>, inventory: &mut Inventory) -> Replaceables {
        let mut replaceable = Replaceables::new();
        let begun: BTreeSet<&ObjectId> = outcomes.iter().map(|outcome| &outcome.id).collect();
        self.cut_short |= self.plan.steps.iter().any(|step| step.applies() && !begun.contains(&step.id));
        for outcome in outcomes {
            self.changed += usize::from(outcome.result.changed());
            // What came after its answer was noted (it drifted, and was healed) is newer.
            if !self.noted.contains(&outcome.id) {
                self.applied_one(&outcome, inventory);
            }
            if let Some(live) = outcome.live.filter(|_| outcome.result.succeeded()) {
                self.health.insert(outcome.id.clone(), live.health);
            }
            self.problems.extend(outcome.problem);
            match outcome.obstacle {
                Some(Obstacle::Refused) => self.obstacles.refused.push(outcome.id),
                Some(Obstacle::Dependency) => self.obstacles.follows += 1,
                Some(Obstacle::Immutable(proof)) => drop(replaceable.insert(outcome.id, proof)),
                Some(Obstacle::Other) | None => {}
            }
        }
        // Its orphans are still to be deleted.
        let plan = Arc::clone(&self.plan);
        self.writes.retain(|id| plan.position(id).is_some_and(|at| plan.steps[at].prunes()));
        replaceable
    }

    /// Puts off the deletion of what former pods of a workload that is rolling out may use. Gives which objects.
    pub fn wait_for_rollouts(&mut self) -> Vec<ObjectId> {
        let health = &self.health;
        let put_off = wait_for_rollouts(Arc::make_mut(&mut self.plan), |id| health.get(id));
        if put_off == 0 {
            return Vec::new();
        }
        self.put_off += put_off;
        self.rolling_out = put_off;
        let waits = |step: &&Step| matches!(step.reason, Reason::RollingOut { .. });
        self.notes.extend(self.plan.steps.iter().filter(waits).map(Step::problem));
        self.plan.steps.iter().filter(waits).map(|step| step.id.clone()).collect()
    }

    /// Notes what was pruned.
    pub fn pruned(&mut self, outcomes: Vec<PrunedObject>, inventory: &mut Inventory) {
        let begun: BTreeSet<&ObjectId> = outcomes.iter().map(|outcome| &outcome.id).collect();
        self.cut_short |= self.plan.steps.iter().any(|step| step.prunes() && !begun.contains(&step.id));
        for outcome in outcomes {
            let problem = |message: String| Problem { object: Some(outcome.id.clone()), origin: None, message };
            match outcome.result {
                PruneResult::Deleted | PruneResult::Detached if outcome.gone => {
                    inventory.remove(&outcome.id);
                    self.changed += 1;
                }
                PruneResult::Deleted | PruneResult::Detached => {
                    self.changed += 1;
                    self.notes.push(problem(outcome.detail.unwrap_or_else(|| "is being deleted".into())));
                }
                PruneResult::Waiting => {
                    self.put_off += 1;
                    self.notes.push(problem(outcome.detail.unwrap_or_default()));
                }
                PruneResult::Kept => {
                    self.undecided += 1;
                    self.notes.push(problem(outcome.detail.unwrap_or_default()));
                }
                PruneResult::Failed => {
                    let detail = outcome.detail.unwrap_or_default();
                    self.problems.push(problem(format!("could not be deleted: {detail}")));
                }
            }
        }
    }

    /// Notes, once for each, who owns fields of declared objects and is on neither list. The names.
    pub fn note_unknown_managers(&mut self) -> BTreeSet<Arc<str>> {
        let mut found: BTreeMap<&Arc<str>, (&Step, usize)> = BTreeMap::new();
        for step in self.plan.steps.iter().filter(|step| step.desired.is_some()) {
            for name in step.live.iter().flat_map(Observed::unknown_managers) {
                found.entry(name).or_insert((step, 0)).1 += 1;
            }
        }
        let note = |(name, (step, objects)): (&&Arc<str>, &(&Step, usize))| {
            let others = match objects - 1 {
                0 => String::new(),
                1 => " and of another object".to_owned(),
                more => format!(" and of {more} other objects"),
            };
            let message = format!(
                "{} owns fields of it{others} that git does not declare, and is known neither as a person's client \
                 nor as a controller, so they are left alone; name it in drift.people or in drift.controllers",
                Displayed(name)
            );
            Problem { message, ..step.problem() }
        };
        let notes: Vec<Problem> = found.iter().map(note).collect();
        let names = found.into_keys().cloned().collect();
        self.notes.extend(notes);
        names
    }

    /// The inventory as it is at the end: without what is gone or another's, and with nothing
    /// unconfirmed when the commit was carried out whole.
    pub fn exact(&self, mut inventory: Inventory) -> Inventory {
        let forgotten: BTreeSet<&ObjectId> =
            self.plan.steps.iter().filter(|step| step.verb == Verb::Forget).map(|step| &step.id).collect();
        inventory.retain(|id, _| !forgotten.contains(id));
        if self.is_whole() {
            // An orphan that is still there waits to be deleted: what proves then that it is ours stays on record.
            let waits = |id: &ObjectId| self.plan.step(id).is_some_and(|step| step.desired.is_none());
            for (_, recorded) in inventory.iter_mut().filter(|(id, _)| !waits(id)) {
                recorded.unconfirmed = false;
            }
        }
        inventory
    }

    /// Declared objects that are waited for, with the digest of their manifest: those that cannot be
    /// made yet, and, where health counts, those that are not healthy.
    pub fn waited(&self, health_counts: bool) -> impl Iterator<Item = (&ObjectId, Short)> {
        let waited = move |step: &&Step| {
            matches!(step.reason, Reason::NamespaceTerminating { .. })
                || (health_counts && self.health.get(&step.id).is_some_and(|health| !health.is_current()))
        };
        let digest = |step: &Step| step.desired.as_ref().map_or_else(Short::default, |desired| desired.digest.short());
        self.plan.steps.iter().filter(waited).map(move |step| (&step.id, digest(step)))
    }

    /// Whether the commit was carried out whole, its prunes included.
    pub fn is_whole(&self) -> bool {
        !self.cut_short && self.plan.held.is_none() && self.plan.blocked.is_none() && self.problems.is_empty()
    }

    /// Declared objects that are not healthy.
    pub fn unhealthy(&self) -> Vec<(ObjectId, Health)> {
        let unhealthy = self.health.iter().filter(|(_, health)| !health.is_current());
        unhealthy.map(|(id, health)| (id.clone(), health.clone())).collect()
    }
}
