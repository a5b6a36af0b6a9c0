//! The agent's own objects: the inventories of its syncs, their shards, its Lease and the key of
//! its digests. What a repository declares under one of these names would be fought over with the
//! agent, or be taken for its state, so no repository may declare them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::object::{Manifest, ObjectId, names};

/// Which objects are the agent's own. The default knows of none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reserved {
    /// The agent's namespace.
    namespace: Arc<str>,
    /// The syncs that have a parent or are to have one: those of the configuration, and those that
    /// left it.
    syncs: BTreeSet<Arc<str>>,
}

/// What an object of the agent is to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Own {
    /// The `ConfigMap` `driftless-SYNC`, which holds inventory and status of a sync.
    Parent {
        /// Name of that sync.
        sync: Arc<str>,
    },
    /// A `ConfigMap` `driftless-SYNC.observed-HASH` with a part of a large inventory.
    Shard,
    /// The Lease `driftless`, by which replicas elect a leader.
    Lease,
    /// The Secret `driftless-digest-key` with the HMAC key of the digests of Secrets.
    DigestKey,
    /// It carries a label by which inventories are found.
    Labelled(&'static str),
}

impl fmt::Display for Own {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parent { sync } => write!(out, "it holds the inventory of sync {sync}"),
            Self::Shard => out.write_str("it holds a part of an inventory"),
            Self::Lease => out.write_str("it is the Lease of the agent"),
            Self::DigestKey => out.write_str("it holds the key of the digests of Secrets"),
            Self::Labelled(label) => write!(out, "the label {label} marks an inventory"),
        }
    }
}

impl Reserved {
    /// `namespace` is the agent's; `syncs` are those that have a parent or are to have one.
    #[must_use]
    pub fn new(namespace: Arc<str>, syncs: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self { namespace, syncs: syncs.into_iter().collect() }
    }

    /// Whether an object of this identity is the agent's own, and what it is to it.
    #[must_use]
    pub fn own(&self, id: &ObjectId) -> Option<Own> {
        if !self.is_in_namespace(id) {
            return None;
        }
        match (&*id.gk.group, &*id.gk.kind) {
            ("coordination.k8s.io", "Lease") => (&*id.name == names::LEASE).then_some(Own::Lease),
            ("", "Secret") => (&*id.name == names::DIGEST_KEY).then_some(Own::DigestKey),
            ("", "ConfigMap") => {
                let rest = id.name.strip_prefix(names::PARENT_PREFIX)?;
                if rest.contains(names::SHARD_INFIX) {
                    return Some(Own::Shard);
                }
                self.syncs.get(rest).map(|sync| Own::Parent { sync: Arc::clone(sync) })
            }
            _ => None,
        }
    }

    /// Whether to apply a manifest would make an object of the agent's own, or what resembles one.
    #[must_use]
    pub fn declared(&self, manifest: &Manifest) -> Option<Own> {
        if let Some(own) = self.own(&manifest.id) {
            return Some(own);
        }
        if !self.is_in_namespace(&manifest.id) || !manifest.id.gk.is("", "ConfigMap") {
            return None;
        }
        let object = manifest.to_value();
        let labels = object.get("metadata").and_then(|metadata| metadata.get("labels"))?;
        let labelled = [names::SYNC_LABEL, names::OBSERVED_OF, names::APPLYSET_ID];
        labelled.into_iter().find(|label| labels.get(label).is_some()).map(Own::Labelled)
    }

    /// Whether this is the Namespace in which the agent keeps all of it.
    #[must_use]
    pub fn is_home(&self, id: &ObjectId) -> bool {
        id.gk.is("", "Namespace") && id.name == self.namespace
    }

    fn is_in_namespace(&self, id: &ObjectId) -> bool {
        id.namespace.as_ref() == Some(&self.namespace)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::Origin;

    fn reserved() -> Reserved {
        Reserved::new("home".into(), ["shop".into(), "old".into()])
    }

    #[test]
    fn the_agents_own_objects_are_known_by_name_in_its_namespace_alone() {
        let own = |group: &str, kind: &str, name: &str| reserved().own(&ObjectId::new(group, kind, Some("home"), name));
        assert_eq!(own("", "ConfigMap", "driftless-shop"), Some(Own::Parent { sync: "shop".into() }));
        assert_eq!(own("", "ConfigMap", &format!("driftless-gone.observed-{}", "0".repeat(32))), Some(Own::Shard));
        assert_eq!(own("coordination.k8s.io", "Lease", "driftless"), Some(Own::Lease));
        assert_eq!(own("", "Secret", "driftless-digest-key"), Some(Own::DigestKey));
        // The agent's configuration, permissions and Deployment come from git where somebody wants that.
        for (group, kind, name) in [
            ("", "ConfigMap", "driftless"),
            ("", "ConfigMap", "driftless-config"),
            ("", "ConfigMap", "shop"),
            ("", "Secret", "driftless-shop"),
            ("", "Secret", "driftless"),
            ("", "ServiceAccount", "driftless"),
            ("apps", "Deployment", "driftless"),
            ("coordination.k8s.io", "Lease", "driftless-shop"),
            ("example.com", "ConfigMap", "driftless-shop"),
        ] {
            assert_eq!(own(group, kind, name), None, "{kind} {name}");
        }
        assert_eq!(reserved().own(&ObjectId::new("", "ConfigMap", Some("elsewhere"), "driftless-shop")), None);
        assert_eq!(reserved().own(&ObjectId::new("", "ConfigMap", None, "driftless-shop")), None);
        assert_eq!(Reserved::default().own(&ObjectId::new("", "ConfigMap", Some("home"), "driftless-shop")), None);
    }

    #[test]
    fn a_config_map_that_would_be_listed_as_an_inventory_is_none_of_a_repository() {
        let declared = |namespace: &str, label: &str| {
            let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "x", "namespace": namespace, "labels": {label: "y"}}});
            let manifest = Manifest::from_value(object, Origin { file: "a.yaml".into(), line: 1 }).unwrap();
            reserved().declared(&manifest)
        };
        for label in ["driftless.dev/sync", "driftless.dev/observed-of", "applyset.kubernetes.io/id"] {
            assert_eq!(declared("home", label), Some(Own::Labelled(label)));
            assert_eq!(declared("elsewhere", label), None, "another tool's parent, or a copy");
        }
        assert_eq!(declared("home", "app"), None);
    }
}
