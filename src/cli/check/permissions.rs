//! Which permissions are missing: one `SelfSubjectAccessReview` for each that is needed.
//!
//! A `SelfSubjectRulesReview` would answer for a whole namespace at once. But its answer is a guess
//! by design: a webhook or node authorizer need not list its rules, and rules of cluster scope are
//! not in it. Asking for everything in all namespaces first saves nearly as much.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use serde::Serialize;

use crate::cluster::{ApiError, Cluster, RbacRule};

/// Questions that are under way at once.
const AT_ONCE: usize = 8;

/// What is needed, with whether anything fails without it.
#[derive(Clone, Debug, Default)]
pub(super) struct Needed {
    required: BTreeSet<RbacRule>,
    optional: BTreeSet<RbacRule>,
}

/// What is missing of one resource in one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Missing {
    pub verbs: Vec<String>,
    pub api_group: String,
    pub resource: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
    /// `null`: the cluster as a whole.
    pub namespace: Option<String>,
    /// `false`: syncing goes on without.
    pub required: bool,
    /// The rule of a role that grants it.
    pub rule: String,
}

impl Needed {
    pub fn require(&mut self, access: impl IntoIterator<Item = RbacRule>) {
        self.required.extend(access);
    }

    /// What is good to have.
    pub fn prefer(&mut self, access: impl IntoIterator<Item = RbacRule>) {
        self.optional.extend(access);
    }

    pub fn len(&self) -> usize {
        self.required.len() + self.optional.len()
    }

    /// Asks for all of it; what is granted everywhere is not asked for in each namespace.
    ///
    /// # Errors
    /// The API server does not answer a question.
    pub async fn missing(&self, cluster: &Cluster) -> Result<Vec<Missing>, ApiError> {
        let all: BTreeSet<&RbacRule> = self.required.iter().chain(&self.optional).collect();
        let mut places: BTreeMap<RbacRule, usize> = BTreeMap::new();
        for access in &all {
            *places.entry(everywhere(access)).or_default() += 1;
        }
        let several = places.into_iter().filter(|(_, count)| *count > 1).map(|(access, _)| access).collect();
        let granted = ask(cluster, several).await?.0;
        let single = all.into_iter().filter(|access| !granted.contains(&everywhere(access))).cloned().collect();
        let denied = ask(cluster, single).await?.1;
        Ok(self.group(&denied))
    }

    /// One entry a resource and place.
    fn group(&self, denied: &BTreeSet<RbacRule>) -> Vec<Missing> {
        let mut groups: BTreeMap<(bool, RbacRule), Vec<&str>> = BTreeMap::new();
        for access in denied {
            let what = RbacRule { verb: "".into(), ..access.clone() };
            groups.entry((!self.required.contains(access), what)).or_default().push(&access.verb);
        }
        let missing = |((optional, access), verbs): ((bool, RbacRule), Vec<&str>)| Missing {
            rule: access.rule(&verbs),
            verbs: verbs.into_iter().map(ToOwned::to_owned).collect(),
            api_group: access.group,
            resource: access.resource,
            resource_name: access.name,
            namespace: access.namespace,
            required: !optional,
        };
        groups.into_iter().map(missing).collect()
    }
}

fn everywhere(access: &RbacRule) -> RbacRule {
    RbacRule { namespace: None, ..access.clone() }
}

/// What is granted and what is denied.
async fn ask(
    cluster: &Cluster,
    questions: BTreeSet<RbacRule>,
) -> Result<(BTreeSet<RbacRule>, BTreeSet<RbacRule>), ApiError> {
    let (mut granted, mut denied) = (BTreeSet::new(), BTreeSet::new());
    let mut asked = Vec::with_capacity(questions.len());
    for access in questions {
        asked.push(cluster.may(access));
    }
    let mut answers = futures::stream::iter(asked).buffer_unordered(AT_ONCE);
    while let Some((access, allowed)) = answers.next().await {
        if allowed? {
            granted.insert(access)
        } else {
            denied.insert(access)
        };
    }
    Ok((granted, denied))
}

/// The missing permissions as the rows of a table, with the rules to paste below.
pub(super) fn table(missing: &[Missing]) -> String {
    let resource = |one: &Missing| {
        let group = if one.api_group.is_empty() { String::new() } else { format!(".{}", one.api_group) };
        let name = one.resource_name.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
        format!("{}{group}{name}", one.resource)
    };
    let place = |one: &Missing| one.namespace.clone().unwrap_or_else(|| "(cluster)".into());
    let row = |one: &Missing| {
        let need = if one.required { "required" } else { "optional" };
        [place(one), resource(one), one.verbs.join(", "), need.into()]
    };
    let head = ["NAMESPACE", "RESOURCE", "MISSING VERBS", ""].map(ToOwned::to_owned);
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(missing.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut out = String::new();
    for [place, resource, verbs, need] in &rows {
        let line = format!("       {place:<0$}  {resource:<1$}  {verbs:<2$}  {need}", widths[0], widths[1], widths[2]);
        out += line.trim_end();
        out.push('\n');
    }
    let mut roles: BTreeMap<&Option<String>, Vec<&str>> = BTreeMap::new();
    for one in missing {
        roles.entry(&one.namespace).or_default().push(&one.rule);
    }
    for (namespace, rules) in roles {
        match namespace {
            Some(namespace) => out += &format!("       rules for a Role in {namespace}:\n"),
            None => out += "       rules for a ClusterRole:\n",
        }
        for rule in rules {
            out += &format!("       - {rule}\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_one_row_a_resource_with_the_rule_to_paste() {
        let mut needed = Needed::default();
        needed.require(["create", "patch"].map(|verb| RbacRule::new(verb, "apps", "deployments", Some("shop"))));
        needed.prefer([RbacRule::new("create", "events.k8s.io", "events", Some("shop"))]);
        let denied: BTreeSet<RbacRule> = needed.required.iter().chain(&needed.optional).cloned().collect();
        let missing = needed.group(&denied);
        assert_eq!(missing.iter().map(|one| one.required).collect::<Vec<_>>(), [true, false]);
        let text = table(&missing);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(
            lines,
            [
                "NAMESPACE  RESOURCE              MISSING VERBS",
                "shop       deployments.apps      create, patch  required",
                "shop       events.events.k8s.io  create         optional",
                "rules for a Role in shop:",
                "- {apiGroups: [\"apps\"], resources: [\"deployments\"], verbs: [\"create\", \"patch\"]}",
                "- {apiGroups: [\"events.k8s.io\"], resources: [\"events\"], verbs: [\"create\"]}",
            ]
        );
    }
}
