//! The watch of one kind: of all namespaces at once, or of each by itself where only that is
//! allowed, or none for as long as the server refuses.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use tokio::time::sleep;

use super::{Cluster, Pace, Place, Resource, Sink, Watch};

/// Watches a kind until the future is dropped. Should a watch panic, that is told, and the next
/// one begins.
pub(in crate::cluster) async fn keep(cluster: Cluster, resource: Resource, set: Arc<str>, sink: Sink) {
    let mut pace = Pace::new(sink.limits().pauses);
    loop {
        let watching = AssertUnwindSafe(watch_kind(&cluster, &resource, &set, &sink));
        // It ends by a panic only, whose text the panic hook has shown.
        if watching.catch_unwind().await.is_err() {
            sink.watch_in([None]);
            sink.settle();
            sink.trouble(|| format!("the watch of {} ended by a fault of driftless and is begun anew", sink.gk));
        }
        sleep(pace.pause(sink.limits().unserved)).await;
    }
}

async fn watch_kind(cluster: &Cluster, resource: &Resource, set: &Arc<str>, sink: &Sink) {
    let limits = sink.limits();
    let mut pokes = sink.pokes();
    let mut pace = Pace::new(limits.refused);
    let watch = |place: Place| Watch {
        cluster: cluster.clone(),
        resource: resource.clone(),
        place,
        set: Arc::clone(set),
        sink: sink.clone(),
    };
    loop {
        pokes.mark_unchanged();
        let began = Instant::now();
        sink.watch_in([None]);
        let mut error = watch(None).run().await;
        let namespaces = sink.namespaces();
        if error.is_forbidden() && resource.namespaced && !namespaces.is_empty() {
            sink.watch_in(namespaces.iter().cloned().map(Some));
            let watches: Vec<Watch> = namespaces.into_iter().map(|namespace| watch(Some(namespace))).collect();
            let mut running: FuturesUnordered<_> = watches.iter().map(Watch::run).collect();
            // One that is refused is enough: the kind is not known whole.
            error = running.next().await.unwrap_or(error);
        }
        sink.refused(&error);
        if began.elapsed() >= limits.refused.1 {
            pace.reset();
        }
        tokio::select! {
            () = sleep(pace.pause(Duration::ZERO)) => {}
            // The sender lives as long as the sink.
            Ok(()) = pokes.changed() => {}
        }
    }
}
