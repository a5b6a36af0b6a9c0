//! What the watches of one sync share: what they know, how each of them stands, and the changes
//! that nobody has taken yet. Every access is short and waits for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, Semaphore, watch};

use super::pace::Limits;
use super::pending::Pending;
use crate::cluster::Resource;
use crate::cluster::store::Store;
use crate::object::{Change, GroupKind, ObjectId, Observed};

/// Hears of troubles, in words for people.
pub(in crate::cluster) type Tell = Arc<dyn Fn(String) + Send + Sync>;
/// What one watch is of: a namespace, or all of them.
pub(in crate::cluster) type Place = Option<Arc<str>>;
/// LISTs at once.
const LISTS: usize = 16;

/// A kind to be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    pub resource: Resource,
    /// Where its objects are, for a server that allows no watch of all namespaces.
    pub namespaces: BTreeSet<Arc<str>>,
}

/// How one watch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing is known, or nothing that can be relied on.
    Away,
    Up,
    /// What is known is as of then.
    Down(Instant),
}

#[derive(Debug)]
struct Kind {
    /// Tells this watch of the kind from an earlier one, whose task may not have ended yet.
    generation: u64,
    followed: Followed,
    places: BTreeMap<Place, Standing>,
    /// It was listed once, or it is known why not.
    settled: bool,
    /// Somebody waits for the first LIST and will look at it whole: it is no news.
    awaited: bool,
    /// A trouble was told, and its end was not.
    told: bool,
}

struct Known {
    store: Store,
    pending: Pending,
    kinds: BTreeMap<GroupKind, Kind>,
    generations: u64,
}

pub(in crate::cluster) struct Shared {
    known: Mutex<Known>,
    news: Notify,
    settled: Notify,
    pokes: watch::Sender<u64>,
    lists: Semaphore,
    tell: Tell,
    limits: Limits,
}

impl Shared {
    pub fn new(set: &str, tell: Tell, limits: Limits) -> Self {
        let (pending, kinds) = (Pending::default(), BTreeMap::new());
        Self {
            known: Mutex::new(Known { store: Store::new(set), pending, kinds, generations: 0 }),
            news: Notify::new(),
            settled: Notify::new(),
            pokes: watch::Sender::new(0),
            lists: Semaphore::new(LISTS),
            tell,
            limits,
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Somebody panicked between two statements; the next LIST puts right what that left.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the kinds that are not among these. Gives those whose watch has to begin (anew), each
    /// with the number of its watch.
    pub fn follow(&self, kinds: BTreeMap<GroupKind, Followed>) -> Vec<(GroupKind, u64)> {
        let mut known = self.known();
        let Known { store, kinds: watched, generations, .. } = &mut *known;
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
            let told = watched.get(&gk).is_some_and(|kind| kind.told);
            let places = BTreeMap::from([(None, Standing::Away)]);
            let kind = Kind { generation: *generations, followed, places, settled: false, awaited: true, told };
            watched.insert(gk.clone(), kind);
            begun.push((gk, *generations));
        }
        begun
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Ends when each of these was listed once, or it is known why not.
    pub async fn settled(&self, begun: &[(GroupKind, u64)]) {
        loop {
            let next = self.settled.notified();
            let mut next = std::pin::pin!(next);
            next.as_mut().enable();
            let open = |known: &Known, (gk, generation): &(GroupKind, u64)| {
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

    /// Nobody waits for these any more: from now on their first LIST is news.
    pub fn no_longer_awaited(&self, begun: &[(GroupKind, u64)]) {
        let mut known = self.known();
        for (gk, generation) in begun {
            if let Some(kind) = known.kinds.get_mut(gk).filter(|kind| kind.generation == *generation) {
                kind.awaited = false;
            }
        }
    }

    pub fn members(&self, gk: &GroupKind) -> Option<Vec<Observed>> {
        let known = self.known();
        let stands = |standing: &Standing| match standing {
            Standing::Away => false,
            Standing::Up => true,
            Standing::Down(since) => since.elapsed() < self.limits.grace,
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

    pub fn poke(&self) {
        self.pokes.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub async fn changed(&self) -> Vec<Change> {
        loop {
            // Taken without waiting in between, so that a caller who gives up loses none.
            let changes = self.known().pending.take();
            if !changes.is_empty() {
                return changes;
            }
            self.news.notified().await;
        }
    }
}

impl Known {
    fn covers(&self, id: &ObjectId) -> bool {
        let places = self.kinds.get(&id.gk).map(|kind| &kind.places);
        places.is_some_and(|places| places.contains_key(&None) || places.contains_key(&id.namespace))
    }
}

/// Where one kind's watch brings what it learns. What an earlier watch of the kind still brings
/// after a new one began is dropped.
#[derive(Clone)]
pub(in crate::cluster) struct Sink {
    pub gk: GroupKind,
    pub generation: u64,
    pub shared: Arc<Shared>,
}

impl Sink {
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    pub fn lists(&self) -> &Semaphore {
        &self.shared.lists
    }

    pub fn pokes(&self) -> watch::Receiver<u64> {
        self.shared.pokes.subscribe()
    }

    /// The namespaces to watch where all at once are refused.
    pub fn namespaces(&self) -> BTreeSet<Arc<str>> {
        self.with(|_, kind| kind.followed.namespaces.clone()).unwrap_or_default()
    }

    /// The kind is watched in these places from now on; nothing of them is known yet.
    pub fn watch_in(&self, places: impl IntoIterator<Item = Place>) {
        self.with(|sides, kind| {
            kind.places = places.into_iter().map(|place| (place, Standing::Away)).collect();
            let places = &kind.places;
            // Of elsewhere nothing is heard any more.
            if !places.contains_key(&None) {
                sides.store.forget(&self.gk, |id| !places.contains_key(&id.namespace));
            }
        });
    }

    pub fn listed(&self, place: &Place, objects: Vec<Observed>, version: &str) {
        self.with(|sides, kind| {
            let now = Instant::now();
            let changes = sides.store.replace(&self.gk, place.as_deref(), objects, version, now);
            if !kind.awaited {
                sides.tell(changes);
            }
            kind.places.insert(place.clone(), Standing::Down(now));
            if kind.places.values().all(|standing| *standing != Standing::Away) {
                sides.settle(kind);
            }
        });
    }

    pub fn seen(&self, live: Observed) {
        self.with(|sides, _| {
            let change = sides.store.see(live, Instant::now());
            sides.tell(change);
        });
    }

    pub fn gone(&self, last: Observed) {
        self.with(|sides, _| {
            let change = sides.store.gone(last, Instant::now());
            sides.tell(change);
        });
    }

    pub fn up(&self, place: &Place) {
        self.with(|_, kind| kind.places.insert(place.clone(), Standing::Up));
    }

    /// The watch broke: what it has shown counts for a moment longer.
    pub fn down(&self, place: &Place) {
        self.with(|_, kind| {
            if let Some(standing) = kind.places.get_mut(place).filter(|standing| **standing == Standing::Up) {
                *standing = Standing::Down(Instant::now());
            }
        });
    }

    /// What the watch has shown does not count any more.
    pub fn away(&self, place: &Place) {
        self.with(|_, kind| kind.places.insert(place.clone(), Standing::Away));
    }

    /// Nobody has to wait for the kind: an attempt has ended, and not with a list.
    pub fn settle(&self) {
        self.with(|sides, kind| sides.settle(kind));
    }

    pub fn unserved(&self, place: &Place) {
        self.with(|sides, kind| {
            let changes = sides.store.unserved(&self.gk);
            sides.tell(changes);
            kind.places.insert(place.clone(), Standing::Away);
            sides.settle(kind);
        });
    }

    /// Tells of a trouble, if none was told since the last one ended.
    pub fn trouble(&self, message: impl FnOnce() -> String) {
        if self.with(|_, kind| std::mem::replace(&mut kind.told, true)) == Some(false) {
            (self.shared.tell)(message());
        }
    }

    /// The server does not let the kind be watched.
    pub fn refused(&self, error: &dyn std::fmt::Display) {
        self.with(|sides, kind| {
            for standing in kind.places.values_mut() {
                *standing = Standing::Away;
            }
            sides.settle(kind);
        });
        self.trouble(|| {
            format!(
                "cannot watch {}, so it is listed once per cycle instead and drift is noticed only then \
                 (allow list and watch for it to change that): {error}",
                self.gk
            )
        });
    }

    /// A watch works. A trouble that was told is over once all of the kind do.
    pub fn recovered(&self) {
        let over = self.with(|_, kind| {
            kind.places.values().all(|standing| *standing == Standing::Up) && std::mem::take(&mut kind.told)
        });
        if over == Some(true) {
            (self.shared.tell)(format!("{} is watched again", self.gk));
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Sides<'_>, &mut Kind) -> T) -> Option<T> {
        let mut known = self.shared.known();
        let Known { store, pending, kinds, .. } = &mut *known;
        let kind = kinds.get_mut(&self.gk).filter(|kind| kind.generation == self.generation)?;
        Some(change(&mut Sides { store, pending, shared: &self.shared }, kind))
    }
}

/// What a sink changes beside its kind.
struct Sides<'a> {
    store: &'a mut Store,
    pending: &'a mut Pending,
    shared: &'a Shared,
}

impl Sides<'_> {
    fn tell(&mut self, changes: impl IntoIterator<Item = Change>) {
        let mut any = false;
        for change in changes {
            self.pending.push(change);
            any = true;
        }
        if any {
            self.shared.news.notify_one();
        }
    }

    fn settle(&self, kind: &mut Kind) {
        kind.awaited = false;
        if !std::mem::replace(&mut kind.settled, true) {
            self.shared.settled.notify_waiters();
        }
    }
}
