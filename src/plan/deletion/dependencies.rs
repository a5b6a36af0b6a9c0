//! What has to be gone before what, of the objects that a plan deletes.

use std::collections::{BTreeMap, BTreeSet};

use crate::object::{GroupKind, ObjectId};
use crate::plan::graph::components;
use crate::plan::{Awaited, Plan, Stage, Step, Verb};

/// What goes before what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Interceptors,
    Custom,
    Workloads,
    Bindings,
    References,
    Foundations,
}

pub(super) const RANKS: usize = Rank::Foundations as usize + 1;

impl Rank {
    pub fn of(gk: &GroupKind, plan: &Plan) -> Self {
        match Stage::of(gk) {
            Stage::Interceptors => Self::Interceptors,
            Stage::Workloads if plan.definitions.contains_key(gk) => Self::Custom,
            Stage::Workloads => Self::Workloads,
            Stage::Bindings => Self::Bindings,
            Stage::References => Self::References,
            Stage::Foundations => Self::Foundations,
        }
    }

    /// Whether what goes first may need it.
    pub fn serves(self) -> bool {
        matches!(self, Self::Workloads | Self::Bindings | Self::References)
    }
}

/// An object that has to be gone before another one.
pub(super) struct Dependency {
    /// The place of its step.
    pub first: usize,
    /// The place of the step of the one that waits.
    pub then: usize,
    pub why: Awaited,
}

/// The dependencies of the objects that are counted, without those of circles: in these, nobody can be first.
pub(super) fn dependencies(plan: &Plan, counts: impl Fn(usize) -> bool) -> Vec<Dependency> {
    let mut edges: Vec<Vec<usize>> = vec![Vec::new(); plan.steps.len()];
    let mut found = Vec::new();
    let homes = Homes::of(plan);
    for (first, step) in plan.steps.iter().enumerate().filter(|(at, _)| counts(*at)) {
        let needed: BTreeSet<&ObjectId> = step.live.iter().flat_map(|live| &*live.depends_on).collect();
        let needed = needed.into_iter().filter_map(|id| plan.position(id)).map(|on| (on, Awaited::DependsOn));
        let homes = homes.around(step, plan).map(|home| (home, Awaited::Within));
        for (then, why) in needed.chain(homes) {
            if then != first && plan.steps[then].verb == Verb::Prune {
                edges[first].push(then);
                found.push(Dependency { first, then, why });
            }
        }
    }
    if !found.is_empty() {
        let components = components(&edges);
        found.retain(|one| components.of[one.first] != components.of[one.then]);
    }
    found
}

/// What is to be deleted and holds others: Namespaces, CRDs, aggregated APIs.
struct Homes {
    /// An `APIService` is called `VERSION.GROUP`.
    services: BTreeMap<String, Vec<usize>>,
}

impl Homes {
    fn of(plan: &Plan) -> Self {
        let mut services: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, step) in plan.steps.iter().enumerate().filter(|(_, step)| step.verb == Verb::Prune) {
            if step.id.gk.is("apiregistration.k8s.io", "APIService")
                && let Some((_, group)) = step.id.name.split_once('.')
            {
                services.entry(group.to_owned()).or_default().push(at);
            }
        }
        Self { services }
    }

    /// What cannot go before this object.
    fn around<'p>(&self, step: &Step, plan: &'p Plan) -> impl Iterator<Item = usize> + use<'p> {
        let namespace = step.id.namespace.as_deref().map(|name| ObjectId::new("", "Namespace", None, name));
        let definition = plan
            .definitions
            .get(&step.id.gk)
            .map(|name| ObjectId::new("apiextensions.k8s.io", "CustomResourceDefinition", None, name));
        let services = self.services.get(&*step.id.gk.group).cloned().unwrap_or_default();
        let named = namespace.into_iter().chain(definition).filter_map(|id| plan.position(&id));
        named.chain(services)
    }
}
