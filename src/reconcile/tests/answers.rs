//! What the effects do to git and the cluster of a test, and what is learned by them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::world::{SET, World, id, key, manifest, moment, print};
use crate::config::DriftPolicy;
use crate::object::{
    Blame, Change, Commit, FieldChange, GroupKind, Health, HealthStatus, ObjectId, Observed, Scope, Termination,
};
use crate::plan::{
    AppliedObject, ApplyResult, Deletions, Obstacle, PLAIN, Plan, Problem, PruneResult, PrunedObject, Reason,
    Replaceable, Reserved, Schedule, Step, Verb, resolve,
};
use crate::reconcile::{
    Audited, ClusterReads, Effect, EffectId, Examined, Input, Observation, RenderedCommit, Unrendered,
};

impl World {
    /// What carrying out an effect does to the world, and what is learned by it.
    pub fn answer(&mut self, effect: Effect) -> Input {
        match effect {
            Effect::Poll { id } => {
                self.blind = self.head.is_err();
                self.permits.polled(id, &self.head);
                Input::Polled { id, result: self.head.clone(), watched: self.watched }
            }
            Effect::Render { id, commit } => Input::Rendered { id, result: self.render(&commit) },
            Effect::Observe { id, rendered, inventory } => {
                self.observed = Some(Arc::clone(&rendered));
                let failed = || Err("the API server cannot be reached".into());
                let result = if self.unobservable { failed() } else { Ok(self.observe(&rendered, &inventory)) };
                Input::Observed { id, result }
            }
            Effect::WriteParent { id, inventory, status } => {
                let result = if self.parent_refused { Err("forbidden".into()) } else { Ok(()) };
                if result.is_ok() {
                    if let Some(held) = &status.held {
                        let shown = held.objects.iter().cloned().collect();
                        self.shown.insert((held.commit.clone(), held.digest.clone()), shown);
                    }
                    self.parent = Some((inventory, (*status).clone()));
                }
                Input::ParentWritten { id, result }
            }
            Effect::Apply { id, plan } => {
                let begun = self.begun(id);
                let outcomes = self.apply(&plan, begun);
                let replaced = outcomes.iter().filter(|outcome| outcome.result == ApplyResult::Replaced);
                self.spent.extend(replaced.filter(|_| plan.by_approval).map(|outcome| outcome.id.clone()));
                Input::Applied { id, outcomes }
            }
            Effect::Prune { id, plan } => {
                let begun = self.begun(id);
                let outcomes = self.prune(&plan, begun);
                let deleted = outcomes.iter().filter(|outcome| plan.by_approval && outcome.gone);
                self.spent.extend(deleted.map(|outcome| outcome.id.clone()));
                Input::Pruned { id, outcomes }
            }
            Effect::Examine { id, desired } => {
                let live = self.live.get(&desired.manifest.id).cloned();
                let lost = self.lost.get(&desired.manifest.id).into_iter().flatten().cloned();
                let fields = lost.map(|path| FieldChange { path, ..FieldChange::default() }).collect();
                let mut blame = Blame { manager: self.culprit.clone(), fields, ..Blame::default() };
                if live.as_ref().is_some_and(|live| live.added().is_some()) {
                    blame.fields.push(added());
                }
                let failed = || Err("the API server cannot be reached".into());
                Input::Examined { id, result: if self.unobservable { failed() } else { Ok(Examined { live, blame }) } }
            }
            Effect::Heal { id, step } => {
                let begun = self.begun(id).of(1) == 1;
                Input::Healed { id, outcome: if begun { self.apply_one(&step) } else { not_begun(&step) } }
            }
            Effect::Audit { id, desired } => {
                let id_of = &desired.manifest.id;
                let added = self.live.get(id_of).is_some_and(|live| live.added().is_some());
                let differs = added || self.tampered.contains(&*id_of.name);
                Input::Audited {
                    id,
                    result: if differs { Audited::Differs } else { Audited::Same { rewritten: Vec::new() } },
                }
            }
            Effect::Declare { .. } | Effect::Emit(_) | Effect::Interrupt { .. } => unreachable!(),
        }
    }

    /// How far an effect got before it was interrupted: not at all, half of the way, or to its end.
    fn begun(&mut self, id: EffectId) -> Begun {
        match (self.interrupted.remove(&id), id % 3) {
            (true, rest) => {
                self.begun.unwrap_or([Begun::Nothing, Begun::Half, Begun::All][usize::try_from(rest).unwrap()])
            }
            (false, _) => Begun::All,
        }
    }

    fn render(&mut self, commit: &str) -> Result<Arc<RenderedCommit>, Unrendered> {
        if self.moves > 0 {
            self.moves -= 1;
            self.permits.gone.insert(commit.into());
            return Err(Unrendered::Moved("the branch moved on".into()));
        }
        let content = self.content(commit);
        if content.fails {
            return Err(Unrendered::Failed("the path does not exist".into()));
        }
        self.rendered = Some(commit.into());
        Ok(Arc::new(RenderedCommit {
            commit: Commit { id: commit.into(), time: moment(Duration::ZERO).wall, subject: String::new() },
            manifests: content.objects.iter().map(|(name, value)| manifest(name, value)).collect(),
            problems: (0..content.broken).map(|_| Problem::general("no manifest")).collect(),
            rendering: PLAIN.into(),
            reads: ClusterReads::default(),
        }))
    }

    fn observe(&self, rendered: &RenderedCommit, inventory: &[ObjectId]) -> Observation {
        let resolved = resolve(&rendered.manifests, Some("shop"), &key(), &Reserved::default(), &scope);
        let declared = resolved.desired.iter().map(|desired| desired.manifest.id.clone());
        let wanted: BTreeSet<ObjectId> = declared.chain(inventory.iter().cloned()).collect();
        let readable = |id: &ObjectId| wanted.contains(id) && self.unreadable.of(id).is_none();
        let observed = self.live.iter().filter(|(id, _)| readable(id));
        Observation {
            resolved: Arc::new(resolved),
            observed: observed.map(|(id, live)| (id.clone(), live.clone())).collect(),
            unreadable: self.unreadable.clone(),
            crds: BTreeMap::from([(GroupKind::new("e.com", "Thing"), "things.e.com".into())]),
            others: self.others.clone(),
        }
    }

    fn apply(&mut self, plan: &Plan, begun: Begun) -> Vec<AppliedObject> {
        let most = begun.of(plan.steps.iter().filter(|step| step.applies()).count());
        let (mut schedule, mut outcomes) = (Schedule::new(plan), Vec::new());
        while outcomes.len() < most {
            if let Some((step, why, obstacle)) = schedule.held_back() {
                let problem = Problem { message: why, ..step.problem() };
                let (id, result) = (step.id.clone(), ApplyResult::Skipped);
                let obstacle = Some(obstacle);
                outcomes.push(AppliedObject {
                    id,
                    uid: None,
                    result,
                    live: None,
                    problem: Some(problem),
                    obstacle,
                    removed: Vec::new(),
                    rewritten: Vec::new(),
                });
            } else if let Some(step) = schedule.begin() {
                let outcome = self.apply_one(step);
                schedule.applied(&outcome);
                outcomes.push(outcome);
            } else if let Some(step) = schedule.to_await() {
                // Nothing gets healthy while an apply is under way.
                let missing = || Health::new(HealthStatus::NotFound, "does not exist");
                let live = self.live.get(&step.id);
                let health = live.map_or_else(missing, |live| live.health.clone());
                schedule.observed(&step.id, &health, live.is_some_and(|live| live.finished), true);
            } else {
                panic!("{} of {most} have an outcome", outcomes.len());
            }
        }
        outcomes
    }

    /// Whether the server refuses to apply an object.
    pub fn refuses(&self, object: &ObjectId) -> bool {
        let bar = self.barred.get(&*object.name);
        self.refused.contains(&*object.name) || bar.is_some_and(|bar| self.live.contains_key(&id(bar)))
    }

    fn apply_one(&mut self, step: &Step) -> AppliedObject {
        let desired = step.desired.as_ref().expect("an apply of something declared");
        let failed = |obstacle| AppliedObject {
            id: step.id.clone(),
            uid: step.live.as_ref().map(|live| Arc::clone(&live.uid)),
            result: ApplyResult::Failed,
            live: None,
            problem: Some(Problem { message: "refused".into(), ..step.problem() }),
            obstacle: Some(obstacle),
            removed: Vec::new(),
            rewritten: Vec::new(),
        };
        if !self.sends() || self.refuses(&step.id) {
            return failed(Obstacle::Refused);
        }
        let fixed = step.id.name.starts_with("fixed");
        if let Some(live) = self.live.get(&step.id).filter(|live| fixed && live.digest != Some(desired.digest)) {
            if step.verb != Verb::Replace {
                let (uid, digest) = (Arc::clone(&live.uid), desired.digest);
                let fields = ["data".to_owned()].into();
                return failed(Obstacle::Immutable(Replaceable { uid, digest, fields, takes_claims: false }));
            }
            assert_eq!(Some(&live.uid), step.live.as_ref().map(|planned| &planned.uid), "what was planned for");
            self.gone(&step.id);
            self.live.remove(&step.id);
            if !self.sends() || self.unmade.contains(&*step.id.name) {
                return failed(Obstacle::Refused);
            }
        }
        let before = self.live.get(&step.id).cloned();
        self.uids += 1;
        let tampered = self.tampered.remove(&*step.id.name);
        self.lost.remove(&step.id);
        let health = match before.as_ref().map(|live| &live.health) {
            Some(health) => health.clone(),
            None if self.unhealthy.contains(&*step.id.name) => Health::new(HealthStatus::InProgress, "starting"),
            None => Health::current(),
        };
        let mut live = Observed {
            id: step.id.clone(),
            uid: before.as_ref().map_or_else(|| format!("uid-{}", self.uids).into(), |live| Arc::clone(&live.uid)),
            resource_version: before.as_ref().map_or_else(|| self.version(), |live| Arc::clone(&live.resource_version)),
            part_of: Some(SET.into()),
            digest: Some(desired.digest),
            fingerprint: Some(print(&desired.digest)),
            terminating: None,
            controlled: false,
            detach: false,
            depends_on: Box::default(),
            foreign: before.as_ref().and_then(|live| live.foreign.clone()),
            takeover: false,
            finished: false,
            headless: false,
            health,
        };
        let added =
            before.as_ref().and_then(Observed::added).filter(|_| self.machine.config().drift == DriftPolicy::Heal);
        if let (Some(_), Some(foreign)) = (added, &mut live.foreign) {
            foreign.added = None;
        }
        let result = match &before {
            None if step.verb == Verb::Replace => ApplyResult::Replaced,
            None => ApplyResult::Created,
            Some(before) if *before == live && !tampered => ApplyResult::Unchanged,
            Some(_) => {
                live.resource_version = self.version();
                ApplyResult::Configured
            }
        };
        self.live.insert(step.id.clone(), live.clone());
        self.undelivered.push_back(Change::Seen(live.clone()));
        let uid = Some(Arc::clone(&live.uid));
        AppliedObject {
            id: step.id.clone(),
            uid,
            result,
            live: Some(live),
            problem: None,
            obstacle: None,
            removed: added.map(|_| self::added()).into_iter().collect(),
            rewritten: Vec::new(),
        }
    }

    fn prune(&mut self, plan: &Plan, begun: Begun) -> Vec<PrunedObject> {
        let most = begun.of(plan.steps.iter().filter(|step| step.prunes()).count());
        let (mut deletions, mut outcomes) = (Deletions::new(plan), Vec::new());
        while outcomes.len() < most
            && let Some(step) = deletions.begin()
        {
            let outcome = self.prune_one(step);
            deletions.ended(&outcome);
            outcomes.push(outcome);
        }
        let waits = |(at, reason): (usize, Reason)| PrunedObject {
            id: plan.steps[at].id.clone(),
            result: PruneResult::Waiting,
            gone: false,
            detail: Some(reason.to_string()),
        };
        let waiting = deletions.waiting().into_iter().map(waits);
        outcomes.extend(waiting.take(most - outcomes.len()));
        outcomes
    }

    fn prune_one(&mut self, step: &Step) -> PrunedObject {
        let outcome = |result, gone| PrunedObject { id: step.id.clone(), result, gone, detail: None };
        let seen = step.live.as_ref().expect("a prune of something seen");
        if !self.sends() {
            return outcome(PruneResult::Failed, false);
        }
        let Some(live) = self.live.get_mut(&step.id) else { return outcome(PruneResult::Deleted, true) };
        if self.refused.contains(&*step.id.name) {
            return outcome(PruneResult::Failed, false);
        }
        if live.uid != seen.uid || self.elusive.contains(&*step.id.name) {
            return outcome(PruneResult::Kept, false);
        }
        if step.verb == Verb::Detach {
            self.gone(&step.id);
            let Some(live) = self.live.get_mut(&step.id) else { unreachable!() };
            (live.part_of, live.digest) = (None, None);
            return outcome(PruneResult::Detached, true);
        }
        if self.finalized.contains(&*step.id.name) {
            let since = Some(moment(self.now).wall);
            live.terminating = Some(Box::new(Termination { finalizers: vec!["example.com/hold".into()], since }));
            self.seen(&step.id);
            return outcome(PruneResult::Deleted, false);
        }
        self.gone(&step.id);
        self.live.remove(&step.id);
        outcome(PruneResult::Deleted, true)
    }
}

/// How much of an effect was begun.
#[derive(Clone, Copy, Debug)]
pub enum Begun {
    Nothing,
    Half,
    All,
}

impl Begun {
    fn of(self, steps: usize) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Half => steps / 2,
            Self::All => steps,
        }
    }
}

/// What is said of an object whose heal was interrupted before it was begun.
fn not_begun(step: &Step) -> AppliedObject {
    AppliedObject {
        id: step.id.clone(),
        uid: None,
        result: ApplyResult::Skipped,
        live: None,
        problem: None,
        obstacle: None,
        removed: Vec::new(),
        rewritten: Vec::new(),
    }
}

fn scope(gk: &crate::object::GroupKind, _: &str) -> Scope {
    let in_none = gk.is("", "Namespace") || gk.is("node.k8s.io", "RuntimeClass");
    if in_none { Scope::Cluster } else { Scope::Namespaced }
}

/// What people add in this world.
pub fn added() -> FieldChange {
    FieldChange {
        path: "data.extra".into(),
        manager: Some("kubectl-edit".into()),
        added: true,
        ..FieldChange::default()
    }
}
