//! What people ask of syncs by annotating their parents: received by a watch, or read.

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
use crate::cluster::{ApiError, Cluster, version_of};
use crate::config::SyncName;
use crate::event::Event;
use crate::hook::Of;
use crate::inventory::{Parent, config_maps, parent_id};
use crate::object::names;
use crate::reconcile::UserRequests;

/// What people asked for by annotating a parent, as of one of its resource versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Annotated {
    pub version: String,
    pub requests: UserRequests,
    /// See [`names::HINTED`].
    pub hinted: Option<String>,
}

/// Behind the time of a hint that is about a chart.
pub(super) const CHART_HINT: &str = "/chart";

/// The newest hint that another replica has left for one sync.
pub(super) struct LastHint {
    parent: String,
    /// `false`: the first one that is seen may be from before the start.
    known: bool,
    seen: Option<String>,
}

impl LastHint {
    /// As of what is known of all parents, if that is.
    pub fn of(sync: &SyncName, known: Option<&AllAnnotations>) -> Self {
        let parent = Parent::name(sync);
        let seen = known.and_then(|known| known.get(&parent)?.hinted.clone());
        Self { parent, known: known.is_some(), seen }
    }

    /// Gives what a newer hint is about.
    pub fn newer(&mut self, annotated: Option<&Annotated>) -> Option<Of> {
        let now = annotated.and_then(|annotated| annotated.hinted.clone());
        let known = std::mem::replace(&mut self.known, true);
        let before = std::mem::replace(&mut self.seen, now.clone());
        let hint = now.filter(|now| known && before.as_ref() != Some(now))?;
        Some(if hint.ends_with(CHART_HINT) { Of::Chart } else { Of::Git })
    }

    /// The name of the parent.
    pub fn parent(&self) -> &str {
        &self.parent
    }
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
    let mut known = WatchedAnnotations::default();
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
struct WatchedAnnotations {
    current: BTreeMap<String, Annotated>,
    /// Of a list that is not complete.
    arriving: BTreeMap<String, Annotated>,
}

impl WatchedAnnotations {
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
        hinted: annotation(names::HINTED),
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
        hinted: annotation(&live, names::HINTED),
    }))
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
    fn a_hint_is_new_when_it_was_not_there_before() {
        let sync = SyncName::parse("shop").unwrap();
        let hinted = |value: &str| Annotated {
            version: "1".into(),
            requests: UserRequests::default(),
            hinted: Some(value.to_owned()),
        };
        // What the first list has may be from long ago.
        let mut last = LastHint::of(&sync, None);
        assert_eq!(last.newer(Some(&hinted("1"))), None);
        assert_eq!(last.newer(Some(&hinted("1"))), None);
        assert_eq!(last.newer(Some(&hinted("2"))), Some(Of::Git));
        assert_eq!(last.newer(Some(&hinted("3/chart"))), Some(Of::Chart));
        assert_eq!(last.newer(None), None);
        let known: AllAnnotations = Arc::new([(Parent::name(&sync), hinted("1"))].into());
        let mut last = LastHint::of(&sync, Some(&known));
        assert_eq!(last.newer(Some(&hinted("1"))), None);
        assert_eq!(last.newer(Some(&hinted("2"))), Some(Of::Git));
        let mut last = LastHint::of(&sync, Some(&AllAnnotations::default()));
        assert_eq!(last.newer(Some(&hinted("1"))), Some(Of::Git), "there was no parent");
    }

    #[test]
    fn a_list_counts_when_it_is_complete() {
        let mut known = WatchedAnnotations::default();
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
