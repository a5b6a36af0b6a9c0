//! Changes that nobody has taken yet. Of an object only its last state counts, so there is at most
//! one change of each.

use std::collections::BTreeMap;

use crate::object::{Change, ObjectId};

/// Changes in the order in which their objects first changed.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Without those that were taken back.
    changes: Vec<Option<Change>>,
    places: BTreeMap<ObjectId, usize>,
}

impl Pending {
    /// Adds a change, or puts it in the place of the last one of the same object.
    pub fn push(&mut self, change: Change) {
        let place = *self.places.entry(change.id().clone()).or_insert(self.changes.len());
        match self.changes.get_mut(place) {
            Some(earlier) => *earlier = Some(change),
            None => self.changes.push(Some(change)),
        }
    }

    /// Takes the change of an object back.
    pub fn cancel(&mut self, id: &ObjectId) {
        if let Some(change) = self.places.get(id).and_then(|place| self.changes.get_mut(*place)) {
            *change = None;
        }
    }

    pub fn take(&mut self) -> Vec<Change> {
        let Self { changes, .. } = std::mem::take(self);
        changes.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ObjectId {
        ObjectId::new("", "ConfigMap", Some("shop"), name)
    }

    fn gone(name: &str) -> Change {
        Change::Gone { id: id(name), last: None }
    }

    #[test]
    fn an_object_has_one_change_in_the_place_of_its_first() {
        let mut pending = Pending::default();
        for name in ["b", "a", "b", "c", "a"] {
            pending.push(gone(name));
        }
        assert_eq!(pending.take(), [gone("b"), gone("a"), gone("c")]);
        assert_eq!(pending.take(), []);
    }

    #[test]
    fn a_change_that_was_taken_back_is_not_reported_unless_there_is_another() {
        let mut pending = Pending::default();
        pending.push(gone("a"));
        pending.push(gone("b"));
        pending.cancel(&id("a"));
        pending.cancel(&id("unknown"));
        assert_eq!(pending.take(), [gone("b")]);
        pending.push(gone("a"));
        pending.cancel(&id("a"));
        pending.push(gone("a"));
        assert_eq!(pending.take(), [gone("a")]);
    }
}
