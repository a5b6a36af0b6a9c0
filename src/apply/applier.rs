//! Carrying out the applying steps of a plan in the order that its schedule gives: up to 32 objects
//! at once, every error kept to its object.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

use crate::cluster::{ApiError, Cluster, Discovery, Resource};
use crate::config::DriftPolicy;
use crate::object::{Health, ObjectId};
use crate::plan::{AppliedObject, ApplyResult, Obstacle, Plan, Problem, Schedule, Step};

use super::error::ApplyError;
use super::object::{WrittenObject, apply_one};
use super::wait::{HealthReading, Waiter};

/// Objects that are applied at once.
pub(super) const AT_ONCE: usize = 32;

/// With what, and how far, to carry out a plan.
pub struct Applier<'a> {
    /// Connection with the rights of the sync.
    pub cluster: &'a Cluster,
    /// Refreshed after CRDs were applied.
    pub discovery: &'a RwLock<Arc<Discovery>>,
    /// The sync's `ApplySet` id.
    pub set_id: &'a str,
    /// Whether an apply removes what people have added.
    pub drift: DriftPolicy,
    /// Ask about every object first, and write nothing if any is refused.
    pub atomic: bool,
    /// How long to wait for what an object depends on.
    pub timeout: Duration,
    /// Once cancelled, no further object is begun, and nothing is waited for any more.
    pub stop: &'a CancellationToken,
    /// Receives every outcome when it is known.
    pub report: &'a (dyn Fn(&AppliedObject) + Send + Sync),
}

/// What has come to an end.
enum Done<'p> {
    /// `None`: it was stopped before.
    Applied(Option<Box<AppliedObject>>),
    Observed(HealthReading<'p>),
}

impl Applier<'_> {
    /// Applies what the plan creates and configures. One outcome a step that applies, and none for
    /// those that were not begun when it was stopped.
    pub async fn execute(&self, plan: &Plan) -> Vec<AppliedObject> {
        if self.atomic
            && let Some(outcomes) = self.preflight(plan).await
        {
            return outcomes;
        }
        let unreachable = AtomicBool::new(false);
        let waiter = &Waiter::new(self, &unreachable);
        let mut schedule = Schedule::new(plan);
        let mut outcomes = Vec::new();
        // How objects that were waited for are by now.
        let mut healths: BTreeMap<ObjectId, Health> = BTreeMap::new();
        let (mut applying, mut waiting) = (0, 0);
        let mut running: FuturesUnordered<BoxFuture<'_, Done<'_>>> = FuturesUnordered::new();
        // Once stopped, what was waited for says nothing, and what is under way ends.
        loop {
            while let Some((step, why, obstacle)) = schedule.held_back() {
                self.settle(&mut outcomes, AppliedObject { obstacle: Some(obstacle), ..skipped(step, why) });
            }
            while let Some(step) = schedule.to_await() {
                waiting += 1;
                let wait = waiter.begin(step);
                running.push(Box::pin(async { Done::Observed(waiter.observe(wait, 0).await) }));
            }
            while applying < AT_ONCE
                && !self.stop.is_cancelled()
                && let Some(step) = schedule.begin()
            {
                applying += 1;
                running.push(Box::pin(async { Done::Applied(self.one(step, &unreachable).await.map(Box::new)) }));
            }
            match running.next().await {
                None => break,
                Some(Done::Applied(outcome)) => {
                    applying -= 1;
                    if let Some(outcome) = outcome {
                        schedule.applied(&outcome);
                        self.settle(&mut outcomes, *outcome);
                    }
                }
                Some(Done::Observed(_)) if self.stop.is_cancelled() => {}
                Some(Done::Observed(HealthReading { wait, health, ended })) => {
                    let id = &wait.step.id;
                    if schedule.observed(id, &health, ended, waiter.is_over(&wait)) {
                        running.push(Box::pin(async move { Done::Observed(waiter.observe(wait, waiting).await) }));
                    } else {
                        waiting -= 1;
                        healths.insert(id.clone(), health);
                    }
                }
            }
        }
        for outcome in &mut outcomes {
            if let (Some(live), Some(health)) = (&mut outcome.live, healths.remove(&outcome.id)) {
                live.health = health;
            }
        }
        outcomes
    }

    fn settle(&self, outcomes: &mut Vec<AppliedObject>, outcome: AppliedObject) {
        self.report_outcome(&outcome);
        outcomes.push(outcome);
    }

    /// Reports an outcome, other than that the next plan is to replace the object.
    pub(super) fn report_outcome(&self, outcome: &AppliedObject) {
        if !matches!(outcome.obstacle, Some(Obstacle::Immutable(_))) {
            (self.report)(outcome);
        }
    }

    /// A pause that ends when there is nothing left to wait for.
    pub(super) async fn rest(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.stop.cancelled() => {}
        }
    }

    pub(super) async fn resource_of(&self, id: &ObjectId, version: Option<&str>) -> Option<Resource> {
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
        self.begun(step, unreachable).await
    }

    async fn begun(&self, step: &Step, unreachable: &AtomicBool) -> Option<AppliedObject> {
        if unreachable.load(Ordering::Relaxed) {
            return Some(skipped(step, "the API server cannot be reached".into()));
        }
        let Some(desired) = &step.desired else { return Some(skipped(step, "nothing is declared".into())) };
        let Some(resource) = self.resource_of(&step.id, Some(&desired.manifest.version)).await else {
            let kind = &step.id.gk.kind;
            let why = format!("the cluster has no kind {kind} in {}", desired.manifest.api_version());
            return Some(failed(step, why));
        };
        let outcome = apply_one(self, step, desired, &resource).await;
        Some(match outcome {
            Err(ApplyError::Stopped) => return None,
            Ok(WrittenObject { result, live, removed, rewritten }) => {
                let uid = Some(Arc::clone(&live.uid));
                let (id, live) = (step.id.clone(), Some(live));
                AppliedObject { id, uid, result, live, problem: None, obstacle: None, removed, rewritten }
            }
            Err(error) => {
                if matches!(error.answer(), Some(ApiError::Unreachable(_) | ApiError::Timeout(_))) {
                    unreachable.store(true, Ordering::Relaxed);
                }
                match &step.id.namespace {
                    Some(namespace) if error.answer().is_some_and(ApiError::is_about_a_terminating_namespace) => {
                        skipped(
                            step,
                            format!("waits for namespace {namespace}, which is being deleted, to be made again"),
                        )
                    }
                    _ => refused_by(step, &error),
                }
            }
        })
    }
}

/// The outcome for an object that was not applied.
pub(super) fn refused_by(step: &Step, error: &ApplyError) -> AppliedObject {
    let outcome = AppliedObject { obstacle: Some(error.obstacle()), ..failed(step, error.to_string()) };
    if error.lost() { AppliedObject { uid: None, ..outcome } } else { outcome }
}

fn outcome(step: &Step, result: ApplyResult, message: String) -> AppliedObject {
    let problem = Problem { message, ..step.problem() }.clipped();
    let uid = step.live.as_ref().map(|live| Arc::clone(&live.uid));
    let obstacle = Some(Obstacle::Other);
    AppliedObject {
        id: step.id.clone(),
        uid,
        result,
        live: None,
        problem: Some(problem),
        obstacle,
        removed: Vec::new(),
        rewritten: Vec::new(),
    }
}

pub(super) fn failed(step: &Step, message: String) -> AppliedObject {
    outcome(step, ApplyResult::Failed, message)
}

pub(super) fn skipped(step: &Step, message: String) -> AppliedObject {
    outcome(step, ApplyResult::Skipped, message)
}
