//! Asking about all of an atomic commit before anything of it is written.

use std::collections::BTreeMap;

use futures::StreamExt as _;

use crate::cluster::{DryRun, Resource};
use crate::object::ObjectId;
use crate::plan::{AppliedObject, Desired, Plan, Step};

use super::carry_out::{AT_ONCE, Job, failed, skipped};
use super::ignored::trial;
use super::object::describe;

impl Job<'_> {
    /// Asks about one object; the answer is why it would be refused.
    async fn ask<'p>(&self, step: &'p Step, desired: &Desired, resource: Resource) -> (&'p Step, Option<String>) {
        if self.stop.is_cancelled() {
            return (step, None);
        }
        let live = match step.live {
            Some(_) if !desired.manifest.directives.ignore_fields.is_empty() => {
                self.cluster.read(&step.id, &resource).await
            }
            _ => Ok(None),
        };
        let live = match live {
            Ok(live) => live,
            Err(error) => return (step, Some(describe(error, desired).to_string())),
        };
        let object = trial(desired, self.set_id, live.as_ref());
        let answer = self.cluster.apply(&step.id, &resource, &object, DryRun::Yes).await;
        let refused = answer.err().filter(|error| {
            // Replacing is what the object asks for, so that it cannot be changed in place is no obstacle.
            !(desired.manifest.directives.replace && error.immutable_fields().is_some())
        });
        (step, refused.map(|error| describe(error, desired).to_string()))
    }

    /// Asks about everything and writes nothing. `None`: all of it would be admitted. What lives in
    /// a Namespace, or is of a kind, that the same commit creates cannot be asked about before.
    pub(super) async fn preflight(&self, plan: &Plan) -> Option<Vec<AppliedObject>> {
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
        let mut refused: BTreeMap<&ObjectId, String> = BTreeMap::new();
        for (step, why) in answers {
            if let Some(why) = why {
                refused.insert(&step.id, why);
            }
        }
        if refused.is_empty() {
            return None;
        }
        let why =
            format!("nothing was written, since the sync is atomic and {} of its objects are refused", refused.len());
        let outcomes: Vec<AppliedObject> = applies
            .into_iter()
            .map(|step| match refused.get(&step.id) {
                Some(error) => failed(step, error.clone()),
                None => skipped(step, why.clone()),
            })
            .collect();
        for outcome in &outcomes {
            (self.report)(outcome);
        }
        Some(outcomes)
    }
}
