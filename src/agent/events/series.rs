//! Which Events were written lately, so that the same again becomes a series of the first
//! (`events.k8s.io/v1`, `Event.series`) and no new object.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use crate::telemetry::KubeEvent;

/// An Event that did not come back for this long begins anew (client-go, `finishTime`).
const OVER: Duration = Duration::from_mins(6);
/// Events that are remembered; the oldest is forgotten for a newer one.
const MOST: usize = 1024;

/// What makes an Event the same as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u64);

impl Key {
    pub(super) fn of(event: &KubeEvent) -> Self {
        let mut hasher = DefaultHasher::new();
        (&event.sync, &event.about, event.reason, &event.essence).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// An Event in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WrittenEvent {
    pub namespace: String,
    pub name: String,
    /// How often it has come.
    pub count: u32,
    pub last: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Series {
    known: BTreeMap<Key, WrittenEvent>,
}

impl Series {
    /// The Event that this one repeats.
    pub(super) fn find(&mut self, key: Key, now: Instant) -> Option<WrittenEvent> {
        self.known.retain(|_, written| now.saturating_duration_since(written.last) < OVER);
        self.known.get(&key).cloned()
    }

    pub(super) fn note(&mut self, key: Key, written: WrittenEvent) {
        if self.known.len() >= MOST && !self.known.contains_key(&key) {
            let oldest = self.known.iter().min_by_key(|(_, written)| written.last).map(|(key, _)| *key);
            oldest.and_then(|oldest| self.known.remove(&oldest));
        }
        self.known.insert(key, written);
    }

    pub(super) fn forget(&mut self, key: Key) {
        self.known.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(last: Instant) -> WrittenEvent {
        WrittenEvent { namespace: "shop".into(), name: "web.1".into(), count: 1, last }
    }

    #[test]
    fn what_comes_back_within_six_minutes_is_known() {
        let (mut series, start) = (Series::default(), Instant::now());
        series.note(Key(1), written(start));
        assert_eq!(series.find(Key(2), start), None);
        assert!(series.find(Key(1), start + Duration::from_mins(5)).is_some());
        assert_eq!(series.find(Key(1), start + Duration::from_mins(7)), None);
    }

    #[test]
    fn only_so_many_are_remembered_and_the_oldest_goes_first() {
        let (mut series, start) = (Series::default(), Instant::now());
        for number in 0..=MOST as u64 {
            series.note(Key(number), written(start + Duration::from_millis(number)));
        }
        assert_eq!(series.known.len(), MOST);
        assert!(series.find(Key(0), start).is_none() && series.find(Key(1), start).is_some());
    }
}
