//! Watches of what a rendering reads of the agent's namespace, each object by its name: a change of one is rendered
//! within the second, and costs nothing until then.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{Config, Event as Watched};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use crate::config::DataRef;
use crate::render::Cache;

/// Who reads what is watched, for the report of a watch that is broken.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// Behind `from which`.
    pub reads: &'static str,
    /// How changes are noticed meanwhile.
    pub until: &'static str,
}

/// The watches of one sync. Dropped, they end.
pub struct InputWatches {
    changed: mpsc::Receiver<()>,
    _tasks: JoinSet<()>,
}

impl InputWatches {
    /// `None` where there are no names. `reader` says for whom they are. `report` is given what is wrong with a watch, once
    /// for each time that it breaks.
    #[must_use]
    pub fn start(
        names: BTreeSet<DataRef>,
        reader: Reader,
        client: &Client,
        namespace: &str,
        report: &Arc<dyn Fn(String) + Send + Sync>,
    ) -> Option<Self> {
        if names.is_empty() {
            return None;
        }
        // One is enough: a change that comes while another one waits is seen with it.
        let (sender, changed) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        for source in names {
            let (sender, report) = (sender.clone(), Arc::clone(report));
            let (client, namespace) = (client.clone(), namespace.to_owned());
            if source.kind.is_secret() {
                tasks.spawn(watch(
                    Api::<PartialObjectMeta<Secret>>::namespaced(client, &namespace),
                    source,
                    reader,
                    sender,
                    report,
                ));
            } else {
                tasks.spawn(watch(
                    Api::<PartialObjectMeta<ConfigMap>>::namespaced(client, &namespace),
                    source,
                    reader,
                    sender,
                    report,
                ));
            }
        }
        Some(Self { changed, _tasks: tasks })
    }

    /// The next time that something may have changed.
    pub async fn changed(&mut self) {
        if self.changed.recv().await.is_none() {
            // All watches have panicked.
            std::future::pending::<()>().await;
        }
    }
}

/// Waits until what a rendering has of other hosts is to be compared with them again; for ever, while nothing of it can
/// change.
pub async fn refresh_due(refresh: Duration, cache: &Mutex<Cache>) {
    loop {
        // Not all syncs at once.
        tokio::time::sleep(refresh.mul_f64(0.9 + fastrand::f64() / 5.0)).await;
        if cache.lock().await.has_unpinned() {
            return;
        }
    }
}

/// Reports each change of one object, the first sight of it included: the rendering may have read it before. A watch that
/// breaks is begun anew, ever more slowly, by kube's own backoff.
async fn watch<K>(
    api: Api<PartialObjectMeta<K>>,
    source: DataRef,
    reader: Reader,
    changed: mpsc::Sender<()>,
    report: Arc<dyn Fn(String) + Send + Sync>,
) where
    K: Resource<DynamicType = ()> + 'static,
    PartialObjectMeta<K>: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send,
{
    let kind = source.kind.name();
    let only = Config::default().fields(&format!("metadata.name={}", source.name));
    let mut stream = Box::pin(watcher(api, only).default_backoff());
    let mut seen: Option<String> = None;
    let mut broken = false;
    let mut initial = false;
    let version = |object: &PartialObjectMeta<K>| object.metadata.resource_version.clone().unwrap_or_default();
    loop {
        let now = match stream.next().await {
            None => return,
            Some(Err(error)) => {
                if !std::mem::replace(&mut broken, true) {
                    report(format!(
                        "cannot watch the {kind} {}, from which {}: {}; {} until it can",
                        source.name,
                        reader.reads,
                        shown(&error),
                        reader.until,
                    ));
                }
                continue;
            }
            Some(Ok(Watched::Init)) => {
                initial = false;
                continue;
            }
            Some(Ok(Watched::InitApply(object))) => {
                initial = true;
                Some(version(&object))
            }
            // It was not among those that there are.
            Some(Ok(Watched::InitDone)) if initial => continue,
            Some(Ok(Watched::InitDone | Watched::Delete(_))) => None,
            Some(Ok(Watched::Apply(object))) => Some(version(&object)),
        };
        broken = false;
        if now != seen || now.is_none() {
            seen = now;
            // Where one waits already, it stands for this one as well.
            let _ = changed.try_send(());
        }
    }
}

fn shown(error: &watcher::Error) -> String {
    crate::cluster::with_causes(error)
}
