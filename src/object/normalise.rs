//! Bringing a declared object into the form in which it is compared and applied.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::GroupKind;
use super::error::ManifestError;
use super::names::remove_server_metadata;

/// Annotations that controllers of Kubernetes write of their own accord, and that exports carry. Declared, they are
/// fought over for ever.
const CONTROLLERS_ANNOTATIONS: [&str; 14] = [
    "autoscaling.alpha.kubernetes.io/behavior",
    "autoscaling.alpha.kubernetes.io/conditions",
    "autoscaling.alpha.kubernetes.io/current-metrics",
    "control-plane.alpha.kubernetes.io/leader",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deployment.kubernetes.io/revision",
    "deployment.kubernetes.io/revision-history",
    "deprecated.daemonset.template.generation",
    "endpoints.kubernetes.io/last-change-trigger-time",
    "kubectl.kubernetes.io/last-applied-configuration",
    "pv.kubernetes.io/bind-completed",
    "pv.kubernetes.io/bound-by-controller",
    "volume.kubernetes.io/selected-node",
];

/// Removes `status` and server-written metadata, brings nulls into the form in which server-side apply
/// keeps them, and turns a Secret's `stringData` into `data`: the API server does that too, but on
/// writing only, so that an edit of `data` would neither show in the ownership of `stringData` nor
/// be undone. `gk` is what the object is. Gives a sentence for each thing that git declares and that is left
/// out since only others may say it.
///
/// # Errors
/// A Secret whose `data` or `stringData` holds something other than strings.
pub fn normalise(gk: &GroupKind, object: &mut Value) -> Result<Vec<String>, ManifestError> {
    remove_undeclared_nulls(object);
    let Some(fields) = object.as_object_mut() else { return Ok(Vec::new()) };
    let mut warnings = Vec::new();
    fields.remove("status");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        remove_server_metadata(metadata);
        metadata.retain(|_, field| !field.is_null());
        for map in ["labels", "annotations"] {
            empty_for_null(metadata.get_mut(map));
        }
        leave_to_controllers(metadata, &mut warnings);
    }
    if gk.is("rbac.authorization.k8s.io", "ClusterRole")
        && fields.get("aggregationRule").is_some_and(|rule| !rule.is_null())
    {
        aggregated(fields, &mut warnings);
    }
    if gk.is("", "Secret") {
        for map in ["data", "stringData"] {
            if fields.get(map).is_some_and(Value::is_null) {
                fields.remove(map);
            }
            empty_for_null(fields.get_mut(map));
        }
        fold_string_data(fields)?;
        check_data(fields)?;
    }
    Ok(warnings)
}

/// Leaves out what controllers write, and owners: a UID in git is that of another cluster's object, and the
/// garbage collector deletes what names an owner that does not exist, as often as it is made again.
fn leave_to_controllers(metadata: &mut Map<String, Value>, warnings: &mut Vec<String>) {
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        for name in CONTROLLERS_ANNOTATIONS {
            if annotations.remove(name).is_some() {
                warnings.push(format!(
                    "the annotation {name} is not applied, since it is written by Kubernetes or kubectl; remove it from the manifest"
                ));
            }
        }
    }
    if metadata.remove("ownerReferences").is_some_and(|owners| owners != Value::Array(Vec::new())) {
        warnings.push(
            "metadata.ownerReferences is not applied, since it names an owner by the UID of one cluster, and Kubernetes deletes \
             what names an owner that does not exist; remove it from the manifest"
                .into(),
        );
    }
}

/// The rules of an aggregated `ClusterRole` are the aggregation controller's (rbac/v1, `AggregationRule`).
fn aggregated(role: &mut Map<String, Value>, warnings: &mut Vec<String>) {
    if role
        .remove("rules")
        .is_some_and(|rules| rules.as_array().is_none_or(|rules| !rules.is_empty()) && !rules.is_null())
    {
        warnings.push(
            "rules are not applied, since Kubernetes fills in those of a ClusterRole with an aggregationRule; put them into a \
             ClusterRole that it selects"
                .into(),
        );
    }
}

/// In a map of text to text a key without a value has the empty one, as the API server reads it.
fn empty_for_null(map: Option<&mut Value>) {
    let values = map.and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut);
    values.filter(|value| value.is_null()).for_each(|value| *value = "".into());
}

/// The API server would refuse it too, with a message that shows what it does not like.
fn check_data(secret: &Map<String, Value>) -> Result<(), ManifestError> {
    match secret.get("data") {
        None => Ok(()),
        Some(Value::Object(data)) => match data.iter().find(|(_, value)| !value.is_string()) {
            Some((key, _)) => Err(ManifestError::NotText(format!("data.{key}"))),
            None => Ok(()),
        },
        Some(_) => Err(ManifestError::Type { field: "data", expected: "a map of text to text" }),
    }
}

/// A null is a value: server-side apply makes the empty one of it in a map (a selector whose key has no
/// value selects by the empty one), keeps it in a free-form custom resource, and sets a field to its
/// default. So nulls stay, but for two whose field is then not declared at all:
/// - the protocol of a port, which is a key of the list: a null there is no key, and the second apply
///   adds the port once more (structured-merge-diff, `defaultedKeys`);
/// - `spec.replicas`, which an autoscaler owns where git leaves it open: a null would set it back to 1.
fn remove_undeclared_nulls(object: &mut Value) {
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
        && spec.get("replicas").is_some_and(Value::is_null)
    {
        spec.remove("replicas");
    }
    let mut left = vec![object];
    while let Some(value) = left.pop() {
        match value {
            Value::Object(fields) => {
                for port in fields.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                    if let Some(port) = port.as_object_mut()
                        && port.get("protocol").is_some_and(Value::is_null)
                    {
                        port.remove("protocol");
                    }
                }
                left.extend(fields.values_mut());
            }
            Value::Array(items) => left.extend(items),
            _ => {}
        }
    }
}

fn fold_string_data(secret: &mut Map<String, Value>) -> Result<(), ManifestError> {
    let Some(plain) = secret.remove("stringData") else { return Ok(()) };
    let Value::Object(plain) = plain else { return Err(ManifestError::NotText("stringData".into())) };
    if plain.is_empty() {
        return Ok(());
    }
    let data = secret.entry("data").or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(data) = data else { return Err(ManifestError::NotText("data".into())) };
    for (key, value) in plain {
        let Value::String(text) = value else {
            return Err(ManifestError::NotText(format!("stringData.{key}")));
        };
        data.insert(key, Value::String(STANDARD.encode(text)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn try_to(value: &mut Value) -> Result<Vec<String>, ManifestError> {
        let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text("apiVersion"), text("kind"));
        let group = version.split_once('/').map_or("", |(group, _)| group);
        normalise(&GroupKind::new(group, &kind), value)
    }

    fn normalised(mut value: Value) -> Value {
        try_to(&mut value).unwrap();
        value
    }

    #[test]
    fn string_data_becomes_data_and_wins_over_it() {
        let secret = normalised(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
            "data": {"a": "b2xk", "b": "Yg=="}, "stringData": {"a": "new"},
        }));
        assert_eq!(secret["data"], json!({"a": "bmV3", "b": "Yg=="}));
        assert!(secret.get("stringData").is_none());
    }

    #[test]
    fn string_data_of_another_type_is_an_error_that_shows_no_value() {
        let mut secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"port": 5432},
        });
        let error = try_to(&mut secret).unwrap_err().to_string();
        assert!(error.contains("stringData.port"), "{error}");
        assert!(!error.contains("5432"), "{error}");
    }

    #[test]
    fn data_of_another_type_is_an_error_that_shows_no_value() {
        for (data, place) in [
            (json!("hunter2"), "data"),
            (json!({"a": 5432}), "data.a"),
            (json!(["hunter2"]), "data"),
            (json!({"a": {"hunter2": 1}}), "data.a"),
        ] {
            let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": data});
            let error = try_to(&mut secret).unwrap_err().to_string();
            assert!(error.starts_with(place) && !error.contains("hunter2") && !error.contains("5432"), "{error}");
        }
    }

    #[test]
    fn what_a_server_writes_is_left_out() {
        let object = normalised(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "c", "uid": "u", "resourceVersion": "1", "managedFields": [{}], "labels": null},
            "data": {"a": null, "b": "1"}, "status": {"x": 1},
        }));
        assert_eq!(
            object,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": null, "b": "1"}})
        );
    }

    #[test]
    fn nulls_stay_where_server_side_apply_makes_something_of_them() {
        for object in [
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "n"},
                "spec": {"podSelector": {"matchLabels": {"a": null}}, "ingress": [null]}}),
            json!({"apiVersion": "e.com/v1", "kind": "Release", "metadata": {"name": "r"},
                "spec": {"values": {"probe": null, "list": [{"a": null}]}}}),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
                "spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}}),
        ] {
            assert_eq!(normalised(object.clone()), object);
        }
    }

    #[test]
    fn a_null_in_a_map_of_text_is_the_empty_text_and_metadata_without_a_value_is_not_declared() {
        let object = normalised(json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "s", "labels": {"a": null}, "annotations": null, "finalizers": null},
            "data": {"x": null}, "stringData": {"y": null}}));
        let wanted = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "labels": {"a": ""}},
            "data": {"x": "", "y": ""}});
        assert_eq!(object, wanted);
        let empty = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
        let nothing =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": null, "stringData": null});
        assert_eq!(normalised(nothing), empty);
    }

    #[test]
    fn what_only_others_may_say_is_left_out_with_a_warning() {
        let mut object = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "a", "annotations": {"deployment.kubernetes.io/revision": "7", "mine": "x"},
                "ownerReferences": [{"uid": "u"}]},
            "aggregationRule": {}, "rules": [{"verbs": ["get"]}]});
        let warnings = try_to(&mut object).unwrap();
        assert_eq!(
            object,
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "a", "annotations": {"mine": "x"}}, "aggregationRule": {}})
        );
        for (warning, names) in warnings.iter().zip(["deployment.kubernetes.io/revision", "ownerReferences", "rules"]) {
            assert!(warning.contains(names) && warning.contains("not applied"), "{warning}");
        }
        assert_eq!(warnings.len(), 3);
        let mut plain = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "a"}, "aggregationRule": null, "rules": [{"verbs": ["get"]}]});
        assert_eq!(try_to(&mut plain).unwrap(), [] as [String; 0]);
        assert_eq!(plain["rules"], json!([{"verbs": ["get"]}]), "a rule without a value aggregates nothing");
        let mut empty = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "a", "ownerReferences": []}, "aggregationRule": {}, "rules": []});
        assert_eq!(try_to(&mut empty).unwrap(), [] as [String; 0]);
        assert!(empty.get("rules").is_none());
    }

    #[test]
    fn neither_a_key_of_a_list_nor_what_an_autoscaler_owns_is_declared_by_a_null() {
        let service = normalised(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {"ports": [{"port": 80, "protocol": null, "nodePort": null}]}}));
        assert_eq!(service["spec"]["ports"], json!([{"port": 80, "nodePort": null}]));
        let deployment = normalised(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
            "spec": {"replicas": null, "paused": null}}));
        assert_eq!(deployment["spec"], json!({"paused": null}));
    }

    #[test]
    fn another_kind_keeps_its_string_data() {
        let object = normalised(json!({"apiVersion": "x/v1", "kind": "Secret", "stringData": {"a": "b"}}));
        assert_eq!(object["stringData"]["a"], "b");
    }
}
