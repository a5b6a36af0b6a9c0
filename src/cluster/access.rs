//! Permissions in words: what somebody may not do, and the rule that would allow it.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

/// What a request needs in order to be allowed, as RBAC has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RbacRule {
    /// Empty: the core group.
    #[serde(rename = "apiGroup")]
    pub group: String,
    /// Plural, with the subresource where there is one: `deployments`, `pods/log`.
    pub resource: String,
    /// `None`: everywhere, or a kind outside of all namespaces.
    pub namespace: Option<String>,
    /// The only object that is meant, where that can be said.
    #[serde(rename = "resourceName", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// As RBAC has it: `get`, `patch`, `impersonate`, …
    pub verb: Cow<'static, str>,
}

impl RbacRule {
    /// Access to all objects of a resource. `group` is empty for the core group; `namespace` is as in the field.
    #[must_use]
    pub fn new(verb: &'static str, group: &str, resource: &str, namespace: Option<&str>) -> Self {
        Self {
            group: group.into(),
            resource: resource.into(),
            namespace: namespace.map(Into::into),
            name: None,
            verb: verb.into(),
        }
    }

    /// The rule of a role that allows these verbs, as one line of YAML.
    #[must_use]
    pub fn rule(&self, verbs: &[&str]) -> String {
        let name = self.name.as_ref().map(|name| format!(", resourceNames: [{name:?}]")).unwrap_or_default();
        let verbs: Vec<String> = verbs.iter().map(|verb| format!("{verb:?}")).collect();
        let (group, resource) = (&self.group, &self.resource);
        format!("{{apiGroups: [{group:?}], resources: [{resource:?}]{name}, verbs: [{}]}}", verbs.join(", "))
    }
}

/// `patch deployments.apps in shop`.
impl fmt::Display for RbacRule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(out, ".{}", self.group)?;
        }
        if let Some(name) = &self.name {
            write!(out, " {name}")?;
        }
        match &self.namespace {
            Some(namespace) => write!(out, " in {namespace}"),
            None => Ok(()),
        }
    }
}

/// Since Kubernetes 1.36, a refused impersonation is reported as one of a single request
/// (`impersonate-on:serviceaccount:get`, KEP-5284), without the account. This puts it the way it was
/// before, which is also what has to be granted: it works in all versions.
pub(super) fn name_the_account(message: &str, namespace: &str, name: &str) -> String {
    let user = message.split_once("User \"").and_then(|(_, rest)| rest.split_once('"'));
    match user {
        Some((user, rest)) if rest.starts_with(" cannot impersonate") => format!(
            "serviceaccounts \"{name}\" is forbidden: User \"{user}\" cannot impersonate resource \"serviceaccounts\" \
             in API group \"\" in the namespace \"{namespace}\""
        ),
        _ => message.to_owned(),
    }
}

/// A request that its sender has no permission for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// As the server calls it: `system:serviceaccount:shop:deployer`.
    pub user: String,
    /// The access that the request needs and the user does not have.
    pub access: RbacRule,
}

impl Denied {
    /// Reads the API server's refusal (k8s.io/apiserver, `responsewriters.forbiddenMessage`), which
    /// alone knows what was missing: an apply needs `patch`, and `create` where there is no object yet.
    /// What admission refuses has the same code 403 and other words.
    pub(super) fn parse(message: &str) -> Option<Self> {
        let (object, rest) = message.split_once(" is forbidden: User \"")?;
        if object.contains(": ") {
            return None;
        }
        let (user, rest) = rest.split_once("\" cannot ")?;
        let (verb, rest) = rest.split_once(" resource \"")?;
        let (resource, rest) = rest.split_once("\" in API group \"")?;
        let (group, place) = rest.split_once('"')?;
        let namespace = place.strip_prefix(" in the namespace \"").and_then(|rest| rest.split_once('"'));
        // Of whom to be, RBAC can say exactly; the names of a sync's objects change with every commit.
        let name = object.split_once('"').and_then(|(_, name)| name.strip_suffix('"'));
        let name = name.filter(|_| verb == "impersonate");
        Some(Self {
            user: user.into(),
            access: RbacRule {
                group: group.into(),
                resource: resource.into(),
                namespace: namespace.map(|(namespace, _)| namespace.into()),
                name: name.map(Into::into),
                verb: verb.to_owned().into(),
            },
        })
    }
}

/// The same for every object of a kind in a namespace, so that many can be reported in one line.
impl fmt::Display for Denied {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, access } = self;
        let place = match &access.namespace {
            Some(namespace) => format!("a Role in {namespace}"),
            None => "a ClusterRole".to_owned(),
        };
        let rule = access.rule(&[&access.verb]);
        write!(out, "no permission: {user} may not {access}; {place} with the rule {rule}, bound to {user}, allows it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_reports_what_is_missing_and_where() {
        let message = "deployments.apps \"web\" is forbidden: User \"system:serviceaccount:shop:deployer\" cannot patch \
                       resource \"deployments\" in API group \"apps\" in the namespace \"shop\"";
        let denied = Denied::parse(message).unwrap();
        assert_eq!(denied.access, RbacRule::new("patch", "apps", "deployments", Some("shop")));
        assert_eq!(
            denied.to_string(),
            "no permission: system:serviceaccount:shop:deployer may not patch deployments.apps in shop; a Role in shop \
             with the rule {apiGroups: [\"apps\"], resources: [\"deployments\"], verbs: [\"patch\"]}, bound to \
             system:serviceaccount:shop:deployer, allows it"
        );
        let message = "namespaces is forbidden: User \"u\" cannot list resource \"namespaces\" in API group \"\" at the \
                       cluster scope: RBAC: clusterrole.rbac.authorization.k8s.io \"x\" not found";
        assert_eq!(Denied::parse(message).unwrap().access, RbacRule::new("list", "", "namespaces", None));
    }

    #[test]
    fn an_impersonation_names_the_account() {
        let message = "serviceaccounts \"deployer\" is forbidden: User \"agent\" cannot impersonate resource \
                       \"serviceaccounts\" in API group \"\" in the namespace \"shop\"";
        let denied = Denied::parse(message).unwrap();
        assert_eq!(denied.access.to_string(), "impersonate serviceaccounts deployer in shop");
        assert!(denied.to_string().contains("resourceNames: [\"deployer\"]"), "{denied}");
    }

    #[test]
    fn an_impersonation_that_is_refused_for_one_request_names_the_account_as_well() {
        let newer = "forbidden: User \"agent\" cannot impersonate-on:serviceaccount:get path \"/api\"";
        let named = name_the_account(newer, "shop", "deployer");
        assert_eq!(Denied::parse(&named).unwrap().access.to_string(), "impersonate serviceaccounts deployer in shop");
        assert_eq!(Denied::parse(&named).unwrap().user, "agent");
        let other = "configmaps is forbidden: User \"u\" cannot list resource \"configmaps\"";
        assert_eq!(name_the_account(other, "shop", "deployer"), other);
    }

    #[test]
    fn what_admission_refuses_is_no_missing_permission() {
        for message in [
            "configmaps \"a\" is forbidden: exceeded quota: small, requested: count/configmaps=1",
            "configmaps \"a\" is forbidden: unable to create new content in namespace x because it is being terminated",
            "admission webhook \"w.example.com\" denied the request: a is forbidden: User \"u\" cannot patch resource \
             \"configmaps\" in API group \"\" in the namespace \"x\"",
            "forbidden: User \"u\" cannot get path \"/apis\"",
        ] {
            assert_eq!(Denied::parse(message), None, "{message}");
        }
    }
}
