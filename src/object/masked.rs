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
    let fields = secret.as_object_mut().into_iter().flatten();
    for (_, field) in fields.filter(|(name, _)| !OPEN.contains(&name.as_str())) {
        match field {
            Value::Object(entries) => entries.values_mut().for_each(|value| *value = HIDDEN.into()),
            other => *other = HIDDEN.into(),
        }
    }
    if let Some(applied) = secret.pointer_mut(LAST_APPLIED) {
        *applied = HIDDEN.into();
    }
    secret
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
