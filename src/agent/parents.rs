//! The parents in the cluster: reading them, and receiving what people annotate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event as WatchEvent};
use serde_json::Value;
use tokio::sync::watch;

use super::EventSink;
use super::inventory_error::InventoryError;
use crate::apply::Parent;
use crate::cluster::{ApiError, Cluster, Resource, version_of};
use crate::config::SyncName;
use crate::object::{GroupKind, ObjectId, names};
use crate::observe::Event;
use crate::reconcile::UserRequests;

/// Where parents are: the resource of `ConfigMap`s.
#[must_use]
pub fn config_maps() -> Resource {
    Resource::core("configmaps", true)
}

/// How often a parent is read that is stored anew while it is read.
const READS: usize = 5;

/// Reads the parent of a sync; `None` when there is none yet.
///
/// # Errors
/// It cannot be read, is damaged, or belongs to another tool.
pub async fn read_parent(
    cluster: &Cluster,
    namespace: &str,
    sync: &SyncName,
) -> Result<Option<Parent>, InventoryError> {
    let id = parent_id(namespace, sync);
    let live = cluster.read_own(&id, &config_maps()).await;
    match live.map_err(|cause| InventoryError::Read { id, cause: Box::new(cause) })? {
        Some(live) => with_shards(cluster, namespace, live).await,
        None => Ok(None),
    }
}

/// All parents in a namespace, with those that cannot be read as errors.
///
/// # Errors
/// They cannot be listed.
pub async fn read_parents(
    cluster: &Cluster,
    namespace: &str,
) -> Result<Vec<Result<Parent, InventoryError>>, InventoryError> {
    let mut parents = Vec::new();
    for live in list(cluster, namespace).await? {
        parents.extend(with_shards(cluster, namespace, live).await.transpose());
    }
    Ok(parents)
}

/// Like [`read_parents`], for those who want to know which objects there are and not what was
/// recorded of them: of an inventory that has shards, nothing is.
///
/// # Errors
/// They cannot be listed.
pub async fn list_parents(
    cluster: &Cluster,
    namespace: &str,
) -> Result<Vec<Result<Parent, InventoryError>>, InventoryError> {
    let live = list(cluster, namespace).await?;
    Ok(live.iter().map(|live| Parent::from_live(live, &[]).map_err(Into::into)).collect())
}

/// The syncs that have a parent in a namespace, by its name alone.
///
/// # Errors
/// They cannot be listed.
pub(super) async fn parent_names(cluster: &Cluster, namespace: &str) -> Result<Vec<SyncName>, ApiError> {
    let kind = GroupKind::new("", "ConfigMap");
    let all = cluster.names(&kind, &config_maps(), namespace, names::SYNC_LABEL).await?;
    Ok(all.iter().filter_map(|name| SyncName::parse(name.strip_prefix(names::PARENT_PREFIX)?)).collect())
}

async fn list(cluster: &Cluster, namespace: &str) -> Result<Vec<Value>, InventoryError> {
    let items = cluster.list_whole(&config_maps(), Some(namespace), names::SYNC_LABEL).await;
    items.map_err(|cause| InventoryError::List { namespace: namespace.to_owned(), cause: Box::new(cause) })
}

async fn read_config_map(cluster: &Cluster, namespace: &str, name: &str) -> Result<Option<Value>, InventoryError> {
    let id = ObjectId::new("", "ConfigMap", Some(namespace), name);
    let live = cluster.read(&id, &config_maps()).await;
    live.map_err(|cause| InventoryError::Read { id, cause: Box::new(cause) })
}

/// Reads the shards of a live parent, if it has any. `None`: it was deleted meanwhile.
async fn with_shards(cluster: &Cluster, namespace: &str, mut live: Value) -> Result<Option<Parent>, InventoryError> {
    for _ in 1..READS {
        let (parent, complete) = assemble(cluster, namespace, &live).await?;
        if complete {
            return Ok(Some(parent));
        }
        // Either a shard is lost, or the agent has replaced it and the parent since that was read.
        match read_config_map(cluster, namespace, &Parent::name(&parent.sync)).await? {
            Some(again) if again["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"] => {
                return Ok(Some(parent));
            }
            Some(again) => live = again,
            None => return Ok(None),
        }
    }
    Ok(Some(assemble(cluster, namespace, &live).await?.0))
}

/// The parent, and whether all shards that it names are there.
async fn assemble(cluster: &Cluster, namespace: &str, live: &Value) -> Result<(Parent, bool), InventoryError> {
    let names = Parent::shards(live);
    let reads = names.iter().map(|name| read_config_map(cluster, namespace, name));
    let shards: Vec<Value> = futures::future::try_join_all(reads).await?.into_iter().flatten().collect();
    let parent = Parent::from_live(live, &shards)?;
    Ok((parent, shards.len() == names.len()))
}

/// What people asked for by annotating a parent, as of one of its resource versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Annotated {
    pub version: String,
    pub requests: UserRequests,
}

/// By the name of the parent; parents that do not exist are not in it.
pub(super) type AllAnnotations = Arc<BTreeMap<String, Annotated>>;

/// Watches the parents' annotations until the receiver is gone. The watch carries metadata only,
/// and is taken up again with a growing delay whenever it breaks.
pub(super) async fn watch_annotations(
    cluster: Cluster,
    namespace: Arc<str>,
    requests: watch::Sender<Option<AllAnnotations>>,
    emit: EventSink,
) {
    let api: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(cluster.client(), &namespace);
    let selected = watcher::Config::default().labels(names::SYNC_LABEL);
    let begun = || watcher::watcher(api.clone(), selected.clone()).backoff(watcher::DefaultBackoff::default()).boxed();
    let mut events = begun();
    let mut suspicions = cluster.history().suspicions();
    let mut known = KnownAnnotations::default();
    let mut troubled = false;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = requests.closed() => return,
            // It goes on from a version that may be of the future by now, where it would receive nothing.
            Ok(()) = suspicions.changed() => {
                events = begun();
                continue;
            }
        };
        match event {
            Some(Ok(event)) => {
                let Some(next) = known.update(event) else { continue };
                troubled = false;
                let next = Arc::new(next.clone());
                requests.send_if_modified(|sent| {
                    let changed = sent.as_ref() != Some(&next);
                    *sent = Some(next);
                    changed
                });
            }
            Some(Err(error)) => {
                if !std::mem::replace(&mut troubled, true) {
                    let message = format!(
                        "cannot watch the inventories in namespace {namespace}, so approve, sync, suspend and resume are not noticed: {error}"
                    );
                    emit(&Event::Trouble { message });
                }
            }
            // The stream restarts by itself and never ends; should it, this keeps the task from spinning.
            None => tokio::time::sleep(Duration::from_secs(10)).await,
        }
    }
}

/// What a watch has reported so far.
#[derive(Default)]
struct KnownAnnotations {
    current: BTreeMap<String, Annotated>,
    /// Of a list that is not complete.
    arriving: BTreeMap<String, Annotated>,
}

impl KnownAnnotations {
    /// Gives all annotations when they are known in full. A list that has only begun says nothing of the
    /// parents that are not in it yet: to believe it would resume, for a moment, what is suspended.
    fn update(&mut self, event: WatchEvent<PartialObjectMeta<ConfigMap>>) -> Option<&BTreeMap<String, Annotated>> {
        match event {
            // Comes with every try, also with those that fail.
            WatchEvent::Init => {
                self.arriving.clear();
                return None;
            }
            WatchEvent::InitApply(parent) => {
                self.arriving.insert(name_of(&parent), annotated(&parent));
                return None;
            }
            WatchEvent::InitDone => self.current = std::mem::take(&mut self.arriving),
            WatchEvent::Apply(parent) => drop(self.current.insert(name_of(&parent), annotated(&parent))),
            WatchEvent::Delete(parent) => drop(self.current.remove(&name_of(&parent))),
        }
        Some(&self.current)
    }
}

fn name_of(parent: &PartialObjectMeta<ConfigMap>) -> String {
    parent.metadata.name.clone().unwrap_or_default()
}

fn annotated(parent: &PartialObjectMeta<ConfigMap>) -> Annotated {
    let annotation = |name: &str| parent.metadata.annotations.as_ref()?.get(name).cloned();
    Annotated {
        version: parent.metadata.resource_version.clone().unwrap_or_default(),
        requests: requests_in(annotation),
    }
}

fn requests_in(annotation: impl Fn(&str) -> Option<String>) -> UserRequests {
    UserRequests {
        approved: annotation(names::APPROVE),
        sync_requested: annotation(names::SYNC_REQUESTED),
        suspended: annotation(names::SUSPEND).as_deref() == Some("true"),
    }
}

/// What people asked for as of now, read from etcd itself; `None` when there is no parent.
///
/// # Errors
/// It cannot be read.
pub(super) async fn read_annotated(
    cluster: &Cluster,
    namespace: &str,
    sync: &SyncName,
) -> Result<Option<Annotated>, ApiError> {
    let annotation = |live: &Value, name: &str| live["metadata"]["annotations"][name].as_str().map(Into::into);
    let live = cluster.read_own(&parent_id(namespace, sync), &config_maps()).await?;
    Ok(live.map(|live| Annotated {
        version: version_of(&live).unwrap_or_default().into(),
        requests: requests_in(|name| annotation(&live, name)),
    }))
}

/// The identity of the parent of a sync.
pub(super) fn parent_id(namespace: &str, sync: &SyncName) -> ObjectId {
    ObjectId::new("", "ConfigMap", Some(namespace), &Parent::name(sync))
}

/// What a parent, read whole, says that people asked for.
pub(super) fn requests(parent: &Parent) -> UserRequests {
    UserRequests {
        approved: parent.approved.clone(),
        sync_requested: parent.sync_requested.clone(),
        suspended: parent.suspended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(name: &str, suspended: bool) -> PartialObjectMeta<ConfigMap> {
        let mut parent = PartialObjectMeta::<ConfigMap>::default();
        parent.metadata.name = Some(name.into());
        let value = suspended.to_string();
        parent.metadata.annotations = Some([(names::SUSPEND.to_owned(), value)].into());
        parent
    }

    #[test]
    fn a_list_counts_when_it_is_complete() {
        let mut known = KnownAnnotations::default();
        let names = |known: Option<&BTreeMap<String, Annotated>>| {
            known.map(|requests| requests.keys().cloned().collect::<Vec<_>>())
        };
        assert_eq!(names(known.update(WatchEvent::Init)), None);
        assert_eq!(names(known.update(WatchEvent::InitApply(parent("a", true)))), None);
        assert_eq!(names(known.update(WatchEvent::InitApply(parent("b", true)))), None);
        assert_eq!(names(known.update(WatchEvent::InitDone)), Some(vec!["a".into(), "b".into()]));
        assert!(known.current["a"].requests.suspended);
        // A second list that is cut off removes nothing.
        assert_eq!(names(known.update(WatchEvent::Init)), None);
        assert_eq!(names(known.update(WatchEvent::InitApply(parent("b", true)))), None);
        assert_eq!(names(known.update(WatchEvent::Apply(parent("b", false)))), Some(vec!["a".into(), "b".into()]));
        assert!(known.current["a"].requests.suspended && !known.current["b"].requests.suspended);
        assert_eq!(names(known.update(WatchEvent::Delete(parent("a", true)))), Some(vec!["b".into()]));
    }
}
