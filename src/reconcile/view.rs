//! What git declares as of the newest observation, ready to be asked about single objects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::object::{GroupKind, ObjectId, Observed};
use crate::plan::{Desired, Others, Resolved};

use super::Observation;

/// The desired objects of one commit, found by their identity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct View {
    /// The commit; `None` before the first observation.
    pub commit: Option<String>,
    resolved: Arc<Resolved>,
    /// Positions in `resolved.desired`, in the order of the identities.
    order: Vec<u32>,
    pub others: Others,
    /// The declared CRD behind each kind.
    crds: BTreeMap<GroupKind, ObjectId>,
    /// Declared Namespaces and CRDs that do not carry others right now.
    down: BTreeSet<ObjectId>,
}

impl View {
    /// Takes over what was observed. The order is made anew only when what is declared is new.
    pub fn take_in(&mut self, commit: &str, observation: &Observation) {
        if self.commit.as_deref() != Some(commit) {
            self.commit = Some(commit.to_owned());
        }
        if !Arc::ptr_eq(&self.resolved, &observation.resolved) {
            self.resolved = Arc::clone(&observation.resolved);
            let desired = &self.resolved.desired;
            let id = |at: &u32| usize::try_from(*at).ok().and_then(|at| desired.get(at)).map(|one| &one.manifest.id);
            let mut order: Vec<u32> = (0..).take(desired.len()).collect();
            order.sort_by(|a, b| id(a).cmp(&id(b)));
            self.order = order;
            let defined = desired.iter().filter_map(|one| Some((one.manifest.defines()?.0, one.manifest.id.clone())));
            self.crds = defined.collect();
        }
        self.others.clone_from(&observation.others);
        let foundations = self.resolved.desired.iter().map(|one| &one.manifest.id).filter(|id| is_foundation(id));
        let down = foundations.filter(|id| !observation.observed.get(id).is_some_and(carries));
        self.down = down.cloned().collect();
    }

    pub fn desired(&self, id: &ObjectId) -> Option<&Desired> {
        let at = self.order.binary_search_by(|at| self.at(*at).map(|one| &one.manifest.id).cmp(&Some(id))).ok()?;
        self.at(*self.order.get(at)?)
    }

    fn at(&self, position: u32) -> Option<&Desired> {
        self.resolved.desired.get(usize::try_from(position).ok()?)
    }

    /// The declared object after this one, in the order of identities; the first one after the last.
    pub fn after(&self, id: Option<&ObjectId>) -> Option<&Desired> {
        let next =
            id.map_or(0, |id| self.order.partition_point(|at| self.at(*at).is_some_and(|one| one.manifest.id <= *id)));
        self.order.get(next).or(self.order.first()).and_then(|at| self.at(*at))
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Learns of a Namespace or CRD. Whether others can live in it now, and could not before.
    pub fn learn(&mut self, id: &ObjectId, live: Option<&Observed>) -> bool {
        if !is_foundation(id) {
            return false;
        }
        if live.is_some_and(carries) {
            return self.down.remove(id);
        }
        if self.desired(id).is_some() {
            self.down.insert(id.clone());
        }
        false
    }

    /// The declared Namespace or CRD without which this object cannot be made now.
    pub fn lacks(&self, id: &ObjectId) -> Option<ObjectId> {
        if self.down.is_empty() {
            return None;
        }
        let namespace = id.namespace.as_deref().map(|name| ObjectId::new("", "Namespace", None, name));
        let definition = self.crds.get(&id.gk).cloned();
        [namespace, definition].into_iter().flatten().find(|foundation| self.down.contains(foundation))
    }
}

fn is_foundation(id: &ObjectId) -> bool {
    id.gk.is("", "Namespace") || id.gk.is("apiextensions.k8s.io", "CustomResourceDefinition")
}

fn carries(live: &Observed) -> bool {
    live.terminating.is_none() && live.health.is_current()
}
