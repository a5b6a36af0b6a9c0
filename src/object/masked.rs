//! A Secret that may be shown.

use serde_json::Value;

/// Stands for every value of a Secret, of whatever length.
pub const HIDDEN: &str = "<hidden>";
/// The fields of a Secret that hold none of its values (core/v1 `Secret`).
const OPEN: [&str; 5] = ["apiVersion", "immutable", "kind", "metadata", "type"];
/// The whole object as kubectl applied it once, with its values: also in manifests that were exported.
const LAST_APPLIED: &str = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";

/// A Secret that shows which keys it has and nothing of their values. A field that no Secret has
/// counts as data: it may be data with a mistake in its name.
#[must_use]
pub fn masked(secret: &Value) -> Value {
    let mut secret = secret.clone();
    let is_secret = secret.get("kind").is_some_and(|kind| kind == "Secret");
    let fields = secret.as_object_mut().into_iter().flatten();
    let is_hidden = |name: &str| !OPEN.contains(&name) || (!is_secret && name == "type");
    for (_, field) in fields.filter(|(name, _)| is_hidden(name)) {
        match field {
            Value::Object(entries) => entries.values_mut().for_each(|value| *value = HIDDEN.into()),
            other => *other = HIDDEN.into(),
        }
    }
    if let Some(applied) = secret.pointer_mut(LAST_APPLIED) {
        *applied = HIDDEN.into();
    }
    // A value that came to stand in any other object may be in its labels and annotations as well.
    if !is_secret {
        for held in ["labels", "annotations"] {
            let entries = secret.get_mut("metadata").and_then(|metadata| metadata.get_mut(held));
            let entries = entries.and_then(Value::as_object_mut).into_iter().flatten();
            for (_, value) in entries.filter(|(name, _)| !is_open(name)) {
                *value = HIDDEN.into();
            }
        }
    }
    secret
}

/// Labels and annotations that no template writes values into.
fn is_open(name: &str) -> bool {
    ["driftless.dev/", "applyset.kubernetes.io/", "helm.sh/chart", "app.kubernetes.io/"]
        .iter()
        .any(|begins| name.starts_with(begins))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_shown_and_values_are_not_wherever_they_stand() {
        let shown = masked(&json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "immutable": true,
            "metadata": {"name": "s", "annotations": {
                "a": "b", "kubectl.kubernetes.io/last-applied-configuration": "{\"data\":\"hunter2\"}",
            }},
            "data": {"a": "hunter2"}, "stringData": "hunter2", "stringDate": {"b": ["hunter2"]}, "list": ["hunter2"],
        }));
        assert!(!shown.to_string().contains("hunter2"), "{shown}");
        assert_eq!(shown["data"], json!({"a": HIDDEN}));
        assert_eq!(shown["stringDate"], json!({"b": HIDDEN}));
        assert_eq!((&shown["type"], &shown["metadata"]["annotations"]["a"]), (&json!("Opaque"), &json!("b")));
    }
}
