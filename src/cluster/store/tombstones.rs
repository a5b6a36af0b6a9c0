//! What is gone, for a while: an answer or an event that was under way must not bring it back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::object::version::{is_no_newer, is_older};
use crate::object::{ObjectId, Observed};

/// No answer to an apply takes longer, with all its repetitions.
pub(super) const KEPT: Duration = Duration::from_mins(5);
/// More at once than this are the deletion of a large sync; the oldest are forgotten first.
pub(super) const MOST: usize = 2048;

/// An object that is gone.
#[derive(Clone, Debug)]
pub(super) struct Tombstone {
    pub uid: Arc<str>,
    /// Of the deletion; of the last known state where that is unknown.
    pub version: Arc<str>,
    /// We deleted it, so that its end is no change. Otherwise it may only have left the selection,
    /// and come back with the same UID.
    pub ours: bool,
    pub at: Instant,
}

impl Tombstone {
    /// Whether this state of an object is from before its end.
    pub fn covers(&self, live: &Observed) -> bool {
        (self.ours && self.uid == live.uid) || is_no_newer(&live.resource_version, &self.version)
    }
}

/// The tombstones of the last minutes.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    by_id: BTreeMap<ObjectId, Tombstone>,
    /// In the order of time; one that was put again is in it twice, one that was removed once.
    order: VecDeque<(Instant, ObjectId)>,
}

impl Tombstones {
    pub fn get(&self, id: &ObjectId, now: Instant) -> Option<&Tombstone> {
        self.by_id.get(id).filter(|tombstone| now.saturating_duration_since(tombstone.at) < KEPT)
    }

    pub fn put(&mut self, id: &ObjectId, mut tombstone: Tombstone) {
        let now = tombstone.at;
        if let Some(known) = self.get(id, now)
            && (tombstone.version.is_empty() || is_older(&tombstone.version, &known.version))
        {
            tombstone.version = Arc::clone(&known.version);
        }
        self.by_id.insert(id.clone(), tombstone);
        self.order.push_back((now, id.clone()));
        while self
            .order
            .front()
            .is_some_and(|(at, _)| self.order.len() > MOST || now.saturating_duration_since(*at) >= KEPT)
        {
            let Some((at, id)) = self.order.pop_front() else { break };
            if self.by_id.get(&id).is_some_and(|tombstone| tombstone.at == at) {
                self.by_id.remove(&id);
            }
        }
    }

    pub fn remove(&mut self, id: &ObjectId) {
        self.by_id.remove(id);
    }

    pub fn forget(&mut self, forgotten: impl Fn(&ObjectId) -> bool) {
        self.by_id.retain(|id, _| !forgotten(id));
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.by_id.len().max(self.order.len())
    }
}
