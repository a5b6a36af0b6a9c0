//! Where one kind's watch brings what it learns, and says how it stands.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Semaphore, watch};

use super::backoff::WatchLimits;
use super::pending::Pending;
use super::shared::{Connectivity, Place, SharedWatches, WatchState, WatchedKind};
use crate::cluster::list::KindList;
use crate::cluster::store::{LiveStore, Outdated};
use crate::object::{Change, GroupKind, Observed};

/// Where one kind's watch brings what it learns. What an earlier watch of the kind still brings
/// after a new one began is dropped.
#[derive(Clone)]
pub(in crate::cluster) struct Sink {
    pub gk: GroupKind,
    pub generation: u64,
    pub shared: Arc<SharedWatches>,
}

impl Sink {
    pub fn limits(&self) -> &WatchLimits {
        &self.shared.limits
    }

    pub fn lists(&self) -> &Semaphore {
        &self.shared.lists
    }

    pub fn retries_now(&self) -> watch::Receiver<u64> {
        self.shared.retries_now.subscribe()
    }

    /// The namespaces to watch where all at once are refused.
    pub fn namespaces(&self) -> BTreeSet<Arc<str>> {
        self.with(|_, kind| kind.followed.namespaces.clone()).unwrap_or_default()
    }

    /// The kind is watched in these places from now on; nothing of them is known yet.
    pub fn watch_in(&self, places: impl IntoIterator<Item = Place>) {
        self.with(|sides, kind| {
            kind.places = places.into_iter().map(|place| (place, Connectivity::Stale)).collect();
            let places = &kind.places;
            // Changes elsewhere are not watched any more.
            if !places.contains_key(&None) {
                sides.store.forget(&self.gk, |id| !places.contains_key(&id.namespace));
            }
        });
    }

    /// What is to be known before a LIST can be used, if it is older than what was seen.
    pub fn outdated(&self, place: &Place, listed: &KindList, watched: Option<&Arc<str>>) -> Option<Outdated> {
        let KindList { objects, version } = listed;
        self.with(|sides, _| sides.store.outdated(&self.gk, place.as_deref(), objects, version, watched)).flatten()
    }

    /// The first LIST after history went back: versions begin anew with it.
    pub fn listed_anew(&self, place: &Place, objects: Vec<Observed>, version: &str) {
        self.with(|sides, _| sides.store.forget_versions(&self.gk, place.as_deref()));
        self.listed(place, objects, version);
    }

    pub fn listed(&self, place: &Place, objects: Vec<Observed>, version: &str) {
        self.with(|sides, kind| {
            let now = Instant::now();
            let changes = sides.store.replace(&self.gk, place.as_deref(), objects, version, now);
            if !kind.awaited {
                sides.publish(changes);
            }
            kind.places.insert(place.clone(), Connectivity::Disconnected(now));
            if kind.places.values().all(|standing| *standing != Connectivity::Stale) {
                sides.settle(kind);
            }
        });
    }

    pub fn seen(&self, live: Observed) {
        self.with(|sides, _| {
            let change = sides.store.see(live, Instant::now());
            sides.publish(change);
        });
    }

    pub fn gone(&self, last: Observed) {
        self.with(|sides, _| {
            let change = sides.store.gone(last, Instant::now());
            sides.publish(change);
        });
    }

    pub fn up(&self, place: &Place) {
        self.with(|_, kind| kind.places.insert(place.clone(), Connectivity::Connected));
    }

    /// The watch broke: what it has shown counts for a moment longer.
    pub fn down(&self, place: &Place) {
        self.with(|_, kind| {
            if let Some(standing) = kind.places.get_mut(place).filter(|standing| **standing == Connectivity::Connected)
            {
                *standing = Connectivity::Disconnected(Instant::now());
            }
        });
    }

    /// What the watch has shown does not count any more.
    pub fn away(&self, place: &Place) {
        self.with(|_, kind| kind.places.insert(place.clone(), Connectivity::Stale));
    }

    /// Nobody has to wait for the kind: an attempt has ended, and not with a list.
    pub fn settle(&self) {
        self.with(|sides, kind| sides.settle(kind));
    }

    pub fn unserved(&self, place: &Place) {
        self.with(|sides, kind| {
            let changes = sides.store.unserved(&self.gk);
            sides.publish(changes);
            kind.places.insert(place.clone(), Connectivity::Stale);
            sides.settle(kind);
        });
    }

    /// Reports a trouble, if none was reported since the last one ended.
    pub fn trouble(&self, message: impl FnOnce() -> String) {
        if self.with(|_, kind| std::mem::replace(&mut kind.reported, true)) == Some(false) {
            (self.shared.report)(message());
        }
    }

    /// The server does not let the kind be watched here.
    pub fn refused(&self, place: &Place, error: &dyn std::fmt::Display) {
        self.with(|sides, kind| {
            kind.places.insert(place.clone(), Connectivity::Stale);
            sides.settle(kind);
        });
        self.trouble(|| {
            let where_ = place.as_ref().map(|namespace| format!(" in {namespace}")).unwrap_or_default();
            format!(
                "cannot watch {}{where_}, so it is listed once per cycle instead and drift is noticed only then \
                 (allow list and watch for it to change that): {error}",
                self.gk
            )
        });
    }

    /// A watch works. A trouble that was reported is over once all of the kind do.
    pub fn recovered(&self) {
        let over = self.with(|_, kind| {
            kind.places.values().all(|standing| *standing == Connectivity::Connected)
                && std::mem::take(&mut kind.reported)
        });
        if over == Some(true) {
            (self.shared.report)(format!("{} is watched again", self.gk));
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Sides<'_>, &mut WatchedKind) -> T) -> Option<T> {
        let mut known = self.shared.known();
        let WatchState { store, pending, kinds, .. } = &mut *known;
        let kind = kinds.get_mut(&self.gk).filter(|kind| kind.generation == self.generation)?;
        Some(change(&mut Sides { store, pending, shared: &self.shared }, kind))
    }
}

/// What a sink changes beside its kind.
struct Sides<'a> {
    store: &'a mut LiveStore,
    pending: &'a mut Pending,
    shared: &'a SharedWatches,
}

impl Sides<'_> {
    fn publish(&mut self, changes: impl IntoIterator<Item = Change>) {
        let mut any = false;
        for change in changes {
            self.pending.push(change);
            any = true;
        }
        if any {
            self.shared.changed.notify_one();
        }
    }

    fn settle(&self, kind: &mut WatchedKind) {
        kind.awaited = false;
        if !std::mem::replace(&mut kind.settled, true) {
            self.shared.settled.notify_waiters();
        }
    }
}
