//! What the effects do to git and the cluster of a test, and what is learned by them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::world::{SET, World, id, key, manifest, moment, print};
use crate::object::{Blame, Change, Health, HealthStatus, ObjectId, Observed, Scope, Termination};
use crate::plan::{
    AppliedObject, ApplyResult, Commit, Obstacle, Plan, Problem, PruneResult, PrunedObject, Replaceable, Step, Verb,
    Wave, resolve,
};
use crate::reconcile::{Audited, Effect, Examined, Input, Observation, RenderedCommit};

impl World {
    /// What carrying out an effect does to the world, and what is learned by it.
    pub fn answer(&mut self, effect: Effect) -> Input {
        match effect {
            Effect::Look { id } => {
                self.blind = self.head.is_err();
                Input::Looked { id, result: self.head.clone(), watched: self.watched }
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
                    self.parent = Some((inventory, (*status).clone()));
                }
                Input::ParentWritten { id, result }
            }
            Effect::Apply { id, plan, waves } => Input::Applied { id, outcomes: self.apply(&plan, &waves) },
            Effect::Prune { id, plan } => Input::Pruned { id, outcomes: self.prune(&plan) },
            Effect::Examine { id, desired } => {
                let live = self.live.get(&desired.manifest.id).cloned();
                let blame = Blame { manager: self.culprit.clone(), ..Blame::default() };
                let failed = || Err("the API server cannot be reached".into());
                Input::Examined { id, result: if self.unobservable { failed() } else { Ok(Examined { live, blame }) } }
            }
            Effect::Heal { id, step } => Input::Healed { id, outcome: self.apply_one(&step) },
            Effect::Audit { id, desired } => {
                let differs = self.tampered.contains(&*desired.manifest.id.name);
                Input::Audited { id, result: if differs { Audited::Differs } else { Audited::Same } }
            }
            Effect::Tell(_) => unreachable!(),
        }
    }

    fn render(&mut self, commit: &str) -> Result<Arc<RenderedCommit>, String> {
        let content = &self.commits[commit];
        if content.fails {
            return Err("the path does not exist".into());
        }
        self.rendered = Some(commit.into());
        Ok(Arc::new(RenderedCommit {
            commit: Commit { id: commit.into(), time: moment(Duration::ZERO).wall, subject: String::new() },
            manifests: content.objects.iter().map(|(name, value)| manifest(name, value)).collect(),
            problems: (0..content.broken).map(|_| Problem::general("no manifest")).collect(),
        }))
    }

    fn observe(&self, rendered: &RenderedCommit, inventory: &[ObjectId]) -> Observation {
        let resolved = resolve(&rendered.manifests, Some("shop"), &key(), &scope);
        let declared = resolved.desired.iter().map(|desired| desired.manifest.id.clone());
        let wanted: BTreeSet<ObjectId> = declared.chain(inventory.iter().cloned()).collect();
        let readable = |id: &ObjectId| wanted.contains(id) && self.unreadable.of(id).is_none();
        let observed = self.live.iter().filter(|(id, _)| readable(id));
        Observation {
            resolved: Arc::new(resolved),
            observed: observed.map(|(id, live)| (id.clone(), live.clone())).collect(),
            unreadable: self.unreadable.clone(),
            crds: BTreeMap::new(),
            others: self.others.clone(),
        }
    }

    fn apply(&mut self, plan: &Plan, waves: &[Wave]) -> Vec<AppliedObject> {
        let steps: BTreeMap<&ObjectId, &Step> = plan.steps.iter().map(|step| (&step.id, step)).collect();
        let ids = waves.iter().flat_map(|wave| &wave.objects);
        ids.filter_map(|id| steps.get(id).filter(|step| step.applies())).map(|step| self.apply_one(step)).collect()
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
        };
        let barred = self.barred.get(&*step.id.name).is_some_and(|bar| self.live.contains_key(&id(bar)));
        if self.refused.contains(&*step.id.name) || barred {
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
            if self.lost.contains(&*step.id.name) {
                return failed(Obstacle::Refused);
            }
        }
        let before = self.live.get(&step.id).cloned();
        self.uids += 1;
        let tampered = self.tampered.remove(&*step.id.name);
        let health = match before.as_ref().map(|live| &live.health) {
            Some(health) => health.clone(),
            None if self.ill.contains(&*step.id.name) => Health::new(HealthStatus::InProgress, "starting"),
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
            takeover: false,
            finished: false,
            health,
        };
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
        self.news.push_back(Change::Seen(live.clone()));
        let uid = Some(Arc::clone(&live.uid));
        AppliedObject { id: step.id.clone(), uid, result, live: Some(live), problem: None, obstacle: None }
    }

    fn prune(&mut self, plan: &Plan) -> Vec<PrunedObject> {
        plan.steps.iter().filter(|step| step.prunes()).map(|step| self.prune_one(step)).collect()
    }

    fn prune_one(&mut self, step: &Step) -> PrunedObject {
        let outcome = |result, gone| PrunedObject { id: step.id.clone(), result, gone, detail: None };
        let seen = step.live.as_ref().expect("a prune of something seen");
        let Some(live) = self.live.get_mut(&step.id) else { return outcome(PruneResult::Deleted, true) };
        if self.refused.contains(&*step.id.name) {
            return outcome(PruneResult::Failed, false);
        }
        if live.uid != seen.uid {
            return outcome(PruneResult::Kept, false);
        }
        if step.verb == Verb::Detach {
            self.gone(&step.id);
            let Some(live) = self.live.get_mut(&step.id) else { unreachable!() };
            (live.part_of, live.digest) = (None, None);
            return outcome(PruneResult::Detached, true);
        }
        if self.finalized.contains(&*step.id.name) {
            live.terminating = Some(Termination { finalizers: vec!["example.com/hold".into()] });
            self.seen(&step.id);
            return outcome(PruneResult::Deleted, false);
        }
        self.gone(&step.id);
        self.live.remove(&step.id);
        outcome(PruneResult::Deleted, true)
    }
}

fn scope(gk: &crate::object::GroupKind, _: &str) -> Scope {
    if gk.is("", "Namespace") { Scope::Cluster } else { Scope::Namespaced }
}
