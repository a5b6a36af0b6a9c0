//! Restart on change, where a workload or its sync asks for it: the pod template holds a digest of the `ConfigMap`s and
//! Secrets of the same sync that its pods refer to, so that a change of one of them rolls the workload out.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::file::annotate;
use super::{RenderError, Rendered, Settings};
use crate::object::{DigestKey, Manifest, ManifestError, names};

/// The workloads whose pods are replaced when their template changes.
const WORKLOADS: [&str; 3] = ["DaemonSet", "Deployment", "StatefulSet"];

/// Sets the digests. Without a key, as where nothing is applied, a text stands in their place.
pub fn on_change(rendered: Rendered, settings: &Settings, key: Option<&DigestKey>) -> Rendered {
    let all = settings.config.restart_on_change;
    let wants = |manifest: &Manifest| {
        WORKLOADS.iter().any(|kind| manifest.id.gk.is("apps", kind)) && (all || manifest.directives.restart_on_change)
    };
    if !rendered.manifests.iter().any(|manifest| wants(manifest)) {
        return rendered;
    }
    let default = settings.target_namespace.as_deref().unwrap_or("default");
    let namespace = |manifest: &Manifest| manifest.id.namespace.as_deref().unwrap_or(default).to_owned();
    let held: HashMap<(bool, String, String), Arc<Manifest>> = rendered
        .manifests
        .iter()
        .filter_map(|manifest| {
            let secret = manifest.id.gk.is("", "Secret");
            let holds = secret || manifest.id.gk.is("", "ConfigMap");
            holds.then(|| ((secret, namespace(manifest), manifest.id.name.to_string()), Arc::clone(manifest)))
        })
        .collect();
    let Rendered { manifests, mut errors, warnings, .. } = rendered;
    let manifests = manifests.into_iter().filter_map(|manifest| {
        if !wants(&manifest) {
            return Some(manifest);
        }
        let object = manifest.to_value();
        let used = references(object.pointer("/spec/template/spec").unwrap_or(&Value::Null));
        let home = namespace(&manifest);
        let used: Vec<&Arc<Manifest>> =
            used.into_iter().filter_map(|(secret, name)| held.get(&(secret, home.clone(), name))).collect();
        if used.is_empty() {
            return Some(manifest);
        }
        match with_digest(&manifest, &used, key) {
            Ok(marked) => Some(Arc::new(marked)),
            Err(error) => {
                errors.push(RenderError::of(&manifest, error.to_string()));
                None
            }
        }
    });
    let manifests = manifests.collect();
    Rendered { manifests, errors, warnings, ..Rendered::default() }
}

fn with_digest(
    manifest: &Manifest,
    used: &[&Arc<Manifest>],
    key: Option<&DigestKey>,
) -> Result<Manifest, ManifestError> {
    let digest = key.map_or_else(
        || "(set when it is applied)".to_owned(),
        |key| {
            // What is set at the creation of one alone is no part of its digest, and so of none here.
            let digests: Vec<String> = used.iter().map(|used| format!("{} {}", used.id, used.digest(key))).collect();
            key.digest(digests.join("\n").as_bytes()).to_string()
        },
    );
    let mut marked = manifest.edited(|object| {
        if let Some(template) = object.pointer_mut("/spec/template") {
            annotate(template, names::USED_DIGEST, &digest);
        }
    })?;
    if key.is_none() {
        // Who plans without the key cannot compare it.
        let digest = format!("spec.template.metadata.annotations[\"{}\"]", names::USED_DIGEST);
        marked.directives.ignore_fields.extend(digest.parse());
    }
    Ok(marked)
}

/// The `ConfigMap`s (`false`) and Secrets (`true`) that pods of a template refer to.
fn references(pod: &Value) -> BTreeSet<(bool, String)> {
    let mut found = BTreeSet::new();
    let mut add = |secret: bool, name: Option<&Value>| {
        found.extend(name.and_then(Value::as_str).map(|name| (secret, name.to_owned())));
    };
    let items = |value: &Value, field: &str| value.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    for kind in ["initContainers", "containers"] {
        for container in items(pod, kind) {
            for source in items(&container, "envFrom") {
                add(false, source.pointer("/configMapRef/name"));
                add(true, source.pointer("/secretRef/name"));
            }
            for variable in items(&container, "env") {
                add(false, variable.pointer("/valueFrom/configMapKeyRef/name"));
                add(true, variable.pointer("/valueFrom/secretKeyRef/name"));
            }
        }
    }
    for volume in items(pod, "volumes") {
        add(false, volume.pointer("/configMap/name"));
        add(true, volume.pointer("/secret/secretName"));
        let projected = volume.pointer("/projected/sources").and_then(Value::as_array);
        for source in projected.into_iter().flatten() {
            add(false, source.pointer("/configMap/name"));
            add(true, source.pointer("/secret/name"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::RenderConfig;
    use crate::object::Origin;

    fn manifest(object: Value) -> Arc<Manifest> {
        Arc::new(Manifest::from_value(object, Origin { file: "a.yaml".into(), line: 1 }).unwrap())
    }

    fn rendered(password: &str, other: &str, annotation: bool) -> Rendered {
        let annotations = if annotation { json!({names::RESTART_ON_CHANGE: "true"}) } else { json!({}) };
        let web = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "annotations": annotations},
        "spec": {"template": {"metadata": {}, "spec": {
            "containers": [{"name": "web", "env": [
                {"name": "P", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
            ]}],
            "volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "web"}}]}}],
        }}}});
        let data = |kind: &str, name: &str, namespace: &str, value: &str| {
            manifest(json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace},
                "data": {"password": value}}))
        };
        let manifests = vec![
            manifest(web),
            data("Secret", "db", "default", password),
            data("ConfigMap", "other", "default", other),
            data("ConfigMap", "web", "elsewhere", other),
        ];
        Rendered { manifests, ..Rendered::default() }
    }

    fn digest(rendered: Rendered, all: bool) -> Option<String> {
        let config = RenderConfig { restart_on_change: all, ..RenderConfig::default() };
        let settings = Settings { config: config.into(), ..Settings::default() };
        let done = on_change(rendered, &settings, Some(&DigestKey::new([1; 32])));
        assert!(done.errors.is_empty() && done.manifests.len() == 4);
        let web = done.manifests[0].to_value();
        let annotations = web.pointer("/spec/template/metadata/annotations")?;
        Some(annotations.get(names::USED_DIGEST)?.as_str()?.to_owned())
    }

    #[test]
    fn without_the_key_the_digest_is_no_part_of_a_comparison() {
        let done = on_change(rendered("YQ==", "b", true), &Settings::default(), None);
        let ignored = &done.manifests[0].directives.ignore_fields;
        assert_eq!(
            ignored.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [r#"spec.template.metadata.annotations["driftless.dev/used-config-digest"]"#]
        );
    }

    #[test]
    fn a_template_changes_with_what_its_pods_use_and_with_nothing_else() {
        let first = digest(rendered("YQ==", "b", true), false).unwrap();
        assert_eq!(digest(rendered("YQ==", "c", true), false), Some(first.clone()));
        assert_eq!(digest(rendered("YQ==", "b", false), true), Some(first.clone()));
        assert_ne!(digest(rendered("Yg==", "b", true), false), Some(first));
        assert_eq!(digest(rendered("YQ==", "b", false), false), None);
    }
}
