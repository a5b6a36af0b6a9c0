//! A `ValidatingAdmissionPolicy` in the namespace of one test, in force once it is made.

use http::Method;
use serde_json::{Value, json};

use super::cluster::cluster;
use super::site::Site;
use super::wait::eventually;

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";

pub struct Policy {
    binding: String,
}

impl Policy {
    /// Denies with `message` what does not satisfy a CEL expression. `probe` is a collection and an
    /// object that the policy refuses to be created there as a dry run; policies are in force a moment
    /// after they are made.
    pub fn denying(site: &Site, rule: &Value, expression: &str, message: &str, probe: (&str, &Value)) -> Self {
        let name = format!("policy-{}-{}", site.id, fastrand::u32(..));
        let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name}, "spec": {"failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [rule]},
                "validations": [{"expression": expression, "message": message}]}});
        let binding = json!({"apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector":
                    {"matchLabels": {"kubernetes.io/metadata.name": site.namespace}}}}});
        site.cluster_scoped("validatingadmissionpolicies.admissionregistration.k8s.io", &name);
        let bound = site.cluster_scoped("validatingadmissionpolicybindings.admissionregistration.k8s.io", &name);
        cluster().create(&format!("{GROUP}/validatingadmissionpolicies"), &policy);
        cluster().create(&format!("{GROUP}/validatingadmissionpolicybindings"), &binding);
        let (collection, object) = probe;
        let all = format!("{collection}?dryRun=All");
        eventually("the policy refuses", || {
            match cluster().ask(&Method::POST, &all, "application/json", Some(object)) {
                Err(403 | 422) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        Self { binding: bound }
    }

    /// Takes it out of force. Requests may be refused for a moment longer.
    pub fn end(self) {
        cluster().delete(&self.binding);
    }
}
