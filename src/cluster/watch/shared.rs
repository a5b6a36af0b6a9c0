//! What the watches of one sync share: what they know, how each of them stands, and the changes
//! that nobody has taken yet. Every access is short and waits for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, Semaphore, watch};

use super::backoff::WatchLimits;
use super::pending::Pending;
use crate::cluster::Resource;
use crate::cluster::store::LiveStore;
use crate::object::{Change, GroupKind, ObjectId, Observed};

/// Receives problems, in words for people.
pub(in crate::cluster) type Reporter = Arc<dyn Fn(String) + Send + Sync>;
/// What one watch is of: a namespace, or all of them.
pub(in crate::cluster) type Place = Option<Arc<str>>;
/// LISTs at once.
const LISTS: usize = 16;

/// A kind to be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Where the kind is served, in the version that is watched.
    pub resource: Resource,
    /// Where its objects are, for a server that allows no watch of all namespaces.
    pub namespaces: BTreeSet<Arc<str>>,
}

/// How one watch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connectivity {
    /// Nothing is known, or nothing that can be relied on.
    Stale,
    Connected,
    /// What is known is as of then.
    Disconnected(Instant),
}

#[derive(Debug)]
pub(super) struct WatchedKind {
    /// Distinguishes this watch of the kind from an earlier one, whose task may not have ended yet.
    pub generation: u64,
    pub followed: Followed,
    pub places: BTreeMap<Place, Connectivity>,
    /// It was listed once, or it is known why not.
    pub settled: bool,
    /// Somebody waits for the first LIST and will read it whole: it is not reported.
    pub awaited: bool,
    /// A trouble was reported, and its end was not.
    pub reported: bool,
}

pub(super) struct WatchState {
    pub store: LiveStore,
    pub pending: Pending,
    pub kinds: BTreeMap<GroupKind, WatchedKind>,
    pub generations: u64,
}

pub(in crate::cluster) struct SharedWatches {
    known: Mutex<WatchState>,
    pub(super) changed: Notify,
    pub(super) settled: Notify,
    pub(super) retries_now: watch::Sender<u64>,
    pub(super) lists: Semaphore,
    pub(super) report: Reporter,
    pub(super) limits: WatchLimits,
}

impl SharedWatches {
    pub fn new(set: &str, report: Reporter, limits: WatchLimits) -> Self {
        let (pending, kinds) = (Pending::default(), BTreeMap::new());
        Self {
            known: Mutex::new(WatchState { store: LiveStore::new(set), pending, kinds, generations: 0 }),
            changed: Notify::new(),
            settled: Notify::new(),
            retries_now: watch::Sender::new(0),
            lists: Semaphore::new(LISTS),
            report,
            limits,
        }
    }

    pub(super) fn known(&self) -> MutexGuard<'_, WatchState> {
        // Somebody panicked between two statements; the next LIST puts right what that left.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the kinds that are not among these. Gives those whose watch has to begin (anew), each
    /// with the number of its watch.
    pub fn follow(&self, kinds: BTreeMap<GroupKind, Followed>) -> Vec<(GroupKind, u64)> {
        let mut known = self.known();
        let WatchState { store, kinds: watched, generations, .. } = &mut *known;
        watched.retain(|gk, _| {
            let wanted = kinds.contains_key(gk);
            if !wanted {
                store.forget(gk, |_| true);
            }
            wanted
        });
        let mut begun = Vec::new();
        for (gk, followed) in kinds {
            if let Some(kind) = watched.get_mut(&gk) {
                // A watch of all namespaces has no need to know which are wanted, until it is refused.
                let goes_on = kind.followed == followed
                    || kind.followed.resource == followed.resource && kind.places.contains_key(&None);
                if goes_on {
                    kind.followed = followed;
                    continue;
                }
            }
            *generations += 1;
            let reported = watched.get(&gk).is_some_and(|kind| kind.reported);
            let places = BTreeMap::from([(None, Connectivity::Stale)]);
            let kind =
                WatchedKind { generation: *generations, followed, places, settled: false, awaited: true, reported };
            watched.insert(gk.clone(), kind);
            begun.push((gk, *generations));
        }
        begun
    }

    pub fn limits(&self) -> &WatchLimits {
        &self.limits
    }

    /// Ends when each of these was listed once, or it is known why not.
    pub async fn settled(&self, begun: &[(GroupKind, u64)]) {
        loop {
            let next = self.settled.notified();
            let mut next = std::pin::pin!(next);
            next.as_mut().enable();
            let open = |known: &WatchState, (gk, generation): &(GroupKind, u64)| {
                known.kinds.get(gk).is_some_and(|kind| kind.generation == *generation && !kind.settled)
            };
            let any_open = {
                let known = self.known();
                begun.iter().any(|begun| open(&known, begun))
            };
            if !any_open {
                return;
            }
            next.await;
        }
    }

    /// Nobody waits for these any more: from now on their first LIST is reported.
    pub fn no_longer_awaited(&self, begun: &[(GroupKind, u64)]) {
        let mut known = self.known();
        for (gk, generation) in begun {
            if let Some(kind) = known.kinds.get_mut(gk).filter(|kind| kind.generation == *generation) {
                kind.awaited = false;
            }
        }
    }

    pub fn is_complete(&self) -> bool {
        let known = self.known();
        known.kinds.values().flat_map(|kind| kind.places.values()).all(|standing| *standing == Connectivity::Connected)
    }

    pub fn members(&self, gk: &GroupKind) -> Option<Vec<Observed>> {
        let known = self.known();
        let stands = |standing: &Connectivity| match standing {
            Connectivity::Stale => false,
            Connectivity::Connected => true,
            Connectivity::Disconnected(since) => since.elapsed() < self.limits.grace,
        };
        known.kinds.get(gk)?.places.values().all(stands).then(|| known.store.members(gk))
    }

    pub fn note(&self, live: &Observed) {
        let mut known = self.known();
        if !known.covers(&live.id) {
            return;
        }
        if known.store.note(live, Instant::now()) {
            known.pending.cancel(&live.id);
        }
    }

    pub fn removed(&self, id: &ObjectId, uid: &str) {
        let mut known = self.known();
        if known.store.removed(id, uid, Instant::now()) {
            known.pending.cancel(id);
        }
    }

    pub fn retry_now(&self) {
        self.retries_now.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub async fn changed(&self) -> Vec<Change> {
        loop {
            // Taken without waiting in between, so that a caller who gives up loses none.
            let changes = self.known().pending.take();
            if !changes.is_empty() {
                return changes;
            }
            self.changed.notified().await;
        }
    }
}

impl WatchState {
    fn covers(&self, id: &ObjectId) -> bool {
        let places = self.kinds.get(&id.gk).map(|kind| &kind.places);
        places.is_some_and(|places| places.contains_key(&None) || places.contains_key(&id.namespace))
    }
}
