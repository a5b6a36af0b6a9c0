//! Carrying out the applying steps of a plan: wave by wave, up to 32 objects at once, every
//! error kept to its object.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

use crate::cluster::{ApiError, Cluster, Discovery, DryRun, Resource};
use crate::object::{Health, HealthStatus, ObjectId};
use crate::plan::{AppliedObject, ApplyResult, Desired, Obstacle, Plan, Problem, Reason, Stage, Step, Verb, Wave};

use super::error::ApplyError;
use super::ignored::trial;
use super::object::{apply_one, refusal};
use super::owners::may_be_adopted;
use super::replace::prove;

/// Objects that are applied at once.
const AT_ONCE: usize = 32;
/// How long a Namespace may take to become Active, and a CRD to become Established.
const FOUNDATIONS: Duration = Duration::from_mins(1);

/// With what, and how far, to carry out a plan.
pub struct Job<'a> {
    pub cluster: &'a Cluster,
    /// Refreshed after CRDs were applied.
    pub discovery: &'a RwLock<Arc<Discovery>>,
    /// The sync's `ApplySet` id.
    pub set_id: &'a str,
    /// Ask about every object first, and write nothing if any is refused.
    pub atomic: bool,
    /// How long to wait for what an object depends on.
    pub timeout: Duration,
    /// Once cancelled, no further object is begun, and nothing is waited for any more.
    pub stop: &'a CancellationToken,
    /// Hears every outcome when it is known.
    pub report: &'a (dyn Fn(&AppliedObject) + Send + Sync),
}

/// How far the carrying out is.
struct Progress<'a> {
    steps: BTreeMap<&'a ObjectId, &'a Step>,
    outcomes: Vec<AppliedObject>,
    /// Objects that failed or were skipped.
    failed: BTreeSet<ObjectId>,
    /// What became of waiting for dependencies: nobody waits for the same one twice.
    awaited: BTreeMap<ObjectId, Result<(), String>>,
}

impl Job<'_> {
    /// Applies what the plan creates and configures. One outcome a step that applies, and none for
    /// those that were not begun when it was stopped.
    pub async fn carry_out(&self, plan: &Plan, waves: &[Wave]) -> Vec<AppliedObject> {
        let steps: BTreeMap<&ObjectId, &Step> = plan.steps.iter().map(|step| (&step.id, step)).collect();
        let mut progress = Progress { steps, outcomes: Vec::new(), failed: refused(plan), awaited: BTreeMap::new() };
        if self.atomic
            && let Some(outcomes) = self.rehearse(plan).await
        {
            return outcomes;
        }
        let unreachable = AtomicBool::new(false);
        for wave in waves {
            let (ready, held) = self.sort(wave, &mut progress).await;
            // What was waited for says nothing then.
            if self.stop.is_cancelled() {
                break;
            }
            for (step, (why, obstacle)) in held {
                progress.failed.insert(step.id.clone());
                self.settle(&mut progress, AppliedObject { obstacle: Some(obstacle), ..skipped(step, why) });
            }
            let mut applies = Vec::with_capacity(ready.len());
            for step in ready {
                applies.push(self.one(step, &unreachable));
            }
            let mut outcomes = futures::stream::iter(applies).buffer_unordered(AT_ONCE);
            while let Some(outcome) = outcomes.next().await {
                if let Some(outcome) = outcome {
                    self.settle(&mut progress, outcome);
                }
            }
            if wave.stage == Stage::Foundations {
                self.found(&mut progress).await;
            }
        }
        progress.outcomes
    }

    fn settle(&self, progress: &mut Progress<'_>, outcome: AppliedObject) {
        if !outcome.result.succeeded() {
            progress.failed.insert(outcome.id.clone());
        }
        self.tell(&outcome);
        progress.outcomes.push(outcome);
    }

    /// Reports an outcome, other than that the next plan is to replace the object.
    fn tell(&self, outcome: &AppliedObject) {
        if !matches!(outcome.obstacle, Some(Obstacle::Immutable(_))) {
            (self.report)(outcome);
        }
    }

    /// Which steps of a wave can be carried out, and which cannot and why.
    async fn sort<'p>(
        &self,
        wave: &Wave,
        progress: &mut Progress<'p>,
    ) -> (Vec<&'p Step>, Vec<(&'p Step, (String, Obstacle))>) {
        let steps = wave.objects.iter().filter_map(|id| progress.steps.get(id).copied());
        let steps: Vec<&Step> = steps.filter(|step| step.applies()).collect();
        let needed = steps.iter().flat_map(|step| dependencies(step)).filter(|id| !progress.failed.contains(*id));
        let needed: BTreeSet<&ObjectId> = needed.filter(|id| !progress.awaited.contains_key(*id)).collect();
        let mut waits = Vec::with_capacity(needed.len());
        for id in &needed {
            waits.push(self.await_dependency(id, progress));
        }
        let results = futures::future::join_all(waits).await;
        progress.awaited.extend(needed.into_iter().cloned().zip(results));
        let (mut ready, mut held) = (Vec::new(), Vec::new());
        for step in steps {
            let obstacle = dependencies(step).find_map(|dependency| {
                if progress.failed.contains(dependency) {
                    let why = format!("{dependency}, which it depends on, was not applied");
                    return Some((why, Obstacle::Dependency));
                }
                progress.awaited.get(dependency)?.clone().err().map(|why| (why, Obstacle::Other))
            });
            match obstacle {
                None => ready.push(step),
                Some(why) => held.push((step, why)),
            }
        }
        (ready, held)
    }

    async fn await_dependency(&self, id: &ObjectId, progress: &Progress<'_>) -> Result<(), String> {
        let applied = progress.outcomes.iter().rev().find(|outcome| outcome.id == *id);
        let untouched = || progress.steps.get(id)?.live.as_ref();
        let seen = applied.map_or_else(untouched, |outcome| outcome.live.as_ref());
        if seen.is_some_and(|live| live.health.is_current()) {
            return Ok(());
        }
        let health = self.await_health(id, self.timeout).await;
        if health.is_current() { Ok(()) } else { Err(format!("{id}, which it depends on, is not healthy: {health}")) }
    }

    /// Looks at an object until it is healthy or has failed for good, at most for `patience`.
    async fn await_health(&self, id: &ObjectId, patience: Duration) -> Health {
        let until = Instant::now() + patience;
        let mut pause = Duration::from_millis(50);
        loop {
            let health = match self.resource_of(id, None).await {
                Some(resource) => match self.cluster.look_at(id, &resource).await {
                    Ok(Some(live)) => live.health,
                    Ok(None) => Health::new(HealthStatus::NotFound, "does not exist"),
                    Err(error) => Health::new(HealthStatus::Unknown, error.to_string()),
                },
                None => Health::new(HealthStatus::NotFound, "its kind does not exist"),
            };
            let over = matches!(health.status, HealthStatus::Current | HealthStatus::Failed);
            if over || Instant::now() + pause > until || self.stop.is_cancelled() {
                return health;
            }
            self.rest(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// A pause that ends when there is nothing left to wait for.
    async fn rest(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Waits for new Namespaces and CRDs, and learns what the CRDs define.
    async fn found(&self, progress: &mut Progress<'_>) {
        let fresh = progress.outcomes.iter().filter(|outcome| {
            outcome.result.changed() && outcome.live.as_ref().is_some_and(|live| !live.health.is_current())
        });
        let ids: Vec<ObjectId> =
            fresh.filter(|outcome| Stage::of(&outcome.id.gk) == Stage::Foundations).map(|one| one.id.clone()).collect();
        let mut waits = Vec::new();
        for id in &ids {
            waits.push(self.await_health(id, FOUNDATIONS));
        }
        for (id, health) in ids.iter().zip(futures::future::join_all(waits).await) {
            if let Some(live) =
                progress.outcomes.iter_mut().find(|outcome| outcome.id == *id).and_then(|outcome| outcome.live.as_mut())
            {
                live.health = health;
            }
        }
        let defined: Vec<_> = progress
            .outcomes
            .iter()
            .filter(|outcome| outcome.result.changed())
            .filter_map(|outcome| progress.steps.get(&outcome.id)?.desired.as_ref()?.manifest.defines())
            .map(|(gk, _)| gk)
            .collect();
        if !defined.is_empty() {
            self.rediscover(&defined).await;
        }
    }

    /// Discovery lags a moment behind the establishment of a CRD, so it is asked until it knows.
    async fn rediscover(&self, kinds: &[crate::object::GroupKind]) {
        let until = Instant::now() + Duration::from_secs(15);
        let mut pause = Duration::from_millis(50);
        loop {
            if let Ok(discovery) = self.cluster.discover().await {
                let complete = kinds.iter().all(|gk| discovery.preferred(gk).is_some());
                *self.discovery.write().await = Arc::new(discovery);
                if complete {
                    return;
                }
            }
            if Instant::now() + pause > until || self.stop.is_cancelled() {
                return;
            }
            self.rest(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    async fn resource_of(&self, id: &ObjectId, version: Option<&str>) -> Option<Resource> {
        let discovery = Arc::clone(&*self.discovery.read().await);
        match version {
            Some(version) => discovery.resource(&id.gk, version).cloned(),
            None => discovery.preferred(&id.gk).cloned(),
        }
    }

    /// `None`: it was stopped before.
    async fn one(&self, step: &Step, unreachable: &AtomicBool) -> Option<AppliedObject> {
        if self.stop.is_cancelled() {
            return None;
        }
        Some(self.begun(step, unreachable).await)
    }

    async fn begun(&self, step: &Step, unreachable: &AtomicBool) -> AppliedObject {
        if unreachable.load(Ordering::Relaxed) {
            return skipped(step, "the API server cannot be reached".into());
        }
        let Some(desired) = &step.desired else { return skipped(step, "nothing is declared".into()) };
        let Some(resource) = self.resource_of(&step.id, Some(&desired.manifest.version)).await else {
            let kind = &step.id.gk.kind;
            return failed(step, format!("the cluster has no kind {kind} in {}", desired.manifest.api_version()));
        };
        let outcome = apply_one(self.cluster, step, desired, &resource, self.set_id).await;
        match outcome {
            Ok((result, live)) => {
                let uid = Some(Arc::clone(&live.uid));
                AppliedObject { id: step.id.clone(), uid, result, live: Some(live), problem: None, obstacle: None }
            }
            Err(error) => {
                if matches!(error.cause(), Some(ApiError::Unreachable(_) | ApiError::Timeout(_))) {
                    unreachable.store(true, Ordering::Relaxed);
                }
                match &step.id.namespace {
                    Some(namespace) if error.cause().is_some_and(ApiError::is_about_a_terminating_namespace) => {
                        skipped(
                            step,
                            format!("waits for namespace {namespace}, which is being deleted, to be made again"),
                        )
                    }
                    _ => refused_by(step, &error),
                }
            }
        }
    }

    /// Asks about one object; the answer is why it would not be applied.
    async fn ask<'p>(
        &self,
        step: &'p Step,
        desired: &Desired,
        resource: Resource,
    ) -> (&'p Step, Option<AppliedObject>) {
        if self.stop.is_cancelled() {
            return (step, None);
        }
        let asked = self.ask_server(step, desired, &resource).await;
        (step, asked.err().map(|error| refused_by(step, &error)))
    }

    async fn ask_server(&self, step: &Step, desired: &Desired, resource: &Resource) -> Result<(), ApplyError> {
        if let (Verb::Replace, Reason::Immutable { fields, .. }) = (step.verb, &step.reason) {
            return prove(self.cluster, desired, resource, self.set_id, fields.to_vec()).await.map(drop);
        }
        let ignores = step.live.is_some() && !desired.manifest.directives.ignore_fields.is_empty();
        let live = if ignores { self.cluster.read(&step.id, resource).await? } else { None };
        let object = trial(desired, self.set_id, live.as_ref());
        match self.cluster.apply(&step.id, resource, &object, DryRun::Yes).await {
            Ok(_) => Ok(()),
            Err(error) if may_be_adopted(self.cluster, step, desired, resource, self.set_id, &error).await => Ok(()),
            Err(error) => Err(refusal(self.cluster, step, desired, resource, self.set_id, error).await),
        }
    }

    /// Asks about everything and writes nothing. `None`: all of it would be admitted. What lives in
    /// a Namespace, or is of a kind, that the same commit creates cannot be asked about before.
    async fn rehearse(&self, plan: &Plan) -> Option<Vec<AppliedObject>> {
        let applies: Vec<&Step> = plan.steps.iter().filter(|step| step.applies()).collect();
        let created = |gk: (&str, &str), name: &str| {
            applies.iter().any(|step| step.live.is_none() && step.id.gk.is(gk.0, gk.1) && *step.id.name == *name)
        };
        let mut asked = Vec::new();
        for step in &applies {
            let Some(desired) = &step.desired else { continue };
            let resource = self.resource_of(&step.id, Some(&desired.manifest.version)).await;
            let homeless = step.id.namespace.as_deref().is_some_and(|name| created(("", "Namespace"), name));
            if let Some(resource) = resource.filter(|_| !homeless) {
                asked.push(self.ask(step, desired, resource));
            }
        }
        let answers: Vec<_> = futures::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        let refused: BTreeMap<&ObjectId, AppliedObject> =
            answers.into_iter().filter_map(|(step, outcome)| Some((&step.id, outcome?))).collect();
        if refused.is_empty() {
            return None;
        }
        let replaced = |one: &&AppliedObject| matches!(one.obstacle, Some(Obstacle::Immutable(_)));
        let only_replaced = refused.values().all(|one| replaced(&one));
        let why =
            format!("nothing was written, since the sync is atomic and {} of its objects are refused", refused.len());
        let outcome = |step: &Step| match refused.get(&step.id) {
            Some(outcome) => outcome.clone(),
            None => AppliedObject { obstacle: Some(Obstacle::Dependency), ..skipped(step, why.clone()) },
        };
        let outcomes: Vec<AppliedObject> = applies.into_iter().map(outcome).collect();
        // Where no more is in the way than that objects are to be replaced, the next plan has that.
        if !only_replaced {
            for outcome in &outcomes {
                self.tell(outcome);
            }
        }
        Some(outcomes)
    }
}

fn dependencies(step: &Step) -> impl Iterator<Item = &ObjectId> {
    step.desired.iter().flat_map(|desired| &desired.manifest.directives.depends_on)
}

/// Objects that the plan does not apply although git declares them: what depends on them waits.
fn refused(plan: &Plan) -> BTreeSet<ObjectId> {
    let refused = plan.steps.iter().filter(|step| step.desired.is_some());
    refused.filter(|step| matches!(step.verb, Verb::Refuse | Verb::Keep)).map(|step| step.id.clone()).collect()
}

/// The outcome for an object that was not applied.
fn refused_by(step: &Step, error: &ApplyError) -> AppliedObject {
    let outcome = AppliedObject { obstacle: Some(error.obstacle()), ..failed(step, error.to_string()) };
    if error.lost() { AppliedObject { uid: None, ..outcome } } else { outcome }
}

fn outcome(step: &Step, result: ApplyResult, message: String) -> AppliedObject {
    let problem = Problem { message, ..step.problem() }.clipped();
    let uid = step.live.as_ref().map(|live| Arc::clone(&live.uid));
    let obstacle = Some(Obstacle::Other);
    AppliedObject { id: step.id.clone(), uid, result, live: None, problem: Some(problem), obstacle }
}

fn failed(step: &Step, message: String) -> AppliedObject {
    outcome(step, ApplyResult::Failed, message)
}

fn skipped(step: &Step, message: String) -> AppliedObject {
    outcome(step, ApplyResult::Skipped, message)
}
