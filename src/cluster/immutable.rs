//! Distinguishing a field that nobody can change in place from all else for which an update is refused.
//! An object may be deleted and made again for the first, and never for anything else.
//!
//! The API has no code for it, so the words of each cause decide (k8s.io/apimachinery,
//! `validation.FieldImmutableErrorMsg`, and those of single kinds). They are read where the server
//! itself puts them, behind the value that it repeats: neither a name nor a value can imitate them.

use super::ApiError;
use super::error::Cause;

/// Ends of causes with the reason `FieldValueInvalid`: `Invalid value: VALUE: WORDS`. A value is
/// quoted there, or a number, so that it can be no such end.
const INVALID: [&str; 4] = [
    // Most kinds; the rules of custom resources (`x-kubernetes-validations`) by convention.
    "is immutable",
    // Service
    "may not change once set",
    // RoleBinding, ClusterRoleBinding
    "cannot change roleRef",
    // A rule of a custom resource that has no message of its own.
    ": failed rule: self == oldSelf",
];

/// Beginnings of causes with the reason `FieldValueForbidden`: `Forbidden: WORDS`, without a value.
const FORBIDDEN: [&str; 7] = [
    // ConfigMap, Secret
    "field is immutable",
    // Pod
    "pod updates may not",
    // PriorityClass
    "may not be changed in an update",
    // PersistentVolumeClaim, of this version and of former ones
    "spec is immutable after creation",
    "is immutable after creation",
    // PersistentVolume
    "spec.persistentvolumesource is immutable after creation",
    // Service
    "may not change once set",
];

/// How the API server begins its answer where an admission webhook refuses. A webhook words the rest,
/// and may give causes as the server itself does.
const BY_WEBHOOK: &str = "admission webhook ";

impl ApiError {
    /// The fields that cannot be changed in place, where they are the only reason why an update was
    /// refused, and the API server itself refused it. `None` where anything else is wrong as well, and
    /// for what an admission policy or webhook says in the same words.
    #[must_use]
    pub fn immutable_fields(&self) -> Option<Vec<String>> {
        let Self::Refused { code: 422, reason, causes, message } = self else { return None };
        if reason != "Invalid" || message.starts_with(BY_WEBHOOK) || !causes.iter().all(is_immutable) {
            return None;
        }
        let mut fields: Vec<String> = Vec::new();
        for cause in causes {
            if !fields.contains(&cause.field) {
                fields.push(cause.field.clone());
            }
        }
        Some(fields).filter(|fields| !fields.is_empty())
    }

    /// An object of this name exists, and that is all that is against creating it: the server checks for
    /// one after validation and admission.
    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        matches!(self, Self::Refused { code: 409, reason, message, .. }
            if reason == "AlreadyExists" && !message.starts_with(BY_WEBHOOK))
    }
}

fn is_immutable(cause: &Cause) -> bool {
    // A cause without a field is that of a policy. Metadata that nobody can change (`metadata.uid`) says
    // that it is another object than was meant.
    if cause.field.is_empty() || cause.field == "metadata" || cause.field.starts_with("metadata.") {
        return false;
    }
    // Some kinds go on with the difference, or with other advice.
    let first = cause.message.lines().next().unwrap_or_default();
    match &*cause.reason {
        "FieldValueInvalid" => INVALID.iter().any(|words| first.trim_end_matches('.').ends_with(words)),
        "FieldValueForbidden" => first.strip_prefix("Forbidden: ").is_some_and(|words| {
            // StatefulSet, StorageClass, VolumeAttributesClass, …
            let updates = words.starts_with("updates to ") && words.trim_end_matches('.').ends_with("are forbidden");
            updates || FORBIDDEN.iter().any(|begin| words.starts_with(begin))
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// An answer with causes, each a reason, a message and a field.
    fn answer(code: u16, message: &str, causes: &[(&str, &str, &str)]) -> ApiError {
        let cause = |(reason, message, field): &(&str, &str, &str)| -> Value {
            json!({"reason": format!("FieldValue{reason}"), "message": message, "field": field})
        };
        let causes: Vec<Value> = causes.iter().map(cause).collect();
        let body = json!({"kind": "Status", "reason": "Invalid", "message": message, "details": {"causes": causes}});
        ApiError::from_answer(code, body.to_string().as_bytes())
    }

    fn fields(causes: &[(&str, &str, &str)]) -> Option<Vec<String>> {
        answer(422, "Thing \"x\" is invalid", causes).immutable_fields()
    }

    /// As Kubernetes 1.36 words them, and former versions where they differ.
    const IMMUTABLE: [(&str, &str, &str); 17] = [
        ("Invalid", r#"Invalid value: {"matchLabels":{"app":"b"}}: field is immutable"#, "spec.selector"),
        ("Invalid", "Invalid value: 3: field is immutable", "spec.completions"),
        ("Invalid", r#"Invalid value: "x/y": field is immutable"#, "type"),
        ("Invalid", r#"Invalid value: ["10.0.0.7"]: may not change once set"#, "spec.clusterIPs[0]"),
        ("Invalid", r#"Invalid value: {"Kind":"Role","Name":"b"}: cannot change roleRef"#, "roleRef"),
        ("Invalid", r#"Invalid value: "y": Value is immutable."#, "spec.a"),
        ("Invalid", r#"Invalid value: "string": failed rule: self == oldSelf"#, "spec.a"),
        ("Forbidden", "Forbidden: field is immutable when `immutable` is set", "data"),
        (
            "Forbidden",
            "Forbidden: updates to statefulset spec for fields other than 'replicas', 'template' and 'minReadySeconds' are forbidden",
            "spec",
        ),
        ("Forbidden", "Forbidden: updates to parameters are forbidden.", "parameters"),
        (
            "Forbidden",
            "Forbidden: pod updates may not change fields other than `spec.tolerations`\n  core.PodSpec{",
            "spec",
        ),
        ("Forbidden", "Forbidden: pod updates may not add or remove containers", "spec.containers"),
        ("Forbidden", "Forbidden: may not be changed in an update.", "value"),
        ("Forbidden", "Forbidden: spec is immutable after creation except resources.requests\n@@ -1 +1 @@", "spec"),
        ("Forbidden", "Forbidden: is immutable after creation except resources.requests for bound claims", "spec"),
        (
            "Forbidden",
            "Forbidden: spec.persistentvolumesource is immutable after creation\n@@",
            "spec.persistentvolumesource",
        ),
        ("Forbidden", "Forbidden: may not change once set", "spec.loadBalancerClass"),
    ];

    #[test]
    fn fields_that_nobody_can_change_are_named() {
        for cause in IMMUTABLE {
            assert_eq!(fields(&[cause]), Some(vec![cause.2.to_owned()]), "{cause:?}");
        }
        let [first, second] = [IMMUTABLE[0], IMMUTABLE[1]];
        let both = vec!["spec.selector".to_owned(), "spec.completions".to_owned()];
        assert_eq!(fields(&[first, second, first]), Some(both), "each once");
    }

    #[test]
    fn nothing_else_is_taken_for_such_a_field() {
        let others = [
            ("Invalid", "Invalid value: 99999: must be between 1 and 65535, inclusive", "spec.ports[0].port"),
            (
                "Invalid",
                r#"Invalid value: "field is immutable": a valid key has no blanks"#,
                "data[field is immutable]",
            ),
            ("Invalid", r#"Invalid value: "may not change once set""#, "spec.clusterIP"),
            (
                "Invalid",
                "Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`",
                "spec.template.metadata.labels",
            ),
            ("Invalid", r#"Invalid value: "zzz": field is immutable"#, "metadata.uid"),
            ("Invalid", "Invalid value: null: some validation rules were not checked", "<nil>"),
            (
                "Forbidden",
                "Forbidden: may not be specified when strategy `type` is 'Recreate'",
                "spec.strategy.rollingUpdate",
            ),
            ("Required", "Required value: the name is immutable", "spec.ports"),
            ("", "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: field is immutable", ""),
        ];
        for other in others {
            assert_eq!(fields(&[other]), None, "{other:?}");
            assert_eq!(fields(&[IMMUTABLE[0], other]), None, "beside one that is: {other:?}");
        }
        assert_eq!(fields(&[]), None, "the message alone says nothing");
    }

    #[test]
    fn admission_is_never_taken_for_it() {
        let cause = IMMUTABLE[0];
        let webhook = "admission webhook \"w.example.com\" denied the request: spec.selector: field is immutable";
        assert_eq!(answer(422, webhook, &[cause]).immutable_fields(), None);
        for code in [400, 403, 409] {
            assert_eq!(answer(code, "field is immutable", &[cause]).immutable_fields(), None, "{code}");
        }
        let exists = |message: &str| {
            let body = json!({"kind": "Status", "reason": "AlreadyExists", "message": message});
            ApiError::from_answer(409, body.to_string().as_bytes()).is_already_exists()
        };
        assert!(exists("configmaps \"x\" already exists"));
        assert!(!exists("admission webhook \"w\" denied the request: exists"));
        assert!(!answer(409, "Operation cannot be fulfilled", &[]).is_already_exists());
    }
}
