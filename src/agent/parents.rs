//! The parents in the cluster: reading them, and hearing what people annotate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event as WatchEvent};
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

/// Reads the parent of a sync; `None` when there is none yet.
///
/// # Errors
/// It cannot be read, is damaged, or belongs to another tool; the text is for people.
pub async fn read_parent(cluster: &Cluster, namespace: &str, sync: &SyncName) -> Result<Option<Parent>, String> {
    let id = ObjectId::new("", "ConfigMap", Some(namespace), &Parent::name(sync));
    let live = cluster.read(&id, &config_maps()).await;
    let live = live.map_err(|error| format!("cannot read the inventory in {id}: {error}"))?;
    live.map(|live| Parent::from_live(&live)).transpose().map_err(|error| error.to_string())
}

/// All parents in a namespace, with those that cannot be read as errors for people.
///
/// # Errors
/// They cannot be listed.
pub async fn read_parents(cluster: &Cluster, namespace: &str) -> Result<Vec<Result<Parent, String>>, String> {
    let items = cluster.list_whole(&config_maps(), Some(namespace), names::SYNC_LABEL).await;
    let items = items.map_err(|error| format!("cannot list the inventories in namespace {namespace}: {error}"))?;
    Ok(items.iter().map(|live| Parent::from_live(live).map_err(|error| error.to_string())).collect())
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
            Some(Ok(WatchEvent::Init)) => arriving.clear(),
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
