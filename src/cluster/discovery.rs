//! Which kinds the API server has, and where.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use kube::core::discovery::v2::{ACCEPT_AGGREGATED_DISCOVERY_V2, APIGroupDiscoveryList};
use serde_json::Value;

use super::client::Call;
use super::observe::JSON;
use super::{ApiError, Cluster};
use crate::object::{GroupKind, ObjectId, Scope};

/// Where the objects of one kind are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: String,
    /// Version in the group: `v1`.
    pub version: String,
    /// `deployments`.
    pub plural: String,
    /// Its objects are in namespaces; else the kind is cluster-scoped.
    pub namespaced: bool,
    /// It can be listed: some kinds exist to be created only (`SubjectAccessReview`).
    pub listable: bool,
    /// It can be watched, as nearly all that can be listed.
    pub watchable: bool,
}

impl Resource {
    /// A kind of the core group in v1, known without asking.
    #[must_use]
    pub fn core(plural: &str, namespaced: bool) -> Self {
        Self {
            group: String::new(),
            version: "v1".into(),
            plural: plural.into(),
            namespaced,
            listable: true,
            watchable: true,
        }
    }

    /// `/apis/apps/v1/namespaces/shop/deployments`; without a namespace, those of all.
    #[must_use]
    pub fn collection(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("{root}/namespaces/{}/{}", super::client::query(namespace), self.plural),
            None => format!("{root}/{}", self.plural),
        }
    }

    /// The path of one object.
    #[must_use]
    pub fn path(&self, id: &ObjectId) -> String {
        format!("{}/{}", self.collection(id.namespace.as_deref()), super::client::query(&id.name))
    }
}

/// What the API server serves, as of one moment.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// By kind: its versions, the server's preferred one first.
    kinds: BTreeMap<GroupKind, Vec<Resource>>,
    /// Group and version of APIs that are registered but do not answer.
    stale: BTreeSet<(String, String)>,
}

impl Discovery {
    /// Adds one answer of the aggregated discovery API.
    fn add(&mut self, list: APIGroupDiscoveryList) {
        for group in list.items {
            let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
            for version in group.versions {
                let number = version.version.unwrap_or_default();
                if version.freshness.as_deref() == Some("Stale") {
                    self.stale.insert((name.clone(), number.clone()));
                }
                for resource in version.resources {
                    let Some(kind) = resource.response_kind.and_then(|kind| kind.kind) else { continue };
                    self.kinds.entry(GroupKind::new(&name, &kind)).or_default().push(Resource {
                        group: name.clone(),
                        version: number.clone(),
                        plural: resource.resource.unwrap_or_default(),
                        namespaced: resource.scope.as_deref() == Some("Namespaced"),
                        listable: resource.verbs.iter().any(|verb| verb == "list"),
                        watchable: resource.verbs.iter().any(|verb| verb == "watch"),
                    });
                }
            }
        }
    }

    /// What a chart finds in `.Capabilities.APIVersions`: `v1`, `apps/v1`, `apps/v1/Deployment`, sorted. An API that is
    /// registered and does not answer now is among them: what a chart leaves out without it would be pruned.
    #[must_use]
    pub fn api_versions(&self) -> Vec<String> {
        let mut found: BTreeSet<String> = self.stale().into_iter().collect();
        for (gk, resources) in &self.kinds {
            for resource in resources {
                let version = match resource.group.as_str() {
                    "" => resource.version.clone(),
                    group => format!("{group}/{}", resource.version),
                };
                found.insert(format!("{version}/{}", gk.kind));
                found.insert(version);
            }
        }
        found.into_iter().collect()
    }

    /// The APIs that are registered and do not answer: `metrics.k8s.io/v1beta1`.
    #[must_use]
    pub fn stale(&self) -> Vec<String> {
        self.stale.iter().map(|(group, version)| format!("{group}/{version}")).collect()
    }

    /// Whether nothing was asked yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// The kind in one version.
    #[must_use]
    pub fn resource(&self, gk: &GroupKind, version: &str) -> Option<&Resource> {
        self.kinds.get(gk)?.iter().find(|resource| resource.version == version)
    }

    /// The kind in the version that the server prefers.
    #[must_use]
    pub fn preferred(&self, gk: &GroupKind) -> Option<&Resource> {
        self.kinds.get(gk)?.first()
    }

    /// Whether the kind is namespaced, for [`crate::plan::resolve`].
    #[must_use]
    pub fn scope(&self, gk: &GroupKind, version: &str) -> Scope {
        match self.resource(gk, version) {
            Some(resource) if resource.namespaced => Scope::Namespaced,
            Some(_) => Scope::Cluster,
            None if self.stale.contains(&(gk.group.to_string(), version.to_owned())) => {
                Scope::Unreachable(format!("the APIService {version}.{} is not available", gk.group))
            }
            None => match self.kinds.get(gk) {
                Some(served) => Scope::OtherVersions(served.iter().map(|one| one.version.clone()).collect()),
                None => Scope::Missing,
            },
        }
    }

    /// Why the objects of a kind cannot be known; `None`: they can, or the kind does not exist.
    #[must_use]
    pub fn unreachable(&self, gk: &GroupKind) -> Option<String> {
        if self.kinds.contains_key(gk) {
            return None;
        }
        let (group, version) = self.stale.iter().find(|(group, _)| **group == *gk.group)?;
        Some(format!("the APIService {version}.{group} is not available"))
    }

    /// Whether people call a kind so: `Deployment`, `deployments`, `deployment.apps`, in any case.
    #[must_use]
    pub fn is_called(&self, gk: &GroupKind, text: &str) -> bool {
        let (kind, group) = text.split_once('.').map_or((text, None), |(kind, group)| (kind, Some(group)));
        let plurals = self.kinds.get(gk).into_iter().flatten().map(|resource| resource.plural.as_str());
        group.is_none_or(|group| group.eq_ignore_ascii_case(&gk.group))
            && std::iter::once(&*gk.kind).chain(plurals).any(|name| name.eq_ignore_ascii_case(kind))
    }

    /// The kinds that people call so.
    pub fn called(&self, text: &str) -> impl Iterator<Item = &GroupKind> {
        self.kinds.keys().filter(move |gk| self.is_called(gk, text))
    }

    /// The names of the CRDs that would define each kind: `plural.group`.
    #[must_use]
    pub fn crds(&self) -> BTreeMap<GroupKind, String> {
        let named = |(gk, resources): (&GroupKind, &Vec<Resource>)| {
            let resource = resources.first()?;
            Some((gk.clone(), format!("{}.{}", resource.plural, resource.group)))
        };
        self.kinds.iter().filter(|(gk, _)| gk.group.contains('.')).filter_map(named).collect()
    }
}

impl Cluster {
    /// Asks which kinds there are: two requests.
    ///
    /// # Errors
    /// The API server does not answer, or is older than Kubernetes 1.27.
    pub async fn discover(&self) -> Result<Discovery, ApiError> {
        let mut discovery = Discovery::default();
        for path in ["/api", "/apis"] {
            let call = Call {
                verb: "get",
                method: Method::GET,
                path: path.into(),
                accept: ACCEPT_AGGREGATED_DISCOVERY_V2,
                body: None,
            };
            let answer = self.call(&call).await?;
            if answer["kind"] != "APIGroupDiscoveryList" {
                return Err(ApiError::Garbled(
                    "no aggregated discovery; driftless needs Kubernetes 1.27 or newer".into(),
                ));
            }
            let list = serde_json::from_value(answer).map_err(|error| ApiError::Garbled(error.to_string()))?;
            discovery.add(list);
        }
        Ok(discovery)
    }

    /// The server's version: `v1.36.2`, `v1.33.1-eks-595af52`.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn server_version(&self) -> Result<String, ApiError> {
        let call = Call { verb: "get", method: Method::GET, path: "/version".into(), accept: JSON, body: None };
        let answer = self.call(&call).await?;
        let version = answer.get("gitVersion").and_then(Value::as_str);
        version.map(ToOwned::to_owned).ok_or_else(|| ApiError::Garbled("/version has no gitVersion".into()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn discovery() -> Discovery {
        let list = json!({"items": [
            {"metadata": {"name": "apps"}, "versions": [{"version": "v1", "freshness": "Current", "resources": [
                {"resource": "deployments", "responseKind": {"group": "apps", "version": "v1", "kind": "Deployment"},
                 "scope": "Namespaced", "verbs": ["list"]}]}]},
            {"metadata": {"name": "metrics.k8s.io"}, "versions": [{"version": "v1beta1", "freshness": "Stale"}]},
        ]});
        let mut discovery = Discovery::default();
        discovery.add(serde_json::from_value(list).unwrap());
        discovery
    }

    #[test]
    fn a_kind_of_an_api_that_is_down_is_not_gone() {
        let discovery = discovery();
        assert_eq!(discovery.scope(&GroupKind::new("apps", "Deployment"), "v1"), Scope::Namespaced);
        assert_eq!(
            discovery.scope(&GroupKind::new("apps", "Deployment"), "v1beta1"),
            Scope::OtherVersions(vec!["v1".into()])
        );
        let down = GroupKind::new("metrics.k8s.io", "PodMetrics");
        assert!(matches!(discovery.scope(&down, "v1beta1"), Scope::Unreachable(_)));
        assert!(discovery.unreachable(&down).is_some());
        assert_eq!(discovery.unreachable(&GroupKind::new("e.com", "X")), None);
    }

    #[test]
    fn a_kind_is_called_by_kind_plural_and_group() {
        let discovery = discovery();
        let gk = GroupKind::new("apps", "Deployment");
        for name in ["deployment", "DEPLOYMENTS", "Deployment.apps", "deployments.Apps"] {
            assert!(discovery.is_called(&gk, name), "{name}");
            assert_eq!(discovery.called(name).collect::<Vec<_>>(), [&gk], "{name}");
        }
        for name in ["deploy", "deployment.", "deployments.extensions", ""] {
            assert!(!discovery.is_called(&gk, name), "{name}");
        }
        assert!(discovery.is_called(&GroupKind::new("e.com", "Gone"), "gone.e.com"), "the cluster need not serve it");
    }

    #[test]
    fn paths_follow_the_scope() {
        let discovery = discovery();
        let resource = discovery.preferred(&GroupKind::new("apps", "Deployment")).unwrap();
        assert_eq!(
            resource.path(&ObjectId::new("apps", "Deployment", Some("shop"), "web")),
            "/apis/apps/v1/namespaces/shop/deployments/web"
        );
        assert_eq!(resource.collection(None), "/apis/apps/v1/deployments");
        // Whatever git says is a name, and never a part of the path.
        assert_eq!(
            resource.path(&ObjectId::new("apps", "Deployment", Some("a b/secrets"), "x/../y?z")),
            "/apis/apps/v1/namespaces/a%20b%2Fsecrets/deployments/x%2F..%2Fy%3Fz"
        );
    }
}
