//! The watches of one sync: what its objects are, without asking, and what changes of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::Cluster;
use super::watch::{Reporter, SharedWatches, Sink, WatchLimits, keep};
use crate::object::{Change, GroupKind, ObjectId, Observed};

pub use super::watch::Followed;

/// The watches of one sync, one a kind, selected by the label of its set. They end with this.
///
/// What changes is reported by [`Live::changed`], except what the caller knows anyway: what the first
/// LIST of a kind shows while [`Live::follow`] waits for it, and its own writes, which it reports
/// by [`Live::note`] and [`Live::removed`].
pub struct Live {
    cluster: Cluster,
    set: Arc<str>,
    shared: Arc<SharedWatches>,
    tasks: Mutex<BTreeMap<GroupKind, AbortOnDropHandle<()>>>,
}

impl Live {
    /// Watches nothing yet. `set` is the `ApplySet` id. `report` receives, in words for people and once
    /// per trouble, that a kind cannot be watched or a watch was stuck, and that it works again.
    pub fn new(cluster: Cluster, set: &str, report: Arc<dyn Fn(String) + Send + Sync>) -> Self {
        Self::with_limits(cluster, set, report, WatchLimits::default())
    }

    pub(super) fn with_limits(cluster: Cluster, set: &str, report: Reporter, limits: WatchLimits) -> Self {
        let shared = Arc::new(SharedWatches::new(set, report, limits));
        Self { cluster, set: set.into(), shared, tasks: Mutex::default() }
    }

    /// Makes the watched kinds exactly these, and waits until each new one was listed once, or it
    /// is known why not: 90 s at most. Returns at once where nothing is new.
    ///
    /// What is listed while this waits is not reported: whoever follows reads [`Live::members`] next.
    /// To be called within a Tokio runtime.
    pub async fn follow(&self, kinds: BTreeMap<GroupKind, Followed>) {
        let awaited = Awaited { shared: &self.shared, begun: self.begin(kinds) };
        if !awaited.begun.is_empty() {
            // What takes longer is not waited for; the caller reads it by LIST.
            let _ = timeout(self.shared.limits().settled, self.shared.settled(&awaited.begun)).await;
        }
    }

    fn begin(&self, kinds: BTreeMap<GroupKind, Followed>) -> Vec<(GroupKind, u64)> {
        let resources: BTreeMap<_, _> = kinds.iter().map(|(gk, kind)| (gk.clone(), kind.resource.clone())).collect();
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = self.shared.follow(kinds);
        tasks.retain(|gk, _| resources.contains_key(gk));
        for (gk, generation) in &begun {
            let Some(resource) = resources.get(gk) else { continue };
            let sink = Sink { gk: gk.clone(), generation: *generation, shared: Arc::clone(&self.shared) };
            tasks.remove(gk);
            if resource.watchable {
                let task = keep(self.cluster.clone(), resource.clone(), Arc::clone(&self.set), sink);
                tasks.insert(gk.clone(), AbortOnDropHandle::new(tokio::spawn(task)));
            } else {
                let why = "the API server offers no watch of it";
                sink.refused(&None, &why);
            }
        }
        begun
    }

    /// Whether every kind that is followed is seen by a watch right now.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.shared.is_complete()
    }

    /// The members of a kind as its watch knows them. `None` when it does not stand right now
    /// (broken for more than 5 s, stuck, refused, not listed yet): the caller reads by LIST.
    #[must_use]
    pub fn members(&self, gk: &GroupKind) -> Option<Vec<Observed>> {
        self.shared.members(gk)
    }

    /// The answer to our own apply: known at once, and no change when the watch shows it, too.
    /// Earlier changes of the object that nobody has taken are outdated by it.
    pub fn note(&self, live: &Observed) {
        self.shared.note(live);
    }

    /// Our own deletion was answered with "gone": the end of the object with this UID is no change.
    /// Not for an object that was only released, which may come back with its UID.
    pub fn removed(&self, id: &ObjectId, uid: &str) {
        self.shared.removed(id, uid);
    }

    /// Tries broken and refused watches at once: what the server has, or allows, may have changed.
    pub fn retry_now(&self) {
        self.shared.retry_now();
    }

    /// The next changes, at least one, in the order in which they came; of each object the last
    /// one only. Dropping the future loses none. For one caller at a time.
    pub async fn changed(&self) -> Vec<Change> {
        self.shared.changed().await
    }
}

/// Somebody waits for these watches, until this is dropped.
struct Awaited<'a> {
    shared: &'a SharedWatches,
    begun: Vec<(GroupKind, u64)>,
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.shared.no_longer_awaited(&self.begun);
    }
}
