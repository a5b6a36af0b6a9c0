//! What could not be read of the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{GroupKind, ObjectId};

/// Kinds, or kinds in single namespaces, whose objects could not be read, and why. Of what is not in
/// here, an object that was not seen does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unreadable {
    /// By namespace; `None`: wherever its objects are.
    kinds: BTreeMap<GroupKind, BTreeMap<Option<Arc<str>>, String>>,
}

impl Unreadable {
    /// `namespace` is `None` for all objects of the kind.
    pub fn insert(&mut self, gk: GroupKind, namespace: Option<Arc<str>>, why: String) {
        self.kinds.entry(gk).or_default().insert(namespace, why);
    }

    /// Why this object could not be read; `None`: it could.
    #[must_use]
    pub fn of(&self, id: &ObjectId) -> Option<&str> {
        let places = self.kinds.get(&id.gk)?;
        places.get(&None).or_else(|| places.get(&id.namespace)).map(String::as_str)
    }

    /// Each kind, the namespace that it is about, and why.
    pub fn iter(&self) -> impl Iterator<Item = (&GroupKind, Option<&Arc<str>>, &str)> {
        self.kinds
            .iter()
            .flat_map(|(gk, places)| places.iter().map(move |(namespace, why)| (gk, namespace.as_ref(), why.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_cannot_be_read_in_one_namespace_can_be_in_another() {
        let id = |namespace| ObjectId::new("", "ConfigMap", namespace, "a");
        let mut unreadable = Unreadable::default();
        assert_eq!(unreadable.of(&id(Some("one"))), None);
        unreadable.insert(id(None).gk, Some("one".into()), "forbidden".into());
        assert_eq!(unreadable.of(&id(Some("one"))), Some("forbidden"));
        assert_eq!(unreadable.of(&id(Some("two"))), None);
        unreadable.insert(id(None).gk, None, "its API is down".into());
        assert_eq!(unreadable.of(&id(Some("two"))), Some("its API is down"));
        assert_eq!(unreadable.iter().count(), 2);
    }
}
