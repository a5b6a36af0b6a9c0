//! What decides the order in which objects are applied: stages by kind, and what
//! `config.kubernetes.io/depends-on` says. The order itself is made by `schedule`, as work goes on.

use std::collections::{BTreeMap, BTreeSet};

use crate::object::{GroupKind, Manifest, ObjectId};

use super::graph::{components, spelled};
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
    /// All other kinds, custom resources among them.
    Workloads,
    /// What can refuse everything else: admission webhooks and aggregated APIs.
    Interceptors,
}

impl Stage {
    /// The stage of a kind. Its version does not matter.
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

/// The objects that can never be applied: those whose `depends-on` goes in a circle, those that depend
/// on something the sync does not declare, and those that depend on such an object. In the order of
/// the identities, in linear time but for looking these up.
#[must_use]
pub fn unorderable(desired: &[Desired]) -> Vec<Problem> {
    if desired.iter().all(|one| one.manifest.directives.depends_on.is_empty()) {
        return Vec::new();
    }
    let manifests: BTreeMap<&ObjectId, &Manifest> =
        desired.iter().map(|desired| (&desired.manifest.id, &*desired.manifest)).collect();
    let places: BTreeMap<&ObjectId, usize> = manifests.keys().enumerate().map(|(at, id)| (*id, at)).collect();
    let manifests: Vec<&Manifest> = manifests.into_values().collect();
    let mut undeclared: Vec<Option<&ObjectId>> = vec![None; manifests.len()];
    let mut edges: Vec<Vec<usize>> = vec![Vec::new(); manifests.len()];
    for (at, manifest) in manifests.iter().enumerate() {
        let needed: BTreeSet<&ObjectId> = manifest.directives.depends_on.iter().collect();
        undeclared[at] = needed.iter().copied().find(|id| !places.contains_key(id));
        edges[at].extend(needed.iter().filter_map(|id| places.get(id)));
    }
    let found = components(&edges);
    // Of each object that cannot be applied, the one that is the reason for it, and the message.
    let mut refused: Vec<Option<(usize, String)>> = vec![None; manifests.len()];
    for (component, members) in found.list.iter().enumerate() {
        let circle = found.circle(component, &edges);
        if !circle.is_empty() {
            let ids: Vec<&ObjectId> = circle.iter().map(|at| &manifests[*at].id).collect();
            let message = format!("its config.kubernetes.io/depends-on goes in a circle: {}", spelled(&ids));
            for at in members {
                refused[*at] = Some((*at, message.clone()));
            }
            continue;
        }
        for at in members {
            let cause = edges[*at].iter().find_map(|on| refused[*on].as_ref().map(|(root, _)| (*on, *root)));
            refused[*at] = match (undeclared[*at], cause) {
                (Some(id), _) => Some((*at, format!("depends on {id}, which this sync does not declare"))),
                (None, Some((on, root))) => {
                    let way = if on == root { "" } else { " by way of others" };
                    Some((root, format!("depends{way} on {}, which cannot be applied itself", manifests[root].id)))
                }
                (None, None) => None,
            };
        }
    }
    let problem = |(manifest, (_, message)): (&Manifest, (usize, String))| Problem {
        object: Some(manifest.id.clone()),
        origin: Some(manifest.origin.clone()),
        message,
    };
    manifests.into_iter().zip(refused).filter_map(|(manifest, refused)| Some(problem((manifest, refused?)))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::*;
    use crate::object::{Digest, Origin, names};

    fn desired(name: &str, depends_on: &str) -> Desired {
        let value = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "annotations": {names::DEPENDS_ON: depends_on}}});
        let origin = Origin { file: "a.yaml".into(), line: 1 };
        Desired { manifest: Arc::new(Manifest::from_value(value, origin).unwrap()), digest: Digest::of(b"") }
    }

    /// Name and message of each.
    fn refused(desired: &[Desired]) -> Vec<(String, String)> {
        let problems = unorderable(desired).into_iter();
        problems.map(|problem| (problem.object.unwrap().name.to_string(), problem.message)).collect()
    }

    #[test]
    fn what_can_be_put_in_order_is_no_problem() {
        let fine = [desired("a", ""), desired("b", "/Pod/a"), desired("c", "/Pod/b, /Pod/a, /Pod/b")];
        assert_eq!(refused(&fine), []);
        assert_eq!(refused(&fine[..1]), []);
    }

    #[test]
    fn a_circle_is_spelled_out_and_holds_back_only_what_is_in_it_or_needs_it() {
        let refused = refused(&[
            desired("a", "/Pod/b"),
            desired("b", "/Pod/a"),
            desired("c", "/Pod/a"),
            desired("d", "/Pod/c"),
            desired("free", ""),
            desired("itself", "/Pod/itself"),
        ]);
        let circle = "its config.kubernetes.io/depends-on goes in a circle: Pod a -> Pod b -> Pod a";
        let own = "its config.kubernetes.io/depends-on goes in a circle: Pod itself -> Pod itself";
        let expected = [
            ("a", circle),
            ("b", circle),
            ("c", "depends on Pod a, which cannot be applied itself"),
            ("d", "depends by way of others on Pod a, which cannot be applied itself"),
            ("itself", own),
        ];
        assert_eq!(refused, expected.map(|(name, message)| (name.to_owned(), message.to_owned())));
    }

    #[test]
    fn a_dependency_that_is_not_declared_is_an_error() {
        let refused = refused(&[desired("a", "/Pod/nowhere"), desired("b", "/Pod/a")]);
        assert_eq!(refused[0].1, "depends on Pod nowhere, which this sync does not declare");
        assert_eq!(refused[1].1, "depends on Pod a, which cannot be applied itself");
    }

    #[test]
    fn a_chain_and_a_circle_of_twenty_thousand_are_no_work() {
        let name = |number: usize| format!("p{number:05}");
        let mut chain: Vec<Desired> =
            (0..20_000).map(|number| desired(&name(number), &format!("/Pod/{}", name(number + 1)))).collect();
        chain.push(desired(&name(20_000), ""));
        let began = Instant::now();
        assert_eq!(unorderable(&chain), []);
        *chain.last_mut().unwrap() = desired(&name(20_000), "/Pod/p00000");
        let problems = unorderable(&chain);
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        assert_eq!(problems.len(), 20_001);
        assert!(problems.iter().all(|problem| problem.message.len() < 300 && problem.message.contains("19995 more")));
        assert_eq!(super::super::collect(&problems).len(), 1, "it is one problem");
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
}
