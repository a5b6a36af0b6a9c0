//! Which object is meant.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::cluster::Discovery;
use crate::inventory::Parent;
use crate::object::ObjectId;

/// What somebody asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Sought<'a> {
    /// Kind, plural or `kind.group`, in any case.
    kind: &'a str,
    name: &'a str,
    namespace: Option<&'a str>,
}

/// Why no object is meant, or more than one. Says what to write instead.
#[derive(Debug, Error)]
pub enum FindError {
    #[error(
        "{text:?} names no object; write KIND/NAME, as in deployment/web or ingress.networking.k8s.io/web, and its namespace with -n"
    )]
    NoName { text: String },
    #[error("{kind}/{name} can be any of: {candidates}; say which with -n NAMESPACE, or KIND.GROUP/NAME")]
    Several { kind: String, name: String, candidates: String },
    #[error("no sync has {kind}/{name}{place} in its inventory, but it has one in: {namespaces}")]
    Elsewhere { kind: String, name: String, place: String, namespaces: String },
    #[error(
        "neither the cluster nor a sync has a kind {kind:?}; write it as in git or as `kubectl api-resources` lists it, not by its short name"
    )]
    NoKind { kind: String },
    #[error(
        "no sync has {kind}/{name}{place} in its inventory; there is no inventory in namespace {home}: the agent has not synced yet, or keeps its state in another namespace"
    )]
    NoInventory { kind: String, name: String, place: String, home: String },
    #[error(
        "no sync has {kind}/{name}{place} in its inventory; searched the inventories in namespace {home} of: {syncs}; `driftless status --objects` lists what they have"
    )]
    Nowhere { kind: String, name: String, place: String, home: String, syncs: String },
}

/// How many names an error lists.
const LISTED: usize = 10;

impl<'a> Sought<'a> {
    /// Reads `KIND/NAME`.
    pub fn parse(text: &'a str, namespace: Option<&'a str>) -> Result<Self, FindError> {
        match text.split_once('/') {
            Some((kind, name)) if !kind.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self { kind, name, namespace })
            }
            _ => Err(FindError::NoName { text: text.to_owned() }),
        }
    }
}

/// Finds the one object of the inventories that is meant. A cluster-scoped object has no namespace
/// that could be wrong.
pub fn find(parents: &[Parent], discovery: &Discovery, sought: &Sought<'_>, home: &str) -> Result<ObjectId, FindError> {
    let ids = || parents.iter().flat_map(|parent| parent.inventory.keys());
    let of_kind = || ids().filter(|id| discovery.is_called(&id.gk, sought.kind));
    let named: BTreeSet<&ObjectId> = of_kind().filter(|id| &*id.name == sought.name).collect();
    let there = |id: &&ObjectId| {
        sought.namespace.is_none() || id.namespace.is_none() || id.namespace.as_deref() == sought.namespace
    };
    let found: Vec<&ObjectId> = named.iter().copied().filter(there).collect();
    let (kind, name) = (sought.kind.to_owned(), sought.name.to_owned());
    match found[..] {
        [only] => return Ok(only.clone()),
        [_, _, ..] => {
            let candidates =
                list(found.iter().map(|id| format!("{}/{}{}", id.gk, id.name, place(id.namespace.as_deref()))));
            return Err(FindError::Several { kind, name, candidates });
        }
        [] => {}
    }
    let place = place(sought.namespace);
    if !named.is_empty() {
        let namespaces = list(named.iter().filter_map(|id| id.namespace.as_deref().map(ToOwned::to_owned)));
        return Err(FindError::Elsewhere { kind, name, place, namespaces });
    }
    if of_kind().next().is_none() && discovery.called(&kind).next().is_none() {
        return Err(FindError::NoKind { kind });
    }
    let home = home.to_owned();
    if parents.is_empty() {
        return Err(FindError::NoInventory { kind, name, place, home });
    }
    let syncs = list(parents.iter().map(|parent| parent.sync.to_string()));
    Err(FindError::Nowhere { kind, name, place, home, syncs })
}

fn place(namespace: Option<&str>) -> String {
    namespace.map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default()
}

fn list(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    let more = names.len().saturating_sub(LISTED);
    let shown = names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SyncName;
    use crate::plan::Recorded;

    fn ask(text: &str, namespace: Option<&str>) -> Result<String, String> {
        let mut parent = Parent::new(SyncName::parse("shop").unwrap(), "driftless".into());
        for (group, kind, namespace, name) in [
            ("apps", "Deployment", Some("shop"), "web"),
            ("apps", "Deployment", Some("test"), "web"),
            ("", "ConfigMap", Some("shop"), "web"),
            ("", "Namespace", None, "shop"),
        ] {
            parent.inventory.insert(ObjectId::new(group, kind, namespace, name), Recorded::default());
        }
        let found = Sought::parse(text, namespace)
            .and_then(|sought| find(&[parent], &Discovery::default(), &sought, "driftless"));
        found.map(|id| id.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_object_is_found_without_a_namespace_where_there_is_one_of_its_name() {
        assert_eq!(ask("configmap/web", None).unwrap(), "ConfigMap shop/web");
        assert_eq!(ask("DEPLOYMENT.apps/web", Some("test")).unwrap(), "Deployment test/web");
        assert_eq!(ask("namespace/shop", Some("shop")).unwrap(), "Namespace shop");
    }

    #[test]
    fn an_error_says_what_to_write_instead() {
        let several = ask("deployment/web", None).unwrap_err();
        assert!(several.contains("Deployment.apps/web in namespace test"), "{several}");
        let elsewhere = ask("deployment/web", Some("live")).unwrap_err();
        assert!(elsewhere.contains("in namespace live") && elsewhere.ends_with("in: shop, test"), "{elsewhere}");
        let nowhere = ask("configmap/api", None).unwrap_err();
        assert!(nowhere.contains("in namespace driftless of: shop"), "{nowhere}");
        assert!(ask("gadget/web", None).unwrap_err().contains("a kind \"gadget\""));
        for text in ["web", "/web", "deployment/", "a/b/c"] {
            assert!(ask(text, None).unwrap_err().contains("KIND/NAME"), "{text}");
        }
    }
}
