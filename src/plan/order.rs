//! In which order objects are applied: stages by kind, and inside them what
//! `config.kubernetes.io/depends-on` says.

use std::collections::{BTreeMap, BTreeSet};

use crate::object::{GroupKind, Manifest, ObjectId};

use super::{Desired, Problem};

/// Which kinds go before which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// What others live in: CRDs and Namespaces.
    Foundations,
    /// What others refer to: roles, service accounts, configuration, storage, classes, quotas.
    References,
    /// Bindings: the API server looks up what a role grants before it lets anybody but an
    /// administrator bind it, so the role has to be there.
    Bindings,
    Workloads,
    /// What can refuse everything else: admission webhooks and aggregated APIs.
    Interceptors,
}

impl Stage {
    #[must_use]
    pub fn of(gk: &GroupKind) -> Self {
        match (&*gk.group, &*gk.kind) {
            ("apiextensions.k8s.io", "CustomResourceDefinition") | ("", "Namespace") => Self::Foundations,
            ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => Self::Bindings,
            (
                "",
                "ConfigMap"
                | "Secret"
                | "ServiceAccount"
                | "PersistentVolumeClaim"
                | "PersistentVolume"
                | "LimitRange"
                | "ResourceQuota",
            )
            | ("rbac.authorization.k8s.io" | "storage.k8s.io", _)
            | ("scheduling.k8s.io", "PriorityClass")
            | ("networking.k8s.io", "IngressClass")
            | ("node.k8s.io", "RuntimeClass") => Self::References,
            ("admissionregistration.k8s.io", _) | ("apiregistration.k8s.io", "APIService") => Self::Interceptors,
            _ => Self::Workloads,
        }
    }
}

/// Objects that may be applied at the same time, once all earlier waves are done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wave {
    pub stage: Stage,
    pub objects: Vec<ObjectId>,
}

/// The waves of a commit, and the objects that can be in none: those in a cycle, those that
/// depend on something the sync does not declare, and those that depend on such an object.
#[must_use]
pub fn waves(desired: &[Desired]) -> (Vec<Wave>, Vec<Problem>) {
    let manifests: BTreeMap<&ObjectId, &Manifest> =
        desired.iter().map(|desired| (&desired.manifest.id, &*desired.manifest)).collect();
    let mut search = Search { manifests, places: BTreeMap::new(), path: Vec::new(), problems: Vec::new() };
    let ids: Vec<&ObjectId> = search.manifests.keys().copied().collect();
    let mut waves: BTreeMap<(Stage, usize), Vec<ObjectId>> = BTreeMap::new();
    for id in ids {
        if let Some(place) = search.place(id) {
            waves.entry(place).or_default().push(id.clone());
        }
    }
    let waves = waves.into_iter().map(|((stage, _), objects)| Wave { stage, objects }).collect();
    (waves, search.problems)
}

struct Search<'a> {
    manifests: BTreeMap<&'a ObjectId, &'a Manifest>,
    /// Stage and depth in it; `None` for objects that can be in no wave.
    places: BTreeMap<&'a ObjectId, Option<(Stage, usize)>>,
    path: Vec<&'a ObjectId>,
    problems: Vec<Problem>,
}

impl<'a> Search<'a> {
    fn place(&mut self, id: &'a ObjectId) -> Option<(Stage, usize)> {
        if let Some(place) = self.places.get(id) {
            return *place;
        }
        if let Some(start) = self.path.iter().position(|other| *other == id) {
            let mut cycle: Vec<String> = self.path[start..].iter().map(ToString::to_string).collect();
            cycle.push(id.to_string());
            self.refuse(id, format!("its config.kubernetes.io/depends-on goes in a circle: {}", cycle.join(" -> ")));
            return None;
        }
        let manifest = *self.manifests.get(id)?;
        self.path.push(id);
        let mut place = Some((Stage::of(&id.gk), 0));
        let needed: BTreeSet<&'a ObjectId> = manifest.directives.depends_on.iter().collect();
        for dependency in needed {
            let under = match self.manifests.get_key_value(dependency) {
                Some((dependency, _)) => self.place(dependency),
                None => None,
            };
            if let Some(under) = under {
                place = place.map(|own| behind(own, under));
                continue;
            }
            // A circle was reported where it closes.
            if !self.places.contains_key(id) {
                let why = if self.manifests.contains_key(dependency) {
                    "which cannot be applied itself"
                } else {
                    "which this sync does not declare"
                };
                self.refuse(id, format!("depends on {dependency}, {why}"));
            }
            place = None;
        }
        self.path.pop();
        self.places.insert(id, place);
        place
    }

    fn refuse(&mut self, id: &'a ObjectId, message: String) {
        let origin = self.manifests.get(id).map(|manifest| manifest.origin.clone());
        self.problems.push(Problem { object: Some(id.clone()), origin, message });
        self.places.insert(id, None);
    }
}

/// The place of an object that would stand at `own` and must come after one at `under`.
fn behind(own: (Stage, usize), under: (Stage, usize)) -> (Stage, usize) {
    if under.0 < own.0 { own } else { own.max((under.0, under.1 + 1)) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::object::{Digest, Origin, names};

    fn desired(kind: &str, name: &str, depends_on: &str) -> Desired {
        let group = if kind == "CustomResourceDefinition" { "apiextensions.k8s.io/v1" } else { "v1" };
        let value = json!({"apiVersion": group, "kind": kind,
            "metadata": {"name": name, "annotations": {names::DEPENDS_ON: depends_on}}});
        let origin = Origin { file: "a.yaml".into(), line: 1 };
        Desired { manifest: Arc::new(Manifest::from_value(value, origin).unwrap()), digest: Digest::of(b"") }
    }

    fn names(waves: &[Wave]) -> Vec<Vec<&str>> {
        waves.iter().map(|wave| wave.objects.iter().map(|id| &*id.name).collect()).collect()
    }

    #[test]
    fn kinds_that_others_need_go_first() {
        let (waves, problems) = waves(&[
            desired("Pod", "pod", ""),
            desired("ConfigMap", "config", ""),
            desired("CustomResourceDefinition", "crd", ""),
            desired("Namespace", "shop", ""),
        ]);
        assert_eq!(names(&waves), [vec!["shop", "crd"], vec!["config"], vec!["pod"]]);
        assert_eq!(problems, []);
    }

    #[test]
    fn a_dependency_goes_first_also_against_the_order_of_kinds() {
        let (waves, problems) = waves(&[
            desired("ConfigMap", "after", "/Pod/first"),
            desired("Pod", "first", ""),
            desired("Pod", "second", "/Pod/first"),
            desired("Pod", "third", "/Pod/second, /Pod/first"),
        ]);
        assert_eq!(names(&waves), [vec!["first"], vec!["after", "second"], vec!["third"]]);
        assert_eq!(problems, []);
    }

    #[test]
    fn a_circle_is_spelled_out_and_holds_back_only_what_is_in_it_or_needs_it() {
        let (waves, problems) = waves(&[
            desired("Pod", "a", "/Pod/b"),
            desired("Pod", "b", "/Pod/a"),
            desired("Pod", "c", "/Pod/a"),
            desired("Pod", "free", ""),
        ]);
        assert_eq!(names(&waves), [vec!["free"]]);
        let messages: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(messages[0].contains("Pod a -> Pod b -> Pod a"), "{messages:?}");
        let named: BTreeSet<&str> = problems.iter().map(|problem| &*problem.object.as_ref().unwrap().name).collect();
        assert_eq!(named.into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn a_binding_comes_after_all_roles_and_before_what_acts_by_it() {
        let of = |group: &str, kind: &str| Stage::of(&GroupKind { group: group.into(), kind: kind.into() });
        let rbac = "rbac.authorization.k8s.io";
        for (role, binding) in [("Role", "RoleBinding"), ("ClusterRole", "ClusterRoleBinding")] {
            assert!(of(rbac, role) < of(rbac, binding), "{binding}");
            assert!(of(rbac, binding) < of("apps", "Deployment"), "{binding}");
        }
    }

    #[test]
    fn a_dependency_that_is_not_declared_is_an_error() {
        let (waves, problems) = waves(&[desired("Pod", "a", "/Pod/nowhere")]);
        assert!(waves.is_empty());
        assert!(problems[0].to_string().contains("Pod nowhere, which this sync does not declare"));
    }
}
