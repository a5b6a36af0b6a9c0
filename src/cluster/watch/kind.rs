//! The watch of one kind: of all namespaces at once, or of each by itself where only that is
//! allowed, or none for as long as the server refuses.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::join_all;
use tokio::time::sleep;

use super::{ApiError, Cluster, Place, Resource, Sink, Watch, WatchBackoff};

/// Watches a kind until the future is dropped. Should a watch panic, that is reported, and the next
/// one begins.
pub(in crate::cluster) async fn keep(cluster: Cluster, resource: Resource, set: Arc<str>, sink: Sink) {
    let mut backoff = WatchBackoff::new(sink.limits().pauses);
    loop {
        let watching = AssertUnwindSafe(watch_kind(&cluster, &resource, &set, &sink));
        // It ends by a panic only, whose text the panic hook has shown.
        if watching.catch_unwind().await.is_err() {
            sink.watch_in([None]);
            sink.settle();
            sink.trouble(|| format!("the watch of {} ended by a fault of driftless and is begun anew", sink.gk));
        }
        sleep(backoff.pause(sink.limits().unserved)).await;
    }
}

/// Ends only by a panic.
async fn watch_kind(cluster: &Cluster, resource: &Resource, set: &Arc<str>, sink: &Sink) {
    let watch = |place: Place| Watch {
        cluster: cluster.clone(),
        resource: resource.clone(),
        place,
        set: Arc::clone(set),
        sink: sink.clone(),
    };
    sink.watch_in([None]);
    watch(None).keep_up(|error| error.is_forbidden() && resource.namespaced && !sink.namespaces().is_empty()).await;
    let namespaces = sink.namespaces();
    sink.watch_in(namespaces.iter().cloned().map(Some));
    let watches: Vec<Watch> = namespaces.into_iter().map(|namespace| watch(Some(namespace))).collect();
    // A namespace that is refused does not stop the watches of the others.
    join_all(watches.iter().map(|watch| watch.keep_up(|_| false))).await;
}

impl Watch {
    /// Watches, and tries again more and more seldom when the server refuses; until a refusal
    /// says that there is another way.
    async fn keep_up(&self, is_final: impl Fn(&ApiError) -> bool) {
        let limits = self.sink.limits();
        let mut retries_now = self.sink.retries_now();
        let mut backoff = WatchBackoff::new(limits.refused);
        loop {
            retries_now.mark_unchanged();
            let began = Instant::now();
            let error = self.run().await;
            if is_final(&error) {
                return;
            }
            self.sink.refused(&self.place, &error);
            if began.elapsed() >= limits.refused.1 {
                backoff.reset();
            }
            tokio::select! {
                () = sleep(backoff.pause(Duration::ZERO)) => {}
                // The sender lives as long as the sink.
                Ok(()) = retries_now.changed() => {}
            }
        }
    }
}
