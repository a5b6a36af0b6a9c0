//! The parents in the cluster: reading them, and hearing what people annotate.

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

use super::Sink;
use crate::apply::Parent;
use crate::cluster::{Cluster, Resource};
use crate::config::SyncName;
use crate::object::{ObjectId, names};
use crate::observe::Event;
use crate::reconcile::Marks;

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
/// It cannot be read, is damaged, or belongs to another tool; the text is for people.
pub async fn read_parent(cluster: &Cluster, namespace: &str, sync: &SyncName) -> Result<Option<Parent>, String> {
    match read_config_map(cluster, namespace, &Parent::name(sync)).await? {
        Some(live) => with_pieces(cluster, namespace, live).await,
        None => Ok(None),
    }
}

/// All parents in a namespace, with those that cannot be read as errors for people.
///
/// # Errors
/// They cannot be listed.
pub async fn read_parents(cluster: &Cluster, namespace: &str) -> Result<Vec<Result<Parent, String>>, String> {
    let mut parents = Vec::new();
    for live in list(cluster, namespace).await? {
        parents.extend(with_pieces(cluster, namespace, live).await.transpose());
    }
    Ok(parents)
}

/// Like [`read_parents`], for those who want to know which objects there are and not what was
/// recorded of them: of an inventory that has pieces, nothing is.
///
/// # Errors
/// They cannot be listed.
pub async fn list_parents(cluster: &Cluster, namespace: &str) -> Result<Vec<Result<Parent, String>>, String> {
    let live = list(cluster, namespace).await?;
    Ok(live.iter().map(|live| Parent::from_live(live, &[]).map_err(|error| error.to_string())).collect())
}

async fn list(cluster: &Cluster, namespace: &str) -> Result<Vec<Value>, String> {
    let items = cluster.list_whole(&config_maps(), Some(namespace), names::SYNC_LABEL).await;
    items.map_err(|error| format!("cannot list the inventories in namespace {namespace}: {error}"))
}

async fn read_config_map(cluster: &Cluster, namespace: &str, name: &str) -> Result<Option<Value>, String> {
    let id = ObjectId::new("", "ConfigMap", Some(namespace), name);
    let live = cluster.read(&id, &config_maps()).await;
    live.map_err(|error| format!("cannot read the inventory in {id}: {error}"))
}

/// Reads the pieces of a live parent, if it has any. `None`: it was deleted meanwhile.
async fn with_pieces(cluster: &Cluster, namespace: &str, mut live: Value) -> Result<Option<Parent>, String> {
    for _ in 1..READS {
        let (parent, complete) = assemble(cluster, namespace, &live).await?;
        if complete {
            return Ok(Some(parent));
        }
        // Either a piece is lost, or the agent has replaced it and the parent since that was read.
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

/// The parent, and whether all pieces that it names are there.
async fn assemble(cluster: &Cluster, namespace: &str, live: &Value) -> Result<(Parent, bool), String> {
    let names = Parent::pieces(live);
    let reads = names.iter().map(|name| read_config_map(cluster, namespace, name));
    let pieces: Vec<Value> = futures::future::try_join_all(reads).await?.into_iter().flatten().collect();
    let parent = Parent::from_live(live, &pieces).map_err(|error| error.to_string())?;
    Ok((parent, pieces.len() == names.len()))
}

/// What people asked for, by the name of the parent; parents that do not exist are not in it.
pub(super) type AllMarks = Arc<BTreeMap<String, Marks>>;

/// Watches the parents' annotations until the receiver is gone. The watch carries metadata only,
/// and is taken up again with a growing delay whenever it breaks.
pub(super) async fn watch_marks(
    cluster: Cluster,
    namespace: Arc<str>,
    marks: watch::Sender<Option<AllMarks>>,
    tell: Sink,
) {
    let api: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(cluster.client(), &namespace);
    let selected = watcher::Config::default().labels(names::SYNC_LABEL);
    let mut events = watcher::watcher(api, selected).backoff(watcher::DefaultBackoff::default()).boxed();
    let mut current: BTreeMap<String, Marks> = BTreeMap::new();
    let mut arriving: BTreeMap<String, Marks> = BTreeMap::new();
    let mut troubled = false;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = marks.closed() => return,
        };
        match event {
            // Comes with every try, also with those that fail.
            Some(Ok(WatchEvent::Init)) => {
                arriving.clear();
                continue;
            }
            Some(Ok(WatchEvent::InitApply(parent))) => drop(arriving.insert(name_of(&parent), marks_of(&parent))),
            Some(Ok(WatchEvent::InitDone)) => current = std::mem::take(&mut arriving),
            Some(Ok(WatchEvent::Apply(parent))) => drop(current.insert(name_of(&parent), marks_of(&parent))),
            Some(Ok(WatchEvent::Delete(parent))) => drop(current.remove(&name_of(&parent))),
            Some(Err(error)) => {
                if !std::mem::replace(&mut troubled, true) {
                    let message = format!(
                        "cannot watch the inventories in namespace {namespace}, so approve, sync, suspend and resume are not heard: {error}"
                    );
                    tell(&Event::Trouble { message });
                }
                continue;
            }
            // The stream restarts by itself and never ends; should it, this keeps the task from spinning.
            None => tokio::time::sleep(Duration::from_secs(10)).await,
        }
        troubled = false;
        let next = Arc::new(current.clone());
        marks.send_if_modified(|known| {
            let changed = known.as_ref() != Some(&next);
            *known = Some(next);
            changed
        });
    }
}

fn name_of(parent: &PartialObjectMeta<ConfigMap>) -> String {
    parent.metadata.name.clone().unwrap_or_default()
}

fn marks_of(parent: &PartialObjectMeta<ConfigMap>) -> Marks {
    let annotation = |name: &str| parent.metadata.annotations.as_ref()?.get(name).cloned();
    Marks {
        approved: annotation(names::APPROVE),
        sync_requested: annotation(names::SYNC_REQUESTED),
        suspended: annotation(names::SUSPEND).as_deref() == Some("true"),
    }
}

/// What a parent, read whole, says that people asked for.
pub(super) fn marks(parent: &Parent) -> Marks {
    Marks {
        approved: parent.approved.clone(),
        sync_requested: parent.sync_requested.clone(),
        suspended: parent.suspended,
    }
}
