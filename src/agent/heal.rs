//! Carrying out what concerns one object: a closer examination, its healing, and what an audit asks.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::effects::EffectRunner;
use crate::apply::{Applier, body, rewritten_of};
use crate::cluster::{ApiError, DryRun, Resource, reduce};
use crate::event::SyncEvent;
use crate::object::{Blame, Observed, additions, blame_drift, names};
use crate::plan::{AppliedObject, ApplyResult, Desired, Obstacle, Plan, Problem, Step};
use crate::reconcile::{Audited, Examined};

impl EffectRunner {
    /// Reads a drifted object, and finds out from its `managedFields` who changed what.
    pub(super) async fn examine(&self, desired: &Desired) -> Result<Examined, ApiError> {
        let id = &desired.manifest.id;
        let live = match self.resource(desired).await {
            Some(resource) => {
                let live = self.cluster.read(id, &resource).await?;
                let now = jiff::Timestamp::now();
                let managers = self.cluster.managers();
                live.map(|live| (reduce(&id.gk, resource.namespaced, &live, managers, now), live))
            }
            // A kind that is not served has no objects.
            None => None,
        };
        let wanted = body(desired, &self.set_id, live.as_ref().map(|(_, live)| live));
        let Some((observed, live)) = live else { return Ok(Examined { live: None, blame: Blame::default() }) };
        let secret = desired.manifest.is_secret_beside(&live);
        let (blame, additions) = blame_drift(&id.gk, &wanted, &live, self.cluster.managers(), secret);
        // What is declared, an apply takes by itself. What is shared goes with the next commit.
        let takeover = !additions.is_empty() || names::is_in_no_set(&live);
        let live_now = observed.map(|observed| Observed { takeover: observed.takeover && takeover, ..observed });
        Ok(Examined { live: live_now, blame })
    }

    /// Applies one object, as a commit would. What it depends on was healthy when it was applied first, so
    /// it waits only for that to be back, which the heal queue sees to. Skipped without a problem: it was
    /// interrupted before it began.
    pub(super) async fn heal(&self, step: Step, interrupt: &CancellationToken) -> AppliedObject {
        let id = step.id.clone();
        let plan = Plan { steps: vec![step], ..Plan::default() };
        let report = |outcome: &AppliedObject| self.applied(outcome);
        let cluster = self.cluster.repeating_until(interrupt);
        let applier = Applier {
            cluster: &cluster,
            discovery: &self.discovery,
            set_id: &self.set_id,
            drift: self.config.drift,
            atomic: false,
            timeout: self.config.timeout,
            stop: interrupt,
            report: &report,
        };
        let outcome = applier.execute(&plan).await.pop();
        let Some(outcome) = outcome else {
            let nothing =
                || Problem { object: Some(id.clone()), ..Problem::general("nothing was declared to be applied") };
            let problem = (!interrupt.is_cancelled()).then(nothing);
            let obstacle = problem.as_ref().map(|_| Obstacle::Other);
            return AppliedObject {
                id,
                uid: None,
                result: ApplyResult::Skipped,
                live: None,
                problem,
                obstacle,
                removed: Vec::new(),
                rewritten: Vec::new(),
            };
        };
        if !outcome.result.succeeded() {
            self.suspect_discovery();
        }
        outcome
    }

    /// Asks the server what an apply would change, and compares that with what is there.
    pub(super) async fn audit(&self, desired: &Desired) -> Audited {
        let id = &desired.manifest.id;
        let Some(resource) = self.resource(desired).await else { return Audited::Unknown };
        let live = match self.cluster.read(id, &resource).await {
            Ok(Some(live)) => live,
            Ok(None) => return Audited::Differs,
            Err(_) => return Audited::Unknown,
        };
        let wanted = body(desired, &self.set_id, Some(&live));
        let Ok(asked) = self.cluster.apply(id, &resource, &wanted, DryRun::Yes).await else {
            return Audited::Unknown;
        };
        let added = || !additions(&id.gk, &live, self.cluster.managers(), Some(&wanted)).is_empty();
        Audited::of(&live, &asked.object, added, || rewritten_of(desired, &live))
    }

    /// Reports what became of an object, and lets the watches know it before they see it.
    pub(super) fn applied(&self, outcome: &AppliedObject) {
        if let (Some(watches), Some(live)) = (&self.live, &outcome.live) {
            watches.note(live);
        }
        let again =
            outcome.problem.as_ref().is_some_and(|problem| self.recent_errors.again(&outcome.id, &problem.message));
        self.emit(SyncEvent::Applied {
            object: outcome.id.clone(),
            uid: outcome.uid.clone(),
            result: outcome.result,
            error: outcome.problem.clone(),
            again,
            drifted: outcome.live.as_ref().is_some_and(|live| live.added().is_some()),
        });
    }

    async fn resource(&self, desired: &Desired) -> Option<Resource> {
        let discovery = Arc::clone(&*self.discovery.read().await);
        discovery.resource(&desired.manifest.id.gk, &desired.manifest.version).cloned()
    }
}
