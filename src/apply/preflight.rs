//! Asking about all of an atomic commit before anything of it is written.

use std::collections::BTreeMap;

use futures::StreamExt as _;

use crate::cluster::{ApiError, DryRun, Resource};
use crate::object::ObjectId;
use crate::plan::{AppliedObject, Desired, Obstacle, Plan, Reason, Step, Verb, brought_along, never_changes};

use super::applier::{AT_ONCE, Applier, refused_by, skipped};
use super::error::ApplyError;
use super::ignored::trial;
use super::object::refusal;
use super::owners::may_yet_be_applied;
use super::replace::prove;

impl Applier<'_> {
    /// Asks about one object; the answer is why it would not be applied.
    async fn ask<'p>(
        &self,
        step: &'p Step,
        desired: &Desired,
        resource: Resource,
        plan: &Plan,
    ) -> (&'p Step, Option<AppliedObject>) {
        if self.stop.is_cancelled() {
            return (step, None);
        }
        let asked = self.ask_server(step, desired, &resource, plan).await;
        (step, asked.err().map(|error| refused_by(step, &error)))
    }

    async fn ask_server(
        &self,
        step: &Step,
        desired: &Desired,
        resource: &Resource,
        plan: &Plan,
    ) -> Result<(), ApplyError> {
        if let (Verb::Replace, Reason::Immutable { fields, .. }) = (step.verb, &step.reason) {
            return prove(self.cluster, desired, resource, self.set_id, fields.to_vec()).await.map(drop);
        }
        if let Some(field) = never_changes(step) {
            return Err(refusal(self.cluster, step, desired, resource, self.set_id, ApiError::immutable(field)).await);
        }
        let ignores = step.live.is_some() && !desired.manifest.directives.ignore_fields.is_empty();
        let live = if ignores { self.cluster.read(&step.id, resource).await? } else { None };
        let object = trial(desired, self.set_id, live.as_ref());
        match self.cluster.apply(&step.id, resource, &object, DryRun::Yes).await {
            Ok(_) => Ok(()),
            Err(error) if brought_along(&error.to_string(), &step.id, &plan.steps).is_some() => Ok(()),
            Err(error) if may_yet_be_applied(self.cluster, step, desired, resource, self.set_id, &error).await => {
                Ok(())
            }
            Err(error) => Err(refusal(self.cluster, step, desired, resource, self.set_id, error).await),
        }
    }

    /// Asks about everything and writes nothing. `None`: all of it would be admitted. What lives in
    /// a Namespace, or is of a kind, that the same commit creates cannot be asked about before, and what is refused for
    /// want of something that it brings along is not refused by that.
    pub(super) async fn preflight(&self, plan: &Plan) -> Option<Vec<AppliedObject>> {
        let applies: Vec<&Step> = plan.steps.iter().filter(|step| step.applies()).collect();
        let created = |gk: (&str, &str), name: &str| {
            applies.iter().any(|step| step.live.is_none() && step.id.gk.is(gk.0, gk.1) && *step.id.name == *name)
        };
        let mut asked = Vec::new();
        for step in &applies {
            let Some(desired) = &step.desired else { continue };
            let resource = self.resource_of(&step.id, Some(&desired.manifest.version)).await;
            let lacks_namespace = step.id.namespace.as_deref().is_some_and(|name| created(("", "Namespace"), name));
            if let Some(resource) = resource.filter(|_| !lacks_namespace) {
                asked.push(self.ask(step, desired, resource, plan));
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
                self.report_outcome(outcome);
            }
        }
        Some(outcomes)
    }
}
