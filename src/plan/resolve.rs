//! Giving manifests their place: namespaced or not is a fact of the API server.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::object::{Digest, DigestKey, GroupKind, Manifest, ObjectId, Scope};

use super::{Problem, Reserved};

/// A manifest in its place, with the digest that its live object is to carry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Desired {
    /// With its namespace resolved, and those of the objects that it depends on.
    pub manifest: Arc<Manifest>,
    /// The value for the annotation `driftless.dev/digest`; keyed (HMAC) for Secrets.
    pub digest: Digest,
}

/// The manifests of a commit in their places.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resolved {
    /// In the order of the manifests.
    pub desired: Vec<Desired>,
    /// Manifests that have no place. As long as there is one, nothing may be pruned.
    pub problems: Vec<Problem>,
    /// What git declares and what is not applied, though the rest of the object is.
    pub notes: Vec<Problem>,
}

/// The kinds that CRDs among manifests define.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions(BTreeMap<GroupKind, Definition>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Definition {
    namespaced: bool,
    /// Empty where it does not say.
    versions: Vec<String>,
}

impl Definitions {
    /// Collects what the CRDs among these manifests define; other manifests are skipped.
    #[must_use]
    pub fn of<'a>(manifests: impl IntoIterator<Item = &'a Arc<Manifest>>) -> Self {
        let defines = |manifest: &Arc<Manifest>| {
            let (gk, namespaced) = manifest.defines()?;
            Some((gk, Definition { namespaced, versions: manifest.serves() }))
        };
        Self(manifests.into_iter().filter_map(defines).collect())
    }

    /// The scope of a kind in a version once they are applied; `served` is what the API server says now.
    #[must_use]
    pub fn scope(&self, gk: &GroupKind, version: &str, served: Scope) -> Scope {
        match self.0.get(gk) {
            None => served,
            Some(Definition { versions, .. }) if !versions.is_empty() && !versions.iter().any(|one| one == version) => {
                Scope::OtherVersions(versions.clone())
            }
            Some(Definition { namespaced, .. }) => match served {
                Scope::Missing | Scope::OtherVersions(_) if *namespaced => Scope::Namespaced,
                Scope::Missing | Scope::OtherVersions(_) => Scope::Cluster,
                served => served,
            },
        }
    }
}

/// Gives every manifest its namespace: its own, else `target`, else `default`; none where the
/// kind is cluster-scoped. `scope` answers for a kind in a version. What is the agent's own is refused.
#[must_use]
pub fn resolve(
    manifests: &[Arc<Manifest>],
    target: Option<&str>,
    key: &DigestKey,
    reserved: &Reserved,
    scope: &dyn Fn(&GroupKind, &str) -> Scope,
) -> Resolved {
    let defined = Definitions::of(manifests);
    let mut resolved = Resolved::default();
    let mut seen: BTreeMap<ObjectId, Arc<Manifest>> = BTreeMap::new();
    // What a renderer orders may have no namespace yet.
    let mut moved: BTreeMap<ObjectId, ObjectId> = BTreeMap::new();
    for manifest in manifests {
        let gk = &manifest.id.gk;
        let answer = defined.scope(gk, &manifest.version, scope(gk, &manifest.version));
        match place(manifest, target, &answer) {
            Err(error) => resolved.problems.push(problem(manifest, error.to_string())),
            Ok(placed) => {
                if let Some(own) = reserved.declared(&placed) {
                    let message = format!(
                        "is one of driftless's own objects ({own}), which no repository may declare; remove it, or give it another name"
                    );
                    resolved.problems.push(problem(&placed, message));
                    continue;
                }
                if let Some(first) = seen.get(&placed.id) {
                    let message = format!("declared twice: here and in {}", first.origin);
                    resolved.problems.push(problem(&placed, message));
                    continue;
                }
                if placed.id != manifest.id {
                    moved.insert(manifest.id.clone(), placed.id.clone());
                }
                seen.insert(placed.id.clone(), Arc::clone(&placed));
                resolved.notes.extend(placed.warnings.iter().map(|warning| problem(&placed, warning.clone())));
                let digest = placed.digest(key);
                resolved.desired.push(Desired { manifest: placed, digest });
            }
        }
    }
    for desired in &mut resolved.desired {
        if desired.manifest.directives.depends_on.iter().any(|id| moved.contains_key(id)) {
            let mut manifest = Manifest::clone(&desired.manifest);
            for id in &mut manifest.directives.depends_on {
                if let Some(placed) = moved.get(id) {
                    id.clone_from(placed);
                }
            }
            desired.manifest = Arc::new(manifest);
        }
    }
    resolved
}

fn problem(manifest: &Manifest, message: String) -> Problem {
    Problem { object: Some(manifest.id.clone()), origin: Some(manifest.origin.clone()), message }
}

/// Why a manifest has no place.
#[derive(Debug, Error)]
enum PlaceError {
    #[error(
        "the cluster has no kind {kind} in {api_version}; install its CRD, or put it into this commit, or correct apiVersion"
    )]
    Missing { kind: Arc<str>, api_version: String },
    #[error(
        "the kind {gk} is not served in version {version}, but in {}; correct apiVersion, or the versions of its CRD",
        served.join(", ")
    )]
    OtherVersions { gk: GroupKind, version: Arc<str>, served: Vec<String> },
    #[error("the API of {api_version} does not answer: {why}")]
    Unreachable { api_version: String, why: String },
}

fn place(manifest: &Arc<Manifest>, target: Option<&str>, scope: &Scope) -> Result<Arc<Manifest>, PlaceError> {
    match (scope, &manifest.id.namespace) {
        (Scope::Namespaced, Some(_)) | (Scope::Cluster, None) => Ok(Arc::clone(manifest)),
        (Scope::Namespaced, None) => Ok(Arc::new(manifest.in_namespace(Some(target.unwrap_or("default"))))),
        // Charts do this all the time, and kubectl takes it: nobody can mean anything else by it.
        (Scope::Cluster, Some(namespace)) => {
            let mut placed = manifest.in_namespace(None);
            placed.warnings.push(format!(
                "metadata.namespace {namespace} is not applied, since {} is a cluster-scoped kind; remove it from the manifest",
                manifest.id.gk
            ));
            Ok(Arc::new(placed))
        }
        (Scope::Missing, _) => {
            Err(PlaceError::Missing { kind: Arc::clone(&manifest.id.gk.kind), api_version: manifest.api_version() })
        }
        (Scope::OtherVersions(served), _) => Err(PlaceError::OtherVersions {
            gk: manifest.id.gk.clone(),
            version: Arc::clone(&manifest.version),
            served: served.clone(),
        }),
        (Scope::Unreachable(why), _) => {
            Err(PlaceError::Unreachable { api_version: manifest.api_version(), why: why.clone() })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::object::Origin;

    fn manifest(line: u32, value: Value) -> Arc<Manifest> {
        Arc::new(Manifest::from_value(value, Origin { file: "a.yaml".into(), line }).unwrap())
    }

    fn scope(gk: &GroupKind, _version: &str) -> Scope {
        match &*gk.kind {
            "ConfigMap" => Scope::Namespaced,
            "ClusterRole" | "CustomResourceDefinition" => Scope::Cluster,
            "NodeMetrics" => Scope::Unreachable("503".into()),
            _ => Scope::Missing,
        }
    }

    fn resolved(manifests: &[Arc<Manifest>]) -> Resolved {
        let reserved = Reserved::new("shop".into(), ["web".into()]);
        resolve(manifests, Some("shop"), &DigestKey::new([0; 32]), &reserved, &scope)
    }

    #[test]
    fn a_namespace_is_given_where_the_kind_has_one() {
        let all = resolved(&[
            manifest(1, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})),
            manifest(
                2,
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "other"}}),
            ),
            manifest(3, json!({"apiVersion": "rbac/v1", "kind": "ClusterRole", "metadata": {"name": "a"}})),
        ]);
        let ids: Vec<String> = all.desired.iter().map(|desired| desired.manifest.id.to_string()).collect();
        assert_eq!(ids, ["ConfigMap shop/a", "ConfigMap other/a", "ClusterRole a"]);
        assert_eq!(all.problems, []);
    }

    #[test]
    fn what_has_no_place_is_an_error_of_its_own() {
        let all = resolved(&[
            manifest(
                1,
                json!({"apiVersion": "rbac/v1", "kind": "ClusterRole", "metadata": {"name": "a", "namespace": "x"}}),
            ),
            manifest(2, json!({"apiVersion": "e.com/v1", "kind": "Nothing", "metadata": {"name": "a"}})),
            manifest(3, json!({"apiVersion": "metrics/v1", "kind": "NodeMetrics", "metadata": {"name": "a"}})),
            manifest(4, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})),
            manifest(
                5,
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}}),
            ),
        ]);
        let ids: Vec<String> = all.desired.iter().map(|desired| desired.manifest.id.to_string()).collect();
        assert_eq!(ids, ["ClusterRole a", "ConfigMap shop/a"]);
        let note = all.notes[0].to_string();
        assert!(note.contains("a.yaml:1") && note.contains("cluster-scoped"), "{note}");
        let messages: Vec<String> = all.problems.iter().map(ToString::to_string).collect();
        assert!(messages[0].contains("no kind Nothing in e.com/v1"), "{messages:?}");
        assert!(messages[1].contains("does not answer: 503"), "{messages:?}");
        assert!(messages[2].contains("a.yaml:5") && messages[2].contains("a.yaml:4"), "{messages:?}");
    }

    #[test]
    fn what_is_the_agents_own_once_it_has_its_namespace_is_refused_with_its_place() {
        let all = resolved(&[
            manifest(1, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})),
            manifest(7, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "driftless-web"}})),
        ]);
        assert_eq!(all.desired.len(), 1);
        let text = all.problems[0].to_string();
        assert!(text.starts_with("ConfigMap shop/driftless-web (a.yaml:7): is one of driftless's own"), "{text}");
        assert!(text.contains("the inventory of sync web"), "{text}");
    }

    #[test]
    fn a_crd_in_the_same_commit_gives_the_scope_of_its_kind() {
        let all = resolved(&[
            manifest(1, json!({"apiVersion": "e.com/v1", "kind": "X", "metadata": {"name": "a"}})),
            manifest(
                2,
                json!({
                    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "xs.e.com"},
                    "spec": {"group": "e.com", "names": {"kind": "X"}, "scope": "Namespaced"},
                }),
            ),
        ]);
        assert_eq!(all.problems, []);
        assert_eq!(all.desired[0].manifest.id.namespace.as_deref(), Some("shop"));
    }

    #[test]
    fn a_version_that_is_not_served_is_an_error_that_names_those_which_are() {
        let crd = manifest(
            2,
            json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "xs.e.com"},
                "spec": {"group": "e.com", "names": {"kind": "X"}, "scope": "Namespaced", "versions": [
                    {"name": "v1", "served": false}, {"name": "v2", "served": true}, {"name": "v3", "served": true}]},
            }),
        );
        let of = |version: &str| {
            manifest(1, json!({"apiVersion": format!("e.com/{version}"), "kind": "X", "metadata": {"name": version}}))
        };
        let all = resolved(&[of("v1"), of("v2"), crd]);
        assert_eq!(all.desired.len(), 2);
        let text = all.problems[0].to_string();
        assert!(text.contains("X.e.com is not served in version v1, but in v2, v3"), "{text}");
        // The API server has only an older one yet.
        let served = |_: &GroupKind, version: &str| match version {
            "v1" => Scope::Namespaced,
            _ => Scope::OtherVersions(vec!["v1".into()]),
        };
        let reserved = Reserved::new("shop".into(), []);
        let alone = resolve(&[of("v1"), of("v2")], None, &DigestKey::new([0; 32]), &reserved, &served);
        assert_eq!((alone.desired.len(), alone.problems.len()), (1, 1));
    }
}
