//! Accounts with permissions of their own, as RBAC grants them.

use std::sync::OnceLock;

use http::Method;
use serde_json::{Value, json};

use super::cluster::{cluster, path};
use super::deploy::{document, plain};
use super::site::Site;

/// A `ServiceAccount`.
#[derive(Clone, Debug)]
pub struct Account {
    pub namespace: String,
    pub name: String,
}

impl Account {
    pub fn create(namespace: &str, name: &str) -> Self {
        let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
        cluster().create(&path("serviceaccounts", Some(namespace), ""), &object);
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// As the audit log has it.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }

    /// As the configuration of a sync has it.
    pub fn reference(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    pub fn token(&self) -> String {
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let path = format!("{}/token", path("serviceaccounts", Some(&self.namespace), &self.name));
        let answer = cluster().ask(&Method::POST, &path, "application/json", Some(&request)).expect("a token");
        answer["status"]["token"].as_str().expect("a token").to_owned()
    }

    /// Grants rules in one namespace. `role` is a name that no other grant there has.
    pub fn may(&self, namespace: &str, role: &str, rules: &Value) {
        let object = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": role}, "rules": rules});
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": self.name, "namespace": self.namespace}]});
        cluster().create(&path("roles.rbac.authorization.k8s.io", Some(namespace), ""), &object);
        cluster().create(&path("rolebindings.rbac.authorization.k8s.io", Some(namespace), ""), &binding);
    }

    /// Grants rules in the whole cluster; `role` as above.
    pub fn may_everywhere(&self, site: &Site, role: &str, rules: &Value) {
        let object = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": role}, "rules": rules});
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": self.name, "namespace": self.namespace}]});
        for (plural, object) in [("clusterroles", object), ("clusterrolebindings", binding)] {
            let plural = format!("{plural}.rbac.authorization.k8s.io");
            site.cluster_scoped(&plural, role);
            site.cluster().create(&path(&plural, None, ""), &object);
        }
    }
}

/// All that is done with the objects of a kind.
pub fn every(group: &str, resources: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources,
        "verbs": ["get", "list", "watch", "create", "patch", "delete"]})
}

/// The agent of a site as an account of its own, with no more permissions than its documentation
/// says (and, where it acts as other accounts, those to do that).
pub fn least_agent(site: &Site, acts_as: &[&Account]) -> Account {
    site.make_namespace(&site.home);
    let agent = Account::create(&site.home, "driftless");
    agent.may(
        &site.home,
        "driftless",
        &json!([
            every("", &["configmaps"]),
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "create"]},
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]},
        ]),
    );
    for account in acts_as {
        lend(&agent, account);
    }
    site.use_token(&agent.token());
    agent
}

/// Lets an agent act as an account.
pub fn lend(agent: &Account, account: &Account) {
    let rule = json!([{"apiGroups": [""], "resources": ["serviceaccounts"],
        "verbs": ["impersonate"], "resourceNames": [account.name]}]);
    agent.may(&account.namespace, &format!("act-as-{}", account.name), &rule);
}

/// The agent of a site as the plain manifests for a whole cluster make it: their `ClusterRole`, with
/// rules for the custom resources of the tests as the value `rbac.extraRules` would add them, and
/// their Role in its namespace.
pub fn chart_agent(site: &Site) -> Account {
    static MANIFESTS: OnceLock<Vec<Value>> = OnceLock::new();
    let manifests = MANIFESTS.get_or_init(|| plain("cluster"));
    if !site.has_namespace(&site.home) {
        site.make_namespace(&site.home);
    }
    let agent = Account::create(&site.home, "driftless");
    agent.may(&site.home, "driftless", &document(manifests, "Role", "driftless")["rules"]);
    let mut rules = document(manifests, "ClusterRole", "driftless")["rules"].clone();
    let extra = [
        every("*", &["things", "promotions"]),
        // The shop has a Role that grants this.
        json!({"apiGroups": ["shop.example.com"], "resources": ["promotions/status"], "verbs": ["patch"]}),
    ];
    rules.as_array_mut().expect("rules").extend(extra);
    agent.may_everywhere(site, &format!("driftless-{}", site.id), &rules);
    site.use_token(&agent.token());
    agent
}
