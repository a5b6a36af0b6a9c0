//! What a commit brings along for its own objects. A dry run asks before anything is written, so it is refused
//! for want of what the same commit creates: a `ServiceAccount`, a class, a role, a field of a CRD.

use crate::object::ObjectId;

use super::Step;

/// The object of the same plan for want of which the server may have refused a dry run of object `id`, so that the refusal says nothing of the commit: the CRD of that kind, if the plan writes it, or one that the plan
/// creates and the message calls missing. Time in proportion to the steps.
#[must_use]
pub fn brought_along<'p>(message: &str, id: &ObjectId, steps: &'p [Step]) -> Option<&'p ObjectId> {
    let lower = message.to_lowercase();
    let brings = |step: &&Step| {
        if !step.applies() || step.id == *id {
            return false;
        }
        let manifest = step.desired.as_ref().map(|desired| &desired.manifest);
        if manifest.and_then(|manifest| manifest.defines()).is_some_and(|(defined, _)| defined == id.gk) {
            return !NOT_OF_A_SCHEMA.iter().any(|words| lower.contains(words));
        }
        let apart = |one: &ObjectId| one.namespace.is_some() && id.namespace.is_some() && one.namespace != id.namespace;
        step.live.is_none() && !apart(&step.id) && is_called_missing(&lower, &step.id)
    };
    steps.iter().find(brings).map(|step| &step.id)
}

/// What is in a refusal that another schema of the kind would not mend: permissions, admission, immutable fields.
const NOT_OF_A_SCHEMA: [&str; 5] = ["forbidden", "denied", "immutable", "may not change", "cannot change"];

/// Whether a message, in lower case, says that this object is not there, in the words of the API server's own admission:
/// `serviceaccount "a" not found`, `clusterroles.rbac.authorization.k8s.io "a" not found`,
/// `no PriorityClass with name a was found`.
fn is_called_missing(message: &str, id: &ObjectId) -> bool {
    let (kind, name) = (id.gk.kind.to_lowercase(), id.name.to_lowercase());
    let ways = [
        format!("{kind} \"{name}\" not found"),
        format!("{kind}s \"{name}\" not found"),
        format!("{kind}s.{} \"{name}\" not found", id.gk.group),
        format!("{kind} with name {name} was found"),
    ];
    let begins = |at: usize| !message[..at].ends_with(|sign: char| sign.is_alphanumeric() || sign == '.');
    ways.iter().any(|words| message.match_indices(words.as_str()).any(|(at, _)| begins(at)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::object::{Digest, Manifest, Origin};
    use crate::plan::{Desired, Reason, Verb};

    fn step(verb: Verb, value: serde_json::Value) -> Step {
        let manifest = Manifest::from_value(value, Origin { file: "a.yaml".into(), line: 1 }).unwrap();
        let id = manifest.id.clone();
        let desired = Desired { digest: Digest::of(&manifest.canonical), manifest: Arc::new(manifest) };
        Step { id, verb, reason: Reason::NotFound, desired: Some(desired), live: None }
    }

    fn named(verb: Verb, api_version: &str, kind: &str, name: &str) -> Step {
        step(verb, json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}}))
    }

    #[test]
    fn what_the_same_plan_creates_is_no_reason_to_refuse() {
        let steps = [
            named(Verb::Create, "v1", "ServiceAccount", "web"),
            named(Verb::Create, "scheduling.k8s.io/v1", "PriorityClass", "high"),
            named(Verb::Create, "node.k8s.io/v1", "RuntimeClass", "gvisor"),
            named(Verb::Create, "rbac.authorization.k8s.io/v1", "ClusterRole", "reader"),
            named(Verb::Unchanged, "v1", "ServiceAccount", "there"),
            named(Verb::Create, "v1", "Service", "shop"),
            named(Verb::Create, "v1", "Account", "shop"),
            Step { id: ObjectId::new("", "Pod", Some("a"), "p"), ..named(Verb::Create, "v1", "Pod", "p") },
        ];
        let pod = ObjectId::new("", "Pod", Some("a"), "p");
        let brought = |message: &str| brought_along(message, &pod, &steps).map(|id| id.name.to_string());
        for (message, name) in [
            (
                r#"pods "p" is forbidden: error looking up service account a/web: serviceaccount "web" not found"#,
                Some("web"),
            ),
            (r#"pods "p" is forbidden: no PriorityClass with name high was found"#, Some("high")),
            (r#"pods "p" is forbidden: pod rejected: RuntimeClass "gvisor" not found"#, Some("gvisor")),
            (r#"clusterroles.rbac.authorization.k8s.io "reader" not found"#, Some("reader")),
            (
                r#"pods "p" is forbidden: error looking up service account a/webs: serviceaccount "webs" not found"#,
                None,
            ),
            (r#"serviceaccount "there" not found"#, None),
            (r#"serviceaccount "shop" not found"#, None),
            (r#"serviceaccount "web" is wrong"#, None),
        ] {
            assert_eq!(brought(message).as_deref(), name, "{message}");
        }
    }

    #[test]
    fn a_kind_whose_crd_is_written_by_the_plan_cannot_be_asked_about() {
        let crd = |verb| {
            step(
                verb,
                json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": "xs.e.com"}, "spec": {"group": "e.com", "names": {"kind": "X"}, "scope": "Cluster"}}),
            )
        };
        let message = ".spec.new: field not declared in schema";
        let of =
            |kind, verb| brought_along(message, &ObjectId::new("e.com", kind, None, "one"), &[crd(verb)]).is_some();
        assert!(of("X", Verb::Configure));
        let one = ObjectId::new("e.com", "X", None, "one");
        for other in
            ["admission webhook \"w\" denied the request: no", "spec.a: field is immutable", "x is forbidden: no"]
        {
            assert_eq!(brought_along(other, &one, &[crd(Verb::Configure)]), None, "{other}");
        }
        assert!(!of("X", Verb::Unchanged));
        assert!(!of("Y", Verb::Configure));
    }
}
