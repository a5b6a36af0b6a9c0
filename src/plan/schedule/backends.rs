//! What webhooks and aggregated APIs call: one whose Service has nobody behind it refuses everything
//! that it is asked about, so it is applied after what may be behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::object::ObjectId;
use crate::plan::{Stage, Step};

/// Which of the objects that are applied last call what is in which namespace.
#[derive(Default)]
pub(super) struct Backends {
    /// By the place of the step.
    called: BTreeMap<usize, BTreeSet<Arc<str>>>,
    /// In each namespace that is called: objects that come late, and have no outcome yet.
    late: BTreeMap<Arc<str>, usize>,
}

impl Backends {
    pub fn new(steps: &[Step]) -> Self {
        let last = |step: &Step| step.applies() && Stage::of(&step.id.gk) == Stage::Interceptors;
        let called: BTreeMap<usize, BTreeSet<Arc<str>>> =
            steps.iter().enumerate().filter(|(_, step)| last(step)).map(|(at, step)| (at, called_by(step))).collect();
        let late = called.values().flatten().map(|namespace| (Arc::clone(namespace), 0)).collect();
        Self { called, late }
    }

    /// Whether what may be behind a Service of this one comes late.
    pub fn are_late(&self, at: usize) -> bool {
        let mut called = self.called.get(&at).into_iter().flatten();
        called.any(|namespace| self.late.get(namespace).is_some_and(|objects| *objects > 0))
    }

    pub fn is_late(&mut self, id: &ObjectId, stage: Stage) {
        if let Some(objects) = self.objects(id, stage) {
            *objects += 1;
        }
    }

    pub fn is_late_no_more(&mut self, id: &ObjectId, stage: Stage) {
        if let Some(objects) = self.objects(id, stage) {
            *objects -= 1;
        }
    }

    /// What depends on a webhook comes after it.
    fn objects(&mut self, id: &ObjectId, stage: Stage) -> Option<&mut usize> {
        self.late.get_mut(id.namespace.as_ref()?).filter(|_| stage < Stage::Interceptors)
    }
}

/// The namespaces of the Services that it calls: `webhooks[].clientConfig.service` of webhook
/// configurations, `spec.service` of an `APIService`.
fn called_by(step: &Step) -> BTreeSet<Arc<str>> {
    let Some(object) = step.desired.as_ref().map(|desired| desired.manifest.to_value()) else { return BTreeSet::new() };
    let webhooks = object.get("webhooks").and_then(Value::as_array).into_iter().flatten();
    let services = webhooks.filter_map(|webhook| webhook.pointer("/clientConfig/service"));
    let services = services.chain(object.pointer("/spec/service"));
    services.filter_map(|service| service.get("namespace")?.as_str()).map(Into::into).collect()
}
