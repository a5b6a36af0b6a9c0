//! Manifests that opt in to being replaced, and sites that are synced with them.

use serde_json::{Value, json};

use crate::support::cluster::path;
use crate::support::site::{Site, deployment};

pub(super) const OPT_IN: &str = "driftless.dev/replace: \"true\"";
pub(super) const DEPLOYMENTS: &str = "deployments.apps";

/// A manifest with annotations.
pub(super) fn annotated(manifest: &str, annotations: &str) -> String {
    manifest.replacen("metadata:\n", &format!("metadata:\n  annotations: {{{annotations}}}\n"), 1)
}

pub(super) fn opted_in(manifest: &str) -> String {
    annotated(manifest, OPT_IN)
}

/// A synced site that does not wait for health.
pub(super) fn synced(files: &[(&str, &str)]) -> Site {
    synced_with(files, |_| {})
}

pub(super) fn synced_with(files: &[(&str, &str)], adjust: impl FnOnce(&mut Value)) -> Site {
    let site = Site::with(files);
    let mut sync = site.sync("shop");
    sync["wait"] = json!(false);
    adjust(&mut sync);
    site.configure(&[sync]);
    site.once().expect_code(0);
    site
}

#[track_caller]
pub(super) fn uid(site: &Site, plural: &str, name: &str) -> Value {
    site.get(plural, name).unwrap_or_else(|| panic!("{plural} {name} is gone"))["metadata"]["uid"].clone()
}

/// A Deployment whose selector is `app: SELECTOR` and whose pods have the label `app: LABEL`.
pub(super) fn selecting(name: &str, selector: &str, label: &str) -> String {
    deployment(name, "nginx")
        .replace(&format!("matchLabels: {{app: {name}}}"), &format!("matchLabels: {{app: {selector}}}"))
        .replace(&format!("labels: {{app: {name}}}"), &format!("labels: {{app: {label}}}"))
}

pub(super) fn of_namespace(site: &Site, plural: &str) -> String {
    path(plural, Some(&site.namespace), "")
}

pub(super) fn rule(group: &str, resource: &str, operations: &[&str]) -> Value {
    json!({"apiGroups": [group], "apiVersions": ["v1"], "operations": operations, "resources": [resource]})
}
