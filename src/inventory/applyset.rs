//! The words of an `ApplySet` (KEP-3659, keps/sig-cli/3659-kubectl-apply-prune): how a parent and
//! its members find each other, and how tools keep off each other's sets.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::object::{GroupKind, names};

/// The id of the set whose parent this is: `applyset-`, the base64 (URL alphabet, no padding) of
/// the SHA-256 of `<name>.<namespace>.<kind>.<group>`, and `-v1`. The core group and the namespace
/// of a cluster-scoped parent are empty.
#[must_use]
pub fn applyset_id(name: &str, namespace: &str, kind: &str, group: &str) -> String {
    let hash = Sha256::digest(format!("{name}.{namespace}.{kind}.{group}"));
    format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(hash))
}

/// The value of the annotation `applyset.kubernetes.io/tooling`: `driftless/v0.1.0`.
pub(super) fn tooling() -> String {
    format!("{}/v{}", names::FIELD_MANAGER, env!("CARGO_PKG_VERSION"))
}

/// The tool in a tooling annotation, its version left out, as kubectl reads it: all before the last `/`.
pub(super) fn tooling_name(annotation: &str) -> &str {
    annotation.rsplit_once('/').map_or(annotation, |(name, _)| name)
}

/// The value of `applyset.kubernetes.io/contains-group-kinds`: `Kind.group`, sorted, joined by commas.
/// An empty set has an empty value; without the annotation kubectl refuses the parent.
pub(super) fn contains_group_kinds<'a>(kinds: impl IntoIterator<Item = &'a GroupKind>) -> String {
    // Sorted as the text that is written, which differs from the order by group.
    let sorted: BTreeSet<String> = kinds.into_iter().map(ToString::to_string).collect();
    sorted.into_iter().collect::<Vec<_>>().join(",")
}

/// The value of `applyset.kubernetes.io/additional-namespaces`: sorted, joined by commas, without
/// the parent's own. `None` when there is no other: the specification reserves the empty value.
pub(super) fn additional_namespaces<'a>(namespaces: impl IntoIterator<Item = &'a str>, own: &str) -> Option<String> {
    let sorted: BTreeSet<&str> = namespaces.into_iter().filter(|namespace| *namespace != own).collect();
    (!sorted.is_empty()).then(|| sorted.into_iter().collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_one_that_kubectl_computes() {
        assert_eq!(
            applyset_id("my-set", "test", "Secret", ""),
            "applyset-0eFHV8ySqp7XoShsGvyWFQD3s96yqwHmzc4e0HR1dsY-v1"
        );
    }

    #[test]
    fn an_id_is_a_label_value() {
        assert!(applyset_id(&"n".repeat(253), "driftless", "ConfigMap", "").len() <= 63);
    }

    #[test]
    fn our_tooling_names_tool_and_version() {
        assert_eq!(tooling(), concat!("driftless/v", env!("CARGO_PKG_VERSION")));
        assert_eq!(tooling_name(&tooling()), "driftless");
        assert_eq!(tooling_name("kubectl/v1.27"), "kubectl");
        assert_eq!(tooling_name("configsync.gke.io/v1"), "configsync.gke.io");
        assert_eq!(tooling_name("helm"), "helm");
    }

    #[test]
    fn kinds_are_sorted_as_they_are_written() {
        let kinds = ["Secret", "Deployment.apps", "ConfigMap", "Secret", "Certificate.cert-manager.io"];
        let kinds: Vec<GroupKind> = kinds.into_iter().map(GroupKind::parse).collect();
        assert_eq!(contains_group_kinds(&kinds), "Certificate.cert-manager.io,ConfigMap,Deployment.apps,Secret");
        assert_eq!(contains_group_kinds([]), "");
    }

    #[test]
    fn the_namespace_of_the_parent_goes_without_saying() {
        assert_eq!(additional_namespaces(["b", "own", "a", "b"], "own").as_deref(), Some("a,b"));
        assert_eq!(additional_namespaces(["own"], "own"), None);
    }
}
